//! The state by components: `xsave xsaveopt xsavec xsaves xrstor xrstors`, and XCR0, which
//! enables them: `xgetbv xsetbv`.
//!
//! `xsaves` and `xrstors` are there for operating systems that prefer them; no component is
//! the supervisor's alone.

use std::ops::Range;

use iced_x86::Instruction;
use x86::xsave::{COMPACTED, FORMAT_AT, IN_USE_AT, YMM_HIGH_AT};
use x86::{fx, vector};

use crate::emu::cpu::access::{Access, check_canonical};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Ea, General};
use crate::emu::engine::{Instr, Jump, apart, jump, last, slow};
use crate::emu::ops::system::processor::{set_registers, system};
use crate::emu::state::control::{CodeSize, bits};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::Linear;
use crate::emu::state::x87::Layout;
use crate::emu::state::xsave::{AVX, Area, SSE, X87};

/// What an instruction does otherwise than `xsave` and `xrstor`, in its op's immediate.
mod variant {
    /// REX.W: addresses of 64 bits.
    pub const WIDE: u64 = 1;
    /// Only components in use are written.
    pub const IN_USE: u64 = 1 << 1;
    /// The format is the compacted one.
    pub const COMPACTED: u64 = 1 << 2;
    /// Ring 0 only.
    pub const SUPERVISOR: u64 = 1 << 3;
}

/// An instruction's operands.
struct Operands {
    at: Linear,
    variant: u64,
    /// The components that edx:eax asks for, of those that XCR0 enables.
    requested: u64,
    layout: Layout,
}

impl Operands {
    /// # Errors
    /// #UD, #NM and #GP as the manuals have them (AMD APM vol. 4, XSAVE); with alignment
    /// checks, #AC(0) if the area is not even aligned to 4.
    fn of(cpu: &Cpu, op: &Op, write: bool) -> Result<Self, Stop> {
        let variant = op.imm.get();
        enabled(cpu)?;
        if cpu.control.cr0 & bits::CR0_TS != 0 {
            return Err(Exception::NM.into());
        }
        if variant & variant::SUPERVISOR != 0 {
            cpu.control.ring0()?;
        }
        let at = General::linear(cpu, op, AREA, write)?;
        if !at.address.is_multiple_of(x86::xsave::ALIGN as u64) {
            check_canonical(at, AREA)?;
            return Err(
                if cpu.control.checks_alignment() && !at.address.is_multiple_of(4) {
                    Exception::coded(vector::AC, 0).into()
                } else {
                    Exception::GP.into()
                },
            );
        }
        let long = cpu.control.code_size == CodeSize::Bits64;
        Ok(Self {
            at,
            variant,
            requested: pair(cpu) & cpu.control.xcr0,
            layout: Layout {
                wide: variant & variant::WIDE != 0,
                xmms: if long { 16 } else { 8 },
            },
        })
    }
}

/// Bytes of an area for all components.
const AREA: u64 = size_of::<Area>() as u64;

/// # Errors
/// #UD unless CR4.OSXSAVE is set.
fn enabled(cpu: &Cpu) -> Result<(), Stop> {
    match cpu.control.cr4 & bits::CR4_OSXSAVE {
        0 => Err(Exception::UD.into()),
        _ => Ok(()),
    }
}

/// edx:eax.
fn pair(cpu: &Cpu) -> u64 {
    let [low, high] = [Slot::RAX, Slot::RDX].map(|slot| cpu.regs.gprs.read::<u32>(slot));
    u64::from(low) | u64::from(high) << 32
}

/// Sets edx:eax.
fn set_pair(cpu: &mut Cpu, value: u64) {
    cpu.regs.gprs.write(Slot::RAX, value & 0xffff_ffff);
    cpu.regs.gprs.write(Slot::RDX, value >> 32);
}

/// `xsave` and its variants.
struct Xsave;

