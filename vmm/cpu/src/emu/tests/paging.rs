//! Invalidation of TLB entries and decoded code.

use assembly::code;

use super::machine::{DATA, LARGE, Machine, PAGE_DIRECTORY, PAGE_TABLE, USER};
use crate::Regs;

#[test]
fn invlpg_forgets_all_of_a_large_page() {
    const LARGE_PAGE: u64 = 2 << 20;
    let mut machine = Machine::new(code!(
        "mov rbx, {large_page}",
        "mov rax, qword ptr [rbx]",
        "mov rcx, qword ptr [rbx + {data}]",
        // Maps the first large page of RAM there.
        "mov r8, {page_directory} + 8",
        "mov qword ptr [r8], {entry}",
        "invlpg [rbx]",
        "mov rdx, qword ptr [rbx + {data}]",
        "hlt",
        large_page = const LARGE_PAGE,
        data = const DATA,
        page_directory = const PAGE_DIRECTORY,
        entry = const LARGE | USER,
    ));
    machine.write_u64(LARGE_PAGE + DATA, 1);
    machine.write_u64(DATA, 2);
    machine.run_to_hlt();
    assert_eq!([machine.gpr(Regs::RCX), machine.gpr(Regs::RDX)], [1, 2]);
}

/// Code in a large page is looked for anew when any address of that page is invalidated.
#[test]
fn invlpg_forgets_code_in_all_of_a_large_page() {
    const LARGE_PAGE: u64 = 2 << 20;
    const FUNCTION: u64 = LARGE_PAGE + DATA;
    let mut machine = Machine::new(code!(
        "mov rbx, {large_page}",
        "mov rdi, {function}",
        "call rdi",
        "mov ecx, eax",
        // Maps the first large page of RAM there.
        "mov r8, {page_directory} + 8",
        "mov qword ptr [r8], {entry}",
        "invlpg [rbx]",
        "call rdi",
        "hlt",
        large_page = const LARGE_PAGE,
        function = const FUNCTION,
        page_directory = const PAGE_DIRECTORY,
        entry = const LARGE | USER,
    ));
    // mov eax, 1 or 2; ret
    machine.write(FUNCTION, &[0xb8, 1, 0, 0, 0, 0xc3]);
    machine.write(DATA, &[0xb8, 2, 0, 0, 0, 0xc3]);
    machine.run_to_hlt();
    assert_eq!([machine.gpr(Regs::RCX), machine.gpr(Regs::RAX)], [1, 2]);
}

/// An instruction across two pages that are one in memory is changed at its start.
#[test]
fn a_write_to_code_that_meets_itself() {
    const PAGE: u64 = 0x12000;
    const START: u64 = PAGE + 0xffd;
    let mut machine = Machine::new(code!(
        "mov rbx, {start}",
        "call rbx",
        "mov edi, esi",
        "mov byte ptr [rbx + 1], 9",
        "call rbx",
        "hlt",
        start = const START,
    ));
    machine.write_u64(PAGE_TABLE + 8 * ((PAGE >> 12) + 1), PAGE | USER);
    // mov esi, 1; ret
    machine.write(START, &[0xbe, 1, 0]);
    machine.write(PAGE, &[0, 0, 0xc3]);
    machine.run_to_hlt();
    assert_eq!([machine.gpr(Regs::RDI), machine.gpr(Regs::RSI)], [1, 9]);
}
