//! The machine that sequences run in: where its pages lie, its tables, and the state of
//! its CPU when a batch of sequences starts.
//!
//! ```text
//! virtual          ring 3
//! 0x0040_0000      32 slots of 64 KiB, one for each sequence of a batch:
//!        + 0x0000    two code pages, read and execute, then nothing
//!        + 0x4000    data pages, no-execute: see [`PAGES`], then nothing
//! 0x0060_0000      the frame around sequences: see [`super::frame`]
//! 0x0068_0000      landing page, read and execute: every byte is `int3`
//! upper half       all of RAM, for ring 0 only: GDT, IDT, TSS, stack, gates
//! ```
//!
//! A gate's handler is one `out` to a port that tells the vector, and `iretq`: whatever
//! interrupts a sequence is one exit, its frame lies at the top of the ring-0 stack, and
//! the VMM says where to go on by writing to that frame. Software-backed KVM needs half a
//! microsecond for every instruction in ring 0 and 4 to 10 for every ioctl, so nothing
//! else is done there and no state is read or set between the sequences of a batch.
//!
//! Selectors are those of Linux because software-backed KVM runs ring 3 with the host's
//! descriptors: a sequence that reads CS or SS sees the same on every engine.
//!
//! A CR3 is there for every subset of the writable pages, with these not mapped: a fault
//! is served by going to another CR3. Rejected: changing one set of tables from outside,
//! which no processor with shadow or nested tables is bound to notice.

use vmm::cpu::{CpuState, Dtable, ExtendedState, Msrs, Regs, Segment};
use x86::{Cr0Flags, Cr4Flags, EferFlags, XCr0Flags, vector};

use super::memory::Memory;

/// Bytes in a page.
pub const PAGE: u64 = 0x1000;
/// Bytes of guest RAM.
pub const RAM: u64 = 0x40_0000;
/// Sequences in a batch.
pub const SLOTS: usize = 32;

/// Where the slots begin, how far they are apart, and what lies where in each.
const FIRST_SLOT: u64 = 0x40_0000;
const SLOT_LEN: u64 = 0x1_0000;
const DATA_OFFSET: u64 = 0x4000;
/// Bytes of code that a slot has room for.
pub const CODE_LEN: usize = (CODE_PAGES * PAGE) as usize;
const CODE_PAGES: u64 = 2;

/// A data page's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    ReadWrite,
    ReadOnly,
    Supervisor,
    Unmapped,
}

/// The data pages in order of address.
pub const PAGES: [Rights; 7] = [
    Rights::ReadWrite,
    Rights::ReadWrite,
    Rights::ReadOnly,
    Rights::ReadWrite,
    Rights::Supervisor,
    Rights::ReadWrite,
    Rights::Unmapped,
];
/// Numbers of the writable pages, which a [`cr3`] can leave out.
pub const WRITABLE: [usize; 4] = [0, 1, 3, 5];
/// Bytes of the data pages, the unmapped one included.
pub const DATA_LEN: usize = PAGES.len() * PAGE as usize;

/// The code of the frame, then its data.
pub const FRAME_CODE: u64 = 0x60_0000;
pub const FRAME_CODE_LEN: u64 = 16 * PAGE;
pub const FRAME_DATA: u64 = FRAME_CODE + FRAME_CODE_LEN;
pub const FRAME_DATA_LEN: u64 = 32 * PAGE;
/// A page of `int3`.
pub const LANDING: u64 = 0x68_0000;

/// Guest-physical addresses.
mod gpa {
    use super::PAGE;

    pub const GDT: u64 = 0x1000;
    pub const IDT: u64 = 0x2000;
    pub const TSS: u64 = 0x3000;
    pub const GATES: u64 = 0x4000;
    pub const STACK: u64 = 0x5000;
    /// Page directory pointers and page directory of the upper half.
    pub const UPPER: u64 = 0x6000;
    pub const LANDING: u64 = 0x8000;
    /// Page table of frame and landing page.
    pub const FRAME_TABLE: u64 = 0x9000;
    pub const FRAME: u64 = 0x1_0000;
    /// Four pages for each CR3.
    pub const TABLES: u64 = 0x6_0000;
    pub const SLOTS: u64 = 0x10_0000;
    pub const SLOT_LEN: u64 = (super::CODE_PAGES + super::PAGES.len() as u64) * PAGE;
}

/// Where all of RAM is mapped for ring 0.
const UPPER_HALF: u64 = 0xffff_8000_0000_0000;
/// Bytes between the entry points of gates.
const GATE_LEN: u64 = 32;
/// The port that the gate of vector 0 writes to.
pub const FIRST_PORT: u16 = 0x40;
/// Gates in the IDT.
pub const VECTORS: u16 = 32;

