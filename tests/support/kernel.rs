//! Bare kernels as guests: a few instructions of ring 0 in an ELF image that starts by the
//! PVH protocol, for operations that no usual kernel does.
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
//! instructions. Rejected: kernels as files, which nobody reads.

use assembly::code;
use x86::{Cr4Flags, DescriptorFlags, EferFlags, PageTableFlags};

use super::elf::{self, KERNEL_ENTRY, KERNEL_LOAD, TempFile};

/// Where the page tables lie.
pub const TABLES: u64 = KERNEL_LOAD + 0x1000;
/// Where the GDT lies.
pub const GDT: u64 = KERNEL_LOAD + 0x7000;
const TSS: u64 = GDT + 0x100;
/// What GDTR is loaded with.
pub const GDT_REGISTER: u64 = GDT + 0x200;
/// What IDTR is loaded with.
pub const IDT_REGISTER: u64 = GDT + 0x210;
const IDT: u64 = KERNEL_LOAD + 0x8000;
/// Where the stack of [`Kernel::long_mode`] begins.
pub const STACK_TOP: u64 = KERNEL_LOAD + 0xc000;
const HANDLER_STACK_TOP: u64 = KERNEL_LOAD + 0xf000;
const CODE: u64 = KERNEL_LOAD + 0xf000;

/// 64-bit code of ring 0.
pub const CODE_SELECTOR: u16 = 0x08;
/// Data of ring 0.
pub const DATA_SELECTOR: u16 = 0x10;
/// Data of ring 3.
pub const USER_DATA_SELECTOR: u16 = 0x1b;
/// 64-bit code of ring 3.
pub const USER_CODE_SELECTOR: u16 = 0x23;
const TASK_SELECTOR: u16 = 0x28;
/// The first of the GDT's entries that are null, for a kernel to use as it likes.
pub const SPARE_SELECTOR: u16 = 0x38;
/// Where they lie, and the GDT ends.
pub const SPARE_DESCRIPTORS: u64 = GDT + SPARE_SELECTOR as u64;
/// Null; code and data of ring 0; data and code of ring 3.
const SEGMENTS: [u64; 5] = [
    0,
    DescriptorFlags::KERNEL_CODE64.bits(),
    DescriptorFlags::KERNEL_DATA.bits(),
    DescriptorFlags::USER_DATA.bits(),
    DescriptorFlags::USER_CODE64.bits(),
];

const PAGE: u64 = 0x1000;
/// A page-table entry that ring 3 may write through.
pub const PRESENT: u64 = PageTableFlags::PRESENT
    .union(PageTableFlags::WRITABLE)
    .union(PageTableFlags::USER_ACCESSIBLE)
    .bits();
/// The same where it maps 2 MiB at once.
const LARGE: u64 = PRESENT | PageTableFlags::HUGE_PAGE.bits();

/// The entry of the root page table for the second 512 GiB of addresses, which is free.
pub const SECOND_ROOT_ENTRY: u64 = TABLES + 8;
/// Handlers of single vectors.
const HANDLERS: u64 = FREE - 0x1_1000;
/// RAM behind the image, page-aligned, for a kernel to use as it likes.
pub const FREE: u64 = 0x20_0000;
/// An address that is not mapped.
pub const UNMAPPED: u64 = 4 << 30;

/// What [`into_long_mode`] sets in CR4 and EFER.
pub const PAE_AND_SSE: u64 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
    .union(Cr4Flags::OSFXSR)
    .union(Cr4Flags::OSXMMEXCPT_ENABLE)
    .bits();
pub const SCE_LME_NXE: u64 = EferFlags::SYSTEM_CALL_EXTENSIONS
    .union(EferFlags::LONG_MODE_ENABLE)
    .union(EferFlags::NO_EXECUTE_ENABLE)
    .bits();

/// From protected mode without paging to 64-bit code at `$code` (APM vol. 2 14.6.1).
macro_rules! into_long_mode {
    ($code:expr) => {
        code!(
            ".code32",
            "lgdt [{gdt_register}]",
            "mov eax, {tables}",
            "mov cr3, eax",
            "mov eax, cr4",
            "or eax, {pae_and_sse}",
            "mov cr4, eax",
            "mov ecx, {efer}",
            "rdmsr",
            "or eax, {sce_lme_nxe}",
            "wrmsr",
            "mov eax, cr0",
            "or eax, {paging}",
            "mov cr0, eax",
            // jmp far
            ".byte 0xea; .long {code}; .short {code_selector}",
            gdt_register = const $crate::support::kernel::GDT_REGISTER,
            tables = const $crate::support::kernel::TABLES,
            pae_and_sse = const $crate::support::kernel::PAE_AND_SSE,
            efer = const ::x86::msr::EFER,
            sce_lme_nxe = const $crate::support::kernel::SCE_LME_NXE,
            paging = const ::x86::Cr0Flags::PAGING.bits(),
            code = const $code,
            code_selector = const $crate::support::kernel::CODE_SELECTOR,
        )
    };
}
pub(crate) use into_long_mode;

/// A kernel in the making: what lies where.
#[derive(Debug)]
pub struct Kernel(Vec<(u64, Vec<u8>)>);

