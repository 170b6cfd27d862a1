//! The emulator's page walks over any tables, against a walk that is written as the manuals tell it
//! (Intel SDM vol. 3A 4.3 to 4.7, AMD APM vol. 2 5.2 and 5.3).
//!
//! ```text
//! 0 to 64 KiB    code, descriptors, stack and good tables, for the first entries of the roots
//! 64 to 128 KiB  16 pages of tables that the input fills
//! above          data: at each address, the address itself
//! ```
//!
//! One instruction accesses memory outside of the good part; where it faults, a handler stops with
//! the error code on its stack.

mod walk;

use cpu::emu::Emulator;
use vmm::cpu::{CpuState, Dtable, Msrs, Regs, Segment, Vcpu};
use vmm::exit::VmExit;
use vmm::memory::GuestRam;

use crate::machine::{emulator, put_u64, retired, task};
use crate::{COUNTS, Input, count};
use walk::{Walked, walk, word};

const RAM: u64 = 1 << 18;
/// The vector of the interrupt behind an access, and two exceptions.
const DONE: u64 = 0x20;
const PAGE_FAULT: u64 = 14;
const PROTECTION: u64 = 13;
/// Selectors of ring 0, for handlers.
const HANDLER_CODE: u64 = 0x18;
const HANDLER_DATA: u32 = 0x20;
const HLT: u8 = 0xf4;
const CODE: u64 = 0x8000;
/// Where each vector leads: a `hlt` of its own.
const HANDLERS: u64 = 0xa000;
const GDT: u64 = 0xb000;
const TSS: u64 = 0xb100;
const IDT: u64 = 0x9000;
const STACK: u64 = 0xf000;
/// Good tables: root, and what it leads to.
const GOOD: u64 = 0x1000;
const GOOD_DIRECTORY: u64 = 0x3000;
const GOOD_TABLE: u64 = 0x4000;
const PAE_POINTERS: u64 = 0x6000;
const OLD_ROOT: u64 = 0x7000;
const TABLES: u64 = 0x1_0000;
const DATA: u64 = 0x2_0000;

mod bit {
    pub const P: u64 = 1;
    pub const W: u64 = 1 << 1;
    pub const U: u64 = 1 << 2;
    pub const A: u64 = 1 << 5;
    pub const D: u64 = 1 << 6;
    pub const PS: u64 = 1 << 7;
    pub const NX: u64 = 1 << 63;
}
use bit::{A, D, NX, P, PS, U, W};

const CR0_WP: u64 = 1 << 16;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;
const EFER_NXE: u64 = 1 << 11;
const EFER_LONG: u64 = 1 << 8 | 1 << 10;
const FLAG_AC: u64 = 1 << 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Four,
    Pae,
    Old,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Read,
    Write,
    Fetch,
}

/// What is tried.
#[derive(Debug)]
struct Case {
    format: Format,
    want: Want,
    user: bool,
    wp: bool,
    smep: bool,
    smap: bool,
    ac: bool,
    nxe: bool,
    pse: bool,
    address: u64,
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let options = input.u16();
    let flag = |n: u32| options >> n & 1 != 0;
    let format = input.pick(&[Format::Four, Format::Pae, Format::Old]);
    let case = Case {
        format,
        want: input.pick(&[Want::Read, Want::Write, Want::Fetch]),
        user: flag(0),
        wp: flag(1),
        smep: flag(2),
        smap: flag(3),
        ac: flag(4),
        // Without it the good pages would be as good; so is NX in Old, where there is none.
        nxe: flag(5),
        pse: flag(6),
        address: address(format, &mut input),
    };
    let ram = GuestRam::new(RAM).expect("memory");
    prepare(&ram, &case, &mut input);
    let expected = walk(&ram, &case);
    let mut emulator = emulator(ram.clone());
    emulator.set_state(&state(&case)).expect("a state");
    emulator.set_instruction_limit(Some(8)).expect("it counts");
    check(&ram, &case, &expected, &mut emulator);
    count(&COUNTS.instructions, retired(&emulator));
}

/// An aligned address in the part of the address space that the input's tables are for.
fn address(format: Format, input: &mut Input) -> u64 {
    let any = input.u64() & !7;
    let page = u64::from(input.u16());
    match format {
        Format::Four => {
            // Few entries are in use, so that tables lead on.
            let indexes = [page & 3, page >> 2 & 3, page >> 4 & 3, 1 + (page >> 6 & 3)];
            let address = (0..4).fold(any & 0xfff, |sum, n| sum | indexes[n] << (12 + 9 * n));
            // Upper half: the entries from 256 on.
            match page >> 15 {
                0 => address,
                _ => address | 0xffff_8000_0000_0000,
            }
        }
        Format::Pae => {
            any & 0xfff | (page & 7) << 12 | (page >> 3 & 7) << 21 | (1 + (page >> 6) % 3) << 30
        }
        Format::Old => any & 0xfff | (page & 0x3ff) << 12 | (1 + (page >> 10 & 7)) << 22,
    }
}

