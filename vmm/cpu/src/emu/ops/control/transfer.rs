//! Transfers between segments and rings: `int iret syscall sysret`, far `jmp call ret`. What
//! they are in real mode is in [`real`], system calls of legacy modes are in [`fast_call`].

use std::marker::PhantomData;

use iced_x86::{Code, Instruction, OpKind};
use x86::{segment as a, vector};

use crate::emu::arithmetic::flags::rflags;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::deliver::Source;
use crate::emu::cpu::stack::{Legacy, Long, StackMode, push};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Ea, General, immediate};
use crate::emu::engine::{Jump, jump, jump_slow};
use crate::emu::ops::control::{fast_call, real};
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::control::{CodeSize, bits};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{CS, Linear, SS, flat, has, rpl};

/// `int n`, `int3`, `into`: vector in `disp`, return address in `imm`. A trap that waits
/// since `mov ss` comes at the handler's first instruction.
struct Software;

impl Jump for Software {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let event = Exception::plain(op.disp.get() as u8);
        let retired = cpu.meter.retired() + u64::from(op.n) + 1;
        cpu.deliver(event, Source::Software, op.imm.get(), retired)?;
        Ok(cpu.regs.rip)
    }
}

/// `int1`: a #DB with no reason of its own, which takes those of a trap that waits.
struct Int1;

impl Jump for Int1 {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let retired = cpu.meter.retired() + u64::from(op.n) + 1;
        cpu.deliver(
            Exception::plain(vector::DB),
            Source::Trap,
            op.imm.get(),
            retired,
        )?;
        let waiting = std::mem::take(&mut cpu.events.hits);
        if waiting != 0 {
            cpu.control.debug.note(waiting);
        }
        Ok(cpu.regs.rip)
    }
}

/// `into` when OF is set; goes on when not.
struct Into;

impl Jump for Into {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        if cpu.regs.flags.has(crate::emu::arithmetic::flags::bit::OF) {
            Software::exec::<M>(cpu, op)
        } else {
            Ok(op.imm.get())
        }
    }
}

fn lower_int(site: &Site, insn: &Instruction, op: &mut Op) {
    let number = match insn.code() {
        Code::Int3 => u64::from(vector::BP),
        Code::Into => u64::from(vector::OF),
        _ => immediate(insn, 0),
    };
    op.disp.set(number);
    op.imm.set(site.next_rip);
    op.handler = match insn.code() {
        Code::Int1 => jump_slow::<Int1>,
        Code::Into => jump_slow::<Into>,
        _ => jump_slow::<Software>,
    };
}

/// `syscall`; the return address is the immediate.
struct Syscall;

impl Jump for Syscall {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        if cpu.control.efer & bits::EFER_SCE == 0 {
            return Err(Exception::UD.into());
        }
        if !cpu.control.long_mode() {
            return Ok(fast_call::syscall(cpu, op));
        }
        let selector = (cpu.control.msrs.star >> 32) as u16 & !3;
        let target = if cpu.control.code_size == CodeSize::Bits64 {
            cpu.control.msrs.lstar
        } else {
            cpu.control.msrs.cstar
        };
        let flags = cpu.rflags() & !rflags::RF;
        cpu.regs.gprs.write(Slot::RCX, op.imm.get());
        cpu.regs.gprs.write(Slot::R11, flags);
        let retired = cpu.meter.retired() + u64::from(op.n) + 1;
        cpu.control.segments[SS] = flat(selector.wrapping_add(8), 0, a::BIG);
        cpu.set_cs(flat(selector, 0, a::LONG | a::CODE), retired);
        cpu.set_rflags(flags & !cpu.control.msrs.sfmask);
        cpu.events.stepping = cpu.control.system_flags & rflags::TF != 0;
        Ok(target)
    }
}

fn lower_syscall(site: &Site, _: &Instruction, op: &mut Op) {
    op.imm.set(site.next_rip);
    op.handler = jump::<Syscall>;
}

/// `sysret` to 64-bit code if `LONG`, else to compatibility mode.
struct Sysret<const LONG: bool>;

impl<const LONG: bool> Jump for Sysret<LONG> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        if cpu.control.efer & bits::EFER_SCE == 0 {
            return Err(Exception::UD.into());
        }
        cpu.control.ring0()?;
        if !cpu.control.long_mode() {
            return match cpu.control.real_mode() {
                true => Err(Exception::GP.into()),
                false => Ok(fast_call::sysret(cpu, op)),
            };
        }
        let base = (cpu.control.msrs.star >> 48) as u16 | 3;
        let target: u64 = cpu.regs.gprs.read(Slot::RCX);
        let flags: u64 = cpu.regs.gprs.read(Slot::R11);
        let retired = cpu.meter.retired() + u64::from(op.n) + 1;
        cpu.control.segments[SS] = flat(base.wrapping_add(8), 3, a::BIG);
        let (selector, size, target) = if LONG {
            (base.wrapping_add(16), a::LONG, target)
        } else {
            (base, a::BIG, target & 0xffff_ffff)
        };
        cpu.set_cs(flat(selector, 3, size | a::CODE), retired);
        cpu.set_rflags(flags & !(rflags::RF | rflags::VM));
        // Unlike `iret`, it is stepped itself if it sets TF.
        cpu.events.stepping = cpu.control.system_flags & rflags::TF != 0;
        Ok(target)
    }
}

