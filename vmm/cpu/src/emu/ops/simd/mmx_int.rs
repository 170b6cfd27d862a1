//! Arithmetic, logic, shifts and shuffles on MMX registers, from MMX to SSSE3.
//!
//! Executed as those on XMM registers are (see [`sse`](crate::emu::ops::simd::sse)), by
//! stubs on mm0 and mm1.

use std::arch::asm;
use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Outcome, Site};
use crate::emu::engine::operand::{Ea, EaKind, General, Indexed, Mem, Src};
use crate::emu::engine::{Instr, fast, slow};
use crate::emu::ops::simd::mmx::{SrcMm, mm_slot};
use crate::emu::ops::simd::sse::Stubs;
use crate::emu::ops::simd::sse_forms::stub_for_each_imm;
use crate::emu::state::exception::Stop;

/// A `T` in memory, zero-extended.
pub struct LowMem<T, E>(PhantomData<(T, E)>);

impl<T: Int, E: Ea> Src<u64> for LowMem<T, E> {
    type Slow = LowMem<T, General>;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        Ok(<Mem<E> as Src<T>>::get::<M>(cpu, op)?.zero_extend())
    }
}

/// `dst = stub(dst, src)`.
struct Stub<S>(PhantomData<S>);

impl<S: Src<u64>> Instr for Stub<S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let b = S::get::<M>(cpu, op)?;
        let number = usize::from(op.dst.0);
        let mut a = cpu.regs.x87.mmx(number);
        // SAFETY: lowering put the address of a stub there, which works on mm0 and mm1,
        // and refused what the host does not have; `emms` leaves the x87 stack empty.
        unsafe {
            asm!(
                "movq mm0, {a}",
                "movq mm1, {b}",
                "call {stub}",
                "movq {a}, mm0",
                "emms",
                a = inout(reg) a,
                b = in(reg) b,
                stub = in(reg) op.imm.get(),
                out("mm0") _, out("mm1") _, out("mm2") _, out("mm3") _,
                out("mm4") _, out("mm5") _, out("mm6") _, out("mm7") _,
                options(nomem),
            );
        }
        cpu.regs.x87.set_mmx(number, a);
        cpu.regs.x87.begin_mmx();
        Ok(())
    }
}

/// Lowers `op mm, mm/memory` and `op mm, imm8`.
fn lower_stub<T: Int>(site: &Site, insn: &Instruction, op: &mut Op, stubs: Stubs) {
    op.dst = mm_slot(insn.op0_register());
    op.imm.set(stubs.address(insn));
    op.handler = match insn.op1_kind() {
        OpKind::Memory => match op.set_memory(site, insn) {
            EaKind::General => slow::<Stub<LowMem<T, General>>>,
            _ => fast::<Stub<LowMem<T, Indexed>>>,
        },
        OpKind::Register => {
            op.src = mm_slot(insn.op1_register());
            fast::<Stub<SrcMm>>
        }
        _ => {
            op.src = op.dst;
            fast::<Stub<SrcMm>>
        }
    };
}

/// Forms executed by stubs: `kind type { "op" Code ... }`, where the type is that of a
/// memory operand.
macro_rules! mm_forms {
    ($($kind:ident $type:ident { $($text:literal $code:ident)* })*) => {
        &[$($(Form { code: iced_x86::Code::$code, lower: {
            #[unsafe(naked)]
            unsafe extern "C" fn stub() {
                mm_forms!(@$kind $text)
            }
            fn lower(site: &Site, insn: &Instruction, op: &mut Op) {
                let stubs = Stubs { first: stub, imm: mm_forms!(@imm $kind) };
                lower_stub::<$type>(site, insn, op, stubs);
            }
            lower
        }, outcome: Outcome::Next, stub: false },)*)*]
    };
    (@plain $text:literal) => { std::arch::naked_asm!(concat!($text, " mm0, mm1"), "ret") };
    (@with_imm $text:literal) => { stub_for_each_imm!(concat!($text, " mm0, mm1,")) };
    (@shift $text:literal) => { stub_for_each_imm!(concat!($text, " mm0,")) };
    (@imm plain) => { None };
    (@imm with_imm) => { Some(2) };
    (@imm shift) => { Some(1) };
}

