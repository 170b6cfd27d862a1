//! Sequences as text files, to be read by people and run again.
//!
//! ```text
//! # what it showed when it was found
//! slot 3
//! start 0x120
//! code 48ffc0                      # inc rax
//! rax 0x1
//! flags 0x202
//! fcw 0x37f
//! xmm0 00000000000000003ff0000000000000
//! data 0x0010 0102030405060708
//! missing 0x3
//! expect end vector 14 error 0x6 address 0x404010 rip 0x400123
//! expect rax 0x2
//! expect data 0x0010 0202030405060708
//! ```
//!
//! Registers that are not named are zero; so is data. `flags`, `fcw` and `mxcsr` are as
//! after reset. Vector registers are written as numbers, data byte by byte. `missing`
//! names pages that are mapped when they are first touched (see [`super::layout::cr3`]).
//! What is not expected to change is not named; `expect end completed` is the other end.

use std::sync::Arc;

use iced_x86::{Formatter, NasmFormatter};
use vmm::cpu::FxState;
use x86::vector;

use super::case::{Case, INITIAL_FLAGS, Patch, Registers};
use super::compare::{GPR_NAMES, hex};
use super::ending::{End, Ending, Fault};
use super::fx::offset;
use super::layout::{self, CODE_LEN, DATA_LEN, SLOTS, selector};

/// Fields of the `fxsave64` image that are named: name, place, bytes.
fn fx_fields() -> impl Iterator<Item = (String, usize, usize)> {
    let words = [
        ("fcw", offset::FCW, 2),
        ("fsw", offset::FSW, 2),
        ("ftw", offset::FTW, 1),
        ("fop", offset::FOP, 2),
        ("fip", offset::FIP, 8),
        ("fdp", offset::FDP, 8),
        ("mxcsr", offset::MXCSR, 4),
    ];
    let words = words.map(|(name, at, len)| (name.to_owned(), at, len));
    let st = (0..8).map(|i| (format!("st{i}"), offset::ST + i * 16, 10));
    let xmm = (0..16).map(|i| (format!("xmm{i}"), offset::XMM + i * 16, 16));
    words.into_iter().chain(st).chain(xmm)
}

/// The instructions of `case`, one a line, as `code` lines.
pub fn listing(case: &Case) -> String {
    let mut text = String::new();
    let mut formatter = NasmFormatter::new();
    for (instruction, bytes) in case.instructions().iter().zip(&case.code) {
        let mut assembler = String::new();
        formatter.format(instruction, &mut assembler);
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("code {bytes:32} # {assembler}\n");
    }
    text
}

/// How a sequence is to end, and what it is to write.
#[derive(Clone, Debug)]
pub struct Expected {
    pub ending: Ending,
    /// Changes of data.
    pub memory: Vec<Patch>,
}

/// A sequence that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub case: Case,
    /// Pages that are missing at first, if it is about serving faults.
    pub missing: Option<usize>,
    /// `None` if it is not known yet.
    pub expected: Option<Expected>,
}

/// `kept` as text.
pub fn write(kept: &Kept) -> String {
    let Kept {
        case,
        missing,
        expected,
    } = kept;
    let mut text = format!("slot {}\nstart {:#x}\n", case.slot, case.start);
    text += &listing(case);
    let initial = initial_registers();
    text += &registers("", &case.registers, &initial);
    for (row, bytes) in case.data().chunks(ROW).enumerate() {
        if bytes.iter().any(|&byte| byte != 0) {
            text += &data("", row * ROW, bytes);
        }
    }
    if let Some(missing) = missing {
        text += &format!("missing {missing:#x}\n");
    }
    if let Some(Expected { ending, memory }) = expected {
        text += &format!("expect end {}\n", end(&ending.end));
        text += &registers("expect ", &ending.registers, &case.registers);
        for Patch { offset, bytes } in memory {
            text += &data("expect ", *offset, bytes);
        }
    }
    text
}

/// Bytes of data in a line.
pub const ROW: usize = 16;

fn data(prefix: &str, offset: usize, bytes: &[u8]) -> String {
    let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}data {offset:#06x} {bytes}\n")
}

fn end(end: &End) -> String {
    let End::Fault(fault) = end else {
        return "completed".into();
    };
    let mut text = format!("vector {}", fault.vector);
    if layout::has_error_code(fault.vector) {
        text += &format!(" error {:#x}", fault.error_code);
    }
    if fault.vector == vector::PF {
        text += &format!(" address {:#x}", fault.address);
    }
    text + &format!(" rip {:#x}", fault.rip)
}