impl Kernel {
    /// Starts with `code` in long mode and ring 0: interrupts off, flat segments, a stack, a
    /// TSS, and no IDT, so that any exception is a triple fault.
    pub fn long_mode(code: &[u8]) -> Self {
        let gdt = segments();
        Self(vec![
            (KERNEL_ENTRY, into_long_mode!(CODE).to_vec()),
            (TABLES, page_tables()),
            (GDT_REGISTER, table_register(GDT, gdt.len())),
            (GDT, gdt),
            (TSS, task_state(HANDLER_STACK_TOP)),
            (IDT_REGISTER, table_register(IDT, 1)),
            (CODE, [load_segments(), code].concat()),
        ])
    }

    /// Has `code` handle every vector, from the top of a stack of its own each time.
    pub fn handler(self, code: &[u8]) -> Self {
        let end = self
            .0
            .iter()
            .map(|(at, bytes)| at + bytes.len() as u64)
            .max();
        let start = end.unwrap_or(CODE).next_multiple_of(16);
        let mut kernel = self.handler_at(start);
        kernel.0.push((start, code.to_vec()));
        kernel
    }

    /// Has what lies at `address`, if anything, handle every vector.
    pub fn handler_at(self, address: u64) -> Self {
        self.handlers(|_| address)
    }

    /// Has what lies at the address that `handler` says, if anything, handle a vector.
    pub fn handlers(mut self, handler: impl Fn(u8) -> u64) -> Self {
        let table: Vec<u8> = (0..=255).flat_map(|vector| gate(handler(vector))).collect();
        self.0
            .push((IDT_REGISTER, table_register(IDT, table.len())));
        self.0.push((IDT, table));
        self
    }

    /// Adds `bytes` at `address`, above [`KERNEL_ENTRY`].
    pub fn with(mut self, address: u64, bytes: &[u8]) -> Self {
        self.0.push((address, bytes.to_vec()));
        self
    }

    /// Has `code`, at most 256 bytes, handle `vector`, in place of what else would.
    pub fn handler_of(self, vector: u8, code: &[u8]) -> Self {
        let (vector, start) = (u64::from(vector), HANDLERS + 0x100 * u64::from(vector));
        self.with(start, code).with(IDT + 16 * vector, &gate(start))
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

/// Writes a line feed to the serial console, which shows that the guest runs.
pub fn greet() -> &'static [u8] {
    code!(
        "mov edx, {serial}",
        "mov al, '\\n'",
        "out dx, al",
        serial = const abi::ports::SERIAL,
    )
}

/// Ends the machine with this status.
pub fn exit(status: u8) -> Vec<u8> {
    const MOV_AL: u8 = 0xb0;
    [&[MOV_AL, status], exit_by_al()].concat()
}

/// Ends the machine with the status that is in al.
pub fn exit_by_al() -> &'static [u8] {
    code!(
        "mov edx, {debug_exit}",
        "out dx, al",
        debug_exit = const abi::ports::DEBUG_EXIT,
    )
}

/// Repeats `body` for ever.
pub fn forever(body: &[u8]) -> Vec<u8> {
    const JMP_REL32: u8 = 0xe9;
    let back = -(body.len() as i32 + 5);
    [body, &[JMP_REL32], &back.to_le_bytes()].concat()
}

/// A static program of `code`, for ring 3 of our own kernel.
pub fn program(code: &[u8]) -> TempFile {
    TempFile::new("program", &elf::executable(code))
}

/// Loads what the start of [`Kernel::long_mode`] promises.
fn load_segments() -> &'static [u8] {
    code!(
        "mov eax, {data_selector}",
        "mov ds, eax",
        "mov es, eax",
        "mov ss, eax",
        "mov esp, {stack_top}",
        "lidt [{idt_register}]",
        "mov eax, {task_selector}",
        "ltr ax",
        data_selector = const DATA_SELECTOR,
        stack_top = const STACK_TOP,
        idt_register = const IDT_REGISTER,
        task_selector = const TASK_SELECTOR,
    )
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

/// The GDT: [`SEGMENTS`], then the TSS (SDM vol. 3 8.2.3), then spare entries.
fn segments() -> Vec<u8> {
    let mut table = bytes(&[&SEGMENTS[..], &task_descriptor(TSS)].concat());
    table.resize((TSS - GDT) as usize, 0);
    table
}

/// The descriptor of a TSS at `address`, of which the TSS is [`task_state`]'s.
pub fn task_descriptor(address: u64) -> [u64; 2] {
    const AVAILABLE_TSS: u64 = 0x89 << 40;
    let limit = TSS_LEN as u64 - 1;
    let low = address & 0xff_ffff;
    let high = address >> 24 & 0xff;
    [
        limit | low << 16 | AVAILABLE_TSS | high << 56,
        address >> 32,
    ]
}

const TSS_LEN: usize = 0x68;

/// A TSS: stack of ring 0 and IST 1, no I/O bitmap (SDM vol. 3 8.7).
pub fn task_state(stack_top: u64) -> Vec<u8> {
    let mut tss = vec![0; TSS_LEN];
    tss[0x04..0x0c].copy_from_slice(&stack_top.to_le_bytes());
    tss[0x24..0x2c].copy_from_slice(&stack_top.to_le_bytes());
    tss[0x66..].copy_from_slice(&(TSS_LEN as u16).to_le_bytes());
    tss
}

/// A present interrupt gate that uses IST 1 (SDM vol. 3 6.14.1).
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

/// Their bytes, as they lie in memory.
pub fn bytes(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_le_bytes()).collect()
}
