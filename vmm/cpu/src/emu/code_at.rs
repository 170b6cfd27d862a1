//! Disassembly: of the current instruction, its bytes and its text; of a piece of code.

use std::ops::Range;

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
    let machine = Machine::default();
    let mut cpu = Box::new(Cpu::new(Ram::new(ram.clone()), &machine, Place::ONLY, None));
    let _reading = ram.files().map(FileWindow::read_here);
    cpu.restore(state);
    let rip = state.regs.rip;
    let la = cpu.control.code_address(rip);
    let mut bytes = [0; LONGEST];
    let here = LONGEST.min(to_page_end(la) as usize);
    cpu.peek(la, &mut bytes, 0..here)?;
    // The next page is needed only if the instruction reaches into it.
    let beyond = cpu.control.code_address(rip.wrapping_add(here as u64));
    let readable = match cpu.peek(beyond, &mut bytes, here..LONGEST) {
        Some(()) => LONGEST,
        None => here,
    };
    let bytes = &bytes[..readable];
    let bitness = cpu.control.code_size.bitness();
    let decode = |options| Decoder::with_ip(bitness, bytes, rip, options).decode();
    // With the names of instructions that were once reserved no-ops.
    let named = decode(DecoderOptions::AMD);
    let insn = match named.is_invalid() {
        true => decode(options()),
        false => named,
    };
    let text = text(&mut formatter(), &insn);
    let len = if insn.is_invalid() {
        readable
    } else {
        insn.len()
    };
    Some(CodeAt {
        bytes: bytes[..len].to_vec(),
        text,
    })
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
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::AMD);
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
    /// Reads the bytes at `la`, all in one page, into `range` of `bytes`.
    fn peek(&mut self, la: u64, bytes: &mut [u8; LONGEST], range: Range<usize>) -> Option<()> {
        if range.is_empty() {
            return Some(());
        }
        if !canonical(la) {
            return None;
        }
        let found = self.walk(la, Want::Read, Privilege::SupervisorAc).ok()?;
        let host = self.mmu.ram.host(found.gpa)?;
        let part = &mut bytes[range];
        // SAFETY: `host` is good to the end of its page, where the range ends at the latest;
        // `part` is not guest memory.
        unsafe { std::ptr::copy_nonoverlapping(host, part.as_mut_ptr(), part.len()) };
        Some(())
    }
}
