//! From bytes to blocks: iced-x86 decodes, families lower.
//!
//! A block goes on until an instruction that may not continue with the next, until
//! [`BLOCK_LIMIT`], or to the end of its page (only a first instruction crosses it).
//! Then flags are followed backwards: an instruction whose flags are overwritten before
//! anything can look at them (a reader, a fault, the end of the block) is lowered to a
//! handler that does not compute them.

use iced_x86::{
    Code, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, OpKind, RflagsBits,
};

use super::cpu::{CodeSize, Cpu};
use super::engine::fall_through;
use super::exception::{Exception, Stop};
use super::fp::{self, FpMode};
use super::op::{BLOCK_LIMIT, Block, Op};
use super::ops;
use super::ram::PAGE;

/// Longest instruction, in bytes.
pub(super) const LONGEST: usize = 15;
/// Bytes looked at for one block.
const WINDOW: usize = BLOCK_LIMIT * LONGEST;

/// What a family must know beside the instruction itself.
pub(super) struct Site {
    /// Code size.
    pub(super) size: CodeSize,
    /// How floating point is executed.
    pub(super) fp: FpMode,
    /// Where the next instruction begins.
    pub(super) next_rip: u64,
    /// Whether anything can see the flags that the instruction writes.
    pub(super) flags_live: bool,
    /// The instruction's bytes, and whatever follows.
    pub(super) bytes: [u8; LONGEST],
    /// The instruction that follows in the block, if one does.
    pub(super) following: Code,
}

/// Fills in `handler` and operands of an op.
pub(super) type Lower = fn(&Site, &Instruction, &mut Op);

/// How one `Code` is executed.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) code: Code,
    pub(super) lower: Lower,
    /// Whether a block ends with it.
    pub(super) ends: bool,
}

impl Form {
    /// An instruction that goes on to the next.
    pub(super) const fn next(code: Code, lower: Lower) -> Self {
        Self {
            code,
            lower,
            ends: false,
        }
    }
    /// An instruction that ends a block: its handler is made by
    /// [`branch`](super::engine::branch), [`jump`](super::engine::jump) or
    /// [`last`](super::engine::last).
    pub(super) const fn end(code: Code, lower: Lower) -> Self {
        Self {
            code,
            lower,
            ends: true,
        }
    }
}

/// Number of iced's codes; a test compares.
const CODES: usize = 4936;

/// From `Code` to what executes it; #UD where no family has it.
static TABLE: [Form; CODES] = build(ops::FAMILIES);

const fn build(families: &[&[Form]]) -> [Form; CODES] {
    let mut table = [Form::end(Code::INVALID, ops::invalid::lower); CODES];
    let mut f = 0;
    while f < families.len() {
        let mut i = 0;
        while i < families[f].len() {
            let form = families[f][i];
            assert!(
                matches!(table[form.code as usize].code, Code::INVALID),
                "a code that two families claim"
            );
            table[form.code as usize] = form;
            i += 1;
        }
        f += 1;
    }
    table
}

/// How `code` is executed.
pub(super) fn form(code: Code) -> &'static Form {
    &TABLE[code as usize % CODES]
}

/// The decoder's working memory, kept to save allocations.
pub(super) struct Scratch {
    instructions: Vec<Instruction>,
    live: [bool; BLOCK_LIMIT],
    /// The instructions' bytes, and whatever follows.
    bytes: [u8; WINDOW],
    /// A block of one instruction that is not kept.
    single: Vec<u64>,
}

impl Scratch {
    pub(super) const fn new() -> Self {
        Self {
            instructions: Vec::new(),
            live: [true; BLOCK_LIMIT],
            bytes: [0; WINDOW],
            single: Vec::new(),
        }
    }
}

impl Cpu {
    /// Decodes the block at `rip` and keeps it.
    ///
    /// # Errors
    /// The fetch of its first instruction faults.
    pub(super) fn decode_block(&mut self, rip: u64) -> Result<*const Block, Stop> {
        let header = self.decode(rip, BLOCK_LIMIT)?;
        let count = self.code.scratch.instructions.len();
        let block = self.code.allocate(count + 1);
        // The cache may have been emptied and with it the context renewed.
        self.select_ctx();
        header.ctx.set(self.ctx);
        // SAFETY: the room is for `count + 1` ops.
        unsafe { self.lower(header, block) };
        self.add_block(block);
        Ok(block)
    }

