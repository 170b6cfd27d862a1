//! Lowers integer instructions with the usual operands to handlers, by width, flag liveness
//! and operand forms.

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::{Handler, Op};
use crate::emu::engine::form::Site;
use crate::emu::engine::operand::{
    Dst, DstReg, General, Imm, Mem, Src, SrcReg, by_ea, gpr_slot, immediate,
};
use crate::emu::engine::{Instr, OnMemory, fast, on_memory};

/// Instructions `op dst, src` on general registers, memory and immediates, whose operands
/// all have one width: the family to which a width, flag liveness and operand forms are
/// yet to be added. `Form<D, S>` is the instruction with them.
pub trait Binary: 'static {
    /// Whether operands in memory are frequent enough for a handler for each kind of address.
    const ON_MEMORY: bool;
    type Form<T: Int, const FLAGS: bool, D: Dst<T>, S: Src<T>>: OnMemory;
    /// The handler of a form without memory operands.
    fn handler<T: Int, const FLAGS: bool, I: Instr>(_site: &Site) -> Handler {
        fast::<I>
    }
}

/// The handler of a form with an address of kind `E` and flags that are live if `F`: of any
/// address and with flags where that is rare.
macro_rules! memory_form {
    ($family:ident, $kind:expr, ($e:ident, $flags:ident) => $form:ty) => {{
        let kind = $kind;
        if const { $family::ON_MEMORY && T::BITS != 16 } {
            by_ea!(kind, $e => on_memory::<$form>)
        } else {
            type $e = General;
            const $flags: bool = true;
            fast::<$form>
        }
    }};
}

/// Lowers `op dst, src` (or `op dst` with the source implied as [`Imm`]) of family `B`.
pub fn lower_binary<B: Binary>(site: &Site, insn: &Instruction, op: &mut Op) {
    let size = match insn.op0_kind() {
        OpKind::Register => insn.op0_register().size(),
        _ => insn.memory_size().size(),
    };
    op.handler = match (size, site.flags_live) {
        (1, true) => binary_form::<B, u8, true>(site, insn, op),
        (1, false) => binary_form::<B, u8, false>(site, insn, op),
        (2, true) => binary_form::<B, u16, true>(site, insn, op),
        (2, false) => binary_form::<B, u16, false>(site, insn, op),
        (4, true) => binary_form::<B, u32, true>(site, insn, op),
        (4, false) => binary_form::<B, u32, false>(site, insn, op),
        (_, true) => binary_form::<B, u64, true>(site, insn, op),
        (_, false) => binary_form::<B, u64, false>(site, insn, op),
    };
}

fn binary_form<B: Binary, T: Int, const F: bool>(
    site: &Site,
    insn: &Instruction,
    op: &mut Op,
) -> Handler {
    match (insn.op0_kind(), insn.op1_kind()) {
        (OpKind::Register, OpKind::Register | OpKind::Memory) => {
            register_form::<B, T, F>(site, insn, op)
        }
        (OpKind::Register, _) => {
            op.dst = gpr_slot(insn.op0_register());
            op.imm.set(immediate(insn, 1));
            B::handler::<T, F, B::Form<T, F, DstReg, Imm>>(site)
        }
        (_, OpKind::Register) => {
            op.src = gpr_slot(insn.op1_register());
            memory_form!(B, op.set_memory(site, insn), (E, F) => B::Form<T, F, Mem<E>, SrcReg>)
        }
        _ => {
            op.imm.set(immediate(insn, 1));
            memory_form!(B, op.set_memory(site, insn), (E, F) => B::Form<T, F, Mem<E>, Imm>)
        }
    }
}

/// Lowers `op reg, src` of family `B`, which has no form for bytes and none with an immediate.
pub fn lower_into_register<B: Binary>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = match (insn.op0_register().size(), site.flags_live) {
        (2, true) => register_form::<B, u16, true>(site, insn, op),
        (2, false) => register_form::<B, u16, false>(site, insn, op),
        (4, true) => register_form::<B, u32, true>(site, insn, op),
        (4, false) => register_form::<B, u32, false>(site, insn, op),
        (_, true) => register_form::<B, u64, true>(site, insn, op),
        (_, false) => register_form::<B, u64, false>(site, insn, op),
    };
}

fn register_form<B: Binary, T: Int, const F: bool>(
    site: &Site,
    insn: &Instruction,
    op: &mut Op,
) -> Handler {
    op.dst = gpr_slot(insn.op0_register());
    if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        B::handler::<T, F, B::Form<T, F, DstReg, SrcReg>>(site)
    } else {
        memory_form!(B, op.set_memory(site, insn), (E, F) => B::Form<T, F, DstReg, Mem<E>>)
    }
}

/// Instructions `op dst` on a general register or memory: see [`Binary`].
pub trait UnaryForms: 'static {
    /// As in [`Binary`].
    const ON_MEMORY: bool;
    type Form<T: Int, const FLAGS: bool, D: Dst<T>>: OnMemory;
    /// As in [`Binary`].
    fn handler<T: Int, const FLAGS: bool, I: Instr>(_site: &Site) -> Handler {
        fast::<I>
    }
}

/// Lowers `op dst` of family `U`.
pub fn lower_unary<U: UnaryForms>(site: &Site, insn: &Instruction, op: &mut Op) {
    let size = match insn.op0_kind() {
        OpKind::Register => insn.op0_register().size(),
        _ => insn.memory_size().size(),
    };
    op.handler = match (size, site.flags_live) {
        (1, true) => unary_form::<U, u8, true>(site, insn, op),
        (1, false) => unary_form::<U, u8, false>(site, insn, op),
        (2, true) => unary_form::<U, u16, true>(site, insn, op),
        (2, false) => unary_form::<U, u16, false>(site, insn, op),
        (4, true) => unary_form::<U, u32, true>(site, insn, op),
        (4, false) => unary_form::<U, u32, false>(site, insn, op),
        (_, true) => unary_form::<U, u64, true>(site, insn, op),
        (_, false) => unary_form::<U, u64, false>(site, insn, op),
    };
}

fn unary_form<U: UnaryForms, T: Int, const F: bool>(
    site: &Site,
    insn: &Instruction,
    op: &mut Op,
) -> Handler {
    if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        U::handler::<T, F, U::Form<T, F, DstReg>>(site)
    } else {
        memory_form!(U, op.set_memory(site, insn), (E, F) => U::Form<T, F, Mem<E>>)
    }
}
