//! Where processors are particular: each case found by running random instructions on
//! both sides, and kept.

use iced_x86::code_asm::*;

use super::lockstep::Lockstep;
use super::machine::{DATA, Machine, STACK};
use super::native::{UserState, host_is_amd};
use crate::FxState;

/// Canonical, and mapped neither here nor there.
const UNMAPPED: u64 = 0x7000_0000_0000;
const NOT_CANONICAL: u64 = 0x8000_0000_0000;
const CF: u64 = 1;
const AC: u64 = 1 << 18;

/// Code, and what differs from the usual registers: flags, and general registers by
/// number.
type Case = (&'static str, &'static [u8], u64, &'static [(usize, u64)]);

const CASES: &[Case] = &[
    (
        "xor r8,rbp; rcl rax,cl; xor r8,rbp: rcl wants the carry",
        &[0x49, 0x31, 0xe8, 0x48, 0xd3, 0xd0, 0x49, 0x31, 0xe8],
        CF,
        &[(1, 63), (0, 0x8000_0000_0000_0001)],
    ),
    (
        "shl rax,cl by nothing keeps the flags; rcr rdx,cl",
        &[0x48, 0xd3, 0xe0, 0x48, 0xd3, 0xda],
        CF,
        &[(1, 0), (2, 5)],
    ),
    (
        "rep outsb of nothing needs permission",
        &[0xf3, 0x6e],
        0,
        &[(1, 0)],
    ),
    (
        "rep insd of nothing needs permission",
        &[0xf3, 0x6d],
        0,
        &[(1, 0)],
    ),
    (
        "cmpxchg ebx,ecx when not equal",
        &[0x0f, 0xb1, 0xcb],
        0,
        &[(0, 1), (3, 0x4184_7fb9_0cb1_10c3)],
    ),
    (
        "cmpxchg ebx,ecx when equal",
        &[0x0f, 0xb1, 0xcb],
        0,
        &[(0, 0xffff_0000_0cb1_10c3), (3, 0x4184_7fb9_0cb1_10c3)],
    ),
    (
        "bsf eax,edx of zero",
        &[0x0f, 0xbc, 0xc2],
        0,
        &[(0, u64::MAX), (2, 1 << 32)],
    ),
    (
        "bsr eax,edx of zero",
        &[0x0f, 0xbd, 0xc2],
        0,
        &[(0, u64::MAX), (2, 1 << 32)],
    ),
    ("clflush [rax]", &[0x0f, 0xae, 0x38], 0, &[(0, UNMAPPED)]),
    (
        "cmpsb with two faults",
        &[0xa6],
        0,
        &[(6, NOT_CANONICAL), (7, UNMAPPED)],
    ),
    (
        "pushfq; or [rsp],TF; popfq; nop; nop",
        &[0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90],
        0,
        &[],
    ),
    (
        "pushfq; or [rsp],TF; popfq; rep stosb",
        &[0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0xf3, 0xaa],
        0,
        &[(1, 3), (7, DATA)],
    ),
    (
        "pushfq; or [rsp],TF; popfq; mov eax,[rbx] that faults",
        &[0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x8b, 0x03],
        0,
        &[(3, UNMAPPED)],
    ),
    (
        "misaligned mov eax,[rax]",
        &[0x8b, 0x00],
        AC,
        &[(0, DATA + 1)],
    ),
    (
        "aligned mov eax,[rax]",
        &[0x8b, 0x00, 0x9c, 0x83, 0x24, 0x24, 0, 0x9d],
        AC,
        &[(0, DATA + 4)],
    ),
    ("misaligned push rax", &[0x50], AC, &[(4, STACK - 0xff)]),
    (
        "misaligned dec qword [rax]",
        &[0x48, 0xff, 0x08],
        AC,
        &[(0, UNMAPPED + 1)],
    ),
    (
        "misaligned, not canonical",
        &[0x48, 0xff, 0x08],
        AC,
        &[(0, NOT_CANONICAL + 1)],
    ),
    ("misaligned lodsw", &[0x66, 0xad], AC, &[(6, DATA + 1)]),
    (
        "es: lock btc dword [rbp],imm",
        &[0x26, 0xf0, 0x0f, 0xba, 0x7d, 0x00, 0xfe],
        0,
        &[(5, NOT_CANONICAL)],
    ),
    (
        "ss: mov eax,[rax]",
        &[0x36, 0x8b, 0x00],
        0,
        &[(0, NOT_CANONICAL)],
    ),
    ("ss: lodsb", &[0x36, 0xac], 0, &[(6, NOT_CANONICAL)]),
    (
        "call rax to nowhere without a stack",
        &[0xff, 0xd0],
        0,
        &[(0, NOT_CANONICAL), (4, UNMAPPED)],
    ),
    (
        "call rax to nowhere",
        &[0xff, 0xd0],
        0,
        &[(0, NOT_CANONICAL)],
    ),
    (
        "pause with REX.B",
        &[0xf3, 0x41, 0x90],
        0,
        &[(0, 1), (8, 2)],
    ),
    (
        "pause with 66 and REX.B",
        &[0xf3, 0x66, 0x41, 0x90],
        0,
        &[(0, 1), (8, 2)],
    ),
    ("pause", &[0xf3, 0x90], 0, &[(0, 1), (8, 2)]),
    (
        "cmpxchg16b [rbp+1], not canonical",
        &[0x48, 0x0f, 0xc7, 0x4d, 0x01],
        0,
        &[(5, NOT_CANONICAL)],
    ),
    (
        "movaps xmm0,[rbp+1], not canonical",
        &[0x0f, 0x28, 0x45, 0x01],
        0,
        &[(5, NOT_CANONICAL)],
    ),
    (
        "enter 16,4 into the frame above",
        &[0xc8, 0x10, 0x00, 0x04],
        0,
        &[(5, STACK - 0x100)],
    ),
];

#[test]
fn as_the_processor() {
    if !host_is_amd() {
        println!("skipped: other makers' processors are particular elsewhere");
        return;
    }
    let mut lockstep = Lockstep::new();
    let data: Vec<u8> = (0..0x200).map(|i| (i * 7) as u8).collect();
    let mut failures = Vec::new();
    for &(name, code, flags, registers) in CASES {
        let mut state = UserState {
            fx: FxState::initial(),
            gpr: std::array::from_fn(|n| n as u64 * 0x0101_0101_0101),
            rflags: 0x202 | flags,
        };
        state.gpr[4] = STACK - 0x100;
        for &(number, value) in registers {
            state.gpr[number] = value;
        }
        if let Some(difference) = lockstep.difference(code, &state, &data) {
            failures.push(format!("{name}: {difference}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// RF makes a handler return past a breakpoint; it is gone after one instruction.
#[test]
fn resume_flag_lasts_one_instruction() {
    const PAGE_FAULT_HANDLER: u64 = 0x11000;
    const BREAKPOINT_HANDLER: u64 = 0x11100;
    const FRAME: u64 = 40;
    let mut machine = Machine::new(|a| {
        a.mov(rax, UNMAPPED)?;
        a.mov(rcx, qword_ptr(rax))?;
        a.int3()
    });
    let handler = super::machine::assemble(PAGE_FAULT_HANDLER, |a| {
        a.mov(rax, DATA)?;
        a.mov(rdx, qword_ptr(rsp + 24))?;
        a.add(rsp, 8)?;
        a.iretq()
    });
    machine.write(PAGE_FAULT_HANDLER, &handler);
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
    let mut machine = Machine::new(|a| {
        a.mov(eax, ss)?;
        a.pushfq()?;
        a.or(dword_ptr(rsp), 0x100)?;
        a.popfq()?;
        // Traps follow these:
        a.nop()?;
        a.add(ebx, 1)?;
        // but not this, whose trap the next one's shadow swallows
        a.mov(ss, eax)?;
        a.nop()?;
        a.pushfq()?;
        a.and(dword_ptr(rsp), !0x100_i32)?;
        // and also the one that ends it.
        a.popfq()?;
        a.nop()?;
        a.hlt()
    });
    let handler = super::machine::assemble(HANDLER, |a| {
        a.inc(rcx)?;
        a.iretq()
    });
    machine.write(HANDLER, &handler);
    machine.set_gate(1, HANDLER, 0, 0);
    machine.run_to_hlt();
    assert_eq!(machine.gpr(1), 6);
    assert_eq!(machine.state().regs.rflags & 0x100, 0);
}