/// Registers that differ from those `before`, a line each.
fn registers(prefix: &str, now: &Registers, before: &Registers) -> String {
    let words = |registers: &Registers| {
        let others = [registers.flags, registers.fs_base, registers.gs_base];
        registers.gpr.into_iter().chain(others)
    };
    let mut text = String::new();
    for ((name, value), usual) in WORDS.iter().zip(words(now)).zip(words(before)) {
        if value != usual {
            text += &format!("{prefix}{name} {value:#x}\n");
        }
    }
    for (name, at, len) in fx_fields() {
        let field = at..at + len;
        if now.fx[field.clone()] != before.fx[field.clone()] {
            text += &format!("{prefix}{name} {}\n", hex(&now.fx[field]));
        }
    }
    for (number, (value, usual)) in now.ymm_high.iter().zip(&before.ymm_high).enumerate() {
        if value != usual {
            text += &format!("{prefix}ymm{number}_high {value:#x}\n");
        }
    }
    text
}

/// The number of the register whose high half is named.
fn high_half(name: &str) -> Option<usize> {
    let number = name.strip_prefix("ymm")?.strip_suffix("_high")?;
    number.parse().ok().filter(|&number| number < 16)
}

/// Names of the registers that are words.
const WORDS: [&str; 19] = {
    let mut names = [""; 19];
    let mut i = 0;
    while i < GPR_NAMES.len() {
        names[i] = GPR_NAMES[i];
        i += 1;
    }
    [names[16], names[17], names[18]] = ["flags", "fs_base", "gs_base"];
    names
};

fn initial_registers() -> Registers {
    Registers {
        flags: INITIAL_FLAGS,
        fx: FxState::initial().0,
        ..Registers::ZERO
    }
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// The invalid line.
pub fn read(text: &str) -> Result<Kept, String> {
    let case = Case {
        slot: 0,
        start: 0,
        code: Vec::new(),
        registers: initial_registers(),
        image: Arc::new([0; DATA_LEN]),
        patches: Vec::new(),
    };
    let mut kept = Kept {
        case,
        missing: None,
        expected: None,
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            read_line(&mut kept, line).ok_or_else(|| format!("this makes no sense: {line}"))?;
        }
    }
    if kept.case.slot >= SLOTS || kept.case.start >= CODE_LEN {
        return Err("no such slot or start".into());
    }
    Ok(kept)
}

fn read_line(kept: &mut Kept, line: &str) -> Option<()> {
    let (name, value) = line.split_once(char::is_whitespace)?;
    let value = value.trim();
    let case = &mut kept.case;
    match name {
        "slot" => case.slot = value.parse().ok()?,
        "start" => case.start = number(value)? as usize,
        "code" => case.code.push(bytes(value)?),
        "data" => case.patches.push(patch(value)?),
        "missing" => kept.missing = Some(number(value)? as usize),
        "expect" => read_expected(kept, value)?,
        _ => read_register(&mut case.registers, name, value)?,
    }
    Some(())
}

fn read_expected(kept: &mut Kept, line: &str) -> Option<()> {
    let (name, value) = line.split_once(char::is_whitespace)?;
    if name == "end" {
        kept.expected = Some(Expected {
            ending: Ending {
                end: read_end(value)?,
                registers: kept.case.registers,
            },
            memory: Vec::new(),
        });
        return Some(());
    }
    let expected = kept.expected.as_mut()?;
    match name {
        "data" => expected.memory.push(patch(value.trim())?),
        _ => read_register(&mut expected.ending.registers, name, value.trim())?,
    }
    Some(())
}

fn read_end(text: &str) -> Option<End> {
    if text == "completed" {
        return Some(End::Completed);
    }
    let mut fault = Fault {
        vector: 0,
        error_code: 0,
        address: 0,
        rip: 0,
        cs: selector::USER_CODE.into(),
        ss: selector::USER_DATA.into(),
    };
    let mut words = text.split_whitespace();
    while let Some(name) = words.next() {
        let value = words.next()?;
        match name {
            "vector" => fault.vector = value.parse().ok()?,
            "error" => fault.error_code = number(value)?,
            "address" => fault.address = number(value)?,
            "rip" => fault.rip = number(value)?,
            _ => return None,
        }
    }
    Some(End::Fault(fault))
}

fn read_register(registers: &mut Registers, name: &str, value: &str) -> Option<()> {
    match name {
        "flags" => registers.flags = number(value)?,
        "fs_base" => registers.fs_base = number(value)?,
        "gs_base" => registers.gs_base = number(value)?,
        _ if high_half(name).is_some() => {
            let digits = value.strip_prefix("0x")?;
            registers.ymm_high[high_half(name)?] = u128::from_str_radix(digits, 16).ok()?;
        }
        _ => match GPR_NAMES.iter().position(|&other| other == name) {
            Some(register) => registers.gpr[register] = number(value)?,
            None => {
                let (_, at, len) = fx_fields().find(|(other, ..)| other == name)?;
                let mut bytes = bytes(value)?;
                bytes.reverse();
                registers.fx[at..at + len].copy_from_slice(bytes.get(..len)?);
            }
        },
    }
    Some(())
}

fn patch(text: &str) -> Option<Patch> {
    let (offset, row) = text.split_once(char::is_whitespace)?;
    let (offset, bytes) = (number(offset)? as usize, bytes(row.trim())?);
    let fits = offset.checked_add(bytes.len())? <= DATA_LEN;
    fits.then_some(Patch { offset, bytes })
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