/// The instruction `int3`.
pub const INT3: u8 = 0xcc;

/// Whether the processor pushes an error code for `vector` (AMD APM vol. 2 8.1).
pub fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// Selectors.
pub mod selector {
    pub const KERNEL_CODE: u16 = 0x10;
    pub const KERNEL_DATA: u16 = 0x18;
    pub const USER_DATA: u16 = 0x2b;
    pub const USER_CODE: u16 = 0x33;
    pub const TSS: u16 = 0x40;
}

/// Page table entry bits; accessed and dirty are always set.
mod pte {
    use x86::PageTableFlags as F;

    pub const PRESENT: u64 = F::PRESENT.bits();
    pub const WRITE: u64 = F::WRITABLE.bits();
    pub const USER: u64 = F::USER_ACCESSIBLE.bits();
    pub const ACCESSED_DIRTY: u64 = F::ACCESSED.union(F::DIRTY).bits();
    pub const LARGE: u64 = F::HUGE_PAGE.bits();
    pub const NX: u64 = F::NO_EXECUTE.bits();
    /// In an entry that leads to a table.
    pub const TABLE: u64 = PRESENT | WRITE | USER | ACCESSED_DIRTY;
}

/// Descriptors (AMD APM vol. 2 4.8).
mod descriptor {
    use x86::DescriptorFlags as F;

    pub const KERNEL_CODE: u64 = F::KERNEL_CODE64.bits();
    pub const KERNEL_DATA: u64 = F::KERNEL_DATA.bits();
    pub const USER_DATA: u64 = F::USER_DATA.bits();
    pub const USER_CODE: u64 = F::USER_CODE64.bits();
    pub const TSS_LIMIT: u64 = 0x67;
    pub const TSS: u64 = 0x0000_8b00_0000_0000;
    /// DPL 3, so that ring 3 may use `int3`.
    pub const INTERRUPT_GATE: u64 = 0xee00;
}

/// Virtual address of a slot's code.
pub fn code(slot: usize) -> u64 {
    FIRST_SLOT + slot as u64 * SLOT_LEN
}

/// Virtual address of a slot's data.
pub fn data(slot: usize) -> u64 {
    code(slot) + DATA_OFFSET
}

/// Guest-physical address of a slot's code page. Pages are not in order, so that nothing
/// works by running on from one into the next.
pub fn code_gpa(slot: usize, page: u64) -> u64 {
    gpa::SLOTS + slot as u64 * gpa::SLOT_LEN + (CODE_PAGES - 1 - page) * PAGE
}

/// Guest-physical address of a slot's data page.
pub fn data_gpa(slot: usize, page: usize) -> u64 {
    code_gpa(slot, 0) + (PAGES.len() - page) as u64 * PAGE
}

/// Guest-physical address of what lies at `address` in the frame.
pub fn frame_gpa(address: u64) -> u64 {
    gpa::FRAME + (address - FRAME_CODE)
}

/// Number of the data page that `address` is in, in whichever slot.
pub fn data_page(address: u64) -> Option<usize> {
    let offset = address.wrapping_sub(FIRST_SLOT);
    let page = (offset % SLOT_LEN).wrapping_sub(DATA_OFFSET) / PAGE;
    let inside = offset < SLOTS as u64 * SLOT_LEN && page < PAGES.len() as u64;
    inside.then_some(page as usize)
}

/// The CR3 where those of [`WRITABLE`] are not mapped whose bit is set in `missing`.
pub fn cr3(missing: usize) -> u64 {
    gpa::TABLES + missing as u64 * 4 * PAGE
}

/// Guest-physical address of what the processor pushes for an exception: the first of
/// SS, RSP, RFLAGS, CS, RIP, from the top down.
pub fn exception_frame_gpa() -> u64 {
    gpa::STACK + PAGE - 5 * 8
}

/// Writes everything but code and data.
pub fn build(memory: &mut Memory) {
    memory.write(gpa::LANDING, &[INT3; PAGE as usize]);
    build_segments(memory);
    build_gates(memory);
    build_upper_half(memory);
    for missing in 0..1 << WRITABLE.len() {
        build_lower_half(missing, memory);
    }
}