fn prepare(ram: &GuestRam, case: &Case, input: &mut Input) {
    for at in (DATA..RAM).step_by(8) {
        let halts = u64::from_le_bytes([HLT; 8]);
        put_u64(ram, at, if case.want == Want::Fetch { halts } else { at });
    }
    good_part(ram, case);
    let code: &[u8] = match (case.format, case.want) {
        (Format::Four, Want::Read) => &[0x48, 0x8b, 0x03, 0xcd, 0x20],
        (Format::Four, Want::Write) => &[0x48, 0x89, 0x0b, 0xcd, 0x20],
        (_, Want::Read) => &[0x8b, 0x03, 0xcd, 0x20],
        (_, Want::Write) => &[0x89, 0x0b, 0xcd, 0x20],
        (_, Want::Fetch) => &[0xff, 0xe3],
    };
    ram.write(CODE, code).expect("RAM");
    // Entries: in which table, which of its first ones or of the roots', and what.
    let len = if case.format == Format::Old { 4 } else { 8 };
    while !input.is_empty() {
        let place = input.u8();
        let (table, index) = (u64::from(place & 15), u64::from(input.u8()));
        let at = match case.format {
            _ if place & 0xf0 != 0 => TABLES + table * 0x1000 + index % 8 * len,
            // Roots, but for the good entry.
            Format::Four => GOOD + [1, 2, 3, 4, 256, 257, 258, 259, 260][index as usize % 9] * 8,
            Format::Pae => PAE_POINTERS + (1 + index % 3) * 8,
            Format::Old => OLD_ROOT + (1 + index % 8) * 4,
        };
        let entry = entry(case, at, input);
        ram.write(at, &entry.to_le_bytes()[..len as usize])
            .expect("RAM");
    }
}

fn entry(case: &Case, at: u64, input: &mut Input) -> u64 {
    let (kind, flags) = (input.u8(), input.u16());
    let target = match kind % 4 {
        0 | 1 => TABLES + u64::from(flags >> 12) * 0x1000,
        2 => DATA + u64::from(kind >> 2) * 0x1000,
        _ => input.number() & 0x000f_ffff_ffff_f000,
    };
    let mut entry = target | u64::from(flags & 0xfff) | P;
    if kind & 0x40 != 0 {
        entry |= NX;
    }
    if kind & 0x80 != 0 {
        entry &= !PS;
    }
    // Others are refused as CR3 is loaded.
    if case.format == Format::Pae && (PAE_POINTERS..PAE_POINTERS + 32).contains(&at) {
        entry = target & 0xffff_ffff_f000 | u64::from(flags & 1);
    }
    entry
}

/// Identity for the first 64 KiB, with tables of all formats; code, descriptors and handlers.
fn good_part(ram: &GuestRam, case: &Case) {
    let all = P | W | U;
    put_u64(ram, GOOD, 0x2000 | all);
    put_u64(ram, 0x2000, GOOD_DIRECTORY | all);
    put_u64(ram, GOOD_DIRECTORY, GOOD_TABLE | all);
    put_u64(ram, PAE_POINTERS, GOOD_DIRECTORY | P);
    put_u64(ram, OLD_ROOT, 0x5000 | all);
    for page in 0..16_u64 {
        let user = if case.user && page == CODE >> 12 {
            U
        } else {
            0
        };
        let entry = page << 12 | P | W | A | D | user;
        put_u64(ram, GOOD_TABLE + 8 * page, entry);
        put_u64(ram, 0x5000 + 4 * page, entry);
    }
    let (code, len) = match case.format {
        Format::Four => (0x00af_9b00_0000_ffff, 16),
        _ => (0x00cf_9b00_0000_ffff, 8),
    };
    put_u64(ram, GDT + HANDLER_CODE, code);
    put_u64(ram, GDT + u64::from(HANDLER_DATA), 0x00cf_9300_0000_ffff);
    put_u64(ram, TSS + 4, STACK);
    if case.format != Format::Four {
        let data = HANDLER_DATA.to_le_bytes();
        ram.write(TSS + 8, &data).expect("RAM");
    }
    ram.write(HANDLERS, &[HLT; 256]).expect("RAM");
    for vector in 0..256 {
        const GATE: u64 = 0xee00;
        let gate = (HANDLERS + vector) | HANDLER_CODE << 16 | GATE << 32;
        put_u64(ram, IDT + len * vector, gate);
    }
}

fn segment(selector: u16, attributes: u16) -> Segment {
    Segment::flat(selector, attributes)
}

