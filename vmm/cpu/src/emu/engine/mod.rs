//! The interpreter's core: handlers threaded by tail calls.
//!
//! A handler executes its instruction and calls the next one's handler in tail position.
//! Optimised builds make that a jump (a sibling call: same signature, nothing left to
//! drop), so each handler ends in an indirect jump of its own, which the host predicts by
//! what usually follows that instruction. Stable Rust does not promise this, and it cannot be
//! where an instruction has values of its own on the stack: handlers of those ([`apart`]) and
//! of all that is rare ([`slow`]) return the next op to a loop instead, as all do in builds
//! with debug assertions. A test looks at each handler, since a slice ([`SLICE`]) of calls
//! would overflow the stack.
//!
//! Handlers are made from semantics by the generic functions here: [`fast`] for
//! instructions that continue with the next, [`branch`] and [`jump`] for those that end a
//! block, [`last`] for those that may change modes, mappings or interrupts.
//!
//! The budget, and with it limits, kicks and interrupts, is checked once a block.
//!
//! # Where the time goes
//! By `perf record -e cpu-clock` and the handlers' disassembly, on an AMD EPYC; the README
//! has the ratios to the processor.
//!
//! - An operation on registers takes 7 or 8 host instructions: 3 go on to the next handler,
//!   2 find the registers, 2 reach them. A pair takes 10 to 12 ([`crate::emu::pairs`]).
//!   What a handler stores, the next one that loads it waits for 4 or 5 cycles, so
//!   dependent instructions are paired by preference. Live flags take 3 more.
//! - A memory operand takes 5 to 9 for its address, 8 for the TLB, 2 for the access.
//! - A branch takes about 20 besides its condition: the choice of the link, the budget, the
//!   context of the block that it leads to. `ret` takes 42.
//! - SHA-256 spends 43 % of its time in handlers of pairs and 40 % in single ones, the
//!   sieve 52 % in comparisons with their branches and 32 % in its one store, `fib` 17 % in
//!   `ret` and 16 % in pairs of `push` and `pop`. None spends as much as 1 % outside the
//!   engine.
//! - A port write takes about 40 ns from one to the next with the VMM's run loop, `syscall`
//!   and `sysretq` 45 ns together (the example `emulator_traps`), an x87 instruction 240 ns
//!   (see [`crate::emu::ops::x87`]).
//!
//! Rejected, beside what the modules name: guest registers in host registers, which is for
//! a translator (an interpreter would need handlers for each assignment); liveness of flags
//! across blocks, as the code of the next block may change.

use crate::emu::code::op::Block;
use crate::emu::cpu::access::{Access, Fast, Slow};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::state::exception::Stop;

pub mod form;
pub mod invalid;
pub mod lower;
pub mod operand;

/// Most instructions between checks for events.
pub const SLICE: i64 = 16384;

/// Host work between checks for events, in units of a simple instruction or an element of a
/// string, some nanoseconds: a slice of it is a fraction of a millisecond. One instruction
/// may overdraw it, by its own work at most.
pub const WORK: i64 = 1 << 15;

/// Whether handlers call each other.
const THREADED: bool = !cfg!(debug_assertions);

/// An instruction that continues with the next.
pub trait Instr: 'static {
    /// Executes it.
    ///
    /// # Errors
    /// It commits nothing then, so that it can run again.
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop>;
}

/// An instruction whose operand may be in memory. Its handlers are many, one for each kind
/// of address and for flags that are live or not; a miss has one slow handler.
pub trait OnMemory: Instr {
    /// The same with any address, and live flags.
    type Slow: Instr;
}

/// A direct branch: see [`Op::set_distance`].
pub trait Branch: 'static {
    /// Executes it and says whether it is taken.
    ///
    /// # Errors
    /// As for [`Instr`].
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<bool, Stop>;
}

/// An indirect jump.
pub trait Jump: 'static {
    /// Executes it and says where to go on.
    ///
    /// # Errors
    /// As for [`Instr`].
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop>;
}

/// Continues at the op that a handler returns, or leaves the engine.
pub type Next = *const Op;
const RETURN: Next = std::ptr::null();

