//! Between MMX and XMM registers: `movq2dq movdq2q cvtpi2ps cvtpi2pd cvtps2pi cvttps2pi
//! cvtpd2pi cvttpd2pi`.
//!
//! The conversions are executed as their counterparts on XMM registers, of which the
//! upper half is zero.

use std::arch::x86_64::__m128i;
use std::marker::PhantomData;

use iced_x86::{Code, Instruction, OpKind};

use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Aligned, General, Mem, Src, SrcXmm, xmm_slot};
use crate::emu::engine::{Instr, fast};
use crate::emu::ops::simd::mmx::{SrcMm, mm_slot};
use crate::emu::ops::simd::sse::{Bits128, LowMem, call_stub, call_stub_under, leave_to_slow, low};
use crate::emu::ops::simd::sse_move::LowXmm;
use crate::emu::state::exception::Stop;

/// Executes the stub at the op's immediate, under the guest's MXCSR if `CAREFUL`.
fn convert<const CAREFUL: bool>(
    cpu: &mut Cpu,
    op: &Op,
    a: __m128i,
    b: __m128i,
) -> Result<__m128i, Stop> {
    if CAREFUL {
        // SAFETY: lowering put the address of a stub there; a careful MXCSR masks all
        // exceptions.
        let (result, raised) =
            unsafe { call_stub_under(op.imm.get(), a, b, cpu.regs.careful_mxcsr()) };
        cpu.note_masked_exceptions(raised)?;
        Ok(result)
    } else {
        // SAFETY: lowering put the address of a stub there.
        Ok(unsafe { call_stub(op.imm.get(), a, b) })
    }
}

/// To an XMM register. `MMX` if the source is an MMX register.
struct ToXmm<S, const MMX: bool, const CAREFUL: bool>(PhantomData<S>);

impl<S: Src<u64>, const MMX: bool, const CAREFUL: bool> Instr for ToXmm<S, MMX, CAREFUL> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        if CAREFUL {
            leave_to_slow::<M>()?;
        }
        if MMX {
            cpu.check_x87()?;
        }
        let b = low(S::get::<M>(cpu, op)?);
        let a = cpu.regs.xmms.read(op.dst);
        let result = convert::<CAREFUL>(cpu, op, a, b);
        if MMX {
            // Processors do this even if they raise #XM.
            cpu.regs.x87.begin_mmx();
        }
        cpu.regs.xmms.write(op.dst, result?);
        Ok(())
    }
}

/// To an MMX register.
struct ToMmx<S, const CAREFUL: bool>(PhantomData<S>);

impl<S: Src<__m128i>, const CAREFUL: bool> Instr for ToMmx<S, CAREFUL> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        if CAREFUL {
            leave_to_slow::<M>()?;
        }
        cpu.check_x87()?;
        let b = S::get::<M>(cpu, op)?;
        let result = convert::<CAREFUL>(cpu, op, low(0), b);
        // As above.
        cpu.regs.x87.begin_mmx();
        let [value, _] = Bits128::from(result?).doubles();
        cpu.regs.x87.set_mmx(usize::from(op.dst.0), value);
        Ok(())
    }
}

macro_rules! stub {
    ($($text:literal),*) => {{
        #[unsafe(naked)]
        unsafe extern "C" fn stub() {
            std::arch::naked_asm!($($text,)* "ret")
        }
        stub as *const () as u64
    }};
}

fn lower_to_xmm(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    op.imm.set(match insn.code() {
        Code::Cvtpi2ps_xmm_mmm64 => stub!("cvtdq2ps xmm1, xmm1", "movsd xmm0, xmm1"),
        Code::Cvtpi2pd_xmm_mmm64 => stub!("cvtdq2pd xmm0, xmm1"),
        _ => stub!("movaps xmm0, xmm1"),
    });
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = mm_slot(insn.op1_register());
        to_xmm::<SrcMm, true>(site)
    } else {
        op.set_memory(site, insn);
        to_xmm::<Mem<General>, false>(site)
    };
}

fn to_xmm<S: Src<u64>, const MMX: bool>(site: &Site) -> Handler {
    if site.fp.careful() {
        fast::<ToXmm<S, MMX, true>>
    } else {
        fast::<ToXmm<S, MMX, false>>
    }
}

fn lower_to_mmx(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = mm_slot(insn.op0_register());
    op.imm.set(match insn.code() {
        Code::Cvtps2pi_mm_xmmm64 => stub!("cvtps2dq xmm0, xmm1"),
        Code::Cvttps2pi_mm_xmmm64 => stub!("cvttps2dq xmm0, xmm1"),
        Code::Cvtpd2pi_mm_xmmm128 => stub!("cvtpd2dq xmm0, xmm1"),
        Code::Cvttpd2pi_mm_xmmm128 => stub!("cvttpd2dq xmm0, xmm1"),
        _ => stub!("movaps xmm0, xmm1"),
    });
    let whole = insn.memory_size().size() == 16;
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = xmm_slot(insn.op1_register());
        if whole {
            to_mmx::<SrcXmm>(site)
        } else {
            to_mmx::<LowXmm<u64>>(site)
        }
    } else if whole {
        op.set_memory(site, insn);
        to_mmx::<Aligned<General>>(site)
    } else {
        op.set_memory(site, insn);
        to_mmx::<LowMem<u64, General>>(site)
    };
}

fn to_mmx<S: Src<__m128i>>(site: &Site) -> Handler {
    if site.fp.careful() {
        fast::<ToMmx<S, true>>
    } else {
        fast::<ToMmx<S, false>>
    }
}

pub const FORMS: &[Form] = forms! {
    next [lower_to_xmm]: Cvtpi2ps_xmm_mmm64 Cvtpi2pd_xmm_mmm64 Movq2dq_xmm_mm;
    next [lower_to_mmx]:
        Cvtps2pi_mm_xmmm64 Cvttps2pi_mm_xmmm64 Cvtpd2pi_mm_xmmm128 Cvttpd2pi_mm_xmmm128
        Movdq2q_mm_xmm;
};