fn build_segments(memory: &mut Memory) {
    let entry = |selector: u16| gpa::GDT + u64::from(selector & !7);
    memory.write_words(entry(selector::KERNEL_CODE), &[descriptor::KERNEL_CODE]);
    memory.write_words(entry(selector::KERNEL_DATA), &[descriptor::KERNEL_DATA]);
    memory.write_words(entry(selector::USER_DATA), &[descriptor::USER_DATA]);
    memory.write_words(entry(selector::USER_CODE), &[descriptor::USER_CODE]);
    let tss = UPPER_HALF + gpa::TSS;
    let low = descriptor::TSS
        | descriptor::TSS_LIMIT
        | (tss & 0xff_ffff) << 16
        | (tss >> 24 & 0xff) << 56;
    memory.write_words(entry(selector::TSS), &[low, tss >> 32]);
    let stack_top = UPPER_HALF + gpa::STACK + PAGE;
    // RSP0 is at offset 4; the I/O map's base at 0x66 is beyond the limit: there is none.
    memory.write_words(gpa::TSS, &[stack_top << 32, stack_top >> 32]);
    memory.write_words(gpa::TSS + 0x60, &[0x68 << 48]);
}

/// Bytes of the instructions that gates are made of.
mod stub {
    pub const PUSH_RAX: &[u8] = &[0x50];
    pub const POP_RAX: &[u8] = &[0x58];
    pub const MOV_RAX_CR2: &[u8] = &[0x0f, 0x20, 0xd0];
    pub const OUT_IMM8_AL: u8 = 0xe6;
    pub const LEA_RSP_8: &[u8] = &[0x48, 0x8d, 0x64, 0x24, 0x08];
    pub const IRETQ: &[u8] = &[0x48, 0xcf];
}

fn build_gates(memory: &mut Memory) {
    for vector in 0..VECTORS as u8 {
        let at = gpa::GATES + u64::from(vector) * GATE_LEN;
        let offset = UPPER_HALF + at;
        let low = offset & 0xffff
            | u64::from(selector::KERNEL_CODE) << 16
            | descriptor::INTERRUPT_GATE << 32
            | (offset >> 16 & 0xffff) << 48;
        memory.write_words(gpa::IDT + u64::from(vector) * 16, &[low, offset >> 32]);
        let out = [stub::OUT_IMM8_AL, FIRST_PORT as u8 + vector];
        let mut handler = Vec::new();
        if vector == vector::PF {
            for part in [stub::PUSH_RAX, stub::MOV_RAX_CR2, stub::PUSH_RAX, &out] {
                handler.extend_from_slice(part);
            }
            handler.extend_from_slice(stub::POP_RAX);
            handler.extend_from_slice(stub::POP_RAX);
        } else {
            handler.extend_from_slice(&out);
        }
        if has_error_code(vector) {
            handler.extend_from_slice(stub::LEA_RSP_8);
        }
        handler.extend_from_slice(stub::IRETQ);
        assert!(handler.len() as u64 <= GATE_LEN, "a gate overlaps the next");
        memory.write(at, &handler);
    }
}

fn table_index(address: u64, level: u64) -> u64 {
    (address >> (12 + 9 * level) & 0x1ff) * 8
}

fn build_upper_half(memory: &mut Memory) {
    memory.write_words(gpa::UPPER, &[(gpa::UPPER + PAGE) | pte::TABLE]);
    let large = pte::PRESENT | pte::WRITE | pte::ACCESSED_DIRTY | pte::LARGE;
    memory.write_words(gpa::UPPER + PAGE, &[large, 0x20_0000 | large]);
}