/// Continues with `op`, in tail position.
#[inline(always)]
pub unsafe fn go(cpu: *mut Cpu, op: *const Op) -> Next {
    if THREADED {
        // SAFETY: `op` is in a live block, and `cpu` is not borrowed any more.
        unsafe { ((*op).handler)(cpu, op) }
    } else {
        op
    }
}

/// Handler of an instruction that continues with the next.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
pub unsafe fn fast<I: Instr>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: both are live, `cpu` is not otherwise borrowed, and neither reference
    // outlives the call. The last op of a block is no instruction, so there is a next.
    unsafe {
        match I::exec::<Fast>(&mut *cpu, &*op) {
            Ok(()) => go(cpu, op.add(1)),
            Err(_) => slow::<I>(cpu, op),
        }
    }
}

/// Handler of an instruction that continues with the next and needs room on the stack.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
pub unsafe fn apart<I: Instr>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match I::exec::<Fast>(&mut *cpu, &*op) {
            Ok(()) => op.add(1),
            Err(_) => slow::<I>(cpu, op),
        }
    }
}

/// Handler of an instruction that continues with the next and may have its operand in
/// memory.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
pub unsafe fn on_memory<I: OnMemory>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match I::exec::<Fast>(&mut *cpu, &*op) {
            Ok(()) => go(cpu, op.add(1)),
            Err(_) => slow::<I::Slow>(cpu, op),
        }
    }
}

/// Handler of an instruction on registers and immediates that can neither miss nor fault.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
pub unsafe fn sure<I: Instr>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match I::exec::<Fast>(&mut *cpu, &*op) {
            Ok(()) => go(cpu, op.add(1)),
            Err(stop) => stop_at(&mut *cpu, op, stop),
        }
    }
}

/// Handler of an instruction that is rare, or missed the TLB.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
#[cold]
#[inline(never)]
pub unsafe fn slow<I: Instr>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match I::exec::<Slow>(&mut *cpu, &*op) {
            Ok(()) if (*cpu).meter.leave_block => finish(&mut *cpu, op),
            Ok(()) => op.add(1),
            Err(stop) => stop_at(&mut *cpu, op, stop),
        }
    }
}

/// Handler of an instruction that always ends a block and leaves the engine, because modes,
/// mappings or interrupts may have changed or an exit is due: `exec` may have set `exit`.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
#[cold]
#[inline(never)]
pub unsafe fn last<I: Instr>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match I::exec::<Slow>(&mut *cpu, &*op) {
            Ok(()) => finish(&mut *cpu, op),
            Err(stop) => stop_at(&mut *cpu, op, stop),
        }
    }
}

/// Handler of a direct branch.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
pub unsafe fn branch<B: Branch>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match B::exec::<Fast>(&mut *cpu, &*op) {
            Ok(taken) => follow(cpu, op, taken),
            Err(_) => branch_slow::<B>(cpu, op),
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn branch_slow<B: Branch>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match B::exec::<Slow>(&mut *cpu, &*op) {
            Ok(taken) => {
                spend(cpu, op);
                follow_slow(cpu, op, taken)
            }
            Err(stop) => stop_at(&mut *cpu, op, stop),
        }
    }
}

/// Takes the instructions up to `op`, the last of its block, from the budget; whether
/// anything is left.
#[inline(always)]
unsafe fn spend(cpu: *mut Cpu, op: Next) -> bool {
    // SAFETY: as in `fast`.
    unsafe {
        let (budget, spent) = ((*cpu).meter.budget, i64::from((*op).n) + 1);
        (*cpu).meter.budget = budget.wrapping_sub(spent);
        budget > spent
    }
}

