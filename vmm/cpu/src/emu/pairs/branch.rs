//! Pairs of an instruction that sets flags and a conditional branch.

use iced_x86::Code;

use crate::emu::arithmetic::flags::{self, Condition};
use crate::emu::cpu::access::Fast;
use crate::emu::cpu::{Cpu, Handler};
use crate::emu::engine::{Instr, Next, follow, stop_at, sure};

/// Handler of an instruction that can neither miss nor fault and the direct branch after it.
///
/// # Safety
/// As for [`Handler`]; the op after this one is a conditional branch on `C`.
unsafe fn pair<I: Instr, C: Condition>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match I::exec::<Fast>(&mut *cpu, &*op) {
            Ok(()) => follow(cpu, op.add(1), C::holds((*cpu).regs.flags)),
            Err(stop) => stop_at(&mut *cpu, op, stop),
        }
    }
}

/// The handler of flag-setting instruction `I`, on registers and immediates, when
/// `following` comes next: that of the pair if that is a conditional jump of those that
/// compilers use. A jump on parity is not paired, as it is rare.
pub fn with_branch<I: Instr>(following: Code) -> Handler {
    match following {
        Code::Jo_rel8_64 | Code::Jo_rel32_64 => pair::<I, flags::O>,
        Code::Jno_rel8_64 | Code::Jno_rel32_64 => pair::<I, flags::No>,
        Code::Jb_rel8_64 | Code::Jb_rel32_64 => pair::<I, flags::B>,
        Code::Jae_rel8_64 | Code::Jae_rel32_64 => pair::<I, flags::Ae>,
        Code::Je_rel8_64 | Code::Je_rel32_64 => pair::<I, flags::E>,
        Code::Jne_rel8_64 | Code::Jne_rel32_64 => pair::<I, flags::Ne>,
        Code::Jbe_rel8_64 | Code::Jbe_rel32_64 => pair::<I, flags::Be>,
        Code::Ja_rel8_64 | Code::Ja_rel32_64 => pair::<I, flags::A>,
        Code::Js_rel8_64 | Code::Js_rel32_64 => pair::<I, flags::S>,
        Code::Jns_rel8_64 | Code::Jns_rel32_64 => pair::<I, flags::Ns>,
        Code::Jl_rel8_64 | Code::Jl_rel32_64 => pair::<I, flags::L>,
        Code::Jge_rel8_64 | Code::Jge_rel32_64 => pair::<I, flags::Ge>,
        Code::Jle_rel8_64 | Code::Jle_rel32_64 => pair::<I, flags::Le>,
        Code::Jg_rel8_64 | Code::Jg_rel32_64 => pair::<I, flags::G>,
        _ => sure::<I>,
    }
}
