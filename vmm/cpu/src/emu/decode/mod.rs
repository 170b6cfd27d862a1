//! From bytes to blocks: iced-x86 decodes, families lower.
//!
//! A block ends with an instruction that may not continue with the next, at [`BLOCK_LIMIT`]
//! instructions, or at the end of its page (only a first instruction crosses it). Then
//! [`liveness`] finds the flags that handlers need not compute.

mod liveness;
mod refusal;
mod table;

use std::cell::Cell;

use iced_x86::{
    Code, Decoder as IcedDecoder, DecoderError, DecoderOptions, FlowControl, Instruction,
};

pub use table::form;

use crate::emu::code::op::{BLOCK_LIMIT, Block, LONGEST};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Outcome, Site};
use crate::emu::engine::{fall_through, invalid};
use crate::emu::memory::ram::PAGE;
use crate::emu::pairs;
use crate::emu::state::control::CodeSize;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::mxcsr::FpMode;
use liveness::follow_flags;
use refusal::refusal;

/// Most bytes read for one block.
const WINDOW: usize = BLOCK_LIMIT * LONGEST;

/// The decoder; its buffers are reused to save allocations.
pub struct Decoder {
    instructions: Vec<Instruction>,
    live: [bool; BLOCK_LIMIT],
    /// The instructions' bytes, and whatever follows.
    bytes: [u8; WINDOW],
    /// A block of one instruction that is not kept.
    single: Vec<u64>,
    shorten: Shorten,
}

/// Ends a block of 64-bit code, in this floating-point mode, after some of its instructions: at
/// least one.
pub type Shorten = fn(&mut Vec<Instruction>, FpMode);

impl Decoder {
    /// A decoder whose buffers are empty, with blocks as long as `shorten` leaves them.
    pub const fn new(shorten: Shorten) -> Self {
        Self {
            instructions: Vec::new(),
            live: [true; BLOCK_LIMIT],
            bytes: [0; WINDOW],
            single: Vec::new(),
            shorten,
        }
    }

    /// Decodes the block at `rip` into the code cache.
    ///
    /// # Errors
    /// The fetch of its first instruction faults.
    pub fn block(&mut self, cpu: &mut Cpu, rip: u64) -> Result<*const Block, Stop> {
        let header = self.decode(cpu, rip, BLOCK_LIMIT)?;
        let count = self.instructions.len();
        // This may empty the cache and so renew the context.
        let block = cpu.code.allocate(count + 1);
        header.ctx.set(cpu.code.ctx);
        // SAFETY: the room is for `count + 1` ops.
        unsafe { self.lower(cpu, header, block) };
        // SAFETY: `lower` has just written it, and leaves the cache as it is.
        unsafe { cpu.add_block(block) };
        Ok(block)
    }

    /// Decodes the one instruction at `rip` into a block that lasts until the next call.
    ///
    /// # Errors
    /// Its fetch faults.
    pub fn single(&mut self, cpu: &mut Cpu, rip: u64) -> Result<*const Block, Stop> {
        let header = self.decode(cpu, rip, 1)?;
        let mut room = std::mem::take(&mut self.single);
        room.resize(Block::size(2).div_ceil(8), 0);
        let block = room.as_mut_ptr().cast();
        self.single = room;
        // SAFETY: the room, which stays where it is when the vector moves, is for two
        // ops.
        unsafe { self.lower(cpu, header, block) };
        Ok(block)
    }

    /// Decodes up to `limit` instructions into `instructions`.
    fn decode(&mut self, cpu: &mut Cpu, rip: u64, limit: usize) -> Result<Block, Stop> {
        if cpu.code.stubs.is_full() {
            cpu.code.clear();
        }
        let (gpa, host) = cpu.fetch_page(rip)?;
        let in_page = (PAGE - gpa % PAGE) as usize;
        // Where the code segment ends, code does.
        let in_segment = (cpu.control.code_limit() - rip).min(WINDOW as u64) as usize + 1;
        let mut bytes = [0; WINDOW];
        let wanted = in_page.min(limit * LONGEST).min(in_segment);
        // SAFETY: `host` is good to the end of its page.
        unsafe { std::ptr::copy_nonoverlapping(host, bytes.as_mut_ptr(), wanted) };

        let instructions = &mut self.instructions;
        instructions.clear();
        let code_size = cpu.control.code_size;
        let error = decode_run(code_size, rip, &bytes[..wanted], limit, instructions);
        if code_size == CodeSize::Bits64 {
            (self.shorten)(instructions, cpu.control.fp_mode);
        }
        let mut second_page = u64::MAX;
        if instructions.is_empty() {
            let mut available = wanted;
            if error == DecoderError::NoMoreBytes && in_page < LONGEST.min(in_segment) {
                let (next, host) = cpu.fetch_page(rip.wrapping_add(in_page as u64))?;
                second_page = next;
                // SAFETY: `host` is the start of a page.
                unsafe {
                    let rest = bytes.as_mut_ptr().add(in_page);
                    std::ptr::copy_nonoverlapping(host, rest, LONGEST - in_page);
                }
                available = LONGEST.min(in_segment);
            }
            let bytes = &bytes[..available.min(LONGEST)];
            let instructions = &mut self.instructions;
            let error = decode_run(code_size, rip, bytes, 1, instructions);
            if instructions.is_empty() {
                if error == DecoderError::NoMoreBytes {
                    // Longer than 15 bytes, or than the segment.
                    return Err(Exception::GP.into());
                }
                // All bytes count that may have made it invalid: what the guest writes to them
                // may make it another one.
                let mut invalid = Instruction::new();
                invalid.set_len(bytes.len());
                invalid.set_next_ip(rip.wrapping_add(bytes.len() as u64));
                instructions.push(invalid);
            }
        }
        self.bytes = bytes;
        let instructions = &self.instructions;
        let len: usize = instructions.iter().map(Instruction::len).sum();
        Ok(Block {
            ctx: Cell::new(0),
            rip,
            phys: gpa,
            second_page: if len > in_page { second_page } else { u64::MAX },
            code: Cell::new(cpu.code.translator.map_or(0, |translator| translator.code)),
            own_handler: Cell::new(std::ptr::null()),
            region: Cell::new(0),
            heat: Cell::new(0),
            len: len as u16,
            count: instructions.len() as u8,
            mode: cpu.code.mode(),
            limit: cpu.code.limit(),
        })
    }

