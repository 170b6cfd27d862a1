//! Moves, arithmetic, branches and the stack.

use iced_x86::code_asm::*;

use super::machine::{CODE, DATA, Machine, STACK};
use crate::Regs;
use crate::Vcpu;
use crate::exit::VmExit;

#[test]
fn a_loop_adds_up() {
    let mut machine = Machine::new(|a| {
        let mut again = a.create_label();
        a.mov(ecx, 100)?;
        a.xor(eax, eax)?;
        a.set_label(&mut again)?;
        a.add(rax, rcx)?;
        a.dec(rcx)?;
        a.jnz(again)?;
        a.hlt()
    });
    machine.run_to_hlt();
    assert_eq!(machine.gpr(Regs::RAX), 5050);
    let counts = machine.emulator.instructions().expect("counted");
    assert_eq!(counts.ring0, 2 + 300 + 1);
    assert_eq!(counts.ring3, 0);
}

#[test]
fn the_limit_is_exact_wherever_it_falls() {
    for limit in 0..=310 {
        let mut machine = Machine::new(|a| {
            let mut again = a.create_label();
            a.mov(ecx, 100)?;
            a.set_label(&mut again)?;
            a.nop()?;
            a.loop_(again)?;
            a.jmp(again)
        });
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
    let mut machine = Machine::new(|a| {
        let mut f = a.create_label();
        let mut end = a.create_label();
        a.mov(rbx, DATA)?;
        a.mov(qword_ptr(rbx), 5)?;
        a.mov(rcx, 2u64)?;
        a.add(qword_ptr(rbx), rcx)?;
        a.mov(dword_ptr(rbx + rcx * 4), -1)?;
        a.movsx(rdx, word_ptr(rbx + 8))?;
        a.movzx(esi, byte_ptr(rbx + 9))?;
        a.push(rbx)?;
        a.pop(rdi)?;
        a.call(f)?;
        a.jmp(end)?;
        a.set_label(&mut f)?;
        a.mov(r8, qword_ptr(rsp))?;
        a.mov(ah, 7)?;
        a.ret()?;
        a.set_label(&mut end)?;
        a.hlt()
    });
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
    let mut machine = Machine::new(|a| {
        let mut patched = a.create_label();
        a.mov(rbx, DATA + 0xffd)?;
        a.mov(rax, 0x1122_3344_5566_7788_u64)?;
        a.mov(qword_ptr(rbx), rax)?;
        a.mov(rcx, qword_ptr(rbx))?;
        // Overwrites the immediate of the next instruction.
        a.lea(rdx, qword_ptr(patched))?;
        a.mov(byte_ptr(rdx + 1), 9)?;
        a.set_label(&mut patched)?;
        a.mov(esi, 1)?;
        a.hlt()
    });
    machine.run_to_hlt();
    let gpr = machine.state().regs.gpr;
    assert_eq!(gpr[Regs::RCX], 0x1122_3344_5566_7788);
    assert_eq!(gpr[Regs::RSI], 9);
}
