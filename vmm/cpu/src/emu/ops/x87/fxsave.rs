//! The floating-point state as a whole, and MXCSR: `fxsave fxrstor fxsave64 fxrstor64
//! stmxcsr ldmxcsr`.
//!
//! What changes MXCSR ends a block: what follows may have to be decoded for another
//! [`FpMode`](crate::emu::state::mxcsr::FpMode).

use std::marker::PhantomData;

use iced_x86::Instruction;
use x86::vector;

use crate::emu::cpu::access::{Access, check_canonical};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Dst, Ea, General, Mem, Src};
use crate::emu::engine::{Instr, Jump, apart, jump};
use crate::emu::state::control::{CodeSize, bits};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::segment::Linear;
use crate::emu::state::x87::{IMAGE_SIZE, Image, Layout};

/// The layout that an instruction with or without REX.W uses.
fn layout<const WIDE: bool>(cpu: &Cpu) -> Layout {
    let long = cpu.control.code_size == CodeSize::Bits64;
    Layout {
        wide: WIDE,
        xmms: if long && cpu.control.cpl == 0 && cpu.control.efer & bits::EFER_FFXSR != 0 {
            0
        } else if long {
            16
        } else {
            8
        },
    }
}

/// The address of the image.
///
/// # Errors
/// #GP(0) or #SS(0) if it is not canonical; #GP(0) if it is not aligned to 16 bytes; with
/// alignment checks, #AC(0) if it is not even aligned to 4.
#[inline(always)]
fn image_at<E: Ea>(cpu: &Cpu, op: &Op, write: bool) -> Result<Linear, Stop> {
    let at = E::linear(cpu, op, IMAGE_SIZE, write)?;
    if at.address.is_multiple_of(16) {
        return Ok(at);
    }
    check_canonical(at, IMAGE_SIZE)?;
    if cpu.control.checks_alignment() && !at.address.is_multiple_of(4) {
        Err(Exception::coded(vector::AC, 0).into())
    } else {
        Err(Exception::GP.into())
    }
}

/// `fxsave` and, if `WIDE`, `fxsave64`.
struct Fxsave<E, const WIDE: bool>(PhantomData<E>);

impl<E: Ea, const WIDE: bool> Instr for Fxsave<E, WIDE> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let at = image_at::<E>(cpu, op, true)?;
        let layout = layout::<WIDE>(cpu);
        if M::SLOW {
            // The last byte is checked first, as by AMD's processors.
            cpu.probe_write(at.add(IMAGE_SIZE - 1), 1)?;
            cpu.probe_write(at, IMAGE_SIZE)?;
            cpu.regs.collect_flags();
            let mut image = Image::ZERO;
            // SAFETY: a local variable.
            unsafe { cpu.regs.write_image(&raw mut image, layout) };
            cpu.write_bytes(at, &image.bytes()[..layout.len()])
        } else {
            let host = cpu.mmu.write(at.address, IMAGE_SIZE).ok_or(Stop::Miss)?;
            cpu.regs.collect_flags();
            // SAFETY: the TLB says that 512 bytes of guest RAM are there; pages are
            // aligned in the host as in the guest.
            unsafe { cpu.regs.write_image(host.cast(), layout) };
            Ok(())
        }
    }
}

/// `fxrstor` and, if `WIDE`, `fxrstor64`.
struct Fxrstor<E, const WIDE: bool>(PhantomData<E>);

impl<E: Ea, const WIDE: bool> Jump for Fxrstor<E, WIDE> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let at = image_at::<E>(cpu, op, false)?;
        let layout = layout::<WIDE>(cpu);
        if M::SLOW {
            cpu.probe_read(at.add(IMAGE_SIZE - 1), 1)?;
            let mut bytes = [0; IMAGE_SIZE as usize];
            cpu.read_bytes(at, &mut bytes)?;
            let mut image = Image::ZERO;
            image
                .bytes_mut()
                .copy_from_slice(&bytes[..size_of::<Image>()]);
            cpu.set_mxcsr(image.mxcsr())?;
            // SAFETY: a local variable.
            unsafe { cpu.regs.read_image(&raw const image, layout) };
        } else {
            let host = cpu.mmu.read(at.address, IMAGE_SIZE).ok_or(Stop::Miss)?;
            let image = host.cast::<Image>();
            // SAFETY: as for `fxsave`.
            unsafe {
                cpu.set_mxcsr((*image).mxcsr())?;
                cpu.regs.read_image(image, layout);
            }
        }
        // SAFETY: `op` is in a live block, and an instruction.
        Ok(unsafe { Op::next_rip(op) })
    }
}

fn lower_fxsave<const WIDE: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = apart::<Fxsave<General, WIDE>>;
}

fn lower_fxrstor<const WIDE: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = jump::<Fxrstor<General, WIDE>>;
}

/// `stmxcsr`.
struct Stmxcsr<D>(PhantomData<D>);

impl<D: Dst<u32>> Instr for Stmxcsr<D> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.regs.collect_flags();
        let value = cpu.regs.mxcsr;
        D::set::<M>(cpu, op, value)
    }
}

fn lower_stmxcsr(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = apart::<Stmxcsr<Mem<General>>>;
}

/// `ldmxcsr`.
struct Ldmxcsr<S>(PhantomData<S>);

impl<S: Src<u32>> Jump for Ldmxcsr<S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let value = S::get::<M>(cpu, op)?;
        cpu.set_mxcsr(value)?;
        // SAFETY: `op` is in a live block, and an instruction.
        Ok(unsafe { Op::next_rip(op) })
    }
}

fn lower_ldmxcsr(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = jump::<Ldmxcsr<Mem<General>>>;
}

pub const FORMS: &[Form] = forms! {
    next [lower_fxsave::<false>]: Fxsave_m512byte;
    next [lower_fxsave::<true>]: Fxsave64_m512byte;
    end [lower_fxrstor::<false>]: Fxrstor_m512byte;
    end [lower_fxrstor::<true>]: Fxrstor64_m512byte;
    next [lower_stmxcsr]: Stmxcsr_m32 VEX_Vstmxcsr_m32;
    end [lower_ldmxcsr]: Ldmxcsr_m32 VEX_Vldmxcsr_m32;
};
