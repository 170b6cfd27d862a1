//! What an input's machine begins with: state, tables, handlers.

use vmm::cpu::{CpuState, Dtable, Msrs, Regs, Segment};
use vmm::memory::GuestRam;

use super::{Mode, Setup};
use crate::machine::{put, put_u64, task};

const GDT: u64 = 0x1000;
const TSS: u64 = 0x1100;
const IDT_32: u64 = 0x2000;
const IDT_64: u64 = 0x3000;
const PAE_POINTERS: u64 = 0x5000;
const ROOT: u64 = 0x6000;
const LARGE_ROOT: u64 = 0x7000;
const HANDLERS: u64 = 0x8000;
const DIRECTORY_POINTERS: u64 = 0x9000;
const DIRECTORY: u64 = 0xa000;
pub const CODE: u64 = 0x1_0000;
const DATA: u64 = 0x2_0000;
const STACK: u64 = 0x3_0000;
const KERNEL_STACK: u64 = 0x3_8000;

/// The state in a mode.
pub fn state(mode: Mode, user: bool, paging: bool) -> CpuState {
    let long = matches!(mode, Mode::Long | Mode::Compatible);
    let real = matches!(mode, Mode::Real | Mode::Virtual);
    let (ring, rpl) = if user { (0x60, 3) } else { (0, 0) };
    let code = match mode {
        Mode::Long => 0xa09b,
        Mode::Compatible | Mode::Protected32 => 0xc09b,
        _ => 0x009b,
    };
    let limit = match mode {
        Mode::Real | Mode::Virtual | Mode::Protected16 => 0xffff,
        _ => u32::MAX,
    };
    // Bases of 16-bit modes, so that 64 KiB reach code or data.
    let segment = |selector: u16, base: u64, attributes: u16| match real {
        true => Segment {
            selector: (base >> 4) as u16,
            base,
            limit,
            attributes: 0x93 | ring,
        },
        false => Segment {
            selector: selector | rpl,
            base: if limit == 0xffff { base } else { 0 },
            limit,
            attributes: attributes | ring,
        },
    };
    let big = if limit == 0xffff { 0x93 } else { 0xc093 };
    let data = segment(if user { 0x20 } else { 0x10 }, DATA, big);
    let (code_base, data_base) = if limit == 0xffff {
        (CODE, DATA)
    } else {
        (0, 0)
    };
    let mut gpr = [0; 16];
    for (number, value) in gpr.iter_mut().enumerate() {
        *value = DATA - data_base + 0x100 * number as u64;
    }
    gpr[Regs::RSP] = if limit == 0xffff { 0x8000 } else { STACK };
    let virtual_8086 = u64::from(mode == Mode::Virtual) << 17;
    let paging = long || paging && mode != Mode::Real;
    CpuState {
        regs: Regs {
            gpr,
            rip: CODE - code_base,
            rflags: 2 | virtual_8086 | u64::from(virtual_8086 != 0) << 12 | virtual_8086 >> 4,
        },
        cs: segment(if user { 0x18 } else { 0x08 }, CODE, code),
        ss: data,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        tr: task(TSS),
        gdt: Dtable {
            base: GDT,
            limit: 0x3f,
        },
        idt: match mode {
            Mode::Real => Dtable {
                base: 0,
                limit: 0x3ff,
            },
            _ if long => Dtable {
                base: IDT_64,
                limit: 0xfff,
            },
            _ => Dtable {
                base: IDT_32,
                limit: 0x7ff,
            },
        },
        cr0: u64::from(mode != Mode::Real) | 0x10 | u64::from(paging) << 31,
        cr3: match (long, user) {
            (true, _) => ROOT,
            (_, true) => PAE_POINTERS,
            _ => LARGE_ROOT,
        },
        // SSE; PAE; large pages.
        cr4: 0x600 | if long || user { 0x20 } else { 0x10 },
        efer: if long { 0xd01 } else { 0 },
        msrs: Msrs {
            lstar: HANDLERS + 0x100,
            star: 0x0013_0008_0000_0000,
            ..Msrs::default()
        },
        ..CpuState::default()
    }
}

/// Fills memory.
pub fn prepare(ram: &GuestRam, setup: &Setup, code: &[u8]) {
    let long = setup.state.efer != 0;
    let (kernel, user) = match setup.state.cs.attributes & 0x6000 {
        0x2000 => (0x00af_9b00_0000_ffff, 0x00af_fb00_0000_ffff),
        0x4000 if long => (0x00af_9b00_0000_ffff, 0x00cf_fb00_0000_ffff),
        _ => (0x00cf_9b00_0000_ffff, 0x00cf_fb00_0000_ffff_u64),
    };
    let data = 0x00cf_9300_0000_ffff;
    for (n, entry) in [0, kernel, data, user, data | 0x6000_0000_0000]
        .into_iter()
        .enumerate()
    {
        put_u64(ram, GDT + 8 * n as u64, entry);
    }
    put_u64(ram, TSS + 4, KERNEL_STACK);
    if !long {
        put_u64(ram, TSS + 8, 0x10);
    }
    for vector in 0..256_u64 {
        let has_code = matches!(vector, 8 | 10..=14 | 17 | 21);
        let handler = HANDLERS + 0x10 * u64::from(has_code);
        let gate = handler & 0xffff | 0x08 << 16 | 0xee00 << 32;
        put_u64(ram, IDT_64 + 16 * vector, gate);
        put_u64(ram, IDT_32 + 8 * vector, gate);
        put(
            ram,
            4 * vector,
            &[0, 0, (HANDLERS >> 4) as u8, (HANDLERS >> 12) as u8],
        );
    }
    // Returns; returns behind an error code; a handler that goes on in the code.
    let (plain, coded): (&[u8], &[u8]) = match (setup.handler % 4, long) {
        (0, _) => (&[0xf4, 0xeb, 0xfd], &[0xf4, 0xeb, 0xfd]),
        (1, true) => (&[0x48, 0xcf], &[0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf]),
        (1, false) => (&[0xcf], &[0x83, 0xc4, 0x04, 0xcf]),
        (2, _) => (&[0xe9, 0xfb, 0x7f, 0, 0], &[0xe9, 0xfb, 0x7f, 0, 0]),
        _ => (&[0x0f, 0x0b], &[0xcc]),
    };
    put(ram, HANDLERS, plain);
    put(ram, HANDLERS + 0x10, coded);
    put(ram, HANDLERS + 0x100, &[0x0f, 0x07, 0xf4]);
    for page in 0..8 {
        put_u64(ram, DIRECTORY + 8 * page, page << 21 | 0xe7);
        put_u64(ram, LARGE_ROOT + 4 * page, page << 22 | 0xe7);
    }
    put_u64(ram, ROOT, DIRECTORY_POINTERS | 7);
    put_u64(ram, DIRECTORY_POINTERS, DIRECTORY | 7);
    put_u64(ram, PAE_POINTERS, DIRECTORY | 1);
    put(ram, CODE, code);
}

/// All page tables, but for what a walk marks in them.
pub fn tables(ram: &GuestRam) -> Vec<u64> {
    const MARKS: u64 = 0x60;
    let pages = [
        PAE_POINTERS,
        ROOT,
        LARGE_ROOT,
        DIRECTORY_POINTERS,
        DIRECTORY,
    ];
    let mut page = vec![0; 0x1000];
    let mut all = Vec::new();
    for at in pages {
        ram.read(at, &mut page).expect("RAM");
        let words = page.as_chunks().0.iter();
        all.extend(words.map(|word| u64::from_le_bytes(*word) & !(MARKS | MARKS << 32)));
    }
    all
}
