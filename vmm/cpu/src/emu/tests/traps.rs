//! RF and TF: what faults, traps and returns make of them.

use assembly::code;

use super::machine::{DATA, Machine, PAGE_TABLE, STACK};
use crate::Vcpu;
use crate::exit::VmExit;

/// RF makes a handler return past a breakpoint; it is gone after one instruction.
#[test]
fn resume_flag_lasts_one_instruction() {
    const PAGE_FAULT_HANDLER: u64 = 0x11000;
    const BREAKPOINT_HANDLER: u64 = 0x11100;
    const FRAME: u64 = 40;
    const UNMAPPED: u64 = 0x7000_0000_0000;
    let mut machine = Machine::new(code!(
        "mov rax, {unmapped}",
        "mov rcx, qword ptr [rax]",
        "int3",
        unmapped = const UNMAPPED,
    ));
    let handler = code!(
        "mov rax, {data}",
        "mov rdx, qword ptr [rsp + 24]",
        "add rsp, 8",
        "iretq",
        data = const DATA,
    );
    machine.write(PAGE_FAULT_HANDLER, handler);
    machine.write(BREAKPOINT_HANDLER, &[0xf4]);
    machine.set_gate(14, PAGE_FAULT_HANDLER, 0, 0);
    machine.set_gate(3, BREAKPOINT_HANDLER, 3, 0);
    machine.write_u64(DATA, 0x1234);
    machine.run_to_hlt();
    assert_eq!(machine.gpr(1), 0x1234);
    assert_eq!(machine.gpr(2), 0x1_0002, "the fault's frame");
    assert_eq!(
        machine.read_u64(STACK - FRAME + 16),
        2,
        "the breakpoint's frame"
    );
}

/// A trap after each instruction, into a handler that counts; `int n`, `iretq` and a
/// shadow after `mov ss` as processors have them.
#[test]
fn single_steps_are_counted() {
    const HANDLER: u64 = 0x11000;
    let mut machine = Machine::new(code!(
        "mov eax, ss",
        "pushfq",
        "or dword ptr [rsp], 0x100",
        "popfq",
        // Traps follow these:
        "nop",
        "add ebx, 1",
        // but not this, whose trap the next one's shadow swallows
        "mov ss, eax",
        "nop",
        "pushfq",
        "and dword ptr [rsp], 0xfffffeff",
        // and also the one that ends it.
        "popfq",
        "nop",
        "hlt",
    ));
    let handler = code!("inc rcx", "iretq");
    machine.write(HANDLER, handler);
    machine.set_gate(1, HANDLER, 0, 0);
    machine.run_to_hlt();
    assert_eq!(machine.gpr(1), 6);
    assert_eq!(machine.state().regs.rflags & 0x100, 0);
}

/// A trap may follow `in`, and a refusal the access to a register of the VMM's: their
/// handlers want no interrupts.
#[test]
fn no_interrupt_comes_before_such_a_handler() {
    const HANDLER: u64 = 0x11000;
    let step_in = code!(
        "pushfq",
        "or dword ptr [rsp], 0x300",
        "popfq",
        "in al, 0x80",
    );
    let refused = code!("sti", "nop", "mov ecx, 0x6e0", "wrmsr");
    for (code, vector) in [(step_in, 1), (refused, 13)] {
        let mut machine = Machine::new(code);
        machine.write(HANDLER, &[0xf4]);
        machine.set_gate(vector, HANDLER, 0, 0);
        match machine.run() {
            VmExit::PioIn { .. } => {}
            VmExit::MsrWrite { error, .. } => *error = 1,
            other => panic!("{other:?}"),
        }
        assert!(!machine.emulator.ready());
        machine.run_to_hlt();
        assert_eq!(machine.state().regs.rip, HANDLER + 1);
    }
}

/// Of a repeated comparison, a fault and a trap show the flags of the element before.
#[test]
fn flags_are_those_of_the_last_element() {
    const HANDLER: u64 = 0x11000;
    const ZF_AND_PF: u64 = 0x44;
    const NEXT_PAGE: u64 = DATA + 0x1000;
    let differ = code!("xor eax, eax", "sub eax, 1");
    let fault = code!("mov ecx, 16", "repe scasb");
    let step = code!(
        "mov ecx, 16",
        "pushfq",
        "or dword ptr [rsp], 0x100",
        "popfq",
        "repe scasb",
    );
    for (code, vector, flags, left) in [(fault, 14, 24, 12), (step, 1, 16, 15)] {
        let same = code!("mov al, 0", "mov edi, {last}", last = const NEXT_PAGE - 4);
        let mut machine = Machine::new(&[differ, same, code].concat());
        machine.write(HANDLER, &[0xf4]);
        machine.set_gate(vector, HANDLER, 0, 0);
        machine.write_u64(PAGE_TABLE + 8 * (NEXT_PAGE >> 12), 0);
        machine.run_to_hlt();
        let regs = machine.state().regs;
        assert_eq!(regs.gpr[crate::Regs::RCX], left);
        let pushed = machine.read_u64(regs.gpr[crate::Regs::RSP] + flags);
        assert_eq!(pushed & 0x8d5, ZF_AND_PF, "vector {vector}");
    }
}
