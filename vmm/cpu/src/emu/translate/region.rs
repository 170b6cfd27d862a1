//! What is translated together: a block, and those in its page to which direct branches lead
//! that were taken.
//!
//! All blocks of a region are in one page, so while one of them is valid all are: the same
//! bytes by the same translation of the page's address. Jumps within the region need no check.
//! A block across the end of a page, which is one instruction, is a region by itself.

use std::ptr;

use iced_x86::{Code, ConditionCode, Instruction, OpKind};

use crate::emu::code::op::Block;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::decode;
use crate::emu::memory::ram::PAGE_MASK;
use crate::emu::state::control::CodeSize;

/// Most blocks and instructions of a region.
const MOST_BLOCKS: usize = 32;
const MOST_INSTRUCTIONS: usize = 400;

/// How a block goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the next instruction in another block.
    FallThrough,
    Jump,
    Branch(ConditionCode),
    Call,
    /// `ret`, or a jump or call by a register or memory.
    Indirect,
    /// By the interpreter.
    Other,
}

/// A block to be translated.
pub struct Member {
    pub block: *const Block,
    pub instructions: Vec<Instruction>,
    pub end: End,
    /// The members to which its direct branch leads if it is not taken, and if it is.
    pub successors: [Option<usize>; 2],
}

impl Member {
    /// The op of instruction `n`; after the last that of the end, if it is no instruction.
    pub fn op(&self, n: usize) -> *const Op {
        Block::first::<Cpu>(self.block).wrapping_add(n)
    }

    /// The number of the op that leads on.
    pub fn last(&self) -> usize {
        match self.end {
            End::FallThrough => self.instructions.len(),
            _ => self.instructions.len() - 1,
        }
    }
}

/// The region that begins with `head`; empty if that cannot be translated.
///
/// # Safety
/// `head` is live and valid.
pub unsafe fn around(cpu: &Cpu, head: *const Block) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::new();
    let mut instructions = 0;
    let mut wanted = vec![head];
    while let Some(block) = wanted.pop() {
        let is_known = members.iter().any(|member| member.block == block);
        if is_known || members.len() == MOST_BLOCKS || instructions > MOST_INSTRUCTIONS {
            continue;
        }
        // SAFETY: the caller vouches for the first; the others were found by `linked`.
        let Some(member) = (unsafe { member(cpu, block, head) }) else {
            continue;
        };
        instructions += member.instructions.len();
        // The fall-through comes next, if it can.
        for taken in [true, false] {
            wanted.extend(linked(cpu, &member, taken));
        }
        // SAFETY: as above, it is live.
        let is_alone = unsafe { (*block).second_page } != u64::MAX;
        members.push(member);
        if is_alone {
            break;
        }
    }
    for i in 0..members.len() {
        let successors = [false, true].map(|taken| {
            let block = linked(cpu, &members[i], taken)?;
            members.iter().position(|member| member.block == block)
        });
        members[i].successors = successors;
    }
    members
}

/// The valid block to which a direct branch leads, if it has been there.
fn linked(cpu: &Cpu, member: &Member, taken: bool) -> Option<*const Block> {
    let leads = match member.end {
        End::FallThrough => !taken,
        End::Jump | End::Call => taken,
        End::Branch(_) => true,
        End::Indirect | End::Other => false,
    };
    if !leads {
        return None;
    }
    // SAFETY: links lead to blocks of the cache, live or dropped, or to `NO_BLOCK`.
    let (block, ctx) = unsafe {
        let block = (*member.op(member.last())).link(taken);
        (block, (*block).ctx.get())
    };
    (ctx == cpu.code.ctx).then_some(block)
}

/// `block` as a member of a region of `head`; `None` if it cannot be one.
///
/// # Safety
/// Both are live and valid.
unsafe fn member(cpu: &Cpu, block: *const Block, head: *const Block) -> Option<Member> {
    let is_head = ptr::eq(block, head);
    // SAFETY: the caller vouches for them.
    let (header, head) = unsafe { (&*block, &*head) };
    let same_page = |a: u64, b: u64| a & PAGE_MASK == b & PAGE_MASK;
    let fits = (is_head || header.second_page == u64::MAX)
        && header.region.get() == 0
        && !header.own_handler.get().is_null()
        && same_page(header.rip, head.rip)
        && same_page(header.phys, head.phys);
    if !fits {
        return None;
    }
    let count = usize::from(header.count);
    let bytes = bytes(cpu, header)?;
    let mut instructions = Vec::with_capacity(count);
    decode::decode_run(
        CodeSize::Bits64,
        header.rip,
        &bytes,
        count,
        &mut instructions,
    );
    let end = end(instructions.last()?);
    (instructions.len() == count).then_some(Member {
        block,
        instructions,
        end,
        successors: [None; 2],
    })
}

/// The code of a block.
pub fn bytes(cpu: &Cpu, header: &Block) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(header.len.into());
    for start in [header.phys, header.second_page] {
        let Some(len) = header.bytes_from(start) else {
            continue;
        };
        let host = cpu.mmu.ram.host(start)?;
        // SAFETY: these bytes are in one page, to whose end `host` is good.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(host, len as usize) });
    }
    Some(bytes)
}

fn end(last: &Instruction) -> End {
    use iced_x86::FlowControl as F;
    match (last.flow_control(), last.code()) {
        (F::Next, code) if !decode::ends_block(code) => End::FallThrough,
        (_, Code::Jmp_rel8_64 | Code::Jmp_rel32_64) => End::Jump,
        (_, Code::Call_rel32_64) => End::Call,
        (_, Code::Retnq | Code::Retnq_imm16 | Code::Jmp_rm64 | Code::Call_rm64) => End::Indirect,
        (F::ConditionalBranch, code)
            if code.is_jcc_short_or_near() && last.op0_kind() == OpKind::NearBranch64 =>
        {
            End::Branch(last.condition_code())
        }
        _ => End::Other,
    }
}
