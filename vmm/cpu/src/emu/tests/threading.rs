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
        let handler = handler(&mut Machine::new(program));
        let end = first_transfer(handler);
        assert_eq!(end, iced_x86::FlowControl::IndirectBranch, "{name}");
    }
}

/// Where the handler of the instruction at CODE begins.
#[cfg(not(debug_assertions))]
fn handler(machine: &mut Machine) -> u64 {
    use super::machine::CODE;
    use crate::emu::code::op::Block;
    use crate::emu::cpu::Op;

    let emulator = &mut machine.emulator;
    let block = emulator
        .decoder
        .single(&mut emulator.cpu, CODE)
        .expect("code at CODE");
    let op: *const Op = Block::first(block);
    // SAFETY: the block was just decoded and has an instruction.
    unsafe { (*op).handler as usize as u64 }
}

/// No handler calls the next one and comes back: it would take the stack, an instruction at a
/// time, until the slice ends. All opcodes are tried, with registers and with memory.
#[cfg(not(debug_assertions))]
#[test]
fn no_handler_calls_the_next() {
    use std::collections::HashMap;

    use super::machine::CODE;

    const PREFIXES: [u8; 4] = [0, 0x66, 0xf3, 0xf2];
    const ESCAPES: [&[u8]; 4] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];
    const SEGMENTS: [u8; 2] = [0, 0x64];
    /// Registers; `[rbx]`; `[rbx + 0]`; `[rcx + rdi * 8]`.
    const OPERANDS: [[u8; 2]; 4] = [[0xc1, 0], [0x03, 0], [0x43, 0], [0x04, 0xf9]];
    let mut codes = Vec::new();
    for opcode in 0..=u8::MAX {
        for (pp, prefix) in PREFIXES.into_iter().enumerate() {
            for w in [0, 1] {
                for row in 0..8 {
                    for [modrm, sib] in OPERANDS {
                        let rest = [opcode, modrm | row << 3, sib, 1, 0, 0, 0];
                        for (map, escape) in ESCAPES.into_iter().enumerate() {
                            for segment in SEGMENTS {
                                let mut code = vec![segment, prefix, 0x48 * w];
                                code.retain(|&byte| byte != 0);
                                code.extend(escape.iter().chain(&rest));
                                codes.push(code);
                            }
                            for l in [0, 4] {
                                let vex = [0xc4, 0xe0 | map as u8, w << 7 | 0x70 | l | pp as u8];
                                codes.push(vex.iter().chain(&rest).copied().collect());
                            }
                        }
                    }
                }
            }
        }
    }
    let mut handlers = HashMap::new();
    let modes = [
        code!("hlt"),
        // MXCSR rounds up.
        code!(
            "mov ebx, {data}",
            "mov dword ptr [rbx], 0x5f80",
            "ldmxcsr [rbx]",
            "hlt",
            data = const DATA,
        ),
    ];
    for mode in modes {
        let mut machine = Machine::new(mode);
        machine.run_to_hlt();
        for code in &codes {
            machine.write(CODE, code);
            handlers.insert(handler(&mut machine), code);
        }
    }
    assert!(handlers.len() > 1000, "{} handlers", handlers.len());
    let calling: Vec<_> = handlers
        .into_iter()
        .filter(|&(at, _)| calls_next(at))
        .collect();
    assert!(calling.is_empty(), "{calling:x?}");
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

/// Whether some way through the function at `start` calls what a register leads to, and returns
/// what that has returned.
#[cfg(not(debug_assertions))]
fn calls_next(start: u64) -> bool {
    use std::collections::HashSet;

    use iced_x86::FlowControl;

    let (mut known, mut ways) = (HashSet::new(), vec![start]);
    while let Some(ip) = ways.pop() {
        if !known.insert(ip) {
            continue;
        }
        let insn = instruction_of_host(ip);
        match insn.flow_control() {
            FlowControl::UnconditionalBranch => ways.push(insn.near_branch_target()),
            FlowControl::ConditionalBranch => {
                ways.extend([insn.near_branch_target(), insn.next_ip()]);
            }
            FlowControl::IndirectCall if !insn.is_ip_rel_memory_operand() => {
                if returns(insn.next_ip()) {
                    return true;
                }
                ways.push(insn.next_ip());
            }
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                ways.push(insn.next_ip());
            }
            _ => {}
        }
    }
    false
}

/// Whether the function does nothing any more at `ip` but return.
#[cfg(not(debug_assertions))]
fn returns(mut ip: u64) -> bool {
    use iced_x86::{Mnemonic, Register};
    loop {
        let insn = instruction_of_host(ip);
        let frees_stack = insn.mnemonic() == Mnemonic::Pop
            || insn.mnemonic() == Mnemonic::Vzeroupper
            || insn.op0_register() == Register::RSP;
        match insn.mnemonic() {
            Mnemonic::Ret => return true,
            Mnemonic::Jmp if insn.op0_kind() == iced_x86::OpKind::NearBranch64 => {
                ip = insn.near_branch_target();
            }
            _ if frees_stack => ip = insn.next_ip(),
            _ => return false,
        }
    }
}

#[cfg(not(debug_assertions))]
fn instruction_of_host(ip: u64) -> iced_x86::Instruction {
    use iced_x86::{Decoder, DecoderOptions};
    const LONGEST: usize = 15;
    let code = std::ptr::with_exposed_provenance::<u8>(ip as usize);
    // SAFETY: code of this program, before its end by far more than an instruction.
    let bytes = unsafe { std::slice::from_raw_parts(code, LONGEST) };
    Decoder::with_ip(64, bytes, ip, DecoderOptions::NONE).decode()
}

/// What the likely way through the function at `ip` ends with: the compiler lays it out
/// so that conditional branches are not taken.
#[cfg(not(debug_assertions))]
fn first_transfer(mut ip: u64) -> iced_x86::FlowControl {
    use iced_x86::FlowControl;
    const MOST: usize = 200;
    for _ in 0..MOST {
        let insn = instruction_of_host(ip);
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
