//! Text in XMM registers: `pcmpestri pcmpestrm pcmpistri pcmpistrm` (SSE4.2).

use std::arch::asm;
use std::arch::x86_64::__m128i;
use std::marker::PhantomData;

use iced_x86::{Code, Instruction};

use crate::emu::arithmetic::flags::Flags;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Src, xmm_slot};
use crate::emu::engine::{Instr, OnMemory};
use crate::emu::ops::simd::sse::{Family, Source, Stubs, source_form};
use crate::emu::ops::simd::sse_forms::stub_for_each_imm;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

/// Compares strings: the result is a mask in xmm0, or else an index in ecx. The lengths
/// in rax and rdx count in full if `WIDE`; strings without ignore them.
struct Compare<S, const MASK: bool, const WIDE: bool>(PhantomData<S>);

impl<S: Src<__m128i>, const MASK: bool, const WIDE: bool> OnMemory for Compare<S, MASK, WIDE> {
    type Slow = Compare<S::Slow, MASK, WIDE>;
}

impl<S: Src<__m128i>, const MASK: bool, const WIDE: bool> Instr for Compare<S, MASK, WIDE> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        let mut result: __m128i = cpu.regs.xmms.read(op.dst);
        let length = |slot: Slot| {
            if WIDE {
                // More than the elements of a register means all of them.
                cpu.regs.gprs.read::<u64>(slot).cast_signed().clamp(-16, 16)
            } else {
                i64::from(cpu.regs.gprs.read::<u32>(slot).cast_signed())
            }
        };
        let (first, second) = (length(Slot::RAX), length(Slot::RDX));
        let index: u64;
        let flags: u64;
        // SAFETY: lowering put the address of a stub there, whose instruction writes
        // xmm0 or ecx, and refused what the host does not have.
        unsafe {
            asm!(
                "call {stub}",
                "lahf",
                "seto al",
                stub = in(reg) op.imm.get(),
                inout("rax") first => flags,
                in("rdx") second,
                out("rcx") index,
                inout("xmm0") result,
                in("xmm1") b,
                options(nomem),
            );
        }
        cpu.regs.flags = Flags(flags as u16);
        if MASK {
            cpu.regs.xmms.write(Slot::xmm(0), result);
        } else {
            cpu.regs.gprs.write(Slot::RCX, index);
        }
        Ok(())
    }
}

struct CompareFamily<const MASK: bool, const WIDE: bool>;
impl<const MASK: bool, const WIDE: bool> Family for CompareFamily<MASK, WIDE> {
    type Form<S: Src<__m128i>> = Compare<S, MASK, WIDE>;
}

fn lower<const MASK: bool, const WIDE: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    #[unsafe(naked)]
    unsafe extern "C" fn pcmpestri() {
        stub_for_each_imm!("pcmpestri xmm0, xmm1,")
    }
    #[unsafe(naked)]
    unsafe extern "C" fn pcmpestrm() {
        stub_for_each_imm!("pcmpestrm xmm0, xmm1,")
    }
    #[unsafe(naked)]
    unsafe extern "C" fn pcmpistri() {
        stub_for_each_imm!("pcmpistri xmm0, xmm1,")
    }
    #[unsafe(naked)]
    unsafe extern "C" fn pcmpistrm() {
        stub_for_each_imm!("pcmpistrm xmm0, xmm1,")
    }
    let first = match insn.code() {
        Code::Pcmpistri_xmm_xmmm128_imm8 => pcmpistri,
        Code::Pcmpistrm_xmm_xmmm128_imm8 => pcmpistrm,
        Code::Pcmpestri_xmm_xmmm128_imm8 | Code::Pcmpestri64_xmm_xmmm128_imm8 => pcmpestri,
        _ => pcmpestrm as unsafe extern "C" fn(),
    };
    let stubs = Stubs {
        first,
        imm: Some(2),
    };
    op.dst = xmm_slot(insn.op0_register());
    op.imm.set(stubs.address(insn));
    op.handler = source_form::<CompareFamily<MASK, WIDE>>(site, insn, op, Source::Loose);
}

pub const FORMS: &[Form] = forms! {
    quiet_vector [lower::<false, false>]: Pcmpistri_xmm_xmmm128_imm8 Pcmpestri_xmm_xmmm128_imm8;
    quiet_vector [lower::<true, false>]: Pcmpistrm_xmm_xmmm128_imm8 Pcmpestrm_xmm_xmmm128_imm8;
    quiet_vector [lower::<false, true>]: Pcmpestri64_xmm_xmmm128_imm8;
    quiet_vector [lower::<true, true>]: Pcmpestrm64_xmm_xmmm128_imm8;
};