fn build_lower_half(missing: usize, memory: &mut Memory) {
    let root = cr3(missing);
    memory.write_words(
        root + table_index(UPPER_HALF, 3),
        &[gpa::UPPER | pte::TABLE],
    );
    memory.write_words(root, &[(root + PAGE) | pte::TABLE]);
    memory.write_words(root + PAGE, &[(root + 2 * PAGE) | pte::TABLE]);
    let directory = root + 2 * PAGE;
    let slots = root + 3 * PAGE;
    memory.write_words(
        directory + table_index(FIRST_SLOT, 1),
        &[slots | pte::TABLE],
    );
    let frame = gpa::FRAME_TABLE;
    memory.write_words(
        directory + table_index(FRAME_CODE, 1),
        &[frame | pte::TABLE],
    );

    let user = pte::PRESENT | pte::USER | pte::ACCESSED_DIRTY;
    for page in 0..(FRAME_CODE_LEN + FRAME_DATA_LEN) / PAGE {
        let address = FRAME_CODE + page * PAGE;
        let bits = match address < FRAME_DATA {
            true => user,
            false => user | pte::WRITE | pte::NX,
        };
        memory.write_words(
            frame + table_index(address, 0),
            &[frame_gpa(address) | bits],
        );
    }
    memory.write_words(frame + table_index(LANDING, 0), &[gpa::LANDING | user]);

    for slot in 0..SLOTS {
        for page in 0..CODE_PAGES {
            let entry = slots + table_index(code(slot) + page * PAGE, 0);
            memory.write_words(entry, &[code_gpa(slot, page) | user]);
        }
        for (page, rights) in PAGES.into_iter().enumerate() {
            let left_out = WRITABLE
                .iter()
                .position(|&writable| writable == page)
                .is_some_and(|bit| missing >> bit & 1 != 0);
            let present = pte::PRESENT | pte::ACCESSED_DIRTY | pte::NX;
            let bits = match rights {
                Rights::ReadWrite if left_out => continue,
                Rights::Unmapped => continue,
                Rights::ReadWrite => present | pte::USER | pte::WRITE,
                Rights::ReadOnly => present | pte::USER,
                Rights::Supervisor => present | pte::WRITE,
            };
            let entry = slots + table_index(data(slot) + page as u64 * PAGE, 0);
            memory.write_words(entry, &[data_gpa(slot, page) | bits]);
        }
    }
}

const CR0: Cr0Flags = Cr0Flags::PROTECTED_MODE_ENABLE
    .union(Cr0Flags::MONITOR_COPROCESSOR)
    .union(Cr0Flags::EXTENSION_TYPE)
    .union(Cr0Flags::NUMERIC_ERROR)
    .union(Cr0Flags::WRITE_PROTECT)
    .union(Cr0Flags::ALIGNMENT_MASK)
    .union(Cr0Flags::PAGING);
const CR4: Cr4Flags = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
    .union(Cr4Flags::PAGE_GLOBAL)
    .union(Cr4Flags::OSFXSR)
    .union(Cr4Flags::OSXMMEXCPT_ENABLE)
    .union(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION)
    .union(Cr4Flags::FSGSBASE);
const EFER: EferFlags = EferFlags::SYSTEM_CALL_EXTENSIONS
    .union(EferFlags::LONG_MODE_ENABLE)
    .union(EferFlags::LONG_MODE_ACTIVE)
    .union(EferFlags::NO_EXECUTE_ENABLE);
const APIC_BASE: u64 = 0xfee0_0900;

/// Whether sequences have AVX's registers.
pub fn has_avx() -> bool {
    std::is_x86_feature_detected!("avx")
}

/// What enables them: CR4.OSXSAVE and XCR0.
fn avx() -> (Cr4Flags, XCr0Flags) {
    match has_avx() {
        true => (
            Cr4Flags::OSXSAVE,
            XCr0Flags::X87 | XCr0Flags::SSE | XCr0Flags::AVX,
        ),
        false => (Cr4Flags::empty(), XCr0Flags::X87),
    }
}

/// The state in ring 3 at `rip`, with interrupts on: software-backed KVM cannot hide that
/// the host has them on.
pub fn ring3(rip: u64) -> CpuState {
    let (osxsave, xcr0) = avx();
    let flat = |selector: u16, attributes: u16| Segment {
        selector,
        base: 0,
        limit: u32::MAX,
        attributes,
    };
    CpuState {
        regs: Regs {
            rip,
            rflags: super::case::INITIAL_FLAGS,
            ..Regs::default()
        },
        es: flat(0, 0xc0f3),
        cs: flat(selector::USER_CODE, 0xa0fb),
        ss: flat(selector::USER_DATA, 0xc0f3),
        ds: flat(0, 0xc0f3),
        fs: flat(0, 0xc0f3),
        gs: flat(0, 0xc0f3),
        tr: Segment {
            selector: selector::TSS,
            base: UPPER_HALF + gpa::TSS,
            limit: descriptor::TSS_LIMIT as u32,
            attributes: 0x8b,
        },
        gdt: Dtable {
            base: UPPER_HALF + gpa::GDT,
            limit: selector::TSS + 15,
        },
        idt: Dtable {
            base: UPPER_HALF + gpa::IDT,
            limit: VECTORS * 16 - 1,
        },
        cr0: CR0.bits(),
        cr3: cr3(0),
        cr4: (CR4 | osxsave).bits(),
        efer: EFER.bits(),
        msrs: Msrs {
            apic_base: APIC_BASE,
            ..Msrs::default()
        },
        extended: ExtendedState {
            xcr0: xcr0.bits(),
            ..ExtendedState::default()
        },
        ..CpuState::default()
    }
}