impl Instr for Xsave {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let operands = Operands::of(cpu, op, true)?;
        cpu.regs.collect_flags();
        let at = operands.at;
        if M::SLOW {
            let parts = operands.plan(cpu).written(operands.layout);
            let parts = || parts.iter().filter(|part| !part.is_empty());
            for part in parts() {
                cpu.probe_write(at.add(part.start as u64), part.len() as u64)?;
            }
            let mut area = Area::ZERO;
            let in_use = &mut area.bytes_mut()[IN_USE_AT..FORMAT_AT];
            cpu.read_bytes(at.add(IN_USE_AT as u64), in_use)?;
            operands.save(cpu, &mut area);
            for part in parts() {
                cpu.write_bytes(at.add(part.start as u64), &area.bytes()[part.clone()])?;
            }
            Ok(())
        } else {
            let host = cpu.mmu.write(at.address, AREA).ok_or(Stop::Miss)?;
            // SAFETY: the TLB says that so many bytes of guest RAM are there, and writable;
            // pages are aligned in the host as in the guest. Nothing else uses them meanwhile.
            operands.save(cpu, unsafe { &mut *host.cast() });
            Ok(())
        }
    }
}

/// What is saved, or restored or reset.
struct Plan {
    in_use: u64,
    components: u64,
    with_mxcsr: bool,
    compacted: bool,
}

impl Plan {
    /// The parts of the area with registers.
    fn registers(&self, layout: Layout) -> [Range<usize>; 4] {
        let has = |component: u64, part: Range<usize>| match self.components & component {
            0 => 0..0,
            _ => part,
        };
        let registers = 16 * layout.xmms;
        [
            has(X87, 0..fx::MXCSR_AT),
            has(X87, STACK_AT..XMM_AT),
            has(SSE, XMM_AT..XMM_AT + registers),
            has(AVX, YMM_HIGH_AT..YMM_HIGH_AT + registers),
        ]
    }

    /// The parts that are written.
    fn written(&self, layout: Layout) -> [Range<usize>; 6] {
        let [x87, stack, sse, avx] = self.registers(layout);
        let mxcsr = if self.with_mxcsr {
            fx::MXCSR_AT..STACK_AT
        } else {
            0..0
        };
        let header_end = if self.compacted {
            FORMAT_AT + 8
        } else {
            FORMAT_AT
        };
        [x87, stack, mxcsr, sse, IN_USE_AT..header_end, avx]
    }
}

/// Where the image of `fxsave64` has the x87 registers, and the XMM registers.
const STACK_AT: usize = 32;
const XMM_AT: usize = 160;

impl Operands {
    fn plan(&self, cpu: &Cpu) -> Plan {
        let is = |bit: u64| self.variant & bit != 0;
        let mut in_use = cpu.regs.components_in_use() & self.requested;
        if is(variant::COMPACTED) && cpu.regs.mxcsr != fx::MXCSR_INITIAL {
            in_use |= SSE & self.requested;
        }
        let components = if is(variant::IN_USE) {
            in_use
        } else {
            self.requested
        };
        Plan {
            in_use,
            components,
            with_mxcsr: if is(variant::COMPACTED) {
                components & SSE != 0
            } else {
                self.requested & (SSE | AVX) != 0
            },
            compacted: is(variant::COMPACTED),
        }
    }

    fn save(&self, cpu: &Cpu, area: &mut Area) {
        let plan = self.plan(cpu);
        cpu.regs
            .save_components(area, plan.components, plan.with_mxcsr, self.layout);
        if plan.compacted {
            area.header.in_use = plan.in_use;
            area.header.format = COMPACTED | self.requested;
        } else {
            area.header.in_use = area.header.in_use & !self.requested | plan.in_use;
        }
    }
}

/// `xrstor` and `xrstors`.
struct Xrstor;

impl Jump for Xrstor {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let operands = Operands::of(cpu, op, false)?;
        let at = operands.at;
        if M::SLOW {
            let mut area = Area::ZERO;
            let read = |cpu: &mut Cpu, area: &mut Area, part: Range<usize>| {
                cpu.read_bytes(at.add(part.start as u64), &mut area.bytes_mut()[part])
            };
            // In this order, and what is requested though not in use, as processors do.
            if operands.requested != 0 {
                cpu.probe_read(at, 1)?;
            }
            read(cpu, &mut area, IN_USE_AT..YMM_HIGH_AT)?;
            let plan = operands.plan_restore(cpu, &area)?;
            if plan.with_mxcsr {
                read(cpu, &mut area, fx::MXCSR_AT..STACK_AT)?;
                cpu.check_mxcsr(area.mxcsr())?;
            }
            for part in plan.registers(operands.layout) {
                if !part.is_empty() {
                    read(cpu, &mut area, part)?;
                }
            }
            operands.restore(cpu, &area, &plan)?;
        } else {
            let host = cpu.mmu.read(at.address, AREA).ok_or(Stop::Miss)?;
            // SAFETY: as for `xsave`.
            let area = unsafe { &*host.cast() };
            let plan = operands.plan_restore(cpu, area)?;
            operands.restore(cpu, area, &plan)?;
        }
        // SAFETY: `op` is in a live block, and an instruction.
        Ok(unsafe { Op::next_rip(op) })
    }
}

