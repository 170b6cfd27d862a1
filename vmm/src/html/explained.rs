//! A sentence for each counter that reports have.

/// What the counter `name` counts; nothing for one that is not known here. A name has those of
/// the parts that it is in before it, with points between.
pub fn explained(name: &str) -> &'static str {
    let found = EXPLAINED.iter().find(|(known, _)| *known == name);
    found.map_or("", |(_, sentence)| sentence)
}

/// A counter's name in words.
pub fn in_words(name: &str) -> String {
    let words = name.strip_suffix("_ns").unwrap_or(name);
    let spelled = [
        ("_", " "),
        ("ring0", "ring 0"),
        ("ring3", "ring 3"),
        ("ipis", "IPIs"),
    ];
    let words = words.to_owned();
    spelled
        .iter()
        .fold(words, |words, (from, to)| words.replace(from, to))
}

/// KVM's are those of `virt/kvm/kvm_main.c` and `arch/x86/kvm/x86.c` of Linux, read by
/// `KVM_GET_STATS_FD`.
#[rustfmt::skip]
const EXPLAINED: &[(&str, &str)] = &[
    // Of a vCPU that halts in KVM.
    ("halt_successful_poll", "Halts that ended while KVM still polled for an interrupt, without sleep."),
    ("halt_attempted_poll", "Halts for which KVM polled before it let the thread sleep."),
    ("halt_poll_invalid", "Halts whose polling ended for nothing that the guest waited for."),
    ("halt_wakeup", "Halts that ended by waking the sleeping thread."),
    ("halt_poll_success_ns", "Time of polling that ended a halt."),
    ("halt_poll_fail_ns", "Time of polling in vain."),
    ("halt_wait_ns", "Time asleep in halts."),
    ("blocking", "Whether the vCPU slept when the counters were read."),
    // Page tables.
    ("pf_taken", "Page faults that came to KVM: the guest's own, and those of its shadow or nested page tables."),
    ("pf_fixed", "Of them, those that KVM mended by an entry in its page tables."),
    ("pf_emulate", "Of them, those for which KVM executed the instruction itself, such as an access to a device."),
    ("pf_spurious", "Of them, those for entries that were already there, made by another vCPU."),
    ("pf_fast", "Of them, those mended without KVM's lock."),
    ("pf_mmio_spte_created", "Pages that KVM has noted as belonging to devices, to be quick the next time."),
    ("pf_guest", "Page faults that KVM gave to the guest, as its own page tables demand."),
    ("tlb_flush", "Flushes of the TLB by KVM, for this vCPU."),
    ("invlpg", "invlpg instructions of the guest that KVM executed."),
    ("remote_tlb_flush", "Flushes of other vCPUs' TLBs that were carried out."),
    ("remote_tlb_flush_requests", "Flushes of other vCPUs' TLBs that were asked for."),
    ("mmu_shadow_zapped", "Shadow page tables that KVM threw away."),
    ("mmu_pte_write", "Writes of the guest to its own page tables that KVM had to follow."),
    ("mmu_pde_zapped", "Entries for large pages that KVM threw away, since the guest changed what they cover."),
    ("mmu_flooded", "Page tables written so often that KVM took them for ordinary memory."),
    ("mmu_recycled", "Shadow page tables taken from another use, for want of more."),
    ("mmu_cache_miss", "Shadow page tables that had to be made."),
    ("mmu_unsync", "Shadow page tables that were left behind the guest's until its next flush."),
    ("pages_4k", "Pages of 4 KiB that KVM had mapped when the counters were read."),
    ("pages_2m", "Pages of 2 MiB that KVM had mapped."),
    ("pages_1g", "Pages of 1 GiB that KVM had mapped."),
    ("nx_lpage_splits", "Large pages split against a flaw of processors (iTLB multihit)."),
    ("max_mmu_rmap_size", "The most mappings of one page."),
    ("max_mmu_page_hash_collisions", "The most page tables with one place in KVM's hash table."),
    // Ways out of the guest.
    ("exits", "Exits from the guest to KVM. Those that KVM does not serve itself are the VM exits above."),
    ("io_exits", "Exits for port I/O."),
    ("mmio_exits", "Exits for memory-mapped I/O that went on to the VMM."),
    ("signal_exits", "Returns to the VMM since its thread had a signal, such as a kick."),
    ("irq_window_exits", "Exits because the guest became ready for an interrupt that waited for it."),
    ("nmi_window_exits", "Exits because the guest became ready for an NMI that waited for it."),
    ("l1d_flush", "Flushes of the first-level data cache before entries, against a flaw of processors (L1TF)."),
    ("halt_exits", "Exits for hlt."),
    ("request_irq_exits", "Returns to the VMM, which had asked for the moment when the guest takes interrupts."),
    ("irq_exits", "Exits for interrupts of the host."),
    ("notify_window_exits", "Exits because the guest took no event for too long."),
    ("host_state_reload", "How often the host's registers were put back for what is not the vCPU."),
    ("fpu_reload", "How often the guest's floating-point registers were loaded."),
    ("insn_emulation", "Instructions that KVM executed itself. Where it has no hardware assistance, nearly all of ring 0."),
    ("insn_emulation_fail", "Instructions that it could not execute; of a software-backed KVM the VMM executes them."),
    ("hypercalls", "Calls of the guest to KVM."),
    ("irq_injections", "Interrupts given to the guest."),
    ("nmi_injections", "NMIs given to the guest."),
    ("req_event", "Entries before which KVM looked for events to give."),
    ("nested_run", "Entries to guests of this guest."),
    ("guest_mode", "Whether the vCPU was in a guest of its own when the counters were read."),
    ("directed_yield_attempted", "How often a vCPU that spun tried to give its time to another one."),
    ("directed_yield_successful", "How often that worked."),
    ("preemption_reported", "How often KVM told the guest that its vCPU had lost the host's CPU."),
    ("preemption_other", "How often it lost it while it was not in the guest, or had not asked to be told."),
    // Remedies.
    ("emulated_instructions", "Instructions that the VMM executed for KVM."),
    ("copies", "Blocks of memory that the VMM copied or cleared for the guest's kernel."),
    ("yields", "How often a vCPU that waited for another one gave its place on the host's CPU away."),
    ("int80_as_undefined_opcode", "int 0x80 that came to the guest's kernel as an undefined opcode, and was served."),
    ("syscall_as_page_fault", "syscall that came to the guest's kernel as a page fault, and was served."),
    // Instructions.
    ("instructions", "Instructions that the emulator has retired."),
    ("ring0", "Of them, those of the kernel."),
    ("ring3", "Of them, those of programs."),
    ("total", "Instructions of the host on the vCPU's thread, whatever it did."),
    ("guest_ring0", "Of them, those of the guest's kernel."),
    ("guest_ring3", "Of them, those of the guest's programs."),
    ("error", "Why they are not known."),
    // The guest's kernel.
    ("syscalls", "System calls that were served, by syscall or int 0x80. They are no exits."),
    ("context_switches", "Switches from one thread to another."),
    ("timer_ticks", "Ticks of the timer, by which the kernel takes the CPU back from programs."),
    ("page_faults", "Page faults of programs: most only say that a page is wanted now."),
    ("forks", "Processes made."),
    ("boot_instructions", "Instructions before the first one in ring 3."),
    // Of several CPUs.
    ("wake_ipis", "Interrupts to other CPUs, to have them take a thread or see to theirs."),
    ("flush_ipis", "Interrupts to other CPUs, to have them flush their TLBs or synchronize."),
    ("shootdowns", "How often others were asked to flush and waited for, by an interrupt or not."),
    ("lock_wait_ns", "Time spent waiting for others to leave the kernel."),
    ("idle_ns", "Time with nothing to do."),
];

#[cfg(test)]
mod tests {
    use super::{EXPLAINED, explained};

    #[test]
    fn each_counter_is_explained_once_by_a_sentence() {
        for (number, (name, sentence)) in EXPLAINED.iter().enumerate() {
            assert!(
                sentence.ends_with('.') && sentence.len() < 120,
                "{name}: {sentence}"
            );
            let again = EXPLAINED[number + 1..]
                .iter()
                .any(|(other, _)| other == name);
            assert!(!again, "{name} twice");
        }
        assert_eq!(explained("of a later kernel"), "");
    }
}
