//! `fxsave`, `fxrstor` and MXCSR, against the host.

use iced_x86::code_asm::*;

use super::lockstep::Lockstep;
use super::machine::{CODE, DATA, assemble};
use super::native::host_is_amd;
use super::random::Random;

const CASES: u64 = 200;
/// Where the addresses that the tests use begin in the data.
const AT: usize = 0x800;

/// Runs `program` with random state and data that has an image with any registers, and
/// an MXCSR that is good if its upper half is, and compares.
fn check(
    mut high_mxcsr: impl FnMut() -> u64,
    program: impl Fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>,
) {
    if !host_is_amd() {
        println!("skipped: the host keeps other x87 pointers");
        return;
    }
    let mut lockstep = Lockstep::new();
    let mut random = Random::new(1);
    let code = assemble(CODE, program);
    for _ in 0..CASES {
        let mut data = random.data();
        for byte in &mut data[AT..AT + 24] {
            *byte = random.next() as u8;
        }
        // Processors differ in which addresses they keep.
        data[AT + 13..AT + 16].fill(0);
        data[AT + 21..AT + 24].fill(0);
        data[AT + 26..AT + 28].copy_from_slice(&(high_mxcsr() as u16).to_le_bytes());
        let flags = random.next() as u32 & 0x3f;
        let mut state = random.state(0x1f80 | flags);
        state.gpr[3] = DATA + AT as u64;
        state.gpr[6] = 0;
        let difference = lockstep.difference(&code, &state, &data);
        assert_eq!(difference, None, "{:02x?}", &data[AT..AT + 32]);
    }
}

#[test]
fn fxrstor64_and_fxsave64() {
    check(
        || 0,
        |a| {
            a.fxrstor64(ptr(rbx))?;
            a.fxsave64(ptr(rbx + 0x200))
        },
    );
}

#[test]
fn fxrstor_and_fxsave() {
    check(
        || 0,
        |a| {
            a.fxrstor(ptr(rbx))?;
            a.fxsave(ptr(rbx + 0x200))
        },
    );
}

#[test]
fn fxrstor_of_anything_checks_mxcsr() {
    let mut bit = 0;
    let each_bit = || {
        bit += 1;
        1 << (bit % 20) & 0xffff
    };
    check(each_bit, |a| {
        a.fxrstor64(ptr(rbx))?;
        a.fxsave64(ptr(rbx + 0x200))
    });
}

#[test]
fn mxcsr_in_and_out() {
    check(
        || 0,
        |a| {
            a.stmxcsr(dword_ptr(rbx))?;
            a.ldmxcsr(dword_ptr(rbx + 24))?;
            a.sqrtpd(xmm1, xmm2)?;
            a.addps(xmm3, xmm4)?;
            a.stmxcsr(dword_ptr(rbx + 4))
        },
    );
}
