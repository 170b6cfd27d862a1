//! Pairs of simple operations on registers.

use std::marker::PhantomData;

use iced_x86::{Instruction, Mnemonic, OpKind};

use crate::emu::arithmetic::flags::Flags;
use crate::emu::arithmetic::operations::{Add, And, BinaryOp, Or, Sub, Xor};
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::operand::offset;
use crate::emu::engine::{Next, go};
use crate::emu::pairs::{ON_ONE, ON_TWO};
use crate::emu::state::registers::Slot;

/// An instruction as a function of its destination, a general register: it has no other
/// effect, cannot fault, and its flags are dead.
trait Step: 'static {
    /// The destination's new value, which was `a`.
    fn apply<T: Int>(cpu: &Cpu, op: &Op, a: T) -> T;
}

/// Handler of two steps with one destination, which the second does not use otherwise.
///
/// # Safety
/// As for [`Handler`]; the op after this one is `B`.
unsafe fn on_one<T: Int, A: Step, B: Step>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        let (first, second, state) = (&*op, &*op.add(1), &mut *cpu);
        let value: T = A::apply(state, first, state.regs.get(first.dst));
        let value = B::apply(state, second, value);
        state.regs.set(first.dst, value);
        go(cpu, op.add(2))
    }
}

/// Handler of two steps with a destination each.
///
/// # Safety
/// As for [`Handler`]; the op after this one is `B`.
unsafe fn on_two<T: Int, A: Step, B: Step>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        let (first, second, state) = (&*op, &*op.add(1), &mut *cpu);
        let value: T = A::apply(state, first, state.regs.get(first.dst));
        state.regs.set(first.dst, value);
        let value: T = B::apply(state, second, state.regs.get(second.dst));
        state.regs.set(second.dst, value);
        go(cpu, op.add(2))
    }
}

/// `mov a, reg`.
struct Copy;
/// `mov a, imm`.
struct Put;
/// `op a, reg`.
struct Reg<O>(PhantomData<O>);
/// `op a, imm`; also `inc` and `dec`.
struct Imm<O>(PhantomData<O>);
/// `rol a, imm`, and the other shifts.
struct Rol;
struct Shl;
struct Shr;
struct Sar;
/// `lea a, [base + disp]`.
struct Lea;
/// `lea a, [base + index * scale + disp]`.
struct LeaIndexed;

impl Step for Copy {
    #[inline(always)]
    fn apply<T: Int>(cpu: &Cpu, op: &Op, _: T) -> T {
        cpu.regs.get::<T>(op.src)
    }
}

impl Step for Put {
    #[inline(always)]
    fn apply<T: Int>(_: &Cpu, op: &Op, _: T) -> T {
        T::truncate(op.imm.get())
    }
}

/// For operations that use no flags.
const NO_FLAGS: Flags = Flags(0);

impl<O: BinaryOp> Step for Reg<O> {
    #[inline(always)]
    fn apply<T: Int>(cpu: &Cpu, op: &Op, a: T) -> T {
        O::plain(a, cpu.regs.get::<T>(op.src), NO_FLAGS)
    }
}

impl<O: BinaryOp> Step for Imm<O> {
    #[inline(always)]
    fn apply<T: Int>(_: &Cpu, op: &Op, a: T) -> T {
        O::plain(a, T::truncate(op.imm.get()), NO_FLAGS)
    }
}

/// The count of a shift, as the processor masks it.
#[inline(always)]
fn count<T: Int>(op: &Op) -> u32 {
    op.imm.get() as u32 & (T::BITS - 1)
}

impl Step for Rol {
    #[inline(always)]
    fn apply<T: Int>(_: &Cpu, op: &Op, a: T) -> T {
        a.rotate_left(count::<T>(op))
    }
}

impl Step for Shl {
    #[inline(always)]
    fn apply<T: Int>(_: &Cpu, op: &Op, a: T) -> T {
        T::truncate(a.zero_extend() << count::<T>(op))
    }
}

impl Step for Shr {
    #[inline(always)]
    fn apply<T: Int>(_: &Cpu, op: &Op, a: T) -> T {
        T::truncate(a.zero_extend() >> count::<T>(op))
    }
}

impl Step for Sar {
    #[inline(always)]
    fn apply<T: Int>(_: &Cpu, op: &Op, a: T) -> T {
        T::truncate((a.sign_extend() as i64 >> count::<T>(op)) as u64)
    }
}

impl Step for Lea {
    #[inline(always)]
    fn apply<T: Int>(cpu: &Cpu, op: &Op, _: T) -> T {
        let base: u64 = cpu.regs.gprs.read(op.base);
        T::truncate(base.wrapping_add(op.disp.get()))
    }
}

impl Step for LeaIndexed {
    #[inline(always)]
    fn apply<T: Int>(cpu: &Cpu, op: &Op, _: T) -> T {
        T::truncate(offset(cpu, op))
    }
}

