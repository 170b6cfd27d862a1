//! Model-specific registers that only keep what is written to them: memory-type ranges and
//! what AMD's processors have (AMD APM vol. 2 7.7, 7.9, 13.2 and appendix A; Processor
//! Programming Reference of family 19h, model 11h). There are no caches whose use they could
//! change, and the performance counters stand still.

use std::ops::RangeInclusive;

use x86::msr;

use crate::Msrs;
use crate::emu::memory::walk::PHYSICAL_BITS;
use crate::emu::state::exception::{Exception, Stop};

/// [`msr::MTRR_CAP`]: eight variable ranges, fixed ones, the type write-combining.
const RANGES: u64 = 8 | 1 << 8 | 1 << 10;
/// [`msr::MTRR_DEF_TYPE`]: the type, and whether fixed ranges and all are in use.
const DEFAULT_TYPE: u64 = 0xff | 1 << 10 | msr::MTRR_ENABLE;
/// A variable range's base: its type.
const RANGE_TYPE: u64 = 0xff;
/// A variable range's mask: whether the range is in use.
const RANGE_VALID: u64 = 1 << 11;
/// The bits of each fixed range that tell whether RAM is behind it, for reads and writes.
const RAM_BEHIND: u64 = 0x1818_1818_1818_1818;
/// [`msr::SYSCFG`]: those bits are there.
const RAM_BEHIND_SHOWN: u64 = 1 << 19;
/// [`msr::SYSCFG`]: use of these bits, and of the variable ones and [`msr::TOP_MEM2`].
const SYSTEM_CONFIG: u64 = 0x1f << 18;
/// [`msr::HWCR`]: all but the fixed bit.
const HARDWARE_CONFIG: u64 = 0xee36_6799;
/// [`msr::NB_CFG`]: extended access by the PCI configuration ports; APIC numbers.
const NORTHBRIDGE_CONFIG: u64 = 1 << 46 | 1 << 54;
/// Where RAM may end.
const TOP: u64 = PHYSICAL & !0x7f_ffff;
/// Event, unit, flags, mask of the count; more of the event; host or guest.
const EVENT_SELECT: u64 = 0xffd7_ffff | 0xf << 32 | 3 << 40;
/// Bits of a counter; writes drop the others.
const EVENT_COUNT: u64 = (1 << 48) - 1;
/// [`msr::VM_CR`]: virtualization is disabled, and stays so.
const VIRTUALIZATION_LOCKED: u64 = 1 << 3 | 1 << 4;
const VM_CR: u64 = 0x1f;
/// A physical address of a page.
const PHYSICAL: u64 = ((1 << PHYSICAL_BITS) - 1) & !0xfff;

/// Reads register `index`.
///
/// # Errors
/// #GP(0) if it does not exist.
pub fn read(msrs: &Msrs, index: u32) -> Result<u64, Stop> {
    let shown = msrs.amd.system_config & RAM_BEHIND_SHOWN != 0;
    match index {
        msr::MTRR_CAP => Ok(RANGES),
        msr::VM_CR => Ok(VIRTUALIZATION_LOCKED),
        _ => {
            let mut msrs = *msrs;
            let value = *place(&mut msrs, index)?;
            let hidden = !shown && msr::MTRR_FIXED.contains(&index);
            Ok(if hidden { value & !RAM_BEHIND } else { value })
        }
    }
}

/// Writes register `index`.
///
/// # Errors
/// #GP(0) if it does not exist or the value is invalid.
pub fn write(msrs: &mut Msrs, index: u32, value: u64) -> Result<(), Stop> {
    let only = |bits: u64| good(value & !bits == 0);
    let fixed = match msrs.amd.system_config & RAM_BEHIND_SHOWN {
        0 => value,
        _ => value & !RAM_BEHIND,
    };
    let mut kept = value;
    match index {
        msr::MTRR_DEF_TYPE => {
            only(DEFAULT_TYPE)?;
            good(is_type(value))?;
        }
        _ if msr::MTRR_FIXED.contains(&index) => {
            good(
                fixed
                    .to_le_bytes()
                    .into_iter()
                    .all(|byte| is_type(byte.into())),
            )?;
        }
        _ if msr::MTRR_VARIABLE.contains(&index) && index.is_multiple_of(2) => {
            only(PHYSICAL | RANGE_TYPE)?;
            good(is_type(value))?;
        }
        _ if msr::MTRR_VARIABLE.contains(&index) => only(PHYSICAL | RANGE_VALID)?,
        msr::SYSCFG => only(SYSTEM_CONFIG)?,
        msr::HWCR => {
            only(HARDWARE_CONFIG | msr::HWCR_TSC_FIXED)?;
            kept |= msr::HWCR_TSC_FIXED;
        }
        msr::NB_CFG => only(NORTHBRIDGE_CONFIG)?,
        msr::TOP_MEM | msr::TOP_MEM2 => only(TOP)?,
        msr::VM_CR => return only(VM_CR),
        _ if msr::PERF_EVENT_SELECT.contains(&index) => only(EVENT_SELECT)?,
        _ => kept &= EVENT_COUNT,
    }
    *place(msrs, index)? = kept;
    Ok(())
}

/// Where register `index` is kept.
fn place(msrs: &mut Msrs, index: u32) -> Result<&mut u64, Stop> {
    let at = |range: RangeInclusive<u32>| (index - range.start()) as usize;
    let (mtrrs, amd) = (&mut msrs.mtrrs, &mut msrs.amd);
    let found = match index {
        msr::MTRR_DEF_TYPE => Some(&mut mtrrs.default_type),
        msr::SYSCFG => Some(&mut amd.system_config),
        msr::HWCR => Some(&mut amd.hardware_config),
        msr::NB_CFG => Some(&mut amd.northbridge_config),
        msr::TOP_MEM => Some(&mut amd.top_mem),
        msr::TOP_MEM2 => Some(&mut amd.top_mem2),
        _ if msr::MTRR_VARIABLE.contains(&index) => mtrrs.variable.get_mut(at(msr::MTRR_VARIABLE)),
        _ if msr::PERF_EVENT_SELECT.contains(&index) => {
            amd.event_select.get_mut(at(msr::PERF_EVENT_SELECT))
        }
        _ if msr::PERF_COUNTER.contains(&index) => amd.event_count.get_mut(at(msr::PERF_COUNTER)),
        _ => {
            let fixed = msr::MTRR_FIXED.iter().position(|&fixed| fixed == index);
            fixed.map(|number| &mut mtrrs.fixed[number])
        }
    };
    found.ok_or(Exception::GP.into())
}

/// Whether the low byte is a memory type: uncached, write-combining, -through, -protected or
/// -back.
fn is_type(value: u64) -> bool {
    matches!(value & RANGE_TYPE, 0 | 1 | 4 | 5 | msr::WRITE_BACK)
}

fn good(value: bool) -> Result<(), Stop> {
    if value {
        Ok(())
    } else {
        Err(Exception::GP.into())
    }
}
