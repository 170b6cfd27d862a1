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
    const ROUNDS: u32 = 20_000;
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
            "fld qword ptr [rbx + 16]",
            "fstp qword ptr [rbx + 16]",
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

/// How the compiler made sibling calls of the handlers' last calls, which it is not obliged to.
#[cfg(not(debug_assertions))]
mod optimised {
    use std::collections::{HashMap, HashSet};

    use assembly::code;
    use iced_x86::{Decoder, DecoderOptions, FlowControl};

    use super::super::host_code::{calls_next, first_transfer};
    use super::super::machine::{CODE, DATA, Machine};
    use crate::emu::Engine;
    use crate::emu::code::op::Block;
    use crate::emu::cpu::Op;

    /// Where the handlers of the block at CODE begin, and that of what comes after it.
    fn handlers(machine: &mut Machine) -> Vec<u64> {
        let emulator = &mut machine.emulator;
        let block = emulator
            .decoder
            .block(&mut emulator.cpu, CODE)
            .expect("code at CODE");
        let op: *const Op = Block::first(block);
        // SAFETY: the block was just decoded; behind its instructions is one more op.
        unsafe {
            let ops = 0..=usize::from((*block).count);
            ops.map(|n| (*op.add(n)).handler as usize as u64).collect()
        }
    }

    fn interpreted(code: &[u8]) -> Machine {
        Machine::with_engine(Engine::Interpreter, code)
    }

    /// If this fails, runs are slower but right.
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
            let handlers = handlers(&mut interpreted(program));
            assert_eq!(
                first_transfer(handlers[0]),
                FlowControl::IndirectBranch,
                "{name}"
            );
        }
    }

    /// The same where translated code is left, at `cld`.
    #[test]
    fn translated_code_is_left_by_jumps() {
        let program = code!("inc rax", "cld", "hlt");
        let mut machine = Machine::with_engine(Engine::Translator { after: 0 }, program);
        machine.run_to_hlt();
        let block = machine.emulator.cpu.find_block(CODE).expect("decoded");
        let op: *const Op = Block::first(block);
        // SAFETY: the cache's blocks are live.
        let (region, handler) = unsafe { ((*block).region.get(), (*op).handler) };
        assert_ne!(region, 0, "it is translated");
        let end = first_transfer(handler as usize as u64);
        assert_eq!(end, FlowControl::IndirectBranch);
    }

    /// No handler calls the next one and comes back: it would take the stack, an instruction at
    /// a time, until the slice ends.
    #[test]
    fn no_handler_calls_the_next() {
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
        // Flags are dead before the comparison, not before the branch.
        let ends = [code!("2: jne 2b"), code!("cmp eax, eax", "2: jne 2b")];
        let mut all = HashMap::new();
        for mode in modes {
            let mut machine = interpreted(mode);
            machine.run_to_hlt();
            for code in opcodes() {
                // Pairs have handlers of their own.
                for end in ends {
                    machine.write(CODE, &[&code, &code, end].concat());
                    let handlers = handlers(&mut machine);
                    all.extend(handlers.into_iter().map(|handler| (handler, code.clone())));
                }
            }
        }
        assert!(all.len() > 1000, "{} handlers", all.len());
        all.retain(|&handler, _| calls_next(handler));
        assert!(all.is_empty(), "{all:x?}");
    }

    /// Instructions of all opcodes, with prefixes, registers and memory; some are none.
    fn opcodes() -> HashSet<Vec<u8>> {
        const PREFIXES: [u8; 4] = [0, 0x66, 0xf3, 0xf2];
        const ESCAPES: [&[u8]; 4] = [&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];
        /// None, and `fs:`.
        const SEGMENTS: [u8; 2] = [0, 0x64];
        let mut codes = HashSet::new();
        let mut add = |mut code: Vec<u8>| {
            let len = Decoder::new(64, &code, DecoderOptions::NONE).decode().len();
            code.truncate(len);
            codes.insert(code);
        };
        for rest in operations() {
            for w in [0, 1] {
                for (pp, prefix) in PREFIXES.into_iter().enumerate() {
                    for (map, escape) in ESCAPES.into_iter().enumerate() {
                        for segment in SEGMENTS {
                            let mut code = vec![segment, prefix, 0x48 * w];
                            code.retain(|&byte| byte != 0);
                            code.extend(escape.iter().chain(&rest));
                            add(code);
                        }
                        for l in [0, 4] {
                            let vex = [0xc4, 0xe0 | map as u8, w << 7 | 0x70 | l | pp as u8];
                            add(vex.iter().chain(&rest).copied().collect());
                        }
                    }
                }
            }
        }
        codes
    }

    /// Opcodes with operands, and an immediate.
    fn operations() -> Vec<[u8; 8]> {
        /// ModRM and SIB: registers; `[rbx]`; `[rcx + rdi * 8]`.
        const OPERANDS: [[u8; 2]; 3] = [[0xc1, 0], [0x03, 0], [0x04, 0xf9]];
        let mut all = Vec::new();
        for opcode in 0..=u8::MAX {
            for row in 0..8 {
                all.extend(
                    OPERANDS.map(|[modrm, sib]| [opcode, modrm | row << 3, sib, 1, 0, 0, 0, 0]),
                );
            }
        }
        all
    }
}