impl Operands {
    /// # Errors
    /// #GP(0) if the header is not valid (Intel SDM vol. 1 13.8.1, 13.8.2).
    fn plan_restore(&self, cpu: &Cpu, area: &Area) -> Result<Plan, Stop> {
        let header = &area.header;
        let compacted = header.format & COMPACTED != 0;
        let present = if compacted {
            header.format & !COMPACTED
        } else {
            cpu.control.xcr0
        };
        let bad = present & !cpu.control.xcr0 != 0
            || header.in_use & !present != 0
            || header.reserved[0] != 0
            || compacted && header.reserved != [0; 6]
            || !compacted && (header.format != 0 || self.variant & variant::SUPERVISOR != 0);
        if bad {
            return Err(Exception::GP.into());
        }
        Ok(Plan {
            in_use: header.in_use,
            components: self.requested & present,
            with_mxcsr: if compacted {
                self.requested & header.in_use & SSE != 0
            } else {
                self.requested & (SSE | AVX) != 0
            },
            compacted,
        })
    }

    /// # Errors
    /// #GP(0) if MXCSR is not valid.
    fn restore(&self, cpu: &mut Cpu, area: &Area, plan: &Plan) -> Result<(), Stop> {
        if plan.with_mxcsr {
            cpu.set_mxcsr(area.mxcsr())?;
        } else if plan.compacted && self.requested & SSE != 0 {
            cpu.set_mxcsr(fx::MXCSR_INITIAL)?;
        }
        cpu.regs
            .restore_components(area, self.requested, self.layout);
        Ok(())
    }
}

fn lower_xsave<const VARIANT: u64>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.imm.set(VARIANT);
    op.handler = apart::<Xsave>;
}

fn lower_xrstor<const VARIANT: u64>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.imm.set(VARIANT);
    op.handler = jump::<Xrstor>;
}

system! {
    /// `xgetbv`: XCR0, or which of its components are in use.
    Xgetbv, lower_xgetbv, slow, |cpu, _op| {
        enabled(cpu)?;
        let xcr0 = cpu.control.xcr0;
        let value = match cpu.regs.gprs.read::<u32>(Slot::RCX) {
            0 => xcr0,
            1 => xcr0 & cpu.regs.components_in_use(),
            _ => return Err(Exception::GP.into()),
        };
        set_pair(cpu, value);
        Ok(())
    }
    /// `xsetbv`.
    Xsetbv, lower_xsetbv, last, |cpu, _op| {
        enabled(cpu)?;
        cpu.control.ring0()?;
        match cpu.regs.gprs.read::<u32>(Slot::RCX) {
            0 => cpu.write_xcr0(pair(cpu)),
            _ => Err(Exception::GP.into()),
        }
    }
}

/// The variants but for WIDE.
const OPT: u64 = variant::IN_USE;
const COMPACT: u64 = variant::IN_USE | variant::COMPACTED;
const SYSTEM: u64 = COMPACT | variant::SUPERVISOR;
const W: u64 = variant::WIDE;

pub const FORMS: &[Form] = forms! {
    next [lower_xsave::<0>]: Xsave_mem;
    next [lower_xsave::<W>]: Xsave64_mem;
    next [lower_xsave::<OPT>]: Xsaveopt_mem;
    next [lower_xsave::<{ OPT | W }>]: Xsaveopt64_mem;
    next [lower_xsave::<COMPACT>]: Xsavec_mem;
    next [lower_xsave::<{ COMPACT | W }>]: Xsavec64_mem;
    next [lower_xsave::<SYSTEM>]: Xsaves_mem;
    next [lower_xsave::<{ SYSTEM | W }>]: Xsaves64_mem;
    end [lower_xrstor::<0>]: Xrstor_mem;
    end [lower_xrstor::<W>]: Xrstor64_mem;
    end [lower_xrstor::<{ variant::SUPERVISOR }>]: Xrstors_mem;
    end [lower_xrstor::<{ variant::SUPERVISOR | W }>]: Xrstors64_mem;
    next [lower_xgetbv]: Xgetbv;
    end [lower_xsetbv]: Xsetbv;
};
