//! Integer arithmetic and logic of two operands: `add or adc sbb and sub xor cmp test`,
//! and of one: `inc dec neg not`.

use std::marker::PhantomData;

use crate::emu::arithmetic::operations::{
    Adc, Add, And, BinaryOp, Cmp, Dec, Inc, Neg, Not, Or, Sbb, Sub, Test, UnaryOp, Xor,
};
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::lower::{Binary, UnaryForms, lower_binary, lower_unary};
use crate::emu::engine::operand::{Dst, Src};
use crate::emu::engine::{Instr, OnMemory, sure};
use crate::emu::pairs::with_branch;
use crate::emu::state::exception::Stop;

/// `op dst, src` with the flags computed if `F`.
pub struct Alu<O, T, const F: bool, D, S>(PhantomData<(O, T, D, S)>);

impl<O: BinaryOp, T: Int, const F: bool, D: Dst<T>, S: Src<T>> OnMemory for Alu<O, T, F, D, S> {
    type Slow = Alu<O, T, true, D::SlowDst, S::Slow>;
}

impl<O: BinaryOp, T: Int, const F: bool, D: Dst<T>, S: Src<T>> Instr for Alu<O, T, F, D, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        let old = cpu.regs.flags;
        if !O::KEEPS {
            let a = D::get::<M>(cpu, op)?;
            if F {
                cpu.regs.flags = O::full(a, b, old).1;
            }
        } else if F {
            cpu.regs.flags = D::update::<M, _>(cpu, op, |a| O::full(a, b, old))?;
        } else {
            D::update::<M, _>(cpu, op, |a| (O::plain(a, b, old), ()))?;
        }
        Ok(())
    }
}

impl<O: BinaryOp> Binary for Family<O> {
    const ON_MEMORY: bool = true;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = Alu<O, T, F, D, S>;
    fn handler<T: Int, const F: bool, I: Instr>(site: &Site) -> Handler {
        if const { F && O::TESTED.with::<T>() } {
            with_branch::<I>(site.following)
        } else {
            sure::<I>
        }
    }
}

/// All forms of one operation.
pub struct Family<O>(PhantomData<O>);

/// `op dst`.
struct Unary<O, T, const F: bool, D>(PhantomData<(O, T, D)>);

impl<O: UnaryOp, T: Int, const F: bool, D: Dst<T>> OnMemory for Unary<O, T, F, D> {
    type Slow = Unary<O, T, true, D::SlowDst>;
}

impl<O: UnaryOp, T: Int, const F: bool, D: Dst<T>> Instr for Unary<O, T, F, D> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let old = cpu.regs.flags;
        if F {
            cpu.regs.flags = D::update::<M, _>(cpu, op, |a| O::full(a, old))?;
        } else {
            D::update::<M, _>(cpu, op, |a| (O::plain(a), ()))?;
        }
        Ok(())
    }
}

/// All forms of one operation on one value.
struct UnaryFamily<O>(PhantomData<O>);

impl<O: UnaryOp> UnaryForms for UnaryFamily<O> {
    const ON_MEMORY: bool = true;
    type Form<T: Int, const F: bool, D: Dst<T>> = Unary<O, T, F, D>;
    fn handler<T: Int, const F: bool, I: Instr>(site: &Site) -> Handler {
        if const { F && O::TESTED.with::<T>() } {
            with_branch::<I>(site.following)
        } else {
            sure::<I>
        }
    }
}

