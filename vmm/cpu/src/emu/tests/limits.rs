//! The instruction limit, wherever it falls.

use assembly::code;

use super::machine::{DATA, Machine};
use crate::exit::VmExit;
use crate::{CpuState, Vcpu};

/// Where handlers are.
const HANDLERS: u64 = 0x11000;
/// An interrupt comes whenever so many instructions have been retired, if it may.
const PERIOD: u64 = 7;
const INTERRUPT: u8 = 0x40;
/// Mapped nowhere.
const UNMAPPED: u64 = 0x5000_0000;

/// A machine whose program has blocks of all lengths, repeated instructions, faults and
/// their handlers, and can be interrupted.
fn machine() -> Machine {
    let mut machine = Machine::new(code!(
        "mov rbx, {data}",
        "mov ebp, 8",
        "sti",
        "2: mov rdi, {data} + 0x100",
        "mov ecx, 7",
        "mov eax, ebp",
        "rep stosd",
        "ud2",
        "mov rsi, {unmapped}",
        "lodsq",
        "lea rdi, [rbx + 0x200]",
        "mov rsi, {data} + 0x100",
        "mov ecx, 5",
        "rep movsb",
        "add eax, dword ptr [rbx + 0x200]",
        "imul edx, eax, 77",
        "xor qword ptr [rbx], rdx",
        "adc eax, edx",
        "nop",
        "dec ebp",
        "jnz 2b",
        "cli",
        "hlt",
        data = const DATA,
        unmapped = const UNMAPPED,
    ));
    let handlers = [
        (6, code!("add qword ptr [rsp], 2", "iretq")),
        (
            14,
            code!(
                "mov rsi, {data}",
                "add rsp, 8",
                "iretq",
                data = const DATA,
            ),
        ),
        (INTERRUPT, code!("inc qword ptr [rbx + 0x300]", "iretq")),
    ];
    for (at, (vector, code)) in (HANDLERS..).step_by(0x100).zip(handlers) {
        machine.write(at, code);
        machine.set_gate(vector, at, 0, 0);
    }
    machine
}

/// Instructions retired.
fn retired(machine: &Machine) -> u64 {
    machine.emulator.instructions().expect("counted").ring0
}

/// Runs until `limit` instructions are retired, with interrupts; whether it has halted.
fn run_to(machine: &mut Machine, limit: u64) -> bool {
    loop {
        let next = (retired(machine) / PERIOD + 1) * PERIOD;
        let stop = next.min(limit);
        machine
            .emulator
            .set_instruction_limit(Some(stop))
            .expect("counted");
        match machine.run() {
            VmExit::Hlt => return true,
            VmExit::InstructionLimit => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(retired(machine), stop);
        if stop == next && machine.emulator.ready() {
            machine.emulator.inject(INTERRUPT).expect("ready");
        }
        if stop == limit {
            return false;
        }
    }
}

/// What a run leaves: registers, and the memory that it wrote.
fn result(machine: &mut Machine) -> (u64, CpuState, Vec<u64>) {
    let memory = (DATA..DATA + 0x400)
        .step_by(8)
        .map(|at| machine.read_u64(at))
        .collect();
    (retired(machine), machine.state(), memory)
}

#[test]
fn a_stop_anywhere_changes_nothing() {
    let mut whole = machine();
    assert!(run_to(&mut whole, u64::MAX));
    let expected = result(&mut whole);
    let interrupts = whole.read_u64(DATA + 0x300);
    assert!(interrupts >= 10, "{interrupts} interrupts");
    for limit in 1..expected.0 {
        let mut machine = machine();
        assert!(!run_to(&mut machine, limit));
        assert!(run_to(&mut machine, u64::MAX));
        assert_eq!(result(&mut machine), expected, "stopped after {limit}");
    }
}