    /// Writes the block of `instructions`.
    ///
    /// # Safety
    /// There is room for one op more than there are instructions.
    unsafe fn lower(&mut self, cpu: &mut Cpu, header: Block, block: *mut Block) {
        let (size, fp) = (cpu.control.code_size, cpu.control.fp_mode);
        follow_flags(&self.instructions, &mut self.live, fp);
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
        for (n, insn) in self.instructions.iter().enumerate() {
            let off = insn.ip().wrapping_sub(rip) as u16;
            let mut bytes = [0; LONGEST];
            for (to, from) in bytes
                .iter_mut()
                .zip(self.bytes.iter().skip(usize::from(off)))
            {
                *to = *from;
            }
            let form = form(insn.code());
            let refusal = refusal(fp, insn);
            let stub = match refusal {
                None if form.stub => cpu.code.stubs.get(insn),
                _ => None,
            };
            let site = Site {
                bytes,
                size,
                fp,
                next_rip: cpu.control.wrapped(insn.next_ip()),
                limit: cpu.control.code_limit(),
                flags_live: self.live[n],
                stub,
                following: self
                    .instructions
                    .get(n + 1)
                    .map_or(Code::INVALID, Instruction::code),
            };
            let mut op = Op::new(invalid::HANDLER);
            let lower = refusal.unwrap_or(form.lower);
            lower(&site, insn, &mut op);
            write(n, op, off);
        }
        let mut end = Op::new(fall_through);
        end.set_distance(0);
        write(usize::from(count), end, len);
        // SAFETY: so many ops were just written there.
        let ops = unsafe { std::slice::from_raw_parts_mut(ops, usize::from(count)) };
        pairs::choose(&self.instructions, &self.live, ops);
    }
}

/// How the decoder reads bytes: see [`DecoderOptions`].
pub fn options() -> u32 {
    // Without CET, MPX and the like their instructions are reserved no-ops.
    DecoderOptions::AMD | DecoderOptions::FORCE_RESERVED_NOP
}

/// Whether the instruction is executed in mode `fp`: otherwise it is #UD or #NM.
pub fn executes(insn: &Instruction, fp: FpMode) -> bool {
    form(insn.code()).code == insn.code() && refusal(fp, insn).is_none()
}

/// Whether a block ends after such an instruction, though control goes on to the next.
pub fn ends_block(code: Code) -> bool {
    form(code).outcome == Outcome::End
}

/// Decodes up to `limit` instructions of one block from `bytes`, and says why it ended
/// before the block did.
pub fn decode_run(
    size: CodeSize,
    rip: u64,
    bytes: &[u8],
    limit: usize,
    instructions: &mut Vec<Instruction>,
) -> DecoderError {
    let bitness = size.bitness();
    let mut decoder = IcedDecoder::with_ip(bitness, bytes, rip, options());
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
        let ends = insn.flow_control() != FlowControl::Next || ends_block(insn.code());
        instructions.push(insn);
        if ends {
            break;
        }
    }
    DecoderError::None
}

/// Corrects a `pause` of `bytes`: on a processor it is an exchange of r8 with REX.B,
/// whatever the repeat prefixes, which the decoder takes otherwise.
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
    let mut decoder = IcedDecoder::with_ip(bitness, &plain[..len], pause.ip(), options());
    let mut exchange = decoder.decode();
    exchange.set_len(pause.len());
    exchange.set_next_ip(pause.next_ip());
    exchange
}