/// Declares what each step is called, and the tables of their pairs in that order: first
/// those that use what the destination held, then those that do not.
macro_rules! steps {
    ({ $($work:ident: $work_type:ty,)* } { $($make:ident: $make_type:ty,)* }) => {
        /// Which step an instruction is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($work,)* $($make,)* }

        /// How many steps use what the destination held.
        const WORKS: usize = [$(Kind::$work),*].len();
        /// How many steps there are.
        const KINDS: usize = WORKS + [$(Kind::$make),*].len();

        /// The handlers of pairs of one width.
        struct Pairs<T>(PhantomData<T>);

        impl<T: Int> Pairs<T> {
            /// By the first and the second step.
            const ON_ONE: [[Handler; WORKS]; KINDS] =
                steps!(@rows on_one [$($work_type,)* $($make_type,)*] [$($work_type,)*]);
            const ON_TWO: [[Handler; KINDS]; KINDS] =
                steps!(@rows on_two [$($work_type,)* $($make_type,)*] [$($work_type,)* $($make_type,)*]);
        }
    };
    (@rows $driver:ident [$($first:ty,)*] $seconds:tt) => {
        [$(steps!(@row $driver $first, $seconds)),*]
    };
    (@row $driver:ident $first:ty, [$($second:ty,)*]) => {
        [$($driver::<T, $first, $second>),*]
    };
}

steps! {
    {
        Add: Reg<Add>,
        Sub: Reg<Sub>,
        And: Reg<And>,
        Or: Reg<Or>,
        Xor: Reg<Xor>,
        AddImm: Imm<Add>,
        AndImm: Imm<And>,
        XorImm: Imm<Xor>,
        Rol: Rol,
        Shl: Shl,
        Shr: Shr,
        Sar: Sar,
    }
    {
        Copy: Copy,
        Put: Put,
        Lea: Lea,
        LeaIndexed: LeaIndexed,
    }
}

/// A step, and whether it is of 64 bits.
pub type Found = Option<(Kind, bool)>;

/// Which step the instruction is, of which `op` was made.
pub fn step(insn: &Instruction, flags_live: bool, op: &Op) -> Found {
    use Mnemonic as M;
    if flags_live || insn.op0_kind() != OpKind::Register {
        return None;
    }
    let register = insn.op0_register();
    let wide = register.is_gpr64();
    if !wide && !register.is_gpr32() {
        return None;
    }
    let by_register = insn.op_count() == 2
        && insn.op1_kind() == OpKind::Register
        && insn.op1_register().size() == register.size();
    let by_number = insn.op_count() == 2 && insn.try_immediate(1).is_ok();
    let either = |of_register, of_number| {
        if by_register {
            Some(of_register)
        } else if by_number {
            of_number
        } else {
            None
        }
    };
    let shift = |kind| by_number.then_some(kind);
    let kind = match insn.mnemonic() {
        M::Mov if by_register && !insn.op1_register().is_gpr() => None,
        M::Mov => either(Kind::Copy, Some(Kind::Put)),
        M::Add => either(Kind::Add, Some(Kind::AddImm)),
        M::Sub => either(Kind::Sub, None),
        M::And => either(Kind::And, Some(Kind::AndImm)),
        M::Or => either(Kind::Or, None),
        M::Xor => either(Kind::Xor, Some(Kind::XorImm)),
        M::Rol => shift(Kind::Rol),
        M::Shl | M::Sal => shift(Kind::Shl),
        M::Shr => shift(Kind::Shr),
        M::Sar => shift(Kind::Sar),
        M::Inc | M::Dec => {
            let by = if insn.mnemonic() == M::Inc { 1 } else { -1_i64 };
            op.imm.set(by as u64);
            Some(Kind::AddImm)
        }
        M::Lea if op.aux.address_mask() == u64::MAX => Some(if op.index == Slot::ZERO {
            Kind::Lea
        } else {
            Kind::LeaIndexed
        }),
        _ => None,
    };
    kind.map(|kind| (kind, wide))
}

/// The handler of a pair of steps, and its cost.
pub fn pair(first: (Kind, &Op), second: (Kind, &Op), wide: bool) -> (Handler, u32) {
    let ((a, first), (b, second)) = (first, second);
    // The second may change the shared destination, but not also use it as source.
    let itself = matches!(b, Kind::Add | Kind::Sub | Kind::And | Kind::Or | Kind::Xor)
        && second.src == second.dst;
    let (a, b) = (a as usize, b as usize);
    if first.dst == second.dst && b < WORKS && !itself {
        let handler = if wide {
            Pairs::<u64>::ON_ONE[a][b]
        } else {
            Pairs::<u32>::ON_ONE[a][b]
        };
        return (handler, ON_ONE);
    }
    let handler = if wide {
        Pairs::<u64>::ON_TWO[a][b]
    } else {
        Pairs::<u32>::ON_TWO[a][b]
    };
    (handler, ON_TWO)
}