pub const FORMS: &[Form] = forms! {
    quiet [lower_binary::<Family<Add>>]:
        Add_rm8_r8 Add_rm16_r16 Add_rm32_r32 Add_rm64_r64 Add_r8_rm8 Add_r16_rm16
        Add_r32_rm32 Add_r64_rm64 Add_AL_imm8 Add_AX_imm16 Add_EAX_imm32 Add_RAX_imm32
        Add_rm8_imm8 Add_rm16_imm16 Add_rm32_imm32 Add_rm64_imm32 Add_rm8_imm8_82
        Add_rm16_imm8 Add_rm32_imm8 Add_rm64_imm8;
    quiet [lower_binary::<Family<Or>>]:
        Or_rm8_r8 Or_rm16_r16 Or_rm32_r32 Or_rm64_r64 Or_r8_rm8 Or_r16_rm16 Or_r32_rm32
        Or_r64_rm64 Or_AL_imm8 Or_AX_imm16 Or_EAX_imm32 Or_RAX_imm32 Or_rm8_imm8
        Or_rm16_imm16 Or_rm32_imm32 Or_rm64_imm32 Or_rm8_imm8_82 Or_rm16_imm8 Or_rm32_imm8
        Or_rm64_imm8;
    quiet [lower_binary::<Family<Adc>>]:
        Adc_rm8_r8 Adc_rm16_r16 Adc_rm32_r32 Adc_rm64_r64 Adc_r8_rm8 Adc_r16_rm16
        Adc_r32_rm32 Adc_r64_rm64 Adc_AL_imm8 Adc_AX_imm16 Adc_EAX_imm32 Adc_RAX_imm32
        Adc_rm8_imm8 Adc_rm16_imm16 Adc_rm32_imm32 Adc_rm64_imm32 Adc_rm8_imm8_82
        Adc_rm16_imm8 Adc_rm32_imm8 Adc_rm64_imm8;
    quiet [lower_binary::<Family<Sbb>>]:
        Sbb_rm8_r8 Sbb_rm16_r16 Sbb_rm32_r32 Sbb_rm64_r64 Sbb_r8_rm8 Sbb_r16_rm16
        Sbb_r32_rm32 Sbb_r64_rm64 Sbb_AL_imm8 Sbb_AX_imm16 Sbb_EAX_imm32 Sbb_RAX_imm32
        Sbb_rm8_imm8 Sbb_rm16_imm16 Sbb_rm32_imm32 Sbb_rm64_imm32 Sbb_rm8_imm8_82
        Sbb_rm16_imm8 Sbb_rm32_imm8 Sbb_rm64_imm8;
    quiet [lower_binary::<Family<And>>]:
        And_rm8_r8 And_rm16_r16 And_rm32_r32 And_rm64_r64 And_r8_rm8 And_r16_rm16
        And_r32_rm32 And_r64_rm64 And_AL_imm8 And_AX_imm16 And_EAX_imm32 And_RAX_imm32
        And_rm8_imm8 And_rm16_imm16 And_rm32_imm32 And_rm64_imm32 And_rm8_imm8_82
        And_rm16_imm8 And_rm32_imm8 And_rm64_imm8;
    quiet [lower_binary::<Family<Sub>>]:
        Sub_rm8_r8 Sub_rm16_r16 Sub_rm32_r32 Sub_rm64_r64 Sub_r8_rm8 Sub_r16_rm16
        Sub_r32_rm32 Sub_r64_rm64 Sub_AL_imm8 Sub_AX_imm16 Sub_EAX_imm32 Sub_RAX_imm32
        Sub_rm8_imm8 Sub_rm16_imm16 Sub_rm32_imm32 Sub_rm64_imm32 Sub_rm8_imm8_82
        Sub_rm16_imm8 Sub_rm32_imm8 Sub_rm64_imm8;
    quiet [lower_binary::<Family<Xor>>]:
        Xor_rm8_r8 Xor_rm16_r16 Xor_rm32_r32 Xor_rm64_r64 Xor_r8_rm8 Xor_r16_rm16
        Xor_r32_rm32 Xor_r64_rm64 Xor_AL_imm8 Xor_AX_imm16 Xor_EAX_imm32 Xor_RAX_imm32
        Xor_rm8_imm8 Xor_rm16_imm16 Xor_rm32_imm32 Xor_rm64_imm32 Xor_rm8_imm8_82
        Xor_rm16_imm8 Xor_rm32_imm8 Xor_rm64_imm8;
    quiet [lower_binary::<Family<Cmp>>]:
        Cmp_rm8_r8 Cmp_rm16_r16 Cmp_rm32_r32 Cmp_rm64_r64 Cmp_r8_rm8 Cmp_r16_rm16
        Cmp_r32_rm32 Cmp_r64_rm64 Cmp_AL_imm8 Cmp_AX_imm16 Cmp_EAX_imm32 Cmp_RAX_imm32
        Cmp_rm8_imm8 Cmp_rm16_imm16 Cmp_rm32_imm32 Cmp_rm64_imm32 Cmp_rm8_imm8_82
        Cmp_rm16_imm8 Cmp_rm32_imm8 Cmp_rm64_imm8;
    quiet [lower_binary::<Family<Test>>]:
        Test_rm8_r8 Test_rm16_r16 Test_rm32_r32 Test_rm64_r64 Test_AL_imm8 Test_AX_imm16
        Test_EAX_imm32 Test_RAX_imm32 Test_rm8_imm8 Test_rm8_imm8_F6r1 Test_rm16_imm16
        Test_rm32_imm32 Test_rm64_imm32 Test_rm16_imm16_F7r1 Test_rm32_imm32_F7r1
        Test_rm64_imm32_F7r1;
    quiet [lower_unary::<UnaryFamily<Inc>>]:
        Inc_r16 Inc_r32 Inc_rm8 Inc_rm16 Inc_rm32 Inc_rm64;
    quiet [lower_unary::<UnaryFamily<Dec>>]:
        Dec_r16 Dec_r32 Dec_rm8 Dec_rm16 Dec_rm32 Dec_rm64;
    quiet [lower_unary::<UnaryFamily<Neg>>]:
        Neg_rm8 Neg_rm16 Neg_rm32 Neg_rm64;
    quiet [lower_unary::<UnaryFamily<Not>>]:
        Not_rm8 Not_rm16 Not_rm32 Not_rm64;
};
