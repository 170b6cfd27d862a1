//! Bare kernels as guests: a few instructions of ring 0 in an ELF image that starts by the
//! PVH protocol, for what no kernel in its right mind does.
//!
//! ```text
//! 0x10_0000  ELF headers, PVH note, 32-bit entry
//! 0x10_1000  page tables: the first 4 GiB as they are, for ring 3 too
//! 0x10_7000  GDT, TSS, what GDTR and IDTR are loaded with
//! 0x10_8000  IDT
//! 0x10_9000  stack, down from 0x10_c000; stack of handlers, down from 0x10_f000
//! 0x10_f000  64-bit code, then that of handlers
//! ```
//!
//! All tables are constants of the image, so that the way into long mode takes a dozen
//! instructions. Rejected: an assembler that the host may lack; kernels as files, which
//! nobody reads.

use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeAssembler, al, ax, cr0, cr3, cr4, ds, dx, eax, ecx, es, esp, ptr, ss,
};

use super::elf::{self, KERNEL_ENTRY, KERNEL_LOAD, TempFile};

const TABLES: u64 = KERNEL_LOAD + 0x1000;
const GDT: u64 = KERNEL_LOAD + 0x7000;
const TSS: u64 = GDT + 0x100;
const GDT_REGISTER: u64 = GDT + 0x200;
const IDT_REGISTER: u64 = GDT + 0x210;
const IDT: u64 = KERNEL_LOAD + 0x8000;
const STACK_TOP: u64 = KERNEL_LOAD + 0xc000;
const HANDLER_STACK_TOP: u64 = KERNEL_LOAD + 0xf000;
const CODE: u64 = KERNEL_LOAD + 0xf000;

const CODE_SELECTOR: u16 = 0x08;
const DATA_SELECTOR: u16 = 0x10;
const TASK_SELECTOR: u16 = 0x28;
/// Null; code and data of ring 0; data and code of ring 3 (Intel SDM, volume 3, 3.4.5).
const SEGMENTS: [u64; 5] = [
    0,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
];

const PAGE: u64 = 0x1000;
/// A page-table entry: present, writable, for ring 3 (the same, 4.5).
pub const PRESENT: u64 = 0x7;
/// The same where it maps 2 MiB at once.
const LARGE: u64 = PRESENT | 0x80;

/// The entry of the root page table for the second 512 GiB of addresses, which is free.
pub const SECOND_ROOT_ENTRY: u64 = TABLES + 8;
/// RAM behind the image, page-aligned, for a kernel to use as it likes.
pub const FREE: u64 = 0x20_0000;
/// An address that is not mapped.
pub const UNMAPPED: u64 = 4 << 30;

/// What a piece of assembly comes to.
pub type Assembled = Result<(), IcedError>;

/// A kernel in the making: what lies where.
#[derive(Debug)]
pub struct Kernel(Vec<(u64, Vec<u8>)>);

