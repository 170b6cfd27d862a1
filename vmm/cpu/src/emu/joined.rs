//! Handlers of two instructions at once.
//!
//! Which instructions are joined is decided when their block is complete: see
//! [`super::ops::pairs`]. Each keeps its own op, with its operands; the first one's handler
//! is exchanged for one of these, which goes on past the second.

use super::cpu::Cpu;
use super::engine::{Instr, Next, go, slow};
use super::exception::Stop;
use super::op::Op;
use super::value::Int;

/// What an instruction makes of its destination, a general register, where that is all it
/// does: it cannot fail, and what becomes of flags does not matter.
pub(super) trait Step: 'static {
    /// The destination's new value, which was `a`.
    fn apply<T: Int>(cpu: &Cpu, op: &Op, a: T) -> T;
}

/// Two instructions at once, by the [`Fast`](super::access::Fast) way.
pub(super) trait Both: 'static {
    /// Executes `first` and `second`.
    ///
    /// # Errors
    /// It commits nothing then, so that they can run one after the other.
    fn exec(cpu: &mut Cpu, first: &Op, second: &Op) -> Result<(), Stop>;
}

/// Handler of two steps with one destination, which the second does not use otherwise.
///
/// # Safety
/// As for [`super::op::Handler`]; the op after this one is `B`.
pub(super) unsafe fn chain<T: Int, A: Step, B: Step>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        let (first, second, state) = (&*op, &*op.add(1), &mut *cpu);
        let value = A::apply(state, first, T::get(state, first.dst));
        let value = B::apply(state, second, value);
        value.set(state, first.dst);
        go(cpu, op.add(2))
    }
}

/// Handler of two steps.
///
/// # Safety
/// As for [`super::op::Handler`]; the op after this one is `B`.
pub(super) unsafe fn couple<T: Int, A: Step, B: Step>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        let (first, second, state) = (&*op, &*op.add(1), &mut *cpu);
        let value: T = A::apply(state, first, T::get(state, first.dst));
        value.set(state, first.dst);
        let value: T = B::apply(state, second, T::get(state, second.dst));
        value.set(state, second.dst);
        go(cpu, op.add(2))
    }
}

/// Handler of two instructions, of which the first is `I`.
///
/// # Safety
/// As for [`super::op::Handler`]; the op after this one is `B`'s second.
pub(super) unsafe fn both<B: Both, I: Instr>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match B::exec(&mut *cpu, &*op, &*op.add(1)) {
            Ok(()) => go(cpu, op.add(2)),
            Err(_) => slow::<I>(cpu, op),
        }
    }
}
