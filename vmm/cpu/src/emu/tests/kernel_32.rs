//! Kernels of 32 bits with their own page tables, and programs in ring 3.

use assembly::code;

use super::machine::{CODE, DATA, IDT, LARGE, Machine, TSS, USER};
use crate::{Dtable, Regs, Segment};

/// A kernel of 32 bits, its program in ring 3, and its tables.
mod kernel {
    pub const GDT: u64 = 0xb000;
    pub const PROGRAM: u64 = 0x12000;
    pub const PROGRAM_STACK: u64 = 0x2f000;
    pub const CALLED: u64 = 0x14000;
    pub const INTERRUPTED: u64 = 0x15000;
    pub const FAULTED: u64 = 0x16000;
    pub const ENTERED: u64 = 0x17000;
    /// Nothing is mapped there.
    pub const HOLE: u64 = 0x80_0000;
}

/// A gate of 32 bits with these attributes to `offset` in the kernel's code.
fn gate(offset: u64, attributes: u64) -> u64 {
    offset & 0xffff | 8 << 16 | attributes << 32 | offset >> 16 << 48
}

/// The machine about to enter the program of [`kernel`].
fn kernel_of_32_bits() -> Machine {
    use kernel::*;
    let mut machine = Machine::new(code!(
        ".code32",
        "mov eax, 0x28",
        "ltr ax",
        "push 0x23",
        "push {stack}",
        "push 0x202",
        "push 0x1b",
        "push {program}",
        "iretd",
        stack = const PROGRAM_STACK,
        program = const PROGRAM,
    ));
    let program = code!(
        ".code32",
        "mov eax, 0x23",
        "mov ds, eax",
        "int 0x80",
        "push 0x55",
        // Through the call gate.
        ".byte 0x9a",
        ".long 0",
        ".word 0x33",
        "mov ecx, esp",
        "mov ebp, cs",
        "mov edx, dword ptr [{hole}]",
        hole = const HOLE,
    );
    machine.write(PROGRAM, program);
    let interrupted = code!(
        ".code32",
        "mov esi, dword ptr [esp + 12]",
        "mov ebx, cs",
        "iretd"
    );
    machine.write(INTERRUPTED, interrupted);
    let called = code!(".code32", "mov edi, dword ptr [esp + 8]", "retf 4");
    machine.write(CALLED, called);
    let faulted = code!(".code32", "pop eax", "mov edx, cr2", "hlt");
    machine.write(FAULTED, faulted);
    let descriptors = [
        0,
        0x00cf_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00cf_fb00_0000_ffff,
        0x00cf_f300_0000_ffff,
        0x0000_8900_a000_0067,
        gate(CALLED, 0xec01),
    ];
    for (n, descriptor) in (0..).zip(descriptors) {
        machine.write_u64(GDT + 8 * n, descriptor);
    }
    machine.write_u64(IDT + 8 * 0x80, gate(INTERRUPTED, 0xee00));
    machine.write_u64(IDT + 8 * 14, gate(FAULTED, 0x8e00));
    machine.write_u64(TSS + 4, 0x10_0003_8000);
    let flat = |selector, attributes| Segment {
        selector,
        base: 0,
        limit: u32::MAX,
        attributes,
    };
    machine.alter(|state| {
        state.efer = 0;
        state.cs = flat(8, 0xc09b);
        state.ss = flat(0x10, 0xc093);
        state.gdt = Dtable {
            base: GDT,
            limit: 8 * 7 - 1,
        };
    });
    machine
}

/// Runs the kernel to its page fault, with these tables and CR4.
fn run_program(tables: &[(u64, u64)], cr4: u64) {
    use kernel::*;
    let mut machine = kernel_of_32_bits();
    for &(at, entry) in tables {
        machine.write_u64(at, entry);
    }
    machine.alter(|state| state.cr4 = cr4);
    machine.run_to_hlt();
    let state = machine.state();
    let gpr = state.regs.gpr;
    assert_eq!(gpr[Regs::RSI], PROGRAM_STACK, "the interrupted stack");
    assert_eq!(gpr[Regs::RBX], 8);
    assert_eq!(gpr[Regs::RDI], 0x55, "the argument of the call");
    assert_eq!(gpr[Regs::RCX], PROGRAM_STACK, "the call drops its argument");
    assert_eq!(gpr[Regs::RBP], 0x1b);
    assert_eq!((gpr[Regs::RAX], gpr[Regs::RDX]), (4, HOLE));
    assert_eq!(gpr[Regs::RSP], 0x38000 - 5 * 4);
}

