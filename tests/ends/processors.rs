//! Two CPUs, one of which does not help to end the run, or ends it for both.

use abi::debug_exit::FAILURE_STATUS;
use assembly::code;

use crate::support::kernel::{FREE, Kernel, forever, greet};
use crate::support::processors::{COMMAND, NMI_TO_OTHERS, start_others, with_others};
use crate::support::{Target, list};
use crate::{Case, LIMIT, Output, PATIENCE, Running, both_end, two_end_themselves};

pub const CASES: &[Case] = &[
    ("a_spin_beside_exits", spin_beside_exits),
    ("exits_beside_a_spin", exits_beside_spin),
    ("a_spin_beside_a_halt", spin_beside_halt),
    ("exits_beside_exits", exits_beside_exits),
    ("triple_fault_of_another", triple_fault_of_another),
    ("both_halt_for_good", both_halt),
    ("one_halts_and_none_started", one_halts),
    ("one_spins_and_none_started", one_spins),
    ("an_nmi_starts_nobody", nmi_to_unstarted),
];

/// The other CPU says that it has begun.
const BEGUN: u64 = FREE;
const NO_PORT: u32 = 0x2000;

/// Starts the other CPU with `other`, waits until it has begun that, and does `first`.
fn two(first: &[u8], other: &[u8]) -> Kernel {
    let begin = code!("mov dword ptr [{begun}], 1", begun = const BEGUN);
    let wait = code!(
        "2: pause",
        "cmp dword ptr [{begun}], 1",
        "jne 2b",
        begun = const BEGUN,
    );
    let first = [&start_others(), wait, greet(), first].concat();
    with_others(Kernel::long_mode(&first), &[begin, other].concat())
}

/// Interrupts are off.
fn spin() -> &'static [u8] {
    code!("2: jmp 2b")
}

fn exits() -> Vec<u8> {
    forever(code!("mov edx, {port}", "out dx, al", port = const NO_PORT))
}

fn halt_for_good() -> Vec<u8> {
    forever(code!("cli", "hlt"))
}

fn spin_beside_exits(target: Target) {
    both_end(target, &two(&exits(), spin()));
}

fn exits_beside_spin(target: Target) {
    both_end(target, &two(spin(), &exits()));
}

fn spin_beside_halt(target: Target) {
    let timed_out = both_end(target, &two(&halt_for_good(), spin()));
    assert_eq!(timed_out.report["state"]["cpu"], 1, "{timed_out}");
}

fn exits_beside_exits(target: Target) {
    both_end(target, &two(&exits(), &exits()));
}

fn triple_fault_of_another(target: Target) {
    let kernel = two(spin(), code!("ud2"));
    let ended = two_end_themselves(target, &kernel, FAILURE_STATUS.into(), "triple_fault");
    assert_eq!(ended.report["state"]["cpu"], 1, "{ended}");
    let exits = list(&ended.report["vcpus"][1]["exits"]).iter();
    let mut faults = exits.filter(|row| row["reason"] == "triple_fault");
    assert!(faults.next().is_some(), "{ended}");
    let guest = &ended.report["vcpus"][1]["guest"];
    assert!(guest.is_null(), "this kernel counts nothing\n{ended}");
}

fn both_halt(target: Target) {
    let kernel = two(&halt_for_good(), &halt_for_good());
    two_end_themselves(target, &kernel, FAILURE_STATUS.into(), "halted");
}

fn one_halts(target: Target) {
    let kernel = Kernel::long_mode(&halt_for_good());
    let ended = two_end_themselves(target, &kernel, FAILURE_STATUS.into(), "halted");
    assert_eq!(ended.report["state"]["cpu"], 0, "{ended}");
    if target != Target::Emu {
        return;
    }
    // With a seed the search for one that runs ends anywhere.
    let kernel = kernel.write();
    for seed in ["1", "2", "3", "4"] {
        let more = ["--cpus", "4", "--seed", seed];
        let running = Running::start_with(target, &kernel, PATIENCE, Output::Pipe, &more);
        let ended = running.ends_itself(FAILURE_STATUS.into(), "halted");
        assert_eq!(ended.report["state"]["cpu"], 0, "{seed}: {ended}");
    }
}

/// The other one's time is idle, half of all. In the emulator both share the time.
fn one_spins(target: Target) {
    let kernel = Kernel::long_mode(&[greet(), spin()].concat());
    let timed_out = both_end(target, &kernel);
    assert_eq!(timed_out.report["state"]["cpu"], 0, "{timed_out}");
    let time = |part: &str| timed_out.report["time"][part].as_u64();
    let (guest, idle) = (time("guest_ns"), time("idle_ns"));
    match target {
        Target::Emu => assert_eq!(idle, Some(0), "{timed_out}"),
        _ => assert!(idle > guest.map(|ns| ns / 2), "{timed_out}"),
    }
}

/// The other one stays asleep: it does not enter KVM again and again.
fn nmi_to_unstarted(target: Target) {
    const MOST_ENTRIES: u64 = 5 * LIMIT.as_millis() as u64;
    let send = code!(
        "mov ebx, {command}",
        "mov dword ptr [rbx], {nmi}",
        command = const COMMAND,
        nmi = const NMI_TO_OTHERS,
    );
    let kernel = Kernel::long_mode(&[send, greet(), spin()].concat());
    let timed_out = both_end(target, &kernel);
    // Once an entry.
    let entries = timed_out.report["kvm"]["fpu_reload"].as_u64();
    assert!(
        entries.is_none_or(|count| count < MOST_ENTRIES),
        "{timed_out}"
    );
}
