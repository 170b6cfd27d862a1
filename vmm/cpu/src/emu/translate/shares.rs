//! Accesses of a block that share one look at their page: those by the same registers, which
//! nothing changes in between. The look is for all of their bytes, with the rights that all of
//! them want, and the host address is kept in the frame.
//!
//! Where the bytes do not lie in one page that admits them all, the interpreter takes over at
//! the first of them.

use iced_x86::{Instruction, InstructionInfoFactory, OpAccess, Register};

use crate::emu::memory::ram::{PAGE, PAGE_MASK};
use crate::emu::state::control::canonical;
use crate::emu::translate::pages::Access;
use crate::emu::translate::supported::{Kind, has_memory};

/// Addresses that are kept at a time.
pub const KEPT: usize = 8;
/// Most bytes that share a look.
const MOST: i64 = 256;

/// How an instruction finds its operand in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The displacement with which the first of all bytes is found, and how many there are.
    pub start: i64,
    pub size: usize,
    pub access: Access,
    /// Which of the addresses that are kept is that of the first byte.
    pub kept: usize,
    /// Whether it is known by now.
    pub is_known: bool,
}

/// Accesses by the same registers.
struct Group {
    base: Register,
    index: Register,
    scale: u32,
    members: Vec<usize>,
    start: i64,
    end: i64,
    access: Access,
    /// The registers are as they were.
    is_open: bool,
}

/// What the instructions of a block share; `None` for those whose operand in memory, if there
/// is one, is found otherwise.
pub fn of(instructions: &[Instruction], kinds: &[Kind]) -> Vec<Option<Share>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut info = InstructionInfoFactory::new();
    for (n, (insn, &kind)) in instructions.iter().zip(kinds).enumerate() {
        if let Some(new) = group(n, insn, kind) {
            join(&mut groups, new);
        }
        for used in info.info(insn).used_registers() {
            let is_read = matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
            let register = used.register().full_register();
            for group in groups.iter_mut().filter(|_| !is_read) {
                group.is_open &= ![group.base, group.index].contains(&register);
            }
        }
    }
    shares(&groups, kinds.len())
}

/// The instruction's operand as a group of its own.
fn group(n: usize, insn: &Instruction, kind: Kind) -> Option<Group> {
    let (base, index) = (insn.memory_base(), insn.memory_index());
    if !matches!(kind, Kind::Itself | Kind::Vector(_)) || !has_memory(insn) {
        return None;
    }
    let by_registers = base.is_gpr64()
        && (index == Register::None || index.is_gpr64())
        && !in_thread_segment(insn);
    let displacement = insn.memory_displacement64() as i64;
    let (base, start, size) = match constant_page(insn) {
        Some(page) => (Register::None, page as i64, PAGE as usize),
        None if by_registers => (base, displacement, insn.memory_size().size()),
        None => return None,
    };
    Some(Group {
        base,
        index,
        scale: insn.memory_index_scale(),
        members: vec![n],
        start,
        end: start + size as i64,
        access: Access::of(insn),
        is_open: true,
    })
}

/// The linear page of an operand in memory whose address is constant, if it is in one page.
pub fn constant_page(insn: &Instruction) -> Option<u64> {
    let is_constant = matches!(insn.memory_base(), Register::None | Register::RIP)
        && insn.memory_index() == Register::None
        && !in_thread_segment(insn);
    let first = insn.memory_displacement64();
    let last = first.wrapping_add((insn.memory_size().size() as u64).wrapping_sub(1));
    let is_in_one = first & PAGE_MASK == last & PAGE_MASK;
    (is_constant && is_in_one && canonical(first)).then_some(first & PAGE_MASK)
}

/// Whether the operand in memory is in one of the segments that have a base.
fn in_thread_segment(insn: &Instruction) -> bool {
    matches!(insn.memory_segment(), Register::FS | Register::GS)
}

/// Adds `new` to a group of its like, or to the groups.
fn join(groups: &mut Vec<Group>, new: Group) {
    let like = groups.iter_mut().find(|group| {
        let same = (group.base, group.index, group.scale) == (new.base, new.index, new.scale);
        let near = || match group.base {
            // A constant address, of which each group is a page.
            Register::None => group.start == new.start,
            _ => group.end.max(new.end) - group.start.min(new.start) <= MOST,
        };
        group.is_open && same && near()
    });
    let Some(group) = like else {
        groups.push(new);
        return;
    };
    group.members.extend(new.members);
    group.start = group.start.min(new.start);
    group.end = group.end.max(new.end);
    if new.access == Access::Write {
        group.access = Access::Write;
    }
}

fn shares(groups: &[Group], count: usize) -> Vec<Option<Share>> {
    let mut shares = vec![None; count];
    let several = groups.iter().filter(|group| group.members.len() > 1);
    for (kept, group) in several.enumerate().take(KEPT) {
        for (i, &n) in group.members.iter().enumerate() {
            shares[n] = Some(Share {
                start: group.start,
                size: (group.end - group.start) as usize,
                access: group.access,
                kept,
                is_known: i > 0,
            });
        }
    }
    shares
}
