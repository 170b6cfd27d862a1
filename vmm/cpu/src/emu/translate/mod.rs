//! The translator: blocks that are entered often become code of the host.
//!
//! ```text
//! mod         counts entries, installs translations, enters them
//! region      which blocks are translated together
//! emit        blocks: flags, budget, ways in and out
//! supported   which instructions are translated, and how
//! special     those with a translation of their own; stack: pushes and pops
//! ends        how blocks go on
//! operands    all others: as themselves, with other registers (renaming), or in another form
//!             (forms)
//! addresses   their operands in memory
//! pages       accesses to memory: the stack's page, and the TLB; shares: of several at once
//! flags       which flags an instruction reads, leaves, shows
//! places      the guest's registers in the host's; frame: the way in and out
//! assembler   host code and its labels
//! told        what others are told of a translation
//! ```
//!
//! The processor is of one kind on both sides, so an instruction on registers is its own
//! translation, with registers renamed. An access to memory looks into the same TLB as the
//! interpreter's. Whatever else there is to an instruction (a miss, a fault, a device, code
//! that was written, an instruction that is not known here) is the interpreter's: translated
//! code leaves before it with the state exact, and the handler of its op goes on. So what is
//! executed, and counted, is the same with either engine.
//!
//! The budget is looked at once in a block, as the interpreter does; where it is spent, the
//! interpreter executes the block to its end.
//!
//! A translation is entered by the handler of its first op, or by another translation through
//! [`Block::code`]. It goes with the first of its blocks that is dropped.
//!
//! Guest data decides no address to which translated code jumps but through the links and the
//! jump table, whose entries are checked, and none that it reads or writes but through the
//! TLB. What a processor does speculatively is out of scope.

mod addresses;
mod assembler;
mod emit;
mod ends;
mod flags;
mod forms;
mod frame;
mod operands;
mod pages;
mod places;
mod region;
mod renaming;
mod shares;
mod special;
mod stack;
mod supported;
mod told;

use std::mem::transmute;
use std::time::Instant;

use iced_x86::Instruction;

use crate::emu::code::op::{self, Block};
use crate::emu::code::regions::Translator;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::{Next, go};
use crate::emu::state::control::CodeSize;
use crate::emu::state::mxcsr::FpMode;
use pages::Page;
use supported::Kind;

/// Entries after which a block is translated: some dozen more would cost the interpreter what
/// the translation does.
const USUAL: u16 = 60;

/// What executes the guest's code. Both do the same, and count the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Handlers of decoded instructions.
    Interpreter,
    /// The same until a block was entered so many times, then host code.
    Translator {
        /// Entries of a block before it is translated.
        after: u16,
    },
}

impl Default for Engine {
    fn default() -> Self {
        Self::Translator { after: USUAL }
    }
}

impl Engine {
    /// The translator, if it is one.
    pub(super) fn translator(self) -> Option<Translator> {
        let Self::Translator { after } = self else {
            return None;
        };
        Some(Translator {
            after,
            code: frame::not_translated as *const () as usize as u64,
            // SAFETY: only the type behind the handler's pointers differs, and who calls it
            // has it from an op of a `Cpu`'s block.
            counter: unsafe { transmute::<Handler, op::Handler<()>>(warm) },
        })
    }
}

/// Ends a block after instructions that the translator leaves to the interpreter, if others
/// follow: translated code is entered where blocks begin.
pub fn end_where_it_resumes(instructions: &mut Vec<Instruction>, fp: FpMode) {
    let is_left = |insn: &Instruction| supported::shape(insn, fp) == Kind::Other;
    // It ends after the last one in any case.
    let last = instructions.len().saturating_sub(1);
    let mut all = instructions[..last].iter();
    if let Some(first) = all.position(is_left) {
        let rest = &instructions[first + 1..];
        let more = rest.iter().take_while(|insn| is_left(insn)).count();
        instructions.truncate(first + 1 + more);
    }
}

