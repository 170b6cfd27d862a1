//! Hardware breakpoints.

use assembly::code;
use x86::{Cr4Flags, DR6_RESET, Dr6Flags, Dr7Flags, RFlags};

use super::machine::{CODE, DATA, Machine, STACK};
use crate::Regs;
use crate::exit::VmExit;

/// Where the handler of #DB is.
const HANDLER: u64 = 0x11000;
/// Where a program begins, after the code that sets the breakpoint.
const PROGRAM: u64 = CODE + 6;
/// Enables breakpoint 0 for what the other bits of DR7 say.
const L0: u64 = Dr7Flags::LOCAL_BREAKPOINT_0_ENABLE.bits();
const WRITES: u64 = 1 << 16;
const PORTS: u64 = 2 << 16;
const ACCESSES: u64 = 3 << 16;
const FOUR_BYTES: u64 = 3 << 18;
const GENERAL_DETECT: u64 = Dr7Flags::GENERAL_DETECT_ENABLE.bits();
/// What DR6 has without any reason.
const NO_REASON: u64 = DR6_RESET;
const RF: u64 = RFlags::RESUME_FLAG.bits();

/// A machine that sets DR0 and DR7 and goes on with `program`, whose #DB handler leaves
/// DR6, the address and the flags that it would return to in r8, r9 and r10, and halts.
fn watching(address: u64, control: u64, program: &[u8]) -> Machine {
    let mut machine = Machine::new(&[prologue(), program, code!("hlt")].concat());
    machine.alter(|state| {
        state.regs.gpr[Regs::RAX] = address;
        state.regs.gpr[Regs::RCX] = control;
        state.regs.gpr[Regs::RBX] = DATA;
    });
    let handler = code!("mov r8, dr6", "mov r9, [rsp]", "mov r10, [rsp + 16]", "hlt");
    machine.write(HANDLER, handler);
    machine.set_gate(1, HANDLER, 0, 0);
    machine
}

/// Runs to `hlt`; DR6, and what the handler would return to, from the start of the code.
fn end(machine: &mut Machine) -> (u64, u64) {
    machine.run_to_hlt();
    let gpr = machine.state().regs.gpr;
    (gpr[8], gpr[9].wrapping_sub(PROGRAM))
}

/// What comes before a program.
fn prologue() -> &'static [u8] {
    code!("mov dr0, rax", "mov dr7, rcx")
}

#[test]
fn a_write_traps_after_the_instruction() {
    let mut machine = watching(
        DATA + 1,
        L0 | WRITES | FOUR_BYTES,
        code!(
            "mov dword ptr [rbx + 4], eax",
            "mov eax, dword ptr [rbx]",
            "mov word ptr [rbx - 1], ax",
            "inc edx",
        ),
    );
    let (reasons, rip) = end(&mut machine);
    assert_eq!(reasons, NO_REASON | 1);
    assert_eq!(rip, 3 + 2 + 4);
    assert_eq!(machine.gpr(Regs::RDX), 0);
    assert_eq!(machine.gpr(10) & RF, 0);
}

#[test]
fn a_read_traps_where_accesses_are_watched() {
    let mut machine = watching(
        DATA,
        L0 | ACCESSES,
        code!(
            "mov eax, dword ptr [rbx + 1]",
            "add eax, dword ptr [rbx - 3]",
        ),
    );
    assert_eq!(end(&mut machine), (NO_REASON | 1, 3 + 3));
}

#[test]
fn what_is_not_enabled_is_not_watched() {
    let mut machine = watching(DATA, WRITES, code!("mov dword ptr [rbx], eax"));
    machine.run_to_hlt();
    assert_eq!(machine.gpr(8), 0);
    let counts = crate::Vcpu::instructions(&machine.emulator).expect("counted");
    assert_eq!(counts.ring0, 4);
}

#[test]
fn an_instruction_faults_once() {
    let mut machine = watching(PROGRAM, L0, code!("add qword ptr [rbx], 1"));
    // Counts, and returns.
    let handler = code!("inc r11", "mov r10, [rsp + 16]", "iretq");
    machine.write(HANDLER, handler);
    machine.run_to_hlt();
    assert_eq!(machine.gpr(11), 1);
    assert_eq!(machine.gpr(10) & RF, RF);
    assert_eq!(machine.read_u64(DATA), 1);
    assert_eq!(machine.state().regs.rflags & RF, 0);
}

#[test]
fn a_repeated_instruction_traps_in_the_middle() {
    let mut machine = watching(
        DATA + 2,
        L0 | WRITES,
        code!("mov rdi, rbx", "mov ecx, 5", "rep stosb"),
    );
    let (reasons, rip) = end(&mut machine);
    assert_eq!(reasons, NO_REASON | 1);
    assert_eq!(rip, 3 + 5);
    assert_eq!(machine.gpr(Regs::RCX), 2);
    assert_eq!(machine.gpr(Regs::RDI), DATA + 3);
}

#[test]
fn pushes_are_watched() {
    let mut machine = watching(STACK - 8, L0 | WRITES, code!("push rbx"));
    assert_eq!(end(&mut machine), (NO_REASON | 1, 1));
}

#[test]
fn ports_are_watched_with_debugging_extensions_on() {
    const DE: u64 = Cr4Flags::DEBUGGING_EXTENSIONS.bits();
    for (extensions, expected) in [(DE, NO_REASON | 1), (0, 0)] {
        let mut machine = watching(0x80, L0 | PORTS, code!("in al, 0x80", "inc edx"));
        machine.alter(|state| state.cr4 |= extensions);
        assert!(matches!(machine.run(), VmExit::PioIn { port: 0x80, .. }));
        machine.run_to_hlt();
        assert_eq!(machine.gpr(8), expected);
    }
}

#[test]
fn debug_registers_can_be_guarded() {
    const DETECTED: u64 = Dr6Flags::ACCESS_DETECTED.bits();
    let mut machine = watching(0, GENERAL_DETECT, code!("mov rcx, dr7"));
    let (reasons, rip) = end(&mut machine);
    // The guard is off in the handler.
    assert_eq!(reasons, NO_REASON | DETECTED);
    assert_eq!(rip, 0);
}
