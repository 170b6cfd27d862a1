//! Pairs of instructions that one handler executes: a dispatch less, and where the second
//! works on what the first has made, no trip of the value through memory.
//!
//! Most instructions of most programs are a few simple operations on whole registers, of
//! 32 or 64 bits, whose flags nobody looks at: the [`Step`]s. Any two that follow each
//! other make a pair: a [`chain`] if they have one destination (`mov rol`, `xor add`),
//! else a [`couple`]. Nothing of a step can fail, and blocks are entered at their first
//! op only, so a pair happens whole or not at all; each op stays where it is, and counts,
//! addresses and faults of the others are as they were. What pairs best is found from the
//! block's end backwards.
//!
//! Two pushes or two pops make a pair as well, with one look into the TLB: if that fails,
//! they are executed one by one. A comparison and its branch are another kind of pair: see
//! [`fuse`](super::branch::fuse).

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::super::cpu::Cpu;
use super::super::flags::Flags;
use super::super::joined::{Step, chain, couple};
use super::super::op::{BLOCK_LIMIT, Handler, Op, Slot};
use super::super::operand::offset;
use super::super::value::Int;
use super::alu::{self, AluOp};
use super::stack;

/// `mov a, reg`.
struct Copy;
/// `mov a, imm`.
struct Put;
/// `op a, reg`.
struct Reg<O>(std::marker::PhantomData<O>);
/// `op a, imm`; also `inc` and `dec`.
struct Imm<O>(std::marker::PhantomData<O>);
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
        T::get(cpu, op.src)
    }
}

impl Step for Put {
    #[inline(always)]
    fn apply<T: Int>(_: &Cpu, op: &Op, _: T) -> T {
        T::truncate(op.imm.get())
    }
}

/// For operations that look at no flags.
const NO_FLAGS: Flags = Flags(0);

impl<O: AluOp> Step for Reg<O> {
    #[inline(always)]
    fn apply<T: Int>(cpu: &Cpu, op: &Op, a: T) -> T {
        O::plain(a, T::get(cpu, op.src), NO_FLAGS)
    }
}

impl<O: AluOp> Step for Imm<O> {
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
        let base: u64 = cpu.gprs.read(op.base);
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
        enum Kind { $($work,)* $($make,)* }

        /// How many steps use what the destination held.
        const WORKS: usize = [$(Kind::$work),*].len();
        /// How many steps there are.
        const KINDS: usize = WORKS + [$(Kind::$make),*].len();

        /// The handlers of pairs of one width.
        struct Pairs<T>(std::marker::PhantomData<T>);

        impl<T: Int> Pairs<T> {
            /// By the first and the second step.
            const CHAINS: [[Handler; WORKS]; KINDS] =
                steps!(@rows chain [$($work_type,)* $($make_type,)*] [$($work_type,)*]);
            const COUPLES: [[Handler; KINDS]; KINDS] =
                steps!(@rows couple [$($work_type,)* $($make_type,)*] [$($work_type,)* $($make_type,)*]);
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
        Add: Reg<alu::Add>,
        Sub: Reg<alu::Sub>,
        And: Reg<alu::And>,
        Or: Reg<alu::Or>,
        Xor: Reg<alu::Xor>,
        AddImm: Imm<alu::Add>,
        AndImm: Imm<alu::And>,
        XorImm: Imm<alu::Xor>,
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
type Found = Option<(Kind, bool)>;

/// Which step the instruction is, of which `op` was made.
fn step(insn: &Instruction, flags_live: bool, op: &Op) -> Found {
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

/// The handler of two steps that follow each other, and how well it does.
fn pair(first: (Kind, &Op), second: (Kind, &Op), wide: bool) -> (Handler, u32) {
    let ((a, first), (b, second)) = (first, second);
    // What the second does to its destination, it may not do with it.
    let itself = matches!(b, Kind::Add | Kind::Sub | Kind::And | Kind::Or | Kind::Xor)
        && second.src == second.dst;
    let (a, b) = (a as usize, b as usize);
    if first.dst == second.dst && b < WORKS && !itself {
        let handler = if wide {
            Pairs::<u64>::CHAINS[a][b]
        } else {
            Pairs::<u32>::CHAINS[a][b]
        };
        return (handler, CHAIN);
    }
    let handler = if wide {
        Pairs::<u64>::COUPLES[a][b]
    } else {
        Pairs::<u32>::COUPLES[a][b]
    };
    (handler, COUPLE)
}

/// What it costs to execute one instruction, a chain and a couple, relative to each
/// other: a dispatch is most of it.
const ALONE: u32 = 4;
const CHAIN: u32 = 5;
const COUPLE: u32 = 6;

/// Gives those of a block's `ops` that are best executed in pairs the handlers of these.
pub(in super::super) fn combine(
    instructions: &[Instruction],
    flags_live: &[bool; BLOCK_LIMIT],
    ops: &mut [Op],
) {
    let mut steps: [Found; BLOCK_LIMIT] = [None; BLOCK_LIMIT];
    for (((found, insn), &live), op) in steps
        .iter_mut()
        .zip(instructions)
        .zip(flags_live)
        .zip(ops.iter())
    {
        *found = step(insn, live, op);
    }
    let best_at = |n: usize| match (steps.get(n).copied()?, steps.get(n + 1).copied()?) {
        (Some((a, wide)), Some((b, same))) if wide == same => {
            Some(pair((a, ops.get(n)?), (b, ops.get(n + 1)?), wide))
        }
        (None, None) => {
            let handler = stack::two(instructions.get(n)?, instructions.get(n + 1)?);
            handler.map(|handler| (handler, COUPLE))
        }
        _ => None,
    };
    // What the rest of the block costs from the next op on, and the one after.
    let (mut next, mut after) = (0, 0);
    let mut chosen = [None; BLOCK_LIMIT];
    for n in (0..ops.len().min(BLOCK_LIMIT)).rev() {
        let alone = next + ALONE;
        let best = best_at(n).filter(|&(_, cost)| after + cost < alone);
        chosen[n] = best.map(|(handler, _)| handler);
        (next, after) = (best.map_or(alone, |(_, cost)| after + cost), next);
    }
    let mut n = 0;
    while n < ops.len().min(BLOCK_LIMIT) {
        match chosen[n] {
            Some(handler) => {
                ops[n].handler = handler;
                n += 2;
            }
            None => n += 1,
        }
    }
}
