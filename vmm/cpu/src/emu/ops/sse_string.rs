//! Text in XMM registers: `pcmpestri pcmpestrm pcmpistri pcmpistrm` (SSE4.2).

use std::arch::asm;
use std::arch::x86_64::__m128i;
use std::marker::PhantomData;

use iced_x86::{Code, Instruction};

use super::super::access::Access;
use super::super::cpu::Cpu;
use super::super::decode::{Form, Site};
use super::super::engine::Instr;
use super::super::exception::Stop;
use super::super::flags::Flags;
use super::super::op::{Op, Slot};
use super::super::operand::{Src, xmm_slot};
use super::forms;
use super::sse::{Family, Source, Stubs, source_form};
use super::sse_forms::stub_for_each_imm;

/// Compares strings: the result is a mask in xmm0, or else an index in ecx. The lengths
/// in rax and rdx count in full if `WIDE`; strings without ignore them.
struct Compare<S, const MASK: bool, const WIDE: bool>(PhantomData<S>);

impl<S: Src<__m128i>, const MASK: bool, const WIDE: bool> Instr for Compare<S, MASK, WIDE> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        let mut result: __m128i = cpu.xmms.read(op.dst);
        let length = |slot: Slot| {
            if WIDE {
                // More than the elements of a register means all of them.
                cpu.gprs.read::<u64>(slot).cast_signed().clamp(-16, 16)
            } else {
                i64::from(cpu.gprs.read::<u32>(slot).cast_signed())
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
        cpu.flags = Flags(flags as u16);
        if MASK {
            cpu.xmms.write(Slot::xmm(0), result);
        } else {
            cpu.gprs.write(Slot::RCX, index);
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

pub(super) const FORMS: &[Form] = forms! {
    next [lower::<false, false>]: Pcmpistri_xmm_xmmm128_imm8 Pcmpestri_xmm_xmmm128_imm8;
    next [lower::<true, false>]: Pcmpistrm_xmm_xmmm128_imm8 Pcmpestrm_xmm_xmmm128_imm8;
    next [lower::<false, true>]: Pcmpestri64_xmm_xmmm128_imm8;
    next [lower::<true, true>]: Pcmpestrm64_xmm_xmmm128_imm8;
};