/// Arithmetic, logic, shifts and shuffles.
pub const FORMS: &[Form] = mm_forms! {
    plain u32 {
        "punpcklbw" Punpcklbw_mm_mmm32
        "punpcklwd" Punpcklwd_mm_mmm32
        "punpckldq" Punpckldq_mm_mmm32
    }
    plain u64 {
        "packsswb" Packsswb_mm_mmm64
        "pcmpgtb" Pcmpgtb_mm_mmm64
        "pcmpgtw" Pcmpgtw_mm_mmm64
        "pcmpgtd" Pcmpgtd_mm_mmm64
        "packuswb" Packuswb_mm_mmm64
        "punpckhbw" Punpckhbw_mm_mmm64
        "punpckhwd" Punpckhwd_mm_mmm64
        "punpckhdq" Punpckhdq_mm_mmm64
        "packssdw" Packssdw_mm_mmm64
        "pcmpeqb" Pcmpeqb_mm_mmm64
        "pcmpeqw" Pcmpeqw_mm_mmm64
        "pcmpeqd" Pcmpeqd_mm_mmm64
        "psrlw" Psrlw_mm_mmm64
        "psrld" Psrld_mm_mmm64
        "psrlq" Psrlq_mm_mmm64
        "paddq" Paddq_mm_mmm64
        "pmullw" Pmullw_mm_mmm64
        "psubusb" Psubusb_mm_mmm64
        "psubusw" Psubusw_mm_mmm64
        "pand" Pand_mm_mmm64
        "paddusb" Paddusb_mm_mmm64
        "paddusw" Paddusw_mm_mmm64
        "pandn" Pandn_mm_mmm64
        "psraw" Psraw_mm_mmm64
        "psrad" Psrad_mm_mmm64
        "pmulhw" Pmulhw_mm_mmm64
        "psubsb" Psubsb_mm_mmm64
        "psubsw" Psubsw_mm_mmm64
        "por" Por_mm_mmm64
        "paddsb" Paddsb_mm_mmm64
        "paddsw" Paddsw_mm_mmm64
        "pxor" Pxor_mm_mmm64
        "psllw" Psllw_mm_mmm64
        "pslld" Pslld_mm_mmm64
        "psllq" Psllq_mm_mmm64
        "pmaddwd" Pmaddwd_mm_mmm64
        "psubb" Psubb_mm_mmm64
        "psubw" Psubw_mm_mmm64
        "psubd" Psubd_mm_mmm64
        "paddb" Paddb_mm_mmm64
        "paddw" Paddw_mm_mmm64
        "paddd" Paddd_mm_mmm64
        "pmuludq" Pmuludq_mm_mmm64
        "psubq" Psubq_mm_mmm64
        "pminub" Pminub_mm_mmm64
        "pmaxub" Pmaxub_mm_mmm64
        "pavgb" Pavgb_mm_mmm64
        "pavgw" Pavgw_mm_mmm64
        "pmulhuw" Pmulhuw_mm_mmm64
        "pminsw" Pminsw_mm_mmm64
        "pmaxsw" Pmaxsw_mm_mmm64
        "psadbw" Psadbw_mm_mmm64
        "pshufb" Pshufb_mm_mmm64
        "phaddw" Phaddw_mm_mmm64
        "phaddd" Phaddd_mm_mmm64
        "phaddsw" Phaddsw_mm_mmm64
        "pmaddubsw" Pmaddubsw_mm_mmm64
        "phsubw" Phsubw_mm_mmm64
        "phsubd" Phsubd_mm_mmm64
        "phsubsw" Phsubsw_mm_mmm64
        "psignb" Psignb_mm_mmm64
        "psignw" Psignw_mm_mmm64
        "psignd" Psignd_mm_mmm64
        "pmulhrsw" Pmulhrsw_mm_mmm64
        "pabsb" Pabsb_mm_mmm64
        "pabsw" Pabsw_mm_mmm64
        "pabsd" Pabsd_mm_mmm64
    }
    shift u64 {
        "psrlw" Psrlw_mm_imm8
        "psraw" Psraw_mm_imm8
        "psllw" Psllw_mm_imm8
        "psrld" Psrld_mm_imm8
        "psrad" Psrad_mm_imm8
        "pslld" Pslld_mm_imm8
        "psrlq" Psrlq_mm_imm8
        "psllq" Psllq_mm_imm8
    }
    with_imm u64 {
        "pshufw" Pshufw_mm_mmm64_imm8
        "palignr" Palignr_mm_mmm64_imm8
    }
};