#[test]
fn a_32_bit_kernel_with_large_pages() {
    run_program(&[(0x1000, USER | LARGE)], 0x10);
}

#[test]
fn a_32_bit_kernel_with_pae() {
    let tables = [
        (0x1000, 0x2001),
        (0x1000 + 8, 0),
        (0x2000, USER | LARGE),
        (0x2008, 0x20_0000 | USER | LARGE),
        (0x2000 + 8 * 4, 0),
    ];
    run_program(&tables, 0x20);
}

/// A machine about to execute `code` in ring 0, its first 4 MiB one page.
fn with_large_page(code: &[u8]) -> Machine {
    let mut machine = kernel_of_32_bits();
    machine.write_u64(0x1000, USER | LARGE);
    machine.write(CODE, code);
    machine.alter(|state| state.cr4 = 0x10);
    machine
}

#[test]
fn pointers_with_bad_bits_are_refused() {
    let mut machine = with_large_page(code!(
        ".code32",
        "mov eax, cr4",
        "or al, 0x20",
        "mov cr4, eax",
        "hlt"
    ));
    let handler = code!(".code32", "mov ebx, 13", "hlt");
    machine.write(kernel::ENTERED, handler);
    machine.write_u64(IDT + 8 * 13, gate(kernel::ENTERED, 0x8e00));
    machine.run_to_hlt();
    assert_eq!((machine.gpr(Regs::RBX), machine.state().cr4), (13, 0x10));
}

#[test]
fn sysenter_and_sysexit() {
    use kernel::*;
    let mut machine = kernel_of_32_bits();
    machine.write_u64(0x1000, USER | LARGE);
    let program = code!(
        ".code32",
        "mov eax, 0x23",
        "mov ds, eax",
        "mov ecx, esp",
        "mov edx, {program} + 16",
        "sysenter",
        "mov edi, dword ptr [{hole}]",
        program = const PROGRAM,
        hole = const HOLE,
    );
    machine.write(PROGRAM, program);
    let entered = code!(".code32", "mov esi, esp", "mov ebx, cs", "sysexit");
    machine.write(ENTERED, entered);
    machine.alter(|state| {
        state.cr4 = 0x10;
        state.msrs.sysenter_cs = 8;
        state.msrs.sysenter_esp = 0x36000;
        state.msrs.sysenter_eip = ENTERED;
    });
    machine.run_to_hlt();
    let gpr = machine.state().regs.gpr;
    assert_eq!((gpr[Regs::RSI], gpr[Regs::RBX]), (0x36000, 8));
    assert_eq!((gpr[Regs::RAX], gpr[Regs::RDX]), (4, HOLE));
}

/// An access past 4 GiB goes on at 0.
#[test]
fn accesses_wrap_at_4_gib() {
    let mut machine = kernel_of_32_bits();
    machine.write(
        CODE,
        code!(".code32", "mov eax, dword ptr [0xfffffffe]", "hlt"),
    );
    // The last page is that of DATA, the first one has tables.
    for (at, entry) in [(0x1000, 0x2000 | USER), (0x1ff8, (0x3000 | USER) << 32)] {
        machine.write_u64(at, entry);
    }
    for page in 0..32 {
        machine.write(
            0x2000 + 4 * page,
            &((page << 12 | USER) as u32).to_le_bytes(),
        );
    }
    machine.write(0x3ffc, &((DATA | USER) as u32).to_le_bytes());
    machine.write(DATA + 0xffe, &[1, 2]);
    machine.write(0, &[3, 4]);
    machine.alter(|state| state.cr4 = 0);
    machine.run_to_hlt();
    assert_eq!(machine.gpr(Regs::RAX), 0x0403_0201);
}

#[test]
fn decimal_digits() {
    let mut machine = with_large_page(code!(
        ".code32",
        "mov eax, 0x79",
        "add al, 0x35",
        "daa",
        "mov ebx, eax",
        "sbb al, 0x28",
        "das",
        "mov ecx, eax",
        "mov eax, 0x0605",
        "aad",
        "mov edx, eax",
        "aam",
        "mov esi, eax",
        "add al, 9",
        "aaa",
        "mov edi, eax",
        "hlt",
    ));
    machine.run_to_hlt();
    let gpr = machine.state().regs.gpr;
    assert_eq!((gpr[Regs::RBX], gpr[Regs::RCX]), (0x14, 0x85));
    assert_eq!((gpr[Regs::RDX], gpr[Regs::RSI]), (65, 0x605));
    assert_eq!(gpr[Regs::RDI], 0x704);
}
