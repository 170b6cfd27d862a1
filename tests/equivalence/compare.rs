//! Differences between two endings of one sequence, without undefined results.

use std::fmt;
use std::ops::Range;

use iced_x86::Mnemonic;
use x86::RFlags;
use x86::vector::{self, GP, SS};

use super::case::{Case, Registers, rflags_mask, x87_status_mask};
use super::ending::{End, Ending};
use super::explain;
use super::frame;
use super::fx::offset;
use super::layout::{self, PAGE, WRITABLE};
use super::machine::Machine;

/// One thing that two endings disagree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: String,
    pub left: String,
    pub right: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, left, right } = self;
        write!(f, "{what:10} {left:34} {right}")
    }
}

/// Not compared: software-backed KVM loses it at any exit.
const NT: u64 = RFlags::NESTED_TASK.bits();

/// Names of the general registers in the order of their numbers.
pub const GPR_NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// How closely two endings are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Whether x87 instruction and operand pointers are compared: AMD's processors do not
    /// keep them when the host saves and restores their state without an exception pending,
    /// which any exit may bring about. Processors differ in how many bits of an address they
    /// keep, at least 48.
    pub pointers: bool,
    /// Whether KVM made one of them, which explains some differences: see
    /// [`explain`](super::explain).
    pub by_kvm: bool,
    /// Whether what the manuals leave undefined is compared too: one emulator gives the same
    /// always, by either engine.
    pub undefined: bool,
}

/// All differences between the endings of `case`, without memory. What no sequence may
/// bring about is one even where both have it.
pub fn endings(case: &Case, left: &Ending, right: &Ending, scope: Scope) -> Vec<Difference> {
    let broken = matches!(left.end, End::Broken(_));
    if left == right && !broken {
        return Vec::new();
    }
    let mut list = List(Vec::new());
    let explained = || scope.by_kvm && explain::is_explained(case, &left.end, &right.end);
    if broken || left.end != right.end && !explained() {
        list.add("end", end_text(&left.end), end_text(&right.end));
    }
    let rip = match &left.end {
        End::Fault(fault) => fault.rip,
        _ => case.address() + case.code.iter().map(Vec::len).sum::<usize>() as u64,
    };
    let undefined = match scope.undefined {
        true => 0,
        false => case.undefined_at(rip),
    };
    let Registers { gpr, flags, fx, .. } = left.registers;
    let other = &right.registers;
    for (name, (a, b)) in GPR_NAMES.iter().zip(gpr.iter().zip(&other.gpr)) {
        list.compare(name, a, b);
    }
    let mask = !(rflags_mask(undefined) | NT);
    list.compare("rflags", &(flags & mask), &(other.flags & mask));
    list.compare("fs_base", &left.registers.fs_base, &other.fs_base);
    list.compare("gs_base", &left.registers.gs_base, &other.gs_base);
    let halves = left.registers.ymm_high.iter().zip(&other.ymm_high);
    for (number, (a, b)) in halves.enumerate() {
        list.compare(&format!("ymm{number}_high"), a, b);
    }
    let [mut fx, mut other_fx] = [fx, other.fx];
    if may_have_begun_mmx(case, &right.end) {
        fx = without_stack(fx);
        other_fx = without_stack(other_fx);
    }
    compare_fx(&mut list, undefined, &fx, &other_fx);
    if scope.pointers {
        compare_x87_pointers(&mut list, &fx, &other_fx);
    }
    list.0
}

/// Whether a fault of `case` may or may not have made MMX registers of the x87's. AMD's
/// processors do so before `maskmovq` comes to memory, software-backed KVM before any
/// store of an MMX register that it looks at; no manual says so.
fn may_have_begun_mmx(case: &Case, end: &End) -> bool {
    let End::Fault(fault) = end else {
        return false;
    };
    let refused = matches!(fault.vector, GP | SS);
    explain::instruction_at(case, fault.rip).is_some_and(|instruction| {
        instruction.mnemonic() == Mnemonic::Maskmovq
            || refused && instruction.op1_register().is_mm()
    })
}

/// An `fxsave64` image with its registers in the order of their numbers, all empty.
fn without_stack(mut image: [u8; 512]) -> [u8; 512] {
    const TOP: u8 = 0x38;
    const LEN: usize = 16;
    let top = usize::from((image[offset::FSW + 1] & TOP) >> 3);
    image[offset::FSW + 1] &= !TOP;
    image[offset::FTW] = 0;
    image[offset::ST..offset::XMM].rotate_right(top * LEN);
    image
}