/// Counts the entries of a block that was just decoded, if there is a translator.
///
/// # Safety
/// `block` is live.
pub unsafe fn watch(cpu: &Cpu, block: *const Block) {
    // SAFETY: the caller vouches for the block.
    unsafe {
        let header = &*block;
        let fits = cpu.control.code_size == CodeSize::Bits64;
        if fits && cpu.code.translator.is_some() {
            let op = Block::first::<Cpu>(block);
            header.own_handler.set((*op).handler as *const ());
            Op::set_handler(op, warm);
        }
    }
}

/// The first op's own handler in a block that is watched or translated.
///
/// # Safety
/// `block` is such a one, and live.
unsafe fn own_handler(block: *const Block) -> Handler {
    // SAFETY: of a block that is watched, as the caller says, `watch` has put a handler there.
    unsafe { transmute::<*const (), Handler>((*block).own_handler.get()) }
}

/// Handler of the first op of a block whose entries are counted.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
unsafe fn warm(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in the engine's handlers, `cpu` is not borrowed and `op` is of a live block; it
    // is the first, where alone this handler stands, of a block that was just found valid.
    unsafe {
        let block = Op::block(op);
        let heat = (*block).heat.get();
        if (*cpu).code.translator.is_none_or(|it| heat < it.after) {
            (*block).heat.set(heat + 1);
            return own_handler(block)(cpu, op);
        }
        if translate(&mut *cpu, block).is_some() {
            return enter(cpu, op);
        }
        Op::set_handler(op, own_handler(block));
        own_handler(block)(cpu, op)
    }
}

/// Translates `block` with those around it; `None` if it cannot be.
///
/// # Safety
/// `block` is watched, live and valid, and no reference to an op of it or of its neighbours is
/// held.
#[cold]
#[inline(never)]
unsafe fn translate(cpu: &mut Cpu, block: *const Block) -> Option<()> {
    let started = Instant::now();
    // SAFETY: passed on to the caller.
    let translated = unsafe { translate_around(cpu, block) };
    cpu.counts.translating_ns += started.elapsed().as_nanos() as u64;
    translated
}

/// The same, not timed.
///
/// # Safety
/// As of [`translate`].
unsafe fn translate_around(cpu: &mut Cpu, block: *const Block) -> Option<()> {
    // SAFETY: passed on to the caller.
    let members = unsafe { region::around(cpu, block) };
    let translation = emit::translate(&members, cpu.control.fp_mode)?;
    let base = cpu.code.stubs.keep(&translation.code)?;
    cpu.counts.translated_blocks += members.len() as u64;
    cpu.counts.translated_bytes += translation.code.len() as u64;
    for to in &cpu.told {
        to.add(told::describe(cpu, &members, &translation, base));
    }
    let blocks = members.iter().map(|member| member.block).collect();
    let number = cpu.code.regions.add(blocks);
    for (member, entry) in members.iter().zip(translation.entries) {
        // SAFETY: `around` takes live blocks alone, and of those what is watched; that nothing
        // borrows their ops the caller says.
        unsafe {
            let header = &*member.block;
            header.region.set(number);
            if let Some(entry) = entry {
                header.code.set(base + entry as u64);
                Op::set_handler(Block::first(member.block), enter);
            }
        }
    }
    Some(())
}

/// Handler of the first op of a block that is translated.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
unsafe fn enter(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: `cpu` is not borrowed. This handler stands in blocks that have a translation, whose
    // `code` is then its address, and whoever goes to a block's first op has found it valid.
    // What was left is an op of a live block, as translations have no others; if it is the first,
    // its block is one of a region, so watched.
    unsafe {
        let left = frame::enter(cpu, (*Op::block(op)).code.get(), Page::none());
        if left.enters == 0 {
            (*cpu).counts.translation_exits += 1;
            if (*left.op).n == 0 {
                return own_handler(Op::block(left.op))(cpu, left.op);
            }
        }
        go(cpu, left.op)
    }
}