fn state(case: &Case) -> CpuState {
    let long = case.format == Format::Four;
    let ring = if case.user { 0x60 } else { 0 };
    let rpl = if case.user { 3 } else { 0 };
    let code = if long { 0xa09b } else { 0xc09b };
    let data = segment(0x10 | rpl, 0xc093 | ring);
    let mut gpr = [0; 16];
    gpr[Regs::RSP] = STACK;
    gpr[Regs::RBX] = case.address;
    gpr[Regs::RCX] = u64::MAX;
    let set = |wanted: bool, bits: u64| if wanted { bits } else { 0 };
    CpuState {
        regs: Regs {
            gpr,
            rip: CODE,
            rflags: 2 | set(case.ac, FLAG_AC),
        },
        cs: segment(0x08 | rpl, code | ring),
        ss: data,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        tr: task(TSS),
        gdt: Dtable {
            base: GDT,
            limit: 0xff,
        },
        idt: Dtable {
            base: IDT,
            limit: 0xfff,
        },
        cr0: 0x8000_0031 | set(case.wp, CR0_WP),
        cr3: match case.format {
            Format::Four => GOOD,
            Format::Pae => PAE_POINTERS,
            Format::Old => OLD_ROOT,
        },
        cr4: set(case.format != Format::Old, CR4_PAE)
            | set(case.pse, CR4_PSE)
            | set(case.smep, CR4_SMEP)
            | set(case.smap, CR4_SMAP),
        efer: set(long, EFER_LONG) | set(case.nxe, EFER_NXE),
        msrs: Msrs::default(),
        ..CpuState::default()
    }
}

/// Whether an access, or what a walk marks, may be to the good part or run it.
fn may_do_anything(case: &Case, gpa: u64, path: &[(u64, u64)]) -> bool {
    let is_root = |at: u64| (GOOD..GOOD + 0x1000).contains(&at) || at >> 12 == OLD_ROOT >> 12;
    gpa < TABLES
        || path.iter().any(|&(at, _)| at < TABLES && !is_root(at))
        // Tables are code as good as any.
        || case.want == Want::Fetch && gpa < DATA
}

fn check(ram: &GuestRam, case: &Case, expected: &Walked, emulator: &mut Emulator) {
    let len = if case.format == Format::Four { 8 } else { 4 };
    let entry_len = if case.format == Format::Old { 4 } else { 8 };
    let exit = emulator.run().expect("the emulator itself never fails");
    if matches!(expected, Ok((gpa, path)) if may_do_anything(case, *gpa, path)) {
        return;
    }
    let exit = match exit {
        VmExit::MmioRead { gpa, .. } | VmExit::MmioWrite { gpa, .. } => Some(gpa),
        VmExit::Failed { .. } | VmExit::Hlt => None,
        exit => panic!("{exit:x?}"),
    };
    let state = emulator.state().expect("a state");
    let vector = state.regs.rip.wrapping_sub(HANDLERS + 1);
    let (gpa, path) = match expected {
        Err(code) => {
            assert_eq!((exit, vector), (None, PAGE_FAULT), "{case:x?}");
            assert_eq!(state.cr2, case.address, "{case:x?}");
            let told = word(ram, state.regs.gpr[Regs::RSP], 4);
            assert_eq!(told, *code, "{case:x?}");
            return;
        }
        Ok((gpa, path)) => (*gpa, path),
    };
    let in_ram = gpa + len <= RAM;
    match case.want {
        Want::Fetch if !in_ram => return,
        Want::Fetch if case.user => assert_eq!((exit, vector), (None, PROTECTION), "{case:x?}"),
        Want::Fetch => assert_eq!(state.regs.rip, case.address + 1, "{case:x?}"),
        _ if !in_ram => assert_eq!(exit, Some(gpa), "{case:x?}"),
        Want::Read => {
            assert_eq!((exit, vector), (None, DONE), "{case:x?}");
            let read = state.regs.gpr[Regs::RAX];
            assert_eq!(read, word(ram, gpa, len), "{case:x?}");
        }
        Want::Write => {
            assert_eq!((exit, vector), (None, DONE), "{case:x?}");
            assert_eq!(word(ram, gpa, len), u64::MAX >> (64 - 8 * len), "{case:x?}");
        }
    }
    for &(at, _) in path.iter().filter(|(at, _)| at + entry_len <= RAM) {
        let overwritten = case.want == Want::Write && at + entry_len > gpa && at < gpa + len;
        if !overwritten {
            let same = path.iter().filter(|(other, _)| *other == at);
            let marked = same.fold(0, |all, (_, entry)| all | entry);
            assert_eq!(word(ram, at, entry_len), marked, "{at:x} in {case:x?}");
        }
    }
}