fn compare_fx(list: &mut List, undefined: u32, left: &[u8; 512], right: &[u8; 512]) {
    let half = |image: &[u8; 512], at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
    let mut compare_half = |what: &str, at: usize, mask: u16| {
        list.compare(what, &(half(left, at) & mask), &(half(right, at) & mask));
    };
    compare_half("fcw", offset::FCW, u16::MAX);
    compare_half("fsw", offset::FSW, !x87_status_mask(undefined));
    compare_half("ftw", offset::FTW, u16::MAX);
    let mut compare_bytes = |what: String, at: usize, len: usize| {
        let (a, b) = (&left[at..at + len], &right[at..at + len]);
        if a != b {
            list.add(&what, hex(a), hex(b));
        }
    };
    compare_bytes("mxcsr".into(), offset::MXCSR, 4);
    for number in 0..8 {
        compare_bytes(format!("st{number}"), offset::ST + number * 16, 16);
    }
    for number in 0..16 {
        compare_bytes(format!("xmm{number}"), offset::XMM + number * 16, 16);
    }
}

fn compare_x87_pointers(list: &mut List, left: &[u8; 512], right: &[u8; 512]) {
    for (what, at, len) in [
        ("fop", offset::FOP, 2),
        ("fip", offset::FIP, 6),
        ("fdp", offset::FDP, 6),
    ] {
        let (a, b) = (&left[at..at + len], &right[at..at + len]);
        if a != b {
            list.add(what, hex(a), hex(b));
        }
    }
}

/// Bytes that are not looked at after `ending`: where `enter` faults, processors have
/// written some of the frame, below a stack pointer that has not moved. The emulator writes
/// nothing until it has checked all accesses.
pub fn unspecified(case: &Case, ending: &Ending) -> Range<u64> {
    /// The deepest frame, and the words around it.
    const LONGEST: u64 = 34 * 8;
    let End::Fault(fault) = &ending.end else {
        return 0..0;
    };
    let faulted = explain::opcode(&case.code_at(fault.rip)) == Some(explain::ENTER);
    let stack = ending.registers.gpr[frame::RSP];
    if faulted {
        stack.saturating_sub(LONGEST)..stack
    } else {
        0..0
    }
}

/// Differences between a writable page of a slot on two machines, `unspecified` bytes left
/// out.
pub fn page(
    slot: usize,
    page: usize,
    left: &[u8],
    right: &[u8],
    unspecified: &Range<u64>,
) -> Vec<Difference> {
    let mut list = List(Vec::new());
    if left != right {
        let start = layout::data(slot) + page as u64 * PAGE;
        let blank = |bytes: &[u8]| -> Vec<u8> {
            let numbered = (start..).zip(bytes);
            numbered
                .map(|(at, &byte)| if unspecified.contains(&at) { 0 } else { byte })
                .collect()
        };
        compare_page(&mut list, start, &blank(left), &blank(right));
    }
    list.0
}

/// Differences between the writable pages of `case` on two machines, of which the second
/// has `ending`.
pub fn memory(case: &Case, ending: &Ending, left: &Machine, right: &Machine) -> Vec<Difference> {
    let unspecified = unspecified(case, ending);
    let slot = case.slot;
    WRITABLE
        .into_iter()
        .flat_map(|at| {
            page(
                slot,
                at,
                left.page(slot, at),
                right.page(slot, at),
                &unspecified,
            )
        })
        .collect()
}

fn compare_page(list: &mut List, start: u64, left: &[u8], right: &[u8]) {
    const ROW: usize = 16;
    let rows = left.chunks_exact(ROW).zip(right.chunks_exact(ROW));
    for (address, (a, b)) in (start..).step_by(ROW).zip(rows) {
        if a != b {
            list.add(&format!("{address:#x}"), hex(a), hex(b));
        }
    }
}

struct List(Vec<Difference>);

impl List {
    fn add(&mut self, what: &str, left: String, right: String) {
        self.0.push(Difference {
            what: what.into(),
            left,
            right,
        });
    }
    fn compare<T: PartialEq + fmt::LowerHex>(&mut self, what: &str, left: &T, right: &T) {
        if left != right {
            self.add(what, format!("{left:#x}"), format!("{right:#x}"));
        }
    }
}

/// Bytes, the last first, as numbers are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .rev()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn end_text(end: &End) -> String {
    match end {
        End::Completed => "completed".into(),
        End::Stuck => "stuck".into(),
        End::NotRun => "not run".into(),
        End::Broken(what) => what.clone(),
        End::Fault(fault) => {
            let mut text = format!("vector {} at {:#x}", fault.vector, fault.rip);
            if layout::has_error_code(fault.vector) {
                text += &format!(" error {:#x}", fault.error_code);
            }
            if fault.vector == vector::PF {
                text += &format!(" cr2 {:#x}", fault.address);
            }
            if (fault.cs, fault.ss) != (0x33, 0x2b) {
                text += &format!(" cs {:#x} ss {:#x}", fault.cs, fault.ss);
            }
            text
        }
    }
}
