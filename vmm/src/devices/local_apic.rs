//! The local APIC: which interrupt the CPU takes next, and the timer.
//!
//! ```text
//!   I/O APIC --accept--+
//!   timer ---advance---+--> IRR --acknowledge--> ISR --EOI--> (level: take_eoi)
//!   ICR, self IPI -----+     \
//!                             +-- pending(): highest IRR above PPR = max(TPR, ISR)
//!   NMI of each ---> take_nmi()
//! ```
//!
//! Source: Intel SDM vol. 3A chapter 11; AMD APM vol. 2 chapter 16 agrees where not noted.
//! The emulator always uses this APIC, and KVM does with `--apic user`. It is plain state:
//! guest time comes in as nanoseconds, registers by offset or MSR number, and whatever a
//! guest writes ends in a register, in the error status register or in [`Gp`].
//!
//! The machine has one CPU, with APIC ID 0, so it can send interrupts to itself only. An NMI
//! needs no vector, and comes through while software has disabled the APIC (11.4.7.2). SMI,
//! INIT, start-up and ExtINT messages are dropped: there is no system management mode, no
//! firmware to start again, and no 8259.
//! LINT0, LINT1, the thermal and the performance entries can be set up but never fire, as
//! they have no source. The APIC ID is not writable (11.4.6 leaves that to the model).

mod delivery;
mod registers;
mod timer;
mod vectors;

use std::mem;

use x86::{ApicBaseFlags, msr};

use super::Gp;
use super::bus;
use registers::{COMMAND_WRITABLE, Lvt, Register, SPURIOUS_WRITABLE};
pub use timer::BUS_HZ;
use timer::{Timer, TimerMode};
use vectors::VectorSet;

/// APIC ID of the one CPU.
const ID: u32 = 0;
/// Version 0x14, an integrated APIC, and in bits 16 to 23 the number of the last LVT entry
/// (11.4.8).
const VERSION: u32 = 0x14 | (Lvt::COUNT as u32 - 1) << 16;
/// Logical ID in x2APIC mode: cluster in the upper, one bit in the lower half (11.12.10.2).
const X2APIC_LOGICAL_ID: u32 = (ID >> 4) << 16 | 1 << (ID & 0xf);

/// Fields of IA32_APIC_BASE (11.4.4, 11.12.1).
const BASE_BOOT_CPU: u64 = ApicBaseFlags::BSP.bits();
const BASE_X2APIC: u64 = ApicBaseFlags::X2APIC_ENABLE.bits();
const BASE_ENABLE: u64 = ApicBaseFlags::LAPIC_ENABLE.bits();
const BASE_ADDRESS: u64 = x86::PAGE_ADDRESS;
const BASE_WRITABLE: u64 = BASE_ADDRESS | BASE_ENABLE | BASE_X2APIC | BASE_BOOT_CPU;

/// Software enable in the spurious-interrupt vector register (11.9).
const SOFTWARE_ENABLE: u32 = 1 << 8;
/// Mask in an entry of the local vector table (11.5.1).
const LVT_MASKED: u32 = 1 << 16;
const LVT_TIMER_MODE_SHIFT: u32 = 17;
/// Error status: access to a register that does not exist (11.5.3).
const ILLEGAL_REGISTER: u32 = 1 << 7;

/// States of the local APIC (11.12.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disabled,
    XApic,
    X2Apic,
}

/// The local APIC of the one CPU.
#[derive(Debug)]
pub struct LocalApic {
    mode: Mode,
    base: u64,
    timer: Timer,
    state: State,
    /// A level-triggered vector whose EOI the I/O APIC has not got yet.
    ended: Option<u8>,
    /// Whether the CPU has to be told of an NMI or of the task priority.
    news: bool,
    /// Whether an NMI waits.
    nmi: bool,
}

/// The state that a reset clears.
#[derive(Debug)]
struct State {
    task_priority: u8,
    logical_destination: u32,
    destination_format: u32,
    spurious: u32,
    requested: VectorSet,
    in_service: VectorSet,
    level: VectorSet,
    /// The error status register as last latched, and errors since.
    error_status: u32,
    errors: u32,
    command: u64,
    lvt: [u32; Lvt::COUNT],
}

impl State {
    /// 11.4.7.1, state after power-up.
    fn reset() -> Self {
        Self {
            task_priority: 0,
            logical_destination: 0,
            destination_format: u32::MAX,
            spurious: 0xff,
            requested: VectorSet::default(),
            in_service: VectorSet::default(),
            level: VectorSet::default(),
            error_status: 0,
            errors: 0,
            command: 0,
            lvt: [LVT_MASKED; Lvt::COUNT],
        }
    }
}

