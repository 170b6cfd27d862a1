//! Moves, arithmetic, branches and the stack.

use assembly::code;

use super::machine::{CODE, DATA, Machine, STACK};
use crate::Regs;
use crate::Vcpu;
use crate::exit::VmExit;

#[test]
fn a_loop_adds_up() {
    let mut machine = Machine::new(code!(
        "mov ecx, 100",
        "xor eax, eax",
        "2: add rax, rcx",
        "dec rcx",
        "jnz 2b",
        "hlt",
    ));
    machine.run_to_hlt();
    assert_eq!(machine.gpr(Regs::RAX), 5050);
    let counts = machine.emulator.instructions().expect("counted");
    assert_eq!(counts.ring0, 2 + 300 + 1);
    assert_eq!(counts.ring3, 0);
}

#[test]
fn the_limit_is_exact_wherever_it_falls() {
    for limit in 0..=310 {
        let mut machine = Machine::new(code!("mov ecx, 100", "2: nop", "loop 2b", "jmp 2b"));
        machine
            .emulator
            .set_instruction_limit(Some(limit))
            .expect("counted");
        assert_eq!(machine.run(), VmExit::InstructionLimit);
        assert_eq!(
            machine.emulator.instructions().expect("counted").ring0,
            limit
        );
        if limit > 0 && limit < 200 {
            let done = (limit - 1) / 2;
            assert_eq!(machine.gpr(Regs::RCX), 100 - done, "after {limit}");
        }
    }
}

#[test]
fn memory_operands_and_the_stack() {
    let mut machine = Machine::new(code!(
        "mov rbx, {data}",
        "mov qword ptr [rbx], 5",
        "mov rcx, 2",
        "add qword ptr [rbx], rcx",
        "mov dword ptr [rbx + rcx * 4], -1",
        "movsx rdx, word ptr [rbx + 8]",
        "movzx esi, byte ptr [rbx + 9]",
        "push rbx",
        "pop rdi",
        "call 2f",
        "jmp 3f",
        "2: mov r8, qword ptr [rsp]",
        "mov ah, 7",
        "ret",
        "3: hlt",
        data = const DATA,
    ));
    machine.run_to_hlt();
    assert_eq!(machine.read_u64(DATA), 7);
    let gpr = machine.state().regs.gpr;
    assert_eq!(gpr[Regs::RDX], u64::MAX);
    assert_eq!(gpr[Regs::RSI], 255);
    assert_eq!(gpr[Regs::RDI], DATA);
    assert_eq!(gpr[Regs::RAX], 0x700);
    assert_eq!(gpr[Regs::RSP], STACK);
    assert!(gpr[8] > CODE && gpr[8] < CODE + 100);
}

#[test]
fn an_access_across_pages_and_a_write_to_code() {
    let mut machine = Machine::new(code!(
        "mov rbx, {data} + 0xffd",
        "mov rax, 0x1122334455667788",
        "mov qword ptr [rbx], rax",
        "mov rcx, qword ptr [rbx]",
        // Overwrites the immediate of the next instruction.
        "lea rdx, [rip + 2f]",
        "mov byte ptr [rdx + 1], 9",
        "2: mov esi, 1",
        "hlt",
        data = const DATA,
    ));
    machine.run_to_hlt();
    let gpr = machine.state().regs.gpr;
    assert_eq!(gpr[Regs::RCX], 0x1122_3344_5566_7788);
    assert_eq!(gpr[Regs::RSI], 9);
}