    /// Decodes the one instruction at `rip` into a block that lasts until the next call.
    ///
    /// # Errors
    /// Its fetch faults.
    pub(super) fn decode_single(&mut self, rip: u64) -> Result<*const Block, Stop> {
        let header = self.decode(rip, 1)?;
        let mut room = std::mem::take(&mut self.code.scratch.single);
        room.resize(Block::size(2).div_ceil(8), 0);
        let block = room.as_mut_ptr().cast();
        self.code.scratch.single = room;
        // SAFETY: the room, which stays where it is when the vector moves, is for two
        // ops.
        unsafe { self.lower(header, block) };
        Ok(block)
    }

    /// Decodes up to `limit` instructions into the scratch memory.
    fn decode(&mut self, rip: u64, limit: usize) -> Result<Block, Stop> {
        let (gpa, host) = self.fetch_page(rip)?;
        let in_page = (PAGE - gpa % PAGE) as usize;
        let mut bytes = [0; WINDOW];
        let wanted = in_page.min(limit * LONGEST);
        // SAFETY: `host` is good to the end of its page.
        unsafe { std::ptr::copy_nonoverlapping(host, bytes.as_mut_ptr(), wanted) };

        let instructions = &mut self.code.scratch.instructions;
        instructions.clear();
        let code_size = self.code_size;
        let error = decode_run(code_size, rip, &bytes[..wanted], limit, instructions);
        let mut second_page = u64::MAX;
        if instructions.is_empty() {
            let mut available = wanted;
            if error == DecoderError::NoMoreBytes && in_page < LONGEST {
                let (next, host) = self.fetch_page(rip.wrapping_add(in_page as u64))?;
                second_page = next;
                // SAFETY: `host` is the start of a page.
                unsafe {
                    let rest = bytes.as_mut_ptr().add(in_page);
                    std::ptr::copy_nonoverlapping(host, rest, LONGEST - in_page);
                }
                available = LONGEST;
            }
            let bytes = &bytes[..available.min(LONGEST)];
            let instructions = &mut self.code.scratch.instructions;
            let error = decode_run(code_size, rip, bytes, 1, instructions);
            if instructions.is_empty() {
                if error == DecoderError::NoMoreBytes {
                    // Longer than 15 bytes.
                    return Err(Exception::GP.into());
                }
                let mut invalid = Instruction::new();
                invalid.set_len(1);
                invalid.set_next_ip(rip.wrapping_add(1));
                instructions.push(invalid);
            }
        }
        self.code.scratch.bytes = bytes;
        let instructions = &self.code.scratch.instructions;
        let len: usize = instructions.iter().map(Instruction::len).sum();
        Ok(Block {
            ctx: std::cell::Cell::new(0),
            rip,
            phys: gpa,
            second_page: if len > in_page { second_page } else { u64::MAX },
            len: len as u16,
            count: instructions.len() as u8,
            mode: self.decode_mode(),
        })
    }

    /// Writes the block of the scratch instructions.
    ///
    /// # Safety
    /// There is room for one op more than there are instructions.
    unsafe fn lower(&mut self, header: Block, block: *mut Block) {
        let scratch = &mut self.code.scratch;
        follow_flags(&scratch.instructions, &mut scratch.live, self.fp_mode);
        let (rip, len, count) = (header.rip, header.len, header.count);
        // SAFETY: the caller vouches for the room.
        unsafe { block.write(header) };
        let ops = Block::first(block).cast_mut();
        let write = |n: usize, mut op: Op, off: u16| {
            op.n = n as u8;
            op.off = off;
            // SAFETY: as above; `n` is at most the number of instructions.
            unsafe { ops.add(n).write(op) };
        };
        for (n, insn) in scratch.instructions.iter().enumerate() {
            let off = insn.ip().wrapping_sub(rip) as u16;
            let mut bytes = [0; LONGEST];
            for (to, from) in bytes
                .iter_mut()
                .zip(scratch.bytes.iter().skip(usize::from(off)))
            {
                *to = *from;
            }
            let site = Site {
                bytes,
                size: self.code_size,
                fp: self.fp_mode,
                next_rip: insn.next_ip(),
                flags_live: scratch.live[n],
                following: scratch
                    .instructions
                    .get(n + 1)
                    .map_or(Code::INVALID, Instruction::code),
            };
            let mut op = Op::new(ops::invalid::HANDLER);
            let lower = fp::refusal(site.fp, insn).unwrap_or(form(insn.code()).lower);
            lower(&site, insn, &mut op);
            write(n, op, off);
        }
        let mut end = Op::new(fall_through);
        end.set_distance(0);
        write(usize::from(count), end, len);
        // SAFETY: so many ops were just written there.
        let ops = unsafe { std::slice::from_raw_parts_mut(ops, usize::from(count)) };
        ops::pairs::combine(&scratch.instructions, &scratch.live, ops);
    }
}