/// Continues after a block that ends with the direct branch at `op`.
#[inline(always)]
pub unsafe fn follow(cpu: *mut Cpu, op: Next, taken: bool) -> Next {
    // SAFETY: as in `fast`; links point to blocks that are live or [`NO_BLOCK`], whose
    // context is never the CPU's.
    unsafe {
        let within = spend(cpu, op);
        let block = (*op).link(taken);
        if within && (*block).ctx.get() == (*cpu).code.ctx {
            go(cpu, Block::first(block))
        } else {
            follow_slow(cpu, op, taken)
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn follow_slow(cpu: *mut Cpu, op: Next, taken: bool) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        let block = &*Op::block(op);
        let mut rip = block.rip.wrapping_add(u64::from(block.len));
        if taken {
            rip = rip.wrapping_add((*op).distance() as u64);
        }
        rip = (*cpu).control.wrapped(rip);
        if (*cpu).meter.budget > 0
            && let Some(target) = (*cpu).find_block(rip)
        {
            (*op).set_link(taken, target);
            return Block::first(target);
        }
        leave(&mut *cpu, rip)
    }
}

/// Handler of an indirect jump.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
pub unsafe fn jump<J: Jump>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match J::exec::<Fast>(&mut *cpu, &*op) {
            Ok(rip) => land(cpu, op, rip),
            Err(_) => jump_slow::<J>(cpu, op),
        }
    }
}

/// Handler of an indirect jump that is rare, or missed the TLB.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
#[cold]
#[inline(never)]
pub unsafe fn jump_slow<J: Jump>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match J::exec::<Slow>(&mut *cpu, &*op) {
            Ok(rip) => {
                spend(cpu, op);
                land_slow(cpu, rip)
            }
            Err(stop) => stop_at(&mut *cpu, op, stop),
        }
    }
}

/// Continues at `rip` after a block that ends with the jump at `op`.
#[inline(always)]
unsafe fn land(cpu: *mut Cpu, op: Next, rip: u64) -> Next {
    // SAFETY: as in `fast`; the jump table's entries are live or `NO_BLOCK`.
    unsafe {
        let within = spend(cpu, op);
        let block = (*cpu).code.jumps.get(rip);
        if within && (*block).rip == rip && (*block).ctx.get() == (*cpu).code.ctx {
            go(cpu, Block::first(block))
        } else {
            land_slow(cpu, rip)
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn land_slow(cpu: *mut Cpu, rip: u64) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        if (*cpu).meter.budget > 0
            && let Some(target) = (*cpu).find_block(rip)
        {
            return Block::first(target);
        }
        leave(&mut *cpu, rip)
    }
}

/// Handler of the op after the last instruction of a block that ends because it is long
/// or at the end of a page.
///
/// # Safety
/// As for [`crate::emu::cpu::Handler`].
pub unsafe fn fall_through(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`. The op itself is no instruction, which `follow` counts.
    unsafe {
        (*cpu).meter.budget += 1;
        follow(cpu, op, false)
    }
}

/// Leaves the engine before the instruction at `op`.
#[cold]
pub unsafe fn stop_at(cpu: &mut Cpu, op: Next, stop: Stop) -> Next {
    debug_assert_ne!(stop, Stop::Miss, "it would miss again and again");
    // SAFETY: `op` is in a live block.
    unsafe {
        cpu.regs.rip = cpu.control.wrapped(Op::rip(op));
        cpu.meter.budget -= i64::from((*op).n);
        if stop == Stop::Exit {
            cpu.outside.exit.next_rip = cpu.control.wrapped(Op::next_rip(op));
        }
    }
    cpu.stop = stop;
    RETURN
}

/// Leaves the engine after the instruction at `op`.
unsafe fn finish(cpu: &mut Cpu, op: Next) -> Next {
    // SAFETY: `op` is in a live block and an instruction.
    let rip = unsafe {
        cpu.meter.budget -= i64::from((*op).n) + 1;
        Op::next_rip(op)
    };
    leave(cpu, cpu.control.wrapped(rip))
}

/// Leaves the engine between instructions.
fn leave(cpu: &mut Cpu, rip: u64) -> Next {
    cpu.regs.rip = rip;
    cpu.stop = Stop::Leave;
    RETURN
}

impl Cpu {
    /// Executes from the start of `block` until the budget is spent or something stops it;
    /// `stop` and `rip` say why and where.
    ///
    /// # Safety
    /// `block` is live: the code cache has not been cleared, or the decoder's single block
    /// replaced, since it was found.
    pub unsafe fn execute(&mut self, block: *const Block) {
        self.regs.discard_host_flags();
        let mut op = Block::first(block);
        while !op.is_null() {
            // SAFETY: the caller vouches for `block`, and handlers, which never clear the
            // cache, return ops of live blocks or null.
            op = unsafe { ((*op).handler)(self, op) };
        }
        self.regs.collect_flags();
    }
}
