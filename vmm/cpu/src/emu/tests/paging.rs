//! What is forgotten when mappings or code change.

use iced_x86::code_asm::*;

use super::machine::{DATA, LARGE, Machine, PAGE_DIRECTORY, PAGE_TABLE, USER};
use crate::Regs;

#[test]
fn invlpg_forgets_all_of_a_large_page() {
    const LARGE_PAGE: u64 = 2 << 20;
    let mut machine = Machine::new(|a| {
        a.mov(rbx, LARGE_PAGE)?;
        a.mov(rax, qword_ptr(rbx))?;
        a.mov(rcx, qword_ptr(rbx + DATA as i32))?;
        // Maps the first large page of RAM there.
        a.mov(r8, PAGE_DIRECTORY + 8)?;
        a.mov(qword_ptr(r8), (LARGE | USER) as i32)?;
        a.invlpg(ptr(rbx))?;
        a.mov(rdx, qword_ptr(rbx + DATA as i32))?;
        a.hlt()
    });
    machine.write_u64(LARGE_PAGE + DATA, 1);
    machine.write_u64(DATA, 2);
    machine.run_to_hlt();
    assert_eq!([machine.gpr(Regs::RCX), machine.gpr(Regs::RDX)], [1, 2]);
}

/// An instruction across two pages that are one in memory is changed at its start.
#[test]
fn a_write_to_code_that_meets_itself() {
    const PAGE: u64 = 0x12000;
    const START: u64 = PAGE + 0xffd;
    let mut machine = Machine::new(|a| {
        a.mov(rbx, START)?;
        a.call(rbx)?;
        a.mov(edi, esi)?;
        a.mov(byte_ptr(rbx + 1), 9)?;
        a.call(rbx)?;
        a.hlt()
    });
    machine.write_u64(PAGE_TABLE + 8 * ((PAGE >> 12) + 1), PAGE | USER);
    // mov esi, 1; ret
    machine.write(START, &[0xbe, 1, 0]);
    machine.write(PAGE, &[0, 0, 0xc3]);
    machine.run_to_hlt();
    assert_eq!([machine.gpr(Regs::RDI), machine.gpr(Regs::RSI)], [1, 9]);
}