/// How the decoder reads bytes: see [`DecoderOptions`].
pub(super) fn options() -> u32 {
    // Without CET, MPX and the like their instructions are the no-ops that they were made of.
    DecoderOptions::AMD | DecoderOptions::FORCE_RESERVED_NOP
}

/// Decodes up to `limit` instructions of one block from `bytes`, and says why it ended
/// before the block did.
fn decode_run(
    size: CodeSize,
    rip: u64,
    bytes: &[u8],
    limit: usize,
    instructions: &mut Vec<Instruction>,
) -> DecoderError {
    let bitness = size.bitness();
    let mut decoder = Decoder::with_ip(bitness, bytes, rip, options());
    while instructions.len() < limit && decoder.can_decode() {
        let start = decoder.position();
        let mut insn = decoder.decode();
        if insn.code() == Code::Pause {
            insn = pause_or_exchange(insn, bitness, &bytes[start..decoder.position()]);
        }
        if insn.is_invalid() {
            let error = decoder.last_error();
            if error != DecoderError::NoMoreBytes && !instructions.is_empty() {
                // It gets a block of its own.
                return DecoderError::None;
            }
            return error;
        }
        let ends = insn.flow_control() != FlowControl::Next || form(insn.code()).ends;
        instructions.push(insn);
        if ends {
            break;
        }
    }
    DecoderError::None
}

/// What a `pause` of `bytes` is on a processor: with REX.B it is an exchange of r8, and
/// its repeat prefixes mean nothing, which the decoder takes otherwise.
fn pause_or_exchange(pause: Instruction, bitness: u32, bytes: &[u8]) -> Instruction {
    let rex_b = bytes
        .len()
        .checked_sub(2)
        .and_then(|at| bytes.get(at))
        .is_some_and(|byte| byte & 0xf1 == 0x41);
    if bitness != 64 || !rex_b {
        return pause;
    }
    let mut plain = [0; LONGEST];
    let mut len = 0;
    for (to, &byte) in plain.iter_mut().zip(bytes.iter().filter(|&&b| b != 0xf3)) {
        *to = byte;
        len += 1;
    }
    let mut decoder = Decoder::with_ip(bitness, &plain[..len], pause.ip(), options());
    let mut exchange = decoder.decode();
    exchange.set_len(pause.len());
    exchange.set_next_ip(pause.next_ip());
    exchange
}

/// The flags that the engine keeps in [`super::flags::Flags`].
const ARITHMETIC: u32 = RflagsBits::OF
    | RflagsBits::SF
    | RflagsBits::ZF
    | RflagsBits::AF
    | RflagsBits::CF
    | RflagsBits::PF;

/// Marks the instructions whose flags something may see.
fn follow_flags(instructions: &[Instruction], live: &mut [bool; BLOCK_LIMIT], fp: FpMode) {
    let mut wanted = ARITHMETIC;
    for (insn, live) in instructions.iter().zip(live.iter_mut()).rev() {
        let written = insn.rflags_modified() & ARITHMETIC;
        *live = written & wanted != 0;
        if !quiet(insn, fp) {
            wanted = ARITHMETIC;
        } else if by_variable_count(insn) {
            wanted |= insn.rflags_read();
        } else {
            wanted = wanted & !written | insn.rflags_read();
        }
    }
}

/// Whether the instruction can neither fault nor leave the engine: one of those known
/// not to, on registers and immediates.
fn quiet(insn: &Instruction, fp: FpMode) -> bool {
    (0..insn.op_count()).all(|i| insn.op_kind(i) != OpKind::Memory)
        && (ops::is_quiet(insn)
            || fp.quiet()
                && ops::sse::is_quiet(insn)
                && form(insn.code()).code != Code::INVALID
                && fp::refusal(fp, insn).is_none())
}

/// Whether the instruction writes no flags if a register is zero.
fn by_variable_count(insn: &Instruction) -> bool {
    insn.op_count() > 1
        && insn.op_kind(insn.op_count() - 1) == OpKind::Register
        && insn.op_register(insn.op_count() - 1) == iced_x86::Register::CL
        && ops::is_shift(insn)
}

#[cfg(test)]
mod tests {
    use iced_x86::Code;

    use super::{CODES, form};

    #[test]
    fn every_code_has_a_place_of_its_own() {
        assert_eq!(Code::values().len(), CODES);
        for code in Code::values() {
            assert!([code, Code::INVALID].contains(&form(code).code), "{code:?}");
        }
    }
}