impl LocalApic {
    /// A local APIC after power-up: in xAPIC mode at [`abi::ports::LOCAL_APIC`], disabled by
    /// software. `tsc_khz` is the frequency of the CPU's time-stamp counter.
    pub fn new(tsc_khz: u32) -> Self {
        Self {
            mode: Mode::XApic,
            base: abi::ports::LOCAL_APIC,
            timer: Timer::new(tsc_khz),
            state: State::reset(),
            ended: None,
            news: false,
            nmi: false,
        }
    }

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
        self.base | mode | BASE_BOOT_CPU
    }

    /// Reads `data`, of any length, at `offset` of the register window: the register's
    /// bytes, then zeros.
    pub fn read_mmio(&mut self, offset: u64, data: &mut [u8], now_ns: u64) {
        self.advance(now_ns);
        let value = match Register::from_index(offset >> 4) {
            Some(register) if register.in_window() => self.read(register, now_ns) as u32,
            _ => {
                self.report_error(ILLEGAL_REGISTER);
                0
            }
        };
        bus::read_register(value, (offset & 0xf) as usize, data);
    }

    /// Writes `data` at `offset` of the register window. Only aligned writes of four bytes
    /// have an effect (11.4.1).
    pub fn write_mmio(&mut self, offset: u64, data: &[u8], now_ns: u64) {
        self.advance(now_ns);
        let Ok(value) = data.try_into().map(u32::from_le_bytes) else {
            return;
        };
        if offset & 0xf != 0 {
            return;
        }
        match Register::from_index(offset >> 4) {
            Some(register) if register.in_window() => {
                self.write_window(register, value, now_ns);
            }
            _ => self.report_error(ILLEGAL_REGISTER),
        }
    }

    /// `rdmsr` of IA32_APIC_BASE, IA32_TSC_DEADLINE or an x2APIC register.
    ///
    /// # Errors
    /// [`Gp`] for registers that do not exist, cannot be read, or need x2APIC mode.
    pub fn read_msr(&mut self, index: u32, now_ns: u64) -> Result<u64, Gp> {
        self.advance(now_ns);
        match index {
            msr::APIC_BASE => Ok(self.apic_base()),
            msr::TSC_DEADLINE => Ok(self.timer.tsc_deadline()),
            _ => {
                let register = self.x2apic_register(index)?;
                if !register.msr_readable() {
                    return Err(Gp);
                }
                Ok(self.read(register, now_ns))
            }
        }
    }

    /// `wrmsr`; the converse of [`read_msr`](Self::read_msr).
    ///
    /// # Errors
    /// [`Gp`] also for reserved bits and for transitions of IA32_APIC_BASE that 11.12.5
    /// forbids.
    pub fn write_msr(&mut self, index: u32, value: u64, now_ns: u64) -> Result<(), Gp> {
        self.advance(now_ns);
        match index {
            msr::APIC_BASE => self.write_base(value),
            msr::TSC_DEADLINE => {
                self.timer.set_tsc_deadline(value);
                Ok(())
            }
            _ => {
                let register = self.x2apic_register(index)?;
                let writable = register.msr_writable().ok_or(Gp)?;
                if value & !writable != 0 {
                    return Err(Gp);
                }
                if register == Register::CommandLow {
                    self.state.command = value & !0xffff_ffff;
                }
                self.write(register, value as u32, now_ns);
                Ok(())
            }
        }
    }

    /// Whether the timer needs the time-stamp counter: call [`tell_tsc`](Self::tell_tsc)
    /// before the guest continues.
    #[inline]
    pub fn wants_tsc(&self) -> bool {
        self.timer.wants_tsc()
    }

    /// The time-stamp counter is `tsc` at guest time `now_ns`.
    pub fn tell_tsc(&mut self, tsc: u64, now_ns: u64) {
        self.timer.tell_tsc(tsc, now_ns);
        self.advance(now_ns);
    }

    /// Brings the timer up to guest time `now_ns`; an expiry requests its interrupt.
    #[inline]
    pub fn advance(&mut self, now_ns: u64) {
        if self.timer.expire(now_ns) {
            self.fire(Lvt::Timer);
        }
    }

    /// When [`advance`](Self::advance) will next request an interrupt, in guest time.
    pub fn next_deadline(&self) -> Option<u64> {
        let masked = self.state.lvt[Lvt::Timer as usize] & LVT_MASKED != 0;
        self.timer.next().filter(|_| !masked)
    }

    /// CR8: the upper half of the task priority (11.8.6).
    pub fn cr8(&self) -> u8 {
        self.state.task_priority >> 4
    }

    /// `mov cr8`; bits 0 to 3 count, and the lower half of the task priority becomes zero.
    pub fn set_cr8(&mut self, value: u8) {
        self.state.task_priority = value << 4;
    }

    fn software_enabled(&self) -> bool {
        self.mode != Mode::Disabled && self.state.spurious & SOFTWARE_ENABLE != 0
    }

    fn x2apic_register(&self, index: u32) -> Result<Register, Gp> {
        if self.mode != Mode::X2Apic || !msr::X2APIC.contains(&index) {
            return Err(Gp);
        }
        Register::from_index(u64::from(index - msr::X2APIC.start())).ok_or(Gp)
    }

    fn write_base(&mut self, value: u64) -> Result<(), Gp> {
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

    fn read(&self, register: Register, now_ns: u64) -> u64 {
        let state = &self.state;
        u64::from(match register {
            Register::Id => ID,
            Register::Version => VERSION,
            Register::TaskPriority => u32::from(state.task_priority),
            Register::ProcessorPriority => u32::from(self.processor_priority()),
            Register::LogicalDestination if self.mode == Mode::X2Apic => X2APIC_LOGICAL_ID,
            Register::LogicalDestination => state.logical_destination,
            Register::DestinationFormat => state.destination_format,
            Register::SpuriousVector => state.spurious,
            Register::InService(index) => state.in_service.register(index),
            Register::TriggerMode(index) => state.level.register(index),
            Register::InterruptRequest(index) => state.requested.register(index),
            Register::ErrorStatus => state.error_status,
            Register::CommandLow => return state.command,
            Register::CommandHigh => (state.command >> 32) as u32,
            Register::Lvt(entry) => state.lvt[entry as usize],
            Register::InitialCount => self.timer.initial_count(),
            Register::CurrentCount => self.timer.current_count(now_ns),
            Register::DivideConfig => self.timer.divide_config(),
            Register::ArbitrationPriority
            | Register::RemoteRead
            | Register::Eoi
            | Register::SelfIpi => 0,
        })
    }

    /// A write through the memory window: the registers that only it can write, and the
    /// reserved bits that it ignores.
    fn write_window(&mut self, register: Register, value: u32, now_ns: u64) {
        let state = &mut self.state;
        match register {
            Register::LogicalDestination => state.logical_destination = value & 0xff00_0000,
            Register::DestinationFormat => state.destination_format = value | 0x0fff_ffff,
            Register::CommandHigh => {
                let high = u64::from(value & 0xff00_0000) << 32;
                state.command = state.command & 0xffff_ffff | high;
            }
            _ => self.write(register, value, now_ns),
        }
    }

    /// A write that the window and the MSRs have in common. Read-only registers ignore it.
    fn write(&mut self, register: Register, value: u32, now_ns: u64) {
        let state = &mut self.state;
        match register {
            Register::TaskPriority => {
                state.task_priority = value as u8;
                self.news = true;
            }
            Register::Eoi => self.end_of_interrupt(),
            Register::SpuriousVector => self.write_spurious(value),
            Register::ErrorStatus => state.error_status = mem::take(&mut state.errors),
            Register::CommandLow => {
                let low = u64::from(value & COMMAND_WRITABLE);
                state.command = state.command & !0xffff_ffff | low;
                self.send_command();
            }
            Register::Lvt(entry) => self.write_lvt(entry, value),
            Register::InitialCount => self.timer.set_initial_count(value, now_ns),
            Register::DivideConfig => self.timer.set_divide_config(value, now_ns),
            Register::SelfIpi => self.send_to_self(value as u8),
            _ => {}
        }
    }

    fn write_spurious(&mut self, value: u32) {
        self.state.spurious = value & SPURIOUS_WRITABLE;
        if value & SOFTWARE_ENABLE == 0 {
            for entry in &mut self.state.lvt {
                *entry |= LVT_MASKED;
            }
        }
    }

    fn write_lvt(&mut self, entry: Lvt, value: u32) {
        let mut value = value & entry.writable();
        if !self.software_enabled() {
            value |= LVT_MASKED;
        }
        self.state.lvt[entry as usize] = value;
        if entry == Lvt::Timer {
            let mode = TimerMode::from_bits(value >> LVT_TIMER_MODE_SHIFT);
            self.timer.set_mode(mode);
        }
    }
}

#[cfg(test)]
mod tests;