fn lower_sysret<const LONG: bool>(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = jump::<Sysret<LONG>>;
}

/// `iret` with operands of type `T`.
struct Iret<T>(PhantomData<T>);

impl<T: Int> Jump for Iret<T> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        if cpu.control.code_size == CodeSize::Bits64 {
            iret::<M, T, Long>(cpu, op)
        } else if cpu.control.real_mode() {
            real::iret::<M, T>(cpu)
        } else {
            iret::<M, T, Legacy>(cpu, op)
        }
    }
}

/// Reads stack word number `index` from the top.
#[inline(always)]
pub fn word<M: Access, T: Int, S: StackMode>(cpu: &mut Cpu, index: u64) -> Result<u64, Stop> {
    let pointer: u64 = cpu.regs.gprs.read(Slot::RSP);
    let at: Linear = S::linear(cpu, pointer.wrapping_add(index * T::SIZE), T::SIZE, false)?;
    Ok(M::load::<T>(cpu, at)?.zero_extend())
}

fn iret<M: Access, T: Int, S: StackMode>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
    if cpu.control.system_flags & rflags::NT != 0 {
        if cpu.control.long_mode() {
            return Err(Exception::GP.into());
        }
        cpu.outside.exit.kind = ExitKind::Failed("a task switch");
        return Err(Stop::Exit);
    }
    let rip = word::<M, T, S>(cpu, 0)?;
    let selector = word::<M, T, S>(cpu, 1)? as u16;
    let flags = word::<M, T, S>(cpu, 2)?;
    if flags & rflags::VM != 0 && T::BITS == 32 && cpu.control.cpl == 0 && !cpu.control.long_mode()
    {
        cpu.outside.exit.kind = ExitKind::Failed("virtual-8086 mode");
        return Err(Stop::Exit);
    }
    let from_long = cpu.control.code_size == CodeSize::Bits64;
    let outward = rpl(selector) != cpu.control.cpl;
    let stack = if from_long || outward {
        let rsp = word::<M, T, S>(cpu, 3)?;
        Some((rsp, word::<M, T, S>(cpu, 4)? as u16))
    } else {
        None
    };
    let cs = cpu.return_code_segment(selector)?;
    cpu.check_target(&cs, rip)?;
    let stack = match stack {
        Some((rsp, selector)) => {
            let long = cpu.control.long_mode() && has(&cs, a::LONG);
            let ss = cpu.stack_segment(selector, rpl(cs.selector), long)?;
            Some((rsp, ss))
        }
        None => None,
    };

    let retired = cpu.meter.retired() + u64::from(op.n) + 1;
    // With the rights of the ring that returns.
    cpu.load_rflags(flags, T::BITS);
    match stack {
        Some((rsp, ss)) => {
            cpu.control.segments[SS] = ss;
            let pointer = if has(&cs, a::LONG) || has(&ss, a::BIG) || T::BITS != 16 {
                rsp
            } else {
                cpu.regs.gprs.read::<u64>(Slot::RSP) & !0xffff | rsp
            };
            cpu.regs.gprs.write(Slot::RSP, pointer);
        }
        None => S::drop(cpu, 3 * T::SIZE),
    }
    cpu.set_cs(cs, retired);
    if outward {
        cpu.drop_private_segments();
    }
    if cpu.events.nmi_blocked {
        cpu.unblock_nmi();
    }
    Ok(rip)
}

fn lower_iret<T: Int>(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = jump::<Iret<T>>;
}

/// Far `ret`, dropping as many more bytes of stack as the immediate says.
struct FarRet<T>(PhantomData<T>);

impl<T: Int> Jump for FarRet<T> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        if cpu.control.code_size == CodeSize::Bits64 {
            far_ret::<M, T, Long>(cpu, op)
        } else if cpu.control.real_mode() {
            real::far_ret::<M, T>(cpu, op)
        } else {
            far_ret::<M, T, Legacy>(cpu, op)
        }
    }
}

