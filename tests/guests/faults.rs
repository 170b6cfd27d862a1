//! Forbidden actions of ring 3: each ends the process that tried, with its reason.

use crate::Case;
use crate::support::{Ended, Target, host_info};

pub const CASES: &[Case] = &[
    ("privileged_instructions", privileged_instructions),
    ("forbidden_accesses", forbidden_accesses),
    ("corners", corners),
    ("stack_overflow", stack_overflow),
    ("other_exceptions", other_exceptions),
    ("bad_write_arguments", bad_write_arguments),
];

/// On software-backed KVM they take what few processors have: see [`weak_processor`].
pub const STATE_CASES: &[Case] = &[("unannounced", unannounced)];

/// Why [`STATE_CASES`] cannot run on KVM here, if they cannot.
pub fn weak_processor() -> Option<&'static str> {
    let software = host_info()["kvm"]["host_kind"] == "software";
    // A processor with AVX-512 has the rest as well.
    let weak = software && !std::is_x86_feature_detected!("avx512f");
    weak.then_some("the processor of this software-backed KVM has too little to try it")
}

const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;

/// Asserts that the signal killed the process and the kernel said why.
#[track_caller]
fn killed(run: &Ended, signal: i32, reason: &str) {
    run.status(128 + signal)
        .outcome("killed")
        .kernel_says(reason);
}

fn privileged_instructions(target: Target) {
    let usage = target.vmm("privileged").run();
    usage.status(2);
    let names: Vec<_> = usage.stdout.lines().skip(1).collect();
    assert!(names.len() >= 20, "{usage}");
    for name in names {
        let run = target.vmm("privileged").args(&[name]).run();
        // Reading a table's address traps by UMIP; `iret` to ring 0 and the like trap where
        // they touch what ring 3 must not have.
        killed(&run, SIGSEGV, "process 1 (privileged) killed by SIGSEGV");
        run.prints(&format!("executing {name} in ring 3\n"));
    }
}

fn forbidden_accesses(target: Target) {
    const MAPERR: &str = "nothing is mapped there (SEGV_MAPERR)";
    const ACCERR: &str = "not allowed there (SEGV_ACCERR)";
    const PROTECTION: &str = "general protection (vector 13)";
    for (access, reason) in [
        ("null", MAPERR),
        ("null_write", MAPERR),
        ("null_jump", MAPERR),
        ("unmapped", MAPERR),
        ("kernel", MAPERR),
        ("kernel_write", MAPERR),
        ("kernel_jump", MAPERR),
        ("direct_map", MAPERR),
        ("text_write", ACCERR),
        ("rodata_write", ACCERR),
        ("data_execute", ACCERR),
        ("stack_execute", ACCERR),
        ("noncanonical", PROTECTION),
        ("noncanonical_jump", PROTECTION),
    ] {
        killed(&target.vmm("segv").args(&[access]).run(), SIGSEGV, reason);
    }
}

fn corners(target: Target) {
    const SURVIVED: &[&str] = &["exited with 0"];
    const SEGV: &[&str] = &["killed by SIGSEGV"];
    const TRAP: &[&str] = &["killed by SIGTRAP"];
    let run = target.vmm("corners").run();
    run.status(0);
    for (attempt, ends) in [
        ("syscall, stack in the kernel", SURVIVED),
        ("syscall, no stack", SURVIVED),
        ("syscall, non-canonical stack", SURVIVED),
        ("int 0x80, stack in the kernel", SURVIVED),
        ("int 0x80, no stack", SURVIVED),
        ("int 0x80, non-canonical stack", SURVIVED),
        ("interrupt, stack in the kernel", SURVIVED),
        ("interrupt, non-canonical stack", SURVIVED),
        ("exception, stack in the kernel", &["killed by SIGILL"]),
        ("push, stack in the kernel", SEGV),
        ("push, non-canonical stack", &["killed by SIGBUS"]),
        ("syscall at the end of user memory", SEGV),
        ("jump past user memory", SEGV),
        ("jump to a non-canonical address", SEGV),
        ("return to a non-canonical address", SEGV),
        ("far return to kernel code", SEGV),
        ("far return to data", SEGV),
        ("far return to nothing", SEGV),
        ("far return beyond the table", SEGV),
        ("far return to itself", SURVIVED),
        ("iretq to itself", SURVIVED),
        ("iretq to a non-canonical address", SEGV),
        ("iretq to kernel code", SEGV),
        ("iretq to kernel data", SEGV),
        ("iretq without a stack segment", SEGV),
        ("iretq with forbidden flags", SURVIVED),
        ("iretq as a nested task", SEGV),
        ("load ds, kernel data", SEGV),
        ("load ds, local table", SEGV),
        ("load ds, beyond the table", SEGV),
        ("null selectors", SURVIVED),
        ("popfq, forbidden flags", SURVIVED),
        ("single step", TRAP),
        ("syscall, single step", TRAP),
        ("syscall, nested task", SURVIVED),
        ("syscall, backwards", SURVIVED),
        ("syscall, alignment check", SURVIVED),
        ("odd address, alignment check", &["killed by SIGBUS"]),
        ("int1", TRAP),
        // A software-backed KVM makes an invalid opcode of a protection fault at an
        // instruction that its own emulator lacks.
        (
            "reserved bits in mxcsr",
            &["killed by SIGSEGV", "killed by SIGILL"],
        ),
        ("unmasked floating-point exception", &["killed by SIGFPE"]),
    ] {
        let is_end = |line| ends.iter().any(|end| line == format!("{attempt}: {end}"));
        // Some attempts write this first.
        let mut lines = run
            .stdout
            .lines()
            .map(|line| line.trim_start_matches("odd bytes"));
        assert!(
            lines.any(is_end),
            "{attempt} did not end as it should: {run}"
        );
    }
}

