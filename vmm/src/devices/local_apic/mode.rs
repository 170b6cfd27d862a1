//! IA32_APIC_BASE: where the registers are, and in which mode (Intel SDM vol. 3A 11.4.4, 11.12).

use x86::ApicBaseFlags;

use super::{BOOT_CPU, LocalApic, State};
use crate::devices::Gp;

/// Fields of IA32_APIC_BASE (11.4.4, 11.12.1).
const BASE_BOOT_CPU: u64 = ApicBaseFlags::BSP.bits();
pub(super) const BASE_X2APIC: u64 = ApicBaseFlags::X2APIC_ENABLE.bits();
pub(super) const BASE_ENABLE: u64 = ApicBaseFlags::LAPIC_ENABLE.bits();
const BASE_ADDRESS: u64 = x86::PAGE_ADDRESS;
const BASE_WRITABLE: u64 = BASE_ADDRESS | BASE_ENABLE | BASE_X2APIC | BASE_BOOT_CPU;

/// States of the local APIC (11.12.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Disabled,
    XApic,
    X2Apic,
}

impl LocalApic {
    /// Guest-physical address of the register window; `None` in x2APIC mode and while
    /// disabled.
    pub fn window(&self) -> Option<u64> {
        (self.mode == Mode::XApic).then_some(self.base)
    }

    /// IA32_APIC_BASE.
    pub fn apic_base(&self) -> u64 {
        let mode = match self.mode {
            Mode::Disabled => 0,
            Mode::XApic => BASE_ENABLE,
            Mode::X2Apic => BASE_ENABLE | BASE_X2APIC,
        };
        let boot = if self.id == BOOT_CPU {
            BASE_BOOT_CPU
        } else {
            0
        };
        self.base | mode | boot
    }

    pub(super) fn write_base(&mut self, value: u64) -> Result<(), Gp> {
        if value & !BASE_WRITABLE != 0 {
            return Err(Gp);
        }
        let mode = match (value & BASE_ENABLE != 0, value & BASE_X2APIC != 0) {
            (false, false) => Mode::Disabled,
            (true, false) => Mode::XApic,
            (true, true) => Mode::X2Apic,
            (false, true) => return Err(Gp),
        };
        match (self.mode, mode) {
            (Mode::Disabled, Mode::X2Apic) | (Mode::X2Apic, Mode::XApic) => return Err(Gp),
            (_, Mode::Disabled) => {
                self.state = State::reset();
                self.timer.reset();
                self.news = true;
            }
            _ => {}
        }
        self.mode = mode;
        self.base = value & BASE_ADDRESS;
        Ok(())
    }
}