impl Kernel {
    /// Starts with `code` in long mode and ring 0: interrupts off, flat segments, a stack, a
    /// TSS, and no IDT, so that any exception is a triple fault.
    pub fn long_mode(code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Self {
        let code = assemble(64, CODE, |a| {
            a.mov(eax, u32::from(DATA_SELECTOR))?;
            a.mov(ds, ax)?;
            a.mov(es, ax)?;
            a.mov(ss, ax)?;
            a.mov(esp, STACK_TOP as u32)?;
            a.lidt(ptr(IDT_REGISTER))?;
            a.mov(eax, u32::from(TASK_SELECTOR))?;
            a.ltr(ax)?;
            code(a)
        });
        let gdt = segments();
        Self(vec![
            (KERNEL_ENTRY, assemble(32, KERNEL_ENTRY, into_long_mode)),
            (TABLES, page_tables()),
            (GDT_REGISTER, table_register(GDT, gdt.len())),
            (GDT, gdt),
            (TSS, task_state()),
            (IDT_REGISTER, table_register(IDT, 1)),
            (CODE, code),
        ])
    }

    /// Has `code` handle every vector, from the top of a stack of its own each time.
    pub fn handler(self, code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Self {
        let end = self
            .0
            .iter()
            .map(|(at, bytes)| at + bytes.len() as u64)
            .max();
        let start = end.unwrap_or(CODE).next_multiple_of(16);
        let mut kernel = self.handler_at(start);
        kernel.0.push((start, assemble(64, start, code)));
        kernel
    }

    /// Has what lies at `address`, if anything, handle every vector.
    pub fn handler_at(mut self, address: u64) -> Self {
        let table = gate(address).repeat(256);
        self.0
            .push((IDT_REGISTER, table_register(IDT, table.len())));
        self.0.push((IDT, table));
        self
    }

    /// The kernel as a file.
    pub fn write(&self) -> TempFile {
        let mut image = Vec::new();
        for (address, bytes) in &self.0 {
            let start = (address - KERNEL_ENTRY) as usize;
            let end = start + bytes.len();
            image.resize(image.len().max(end), 0);
            image[start..end].copy_from_slice(bytes);
        }
        TempFile::new("kernel", &elf::kernel(&image))
    }
}

/// Writes to the serial console.
pub fn print(a: &mut CodeAssembler, text: &str) -> Assembled {
    a.mov(dx, u32::from(abi::ports::SERIAL))?;
    for byte in text.bytes() {
        a.mov(al, u32::from(byte))?;
        a.out(dx, al)?;
    }
    Ok(())
}

/// Ends the machine with this status.
pub fn exit(a: &mut CodeAssembler, status: u8) -> Assembled {
    a.mov(al, u32::from(status))?;
    a.mov(dx, u32::from(abi::ports::DEBUG_EXIT))?;
    a.out(dx, al)
}

/// Does `body` again and again.
pub fn forever(
    a: &mut CodeAssembler,
    body: impl FnOnce(&mut CodeAssembler) -> Assembled,
) -> Assembled {
    let mut top = a.create_label();
    a.set_label(&mut top)?;
    body(a)?;
    a.jmp(top)
}

/// A static program of `code`, for ring 3 of our own kernel.
pub fn program(code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> TempFile {
    let code = assemble(64, elf::PROGRAM_CODE, code);
    TempFile::new("program", &elf::executable(&code))
}

/// The instructions of `code`, to lie at `address`.
fn assemble(
    bitness: u32,
    address: u64,
    code: impl FnOnce(&mut CodeAssembler) -> Assembled,
) -> Vec<u8> {
    let mut a = CodeAssembler::new(bitness).expect("32 or 64");
    code(&mut a).expect("the operands fit");
    a.assemble(address).expect("the labels are in reach")
}

/// From protected mode without paging to the code at [`CODE`] (the same, 10.8.5).
fn into_long_mode(a: &mut CodeAssembler) -> Assembled {
    const PAE_AND_SSE: u32 = 0x620;
    const EFER: u32 = 0xc000_0080;
    /// System calls, long mode, no-execute.
    const SCE_LME_NXE: u32 = 0x901;
    const PAGING: u32 = 1 << 31;
    a.lgdt(ptr(GDT_REGISTER as u32))?;
    a.mov(eax, TABLES as u32)?;
    a.mov(cr3, eax)?;
    a.mov(eax, cr4)?;
    a.or(eax, PAE_AND_SSE)?;
    a.mov(cr4, eax)?;
    a.mov(ecx, EFER)?;
    a.rdmsr()?;
    a.or(eax, SCE_LME_NXE)?;
    a.wrmsr()?;
    a.mov(eax, cr0)?;
    a.or(eax, PAGING)?;
    a.mov(cr0, eax)?;
    // jmp CODE_SELECTOR:CODE
    let offset = (CODE as u32).to_le_bytes();
    let selector = CODE_SELECTOR.to_le_bytes();
    a.db(&[&[0xea], &offset[..], &selector[..]].concat())
}

/// Root, second and third level.
fn page_tables() -> Vec<u8> {
    const GIB: u64 = 4;
    let table = |index: u64| TABLES + index * PAGE;
    let mut entries = vec![0; 2 * 512];
    entries[0] = table(1) | PRESENT;
    for gib in 0..GIB {
        entries[512 + gib as usize] = table(2 + gib) | PRESENT;
    }
    entries.extend((0..GIB * 512).map(|page| page << 21 | LARGE));
    bytes(&entries)
}

/// The GDT: [`SEGMENTS`], then the TSS (the same, 8.2.3).
fn segments() -> Vec<u8> {
    const AVAILABLE_TSS: u64 = 0x89 << 40;
    let limit = task_state().len() as u64 - 1;
    let low = TSS & 0xff_ffff;
    let high = TSS >> 24 & 0xff;
    let task = [limit | low << 16 | AVAILABLE_TSS | high << 56, TSS >> 32];
    bytes(&[&SEGMENTS[..], &task].concat())
}

/// A TSS: stack of ring 0 and IST 1, no I/O bitmap (the same, 8.7).
fn task_state() -> Vec<u8> {
    const LEN: usize = 0x68;
    let mut tss = vec![0; LEN];
    tss[0x04..0x0c].copy_from_slice(&HANDLER_STACK_TOP.to_le_bytes());
    tss[0x24..0x2c].copy_from_slice(&HANDLER_STACK_TOP.to_le_bytes());
    tss[0x66..].copy_from_slice(&(LEN as u16).to_le_bytes());
    tss
}

/// A present interrupt gate that uses IST 1 (the same, 6.14.1).
fn gate(handler: u64) -> Vec<u8> {
    const INTERRUPT_IST1: u64 = 0x8e01 << 32;
    let low = handler & 0xffff | u64::from(CODE_SELECTOR) << 16 | INTERRUPT_IST1;
    bytes(&[low | (handler >> 16 & 0xffff) << 48, handler >> 32])
}

/// What LGDT and LIDT load.
fn table_register(base: u64, len: usize) -> Vec<u8> {
    let limit = (len - 1) as u16;
    [&limit.to_le_bytes()[..], &base.to_le_bytes()].concat()
}

fn bytes(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_le_bytes()).collect()
}
