//! The counters of the guest's kernel, read from the page that it shares.

use std::mem::offset_of;

use syscalls::Sysno;
use vm_memory::{Bytes, GuestAddress};

use abi::shared::{CpuCounters, MAGIC, MOST_CPUS, SharedPage, UNSUPPORTED_LEN};

use crate::boot::KernelImage;
use crate::memory::GuestRam;
use crate::report::{Counters, GuestCounters, GuestCpu};

/// The contents of the shared page. They are guest input: shown to users, and no decision
/// depends on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedCounters {
    /// For the report.
    pub guest: GuestCounters,
    /// Time-stamp counter as ring 3 was first entered, if it was.
    pub first_user_tsc: Option<u64>,
    /// How often the kernel helped a software-backed KVM, by remedy; none where that is
    /// not known.
    pub remedies: [(&'static str, Option<u64>); 2],
    /// System calls that the kernel does not have, by name.
    pub unsupported: Counters,
    /// What each CPU does because there are others, by number; none where there are not.
    pub cpus: Vec<GuestCpu>,
}

/// The time-stamp counter of a machine, as its run has ended.
#[derive(Clone, Copy, Debug)]
pub struct Tsc {
    /// Its value.
    pub now: u64,
    /// Its frequency.
    pub khz: u32,
}

impl Tsc {
    fn ns(self, ticks: u64) -> u64 {
        let ns = u128::from(ticks) * 1_000_000 / u128::from(self.khz.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// The counters; all unknown if the kernel has no shared page or did not get as far as
/// starting to count. The machine has so many CPUs.
pub fn read(ram: &GuestRam, kernel: &KernelImage, cpus: u8, tsc: Tsc) -> SharedCounters {
    let field = |offset: usize| {
        let address = GuestAddress(kernel.shared_page?.checked_add(offset as u64)?);
        ram.mmap().read_obj::<u64>(address).ok()
    };
    if field(offset_of!(SharedPage, magic)) != Some(MAGIC) {
        return SharedCounters::default();
    }
    SharedCounters {
        guest: GuestCounters {
            syscalls: field(offset_of!(SharedPage, syscalls)),
            context_switches: field(offset_of!(SharedPage, context_switches)),
            timer_ticks: field(offset_of!(SharedPage, timer_ticks)),
            page_faults: field(offset_of!(SharedPage, page_faults)),
            forks: field(offset_of!(SharedPage, forks)),
            frames: field(offset_of!(SharedPage, frames)).filter(|&frames| frames != 0),
            boot_instructions: None,
        },
        first_user_tsc: field(offset_of!(SharedPage, first_user_tsc)).filter(|&tsc| tsc != 0),
        remedies: [
            (
                "int80_as_undefined_opcode",
                field(offset_of!(SharedPage, int80_as_undefined_opcode)),
            ),
            (
                "syscall_as_page_fault",
                field(offset_of!(SharedPage, syscall_as_page_fault)),
            ),
        ],
        unsupported: unsupported(ram, kernel).unwrap_or_default(),
        cpus: match usize::from(cpus) {
            1 => Vec::new(),
            cpus => (0..cpus.min(MOST_CPUS))
                .filter_map(|cpu| guest_cpu(cpu, field, tsc))
                .collect(),
        },
    }
}

/// What the CPU with this number has counted, by the fields of the shared page.
fn guest_cpu(cpu: usize, field: impl Fn(usize) -> Option<u64>, tsc: Tsc) -> Option<GuestCpu> {
    let start = offset_of!(SharedPage, cpus) + cpu * size_of::<CpuCounters>();
    let field = |offset| field(start + offset);
    // It may have nothing to do to the very end.
    let still_idle = match field(offset_of!(CpuCounters, idle_since))? {
        0 => 0,
        since => tsc.now.saturating_sub(since),
    };
    let idle = field(offset_of!(CpuCounters, idle))?.saturating_add(still_idle);
    Some(GuestCpu {
        wake_ipis: field(offset_of!(CpuCounters, wakes))?,
        flush_ipis: field(offset_of!(CpuCounters, flushes))?,
        shootdowns: field(offset_of!(CpuCounters, shootdowns))?,
        lock_wait_ns: tsc.ns(field(offset_of!(CpuCounters, lock_wait))?),
        idle_ns: tsc.ns(idle),
    })
}

/// The calls that were made and are not there; those with the highest numbers count as one.
fn unsupported(ram: &GuestRam, kernel: &KernelImage) -> Option<Counters> {
    let start = offset_of!(SharedPage, unsupported) as u64;
    let address = GuestAddress(kernel.shared_page?.checked_add(start)?);
    let mut bytes = [[0; size_of::<u32>()]; UNSUPPORTED_LEN];
    ram.mmap()
        .read_slice(bytes.as_flattened_mut(), address)
        .ok()?;
    let counts = bytes.into_iter().map(u32::from_le_bytes).enumerate();
    let name = |number: usize| match Sysno::new(number) {
        Some(call) => call.name().to_owned(),
        None if number == UNSUPPORTED_LEN - 1 => "others".to_owned(),
        None => format!("number {number}"),
    };
    let made = counts.filter(|&(_, count)| count != 0);
    Some(
        made.map(|(number, count)| (name(number), count.into()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Entry;

    const GPA: u64 = 0x10_0000;

    /// The counters in a page of `words`.
    fn counters(words: &[u64], cpus: u8) -> SharedCounters {
        let ram = GuestRam::new(4 << 20).expect("memory");
        let kernel = KernelImage {
            entry: Entry::Pvh(0),
            end: 0,
            shared_page: Some(GPA),
            trace_ring: None,
        };
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let page = ram.mmap().write_slice(&bytes, GuestAddress(GPA));
        page.expect("it is RAM");
        let tsc = Tsc {
            now: 9_000,
            khz: 2_000_000,
        };
        read(&ram, &kernel, cpus, tsc)
    }

    #[test]
    fn each_cpu_has_its_counters() {
        let mut words = [0; 512];
        words[0] = MAGIC;
        let second = offset_of!(SharedPage, cpus) + size_of::<CpuCounters>();
        words[second / 8..][..6].copy_from_slice(&[3, 2, 1, 500, 1_000, 8_000]);
        let expected = GuestCpu {
            wake_ipis: 3,
            flush_ipis: 2,
            shootdowns: 1,
            lock_wait_ns: 250,
            // It is idle yet.
            idle_ns: 1_000,
        };
        let cpus = counters(&words, 2).cpus;
        assert_eq!(cpus, [GuestCpu::default(), expected]);
        assert_eq!(counters(&words, 1).cpus, []);
        words[0] = 0;
        assert_eq!(counters(&words, 2).cpus, []);
    }

    #[test]
    fn frames_are_known_where_they_are_counted() {
        let mut words = [0; 512];
        words[0] = MAGIC;
        // As a kernel leaves it that has another page.
        assert_eq!(counters(&words, 1).guest.frames, None);
        assert_eq!(counters(&words, 1).guest.forks, Some(0));
        words[offset_of!(SharedPage, frames) / 8] = 17;
        assert_eq!(counters(&words, 1).guest.frames, Some(17));
    }

    #[test]
    fn no_words_of_a_guest_are_too_much() {
        let mut words = [u64::MAX; 512];
        words[0] = MAGIC;
        let cpus = counters(&words, u8::MAX).cpus;
        assert_eq!(cpus.len(), MOST_CPUS);
        assert_eq!(cpus[31].wake_ipis, u64::MAX);
        assert_eq!(cpus[31].lock_wait_ns, u64::MAX / 2);
    }
}
