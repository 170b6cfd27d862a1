//! Handlers are threaded: in optimised builds each ends in a jump to the next, elsewhere
//! in a return to a loop; either way a run needs little stack.

use std::thread;

use assembly::code;

use super::machine::{DATA, Machine};
use crate::Regs;

/// Less than a slice would take if its handlers called each other, at 32 bytes each.
const LITTLE_STACK: usize = 96 << 10;

#[test]
fn a_long_run_needs_little_stack() {
    const ROUNDS: u32 = 200_000;
    let run = || {
        let mut machine = Machine::new(code!(
            "mov rbx, {data}",
            "mov ecx, {rounds}",
            "2:",
            ".rept 8",
            "add rax, rcx",
            "mov [rbx + 8], rax",
            "xor rdx, [rbx + 8]",
            "push rdx",
            "pop rsi",
            ".endr",
            "dec ecx",
            "jne 2b",
            "hlt",
            data = const DATA,
            rounds = const ROUNDS,
        ));
        machine.run_to_hlt();
        machine.gpr(Regs::RAX)
    };
    let sum = 8 * u64::from(ROUNDS) * u64::from(ROUNDS + 1) / 2;
    let small = thread::Builder::new().stack_size(LITTLE_STACK).spawn(run);
    let result = small.expect("a thread").join().expect("no panic");
    assert_eq!(result, sum);
}

/// The compiler made sibling calls of the handlers' last calls: it is not obliged to. If
/// this fails, runs are slower but right: a slice bounds the stack that real calls take.
#[cfg(not(debug_assertions))]
#[test]
fn handlers_end_in_jumps() {
    use super::machine::CODE;
    use crate::emu::code::op::Block;
    use crate::emu::cpu::Op;

    let programs = [
        ("add", code!("add rax, rcx")),
        ("load", code!("mov rdx, qword ptr [rbx + 8]")),
        ("store", code!("mov dword ptr [rbx + rcx * 4], edx")),
        ("push", code!("push rdx")),
        ("shift", code!("shl rdx, 3")),
        ("pair on one register", code!("mov rdx, rcx", "rol rdx, 5")),
        (
            "pair on two registers",
            code!("mov rdx, rcx", "mov rsi, rdi"),
        ),
        ("addpd", code!("addpd xmm1, xmm2")),
        ("call", code!("2: call 2b")),
        ("ret", code!("ret")),
    ];
    for (name, program) in programs {
        let mut machine = Machine::new(program);
        let emulator = &mut machine.emulator;
        let block = emulator
            .decoder
            .block(&mut emulator.cpu, CODE)
            .expect("code at CODE");
        let op: *const Op = Block::first(block);
        // SAFETY: the block was just decoded and has an instruction.
        let handler = unsafe { (*op).handler };
        let end = first_transfer(handler as usize as u64);
        assert_eq!(end, iced_x86::FlowControl::IndirectBranch, "{name}");
    }
}

/// The same where translated code is left, at `cld`.
#[cfg(not(debug_assertions))]
#[test]
fn translated_code_is_left_by_jumps() {
    use super::machine::CODE;
    use crate::emu::Engine;
    use crate::emu::code::op::Block;
    use crate::emu::cpu::Op;

    let program = code!("inc rax", "cld", "hlt");
    let mut machine = Machine::with_engine(Engine::Translator { after: 0 }, program);
    machine.run_to_hlt();
    let block = machine.emulator.cpu.find_block(CODE).expect("decoded");
    let op: *const Op = Block::first(block);
    // SAFETY: the cache's blocks are live.
    let (region, handler) = unsafe { ((*block).region.get(), (*op).handler) };
    assert_ne!(region, 0, "it is translated");
    let end = first_transfer(handler as usize as u64);
    assert_eq!(end, iced_x86::FlowControl::IndirectBranch);
}

/// What the likely way through the function at `ip` ends with: the compiler lays it out
/// so that conditional branches are not taken.
#[cfg(not(debug_assertions))]
fn first_transfer(mut ip: u64) -> iced_x86::FlowControl {
    use iced_x86::{Decoder, DecoderOptions, FlowControl};
    const LONGEST: usize = 15;
    const MOST: usize = 200;
    for _ in 0..MOST {
        let code = std::ptr::with_exposed_provenance::<u8>(ip as usize);
        // SAFETY: code of this program, before its end by far more than an instruction.
        let bytes = unsafe { std::slice::from_raw_parts(code, LONGEST) };
        let insn = Decoder::with_ip(64, bytes, ip, DecoderOptions::NONE).decode();
        match insn.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => ip = insn.next_ip(),
            FlowControl::UnconditionalBranch => ip = insn.near_branch_target(),
            // What comes back from there is followed.
            FlowControl::Call | FlowControl::IndirectCall => ip = insn.next_ip(),
            end => return end,
        }
    }
    FlowControl::Exception
}