fn stack_overflow(target: Target) {
    let run = target.vmm("stack_overflow").run();
    killed(&run, SIGSEGV, "stack overflow (SEGV_MAPERR)");
}

/// Whether the processor has keys of pages that its Linux uses (SDM vol. 2A, CPUID leaf 7).
pub fn has_keys() -> bool {
    const OSPKE: u32 = 1 << 4;
    std::arch::x86_64::__cpuid_count(7, 0).ecx & OSPKE != 0
}

/// Software-backed KVM runs ring 3 with what the kernel has not turned on.
fn unannounced(target: Target) {
    const ATTEMPTS: [(&str, &str); 5] = [
        ("bases", "exited with 0"),
        ("a read without access", "killed by SIGSEGV"),
        ("a write without writing", "killed by SIGSEGV"),
        ("a read without writing", "exited with 0"),
        ("handled", "exited with 9"),
    ];
    const STATES: [(&str, &str); 4] = [
        ("nothing", "exited with 0"),
        ("a component that there is not", "killed by SIGSEGV"),
        ("compacted", "killed by SIGSEGV"),
        ("reserved bytes", "killed by SIGSEGV"),
    ];
    let print = |ends: &[(&str, &str)]| -> String {
        let lines = ends.iter().map(|(what, end)| format!("{what}: {end}\n"));
        lines.collect::<String>() + "the parent goes on\n"
    };
    let run = target.vmm("unannounced").run();
    if run.report["host_kind"] != "software" {
        let ends = ATTEMPTS.map(|(what, _)| (what, "killed by SIGILL"));
        run.status(0).prints(&print(&ends));
    } else {
        let run = target.vmm("unannounced").args(&["state"]).run();
        let keyed = |(what, end)| match what == "bases" || has_keys() {
            true => (what, end),
            false => (what, "killed by SIGILL"),
        };
        let attempts = ATTEMPTS.into_iter().map(keyed);
        let ends: Vec<_> = attempts.chain(STATES).collect();
        run.status(0).prints(&print(&ends));
        let by_key = |line: &&&str| line.contains("forbidden by its protection key (SEGV_PKUERR)");
        let forbidden = run.kernel_lines().iter().filter(by_key).count();
        assert_eq!(forbidden, if has_keys() { 2 } else { 0 }, "{run}");
    }
}

fn other_exceptions(target: Target) {
    killed(
        &target.vmm("divide").run(),
        SIGFPE,
        "divide error (vector 0)",
    );
    killed(
        &target.vmm("undefined").run(),
        SIGILL,
        "invalid opcode (vector 6)",
    );
    killed(
        &target.vmm("breakpoint").run(),
        SIGTRAP,
        "breakpoint (vector 3)",
    );
}

fn bad_write_arguments(target: Target) {
    target.vmm("write_error").run().status(0).prints(concat!(
        "text\n",
        "good: Ok(5)\n",
        "nothing: Ok(0)\n",
        "closed descriptor: Err(EBADF)\n",
        "huge descriptor: Err(EBADF)\n",
        "null: Err(EFAULT)\n",
        "kernel: Err(EFAULT)\n",
        "direct map: Err(EFAULT)\n",
        "non-canonical: Err(EFAULT)\n",
        "into the kernel: Err(EFAULT)\n",
        "around the end: Err(EFAULT)\n",
        "null, nothing: Ok(0)\n",
    ));
}
