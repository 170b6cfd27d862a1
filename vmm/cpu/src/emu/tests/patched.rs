//! Code that is no instruction until the guest mends it.

use assembly::code;

use super::machine::{CODE, DATA, Machine};
use crate::Vcpu;
use crate::exit::VmExit;

const HANDLER: u64 = 0x12000;
const UD: u8 = 6;
/// So that it is decoded for good before.
const TIMES: u64 = 5;
/// Far more than it takes.
const LIMIT: u64 = 1000;

/// Runs bytes at `at` that raise #UD, whose handler at last writes `value` to byte `place` of them
/// and jumps there: then they are an instruction, and a `hlt` follows.
fn becomes_an_instruction(at: u64, invalid: &[u8], place: u64, value: u8) {
    let mut machine = Machine::new(code!("jmp rax"));
    machine.write(at, invalid);
    machine.write(at + invalid.len() as u64, &[0xf4]);
    let handler = code!("dec ecx", "jnz 2f", "mov byte ptr [rdi], sil", "2: jmp rax",);
    machine.write(HANDLER, handler);
    machine.set_gate(UD, HANDLER, 0, 0);
    machine.alter(|state| {
        let gpr = &mut state.regs.gpr;
        [gpr[0], gpr[1], gpr[3]] = [at, TIMES, DATA];
        [gpr[6], gpr[7]] = [value.into(), at + place];
    });
    let set = machine.emulator.set_instruction_limit(Some(LIMIT));
    set.expect("it counts");
    let exit = machine.emulator.run().expect("the emulator never fails");
    assert!(matches!(exit, VmExit::Hlt), "{invalid:x?}: {exit:?}");
    // Near its limit the emulator decodes anew.
    let retired = machine.emulator.instructions().expect("it counts").ring0;
    assert!(retired < LIMIT / 2, "{invalid:x?}: {retired} instructions");
}

#[test]
fn what_was_invalid_is_seen_to_change() {
    const OTHER: u64 = CODE + 0x800;
    // Group 5 has no eighth; `inc eax`.
    becomes_an_instruction(OTHER, &[0xff, 0xf8], 1, 0xc0);
    // `lock add al, al` is none; `lock add [rbx], al`.
    becomes_an_instruction(OTHER, &[0xf0, 0x00, 0xc0], 2, 0x03);
    // Opcodes of two and three bytes that there are not; `nop [rax]`, `pabsb mm0, mm0`.
    becomes_an_instruction(OTHER, &[0x0f, 0x04, 0x00], 1, 0x1f);
    becomes_an_instruction(OTHER, &[0x0f, 0x38, 0x7f, 0xc0], 2, 0x1c);
    // In the last byte of a page, and in the first of the next.
    becomes_an_instruction(CODE + 0xfff, &[0xff, 0xf8], 1, 0xc0);
}