fn far_ret<M: Access, T: Int, S: StackMode>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
    let rip = word::<M, T, S>(cpu, 0)?;
    let selector = word::<M, T, S>(cpu, 1)? as u16;
    let cs = cpu.return_code_segment(selector)?;
    cpu.check_target(&cs, rip)?;
    let drop = op.imm.get();
    let retired = cpu.meter.retired() + u64::from(op.n) + 1;
    if rpl(cs.selector) == cpu.control.cpl {
        S::drop(cpu, (2 * T::SIZE).wrapping_add(drop));
        cpu.set_cs(cs, retired);
        return Ok(rip);
    }
    let pointer: u64 = cpu.regs.gprs.read(Slot::RSP);
    let outer = pointer.wrapping_add(2 * T::SIZE).wrapping_add(drop);
    let at = S::linear(cpu, outer, T::SIZE, false)?;
    let rsp = M::load::<T>(cpu, at)?.zero_extend();
    let at = S::linear(cpu, outer.wrapping_add(T::SIZE), T::SIZE, false)?;
    let stack = M::load::<T>(cpu, at)?.zero_extend() as u16;
    let long = cpu.control.long_mode() && has(&cs, a::LONG);
    let ss = cpu.stack_segment(stack, rpl(cs.selector), long)?;
    cpu.control.segments[SS] = ss;
    cpu.regs.gprs.write(Slot::RSP, rsp.wrapping_add(drop));
    cpu.set_cs(cs, retired);
    cpu.drop_private_segments();
    Ok(rip)
}

fn lower_far_ret<T: Int>(_: &Site, insn: &Instruction, op: &mut Op) {
    op.imm.set(immediate(insn, 0));
    op.handler = jump_slow::<FarRet<T>>;
}

/// Far `jmp`, and `call` if `CALL`, through memory if `MEMORY`; else the selector is in
/// `disp` and the offset in the four slots. The return address is the immediate.
struct Far<T, const CALL: bool, const MEMORY: bool>(PhantomData<T>);

impl<T: Int, const CALL: bool, const MEMORY: bool> Jump for Far<T, CALL, MEMORY> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let (selector, rip) = if MEMORY {
            let at = General::linear(cpu, op, T::SIZE + 2, false)?;
            let rip = M::load::<T>(cpu, at)?.zero_extend();
            (M::load::<u16>(cpu, at.add(T::SIZE))?, rip)
        } else {
            (op.disp.get() as u16, u64::from(op.distance() as u32))
        };
        if cpu.control.real_mode() {
            return real::far::<M, T, CALL>(cpu, op, selector, rip);
        }
        let retired = cpu.meter.retired() + u64::from(op.n) + 1;
        let back = CALL.then_some(op.imm.get());
        if !cpu.control.long_mode() {
            if let Some(rip) = cpu.pass_legacy_gate(selector, back, retired)? {
                return Ok(rip);
            }
        } else if let Some(gate) = cpu.call_gate(selector, CALL)? {
            return cpu.pass_gate(&gate, back, retired);
        }
        let cs = cpu.far_code_segment(selector)?;
        cpu.check_target(&cs, rip)?;
        if CALL {
            let back = u64::from(cpu.control.segments[CS].selector);
            if cpu.control.code_size == CodeSize::Bits64 {
                push_both::<M, T, Long>(cpu, back, op.imm.get())?;
            } else {
                push_both::<M, T, Legacy>(cpu, back, op.imm.get())?;
            }
        }
        cpu.set_cs(cs, retired);
        Ok(rip)
    }
}

/// Pushes two values; commits both or none.
pub fn push_both<M: Access, T: Int, S: StackMode>(
    cpu: &mut Cpu,
    first: u64,
    second: u64,
) -> Result<(), Stop> {
    let before: u64 = cpu.regs.gprs.read(Slot::RSP);
    push::<M, T, S>(cpu, T::truncate(first))?;
    let result = push::<M, T, S>(cpu, T::truncate(second));
    if result.is_err() {
        cpu.regs.gprs.write(Slot::RSP, before);
    }
    result
}

fn lower_far<T: Int, const CALL: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    if insn.op0_kind() == OpKind::Memory {
        op.set_memory(site, insn);
        op.handler = jump_slow::<Far<T, CALL, true>>;
    } else {
        let offset = if T::BITS == 16 {
            u32::from(insn.far_branch16())
        } else {
            insn.far_branch32()
        };
        op.set_distance(offset as i32);
        op.disp.set(u64::from(insn.far_branch_selector()));
        op.handler = jump_slow::<Far<T, CALL, false>>;
    }
    op.imm.set(site.next_rip);
}

pub const FORMS: &[Form] = forms! {
    end [lower_int]: Int_imm8 Int3 Into Int1;
    end [lower_syscall]: Syscall;
    end [lower_sysret::<false>]: Sysretd;
    end [lower_sysret::<true>]: Sysretq;
    end [lower_iret::<u16>]: Iretw;
    end [lower_iret::<u32>]: Iretd;
    end [lower_iret::<u64>]: Iretq;
    end [lower_far_ret::<u16>]: Retfw Retfw_imm16;
    end [lower_far_ret::<u32>]: Retfd Retfd_imm16;
    end [lower_far_ret::<u64>]: Retfq Retfq_imm16;
    end [lower_far::<u16, false>]: Jmp_m1616 Jmp_ptr1616;
    end [lower_far::<u32, false>]: Jmp_m1632 Jmp_ptr1632;
    end [lower_far::<u64, false>]: Jmp_m1664;
    end [lower_far::<u16, true>]: Call_m1616 Call_ptr1616;
    end [lower_far::<u32, true>]: Call_m1632 Call_ptr1632;
    end [lower_far::<u64, true>]: Call_m1664;
};
