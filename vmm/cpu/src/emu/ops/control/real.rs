//! Far transfers in real mode: a selector is a base, and there are no privileges.

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::stack::{Legacy, StackMode};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::ops::control::transfer::{push_both, word};
use crate::emu::state::exception::Stop;
use crate::emu::state::segment::CS;

/// `iret`.
pub fn iret<M: Access, T: Int>(cpu: &mut Cpu) -> Result<u64, Stop> {
    let ip = word::<M, T, Legacy>(cpu, 0)?;
    let selector = word::<M, T, Legacy>(cpu, 1)? as u16;
    let flags = word::<M, T, Legacy>(cpu, 2)?;
    let ip = Legacy::checked(cpu, T::truncate(ip))?;
    cpu.load_rflags(flags, T::BITS);
    Legacy::drop(cpu, 3 * T::SIZE);
    cpu.set_real_cs(selector);
    if cpu.events.nmi_blocked {
        cpu.unblock_nmi();
    }
    Ok(ip)
}

/// Far `ret`, dropping as many more bytes of stack as the immediate says.
pub fn far_ret<M: Access, T: Int>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
    let ip = word::<M, T, Legacy>(cpu, 0)?;
    let selector = word::<M, T, Legacy>(cpu, 1)? as u16;
    let ip = Legacy::checked(cpu, T::truncate(ip))?;
    Legacy::drop(cpu, (2 * T::SIZE).wrapping_add(op.imm.get()));
    cpu.set_real_cs(selector);
    Ok(ip)
}

/// Far `jmp` and, if `CALL`, `call` to `selector:ip`; the return address is the immediate.
pub fn far<M: Access, T: Int, const CALL: bool>(
    cpu: &mut Cpu,
    op: &Op,
    selector: u16,
    ip: u64,
) -> Result<u64, Stop> {
    let ip = Legacy::checked(cpu, T::truncate(ip))?;
    if CALL {
        let back = u64::from(cpu.control.segments[CS].selector);
        push_both::<M, T, Legacy>(cpu, back, op.imm.get())?;
    }
    cpu.set_real_cs(selector);
    Ok(ip)
}
