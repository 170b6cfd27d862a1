//! Disassembly: of the current instruction, its bytes and its text; of a piece of code.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, NasmFormatter};

use crate::CpuState;
use crate::emu::code::op::LONGEST;
use crate::emu::cpu::{Cpu, Machine};
use crate::emu::decode::options;
use crate::emu::memory::ram::{Ram, to_page_end};
use crate::emu::memory::walk::Want;
use crate::emu::state::control::{Privilege, canonical};
use crate::memory::{FileWindow, GuestRam};
use crate::state::Place;

/// An instruction as it lies in guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeAt {
    /// Its bytes, 1 to 15; where they are no instruction, those that can be read.
    pub bytes: Vec<u8>,
    /// Its text in nasm's syntax, numbers in hexadecimal; `(bad)` for an invalid one.
    pub text: String,
}

/// The instruction at `state.regs.rip`, read through the guest's page tables. Whether the
/// guest itself may fetch it does not matter; the accessed bits are set as by a read.
///
/// `None` where no page is mapped or no RAM backs it.
pub fn instruction_at(ram: &GuestRam, state: &CpuState) -> Option<CodeAt> {
    let (bytes, bitness) = code(ram, state, state.regs.rip, LONGEST);
    if bytes.is_empty() {
        return None;
    }
    let decode = |options| Decoder::with_ip(bitness, &bytes, state.regs.rip, options).decode();
    // With the names of instructions that were once reserved no-ops.
    let named = decode(DecoderOptions::AMD);
    let insn = match named.is_invalid() {
        true => decode(options()),
        false => named,
    };
    let text = text(&mut formatter(), &insn);
    let len = if insn.is_invalid() {
        bytes.len()
    } else {
        insn.len()
    };
    Some(CodeAt {
        bytes: bytes[..len].to_vec(),
        text,
    })
}

/// The instruction at `state.regs.rip` between its neighbours: up to six of those from
/// `offset` bytes before on, where its function begins, and four after it. Without those before if
/// they do not lead to it; empty where it cannot be read.
pub fn listing(ram: &GuestRam, state: &CpuState, offset: u64) -> Vec<CodeLine> {
    let rip = state.regs.rip;
    let lead = usize::try_from(offset)
        .ok()
        .filter(|lead| *lead <= MOST_LEAD);
    let lead = lead.unwrap_or(0);
    let start = rip.wrapping_sub(lead as u64);
    let (bytes, bitness) = code(ram, state, start, lead + (1 + AFTER) * LONGEST);
    let mut lines = lines(&bytes, bitness, start);
    let at = lines.iter().position(|line| line.address == rip);
    match at {
        Some(at) => {
            lines.truncate(at + 1 + AFTER);
            lines.split_off(at.saturating_sub(BEFORE))
        }
        None if lead > 0 => listing(ram, state, 0),
        None => Vec::new(),
    }
}

/// Instructions of a [`listing`] before the one in question, and after it.
const BEFORE: usize = 6;
const AFTER: usize = 4;
/// Most bytes that are decoded to find those before.
const MOST_LEAD: usize = 4096;

/// The code from `rip` on, `len` bytes or as far as it can be read, and its size in bits.
fn code(ram: &GuestRam, state: &CpuState, rip: u64, len: usize) -> (Vec<u8>, u32) {
    let machine = Machine::default();
    let mut cpu = Box::new(Cpu::new(Ram::new(ram.clone()), &machine, Place::ONLY, None));
    let _reading = ram.files().map(FileWindow::read_here);
    cpu.restore(state);
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let la = cpu
            .control
            .code_address(rip.wrapping_add(bytes.len() as u64));
        let here = (len - bytes.len()).min(to_page_end(la) as usize);
        if cpu.peek(la, &mut bytes, here).is_none() {
            break;
        }
    }
    (bytes, cpu.control.code_size.bitness())
}

/// An instruction in a piece of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeLine {
    /// Where it is.
    pub address: u64,
    /// Its text, as of [`CodeAt`]; of a branch without its size.
    pub text: String,
}

/// The instructions of 64-bit `code` that is at `address`.
pub fn disassemble(code: &[u8], address: u64) -> Vec<CodeLine> {
    lines(code, 64, address)
}

fn lines(code: &[u8], bitness: u32, address: u64) -> Vec<CodeLine> {
    let decoder = Decoder::with_ip(bitness, code, address, DecoderOptions::AMD);
    let mut formatter = formatter();
    let style = formatter.options_mut();
    style.set_branch_leading_zeros(false);
    style.set_show_branch_size(false);
    let lines = decoder.into_iter().map(|insn| CodeLine {
        address: insn.ip(),
        text: text(&mut formatter, &insn),
    });
    lines.collect()
}

fn text(formatter: &mut NasmFormatter, insn: &Instruction) -> String {
    let mut text = String::new();
    formatter.format(insn, &mut text);
    text
}

fn formatter() -> NasmFormatter {
    let mut formatter = NasmFormatter::new();
    let style = formatter.options_mut();
    style.set_hex_prefix("0x");
    style.set_hex_suffix("");
    style.set_uppercase_hex(false);
    style.set_space_after_operand_separator(true);
    style.set_rip_relative_addresses(true);
    formatter
}

impl Cpu {
    /// Reads `len` bytes at `la`, all in one page, to the end of `bytes`.
    fn peek(&mut self, la: u64, bytes: &mut Vec<u8>, len: usize) -> Option<()> {
        if !canonical(la) {
            return None;
        }
        let found = self.walk(la, Want::Read, Privilege::SupervisorAc).ok()?;
        let host = self.mmu.ram.host(found.gpa)?;
        let part = bytes.len()..bytes.len() + len;
        bytes.resize(part.end, 0);
        let part = &mut bytes[part];
        // SAFETY: `host` is good to the end of its page, where `part` ends at the latest; that
        // is not guest memory.
        unsafe { std::ptr::copy_nonoverlapping(host, part.as_mut_ptr(), part.len()) };
        Some(())
    }
}
