//! The local APIC: which interrupt the CPU takes next, and the timer.
//!
//! ```text
//!   I/O APIC, other local APICs --accept--+
//!   timer, errors, self IPI --------------+--> IRR --acknowledge--> ISR --EOI--> take_eoi
//!                                               \
//!   ICR --> take_sent()                          pending(): highest above PPR = max(TPR, ISR)
//!   accepted NMI --> take_nmi(); INIT, start-up --> take_startup()
//! ```
//!
//! Source: Intel SDM vol. 3A chapter 11; AMD APM vol. 2 chapter 16 agrees where not noted.
//! The emulator always uses this APIC, and KVM does with `--apic user`. It is plain state:
//! guest time comes in as nanoseconds, registers by offset or MSR number, and whatever a
//! guest writes ends in a register, in the error status register or in [`Gp`].
//!
//! An NMI needs no vector, and comes through while software has disabled the APIC (11.4.7.2);
//! so do INIT and start-up messages (8.4). SMI and ExtINT messages are dropped, as there is
//! no system management mode and no 8259; so is an INIT to the boot CPU, which would start
//! firmware again.
//! LINT0, LINT1, the thermal and the performance entries can be set up but never fire, as
//! they have no source. The APIC ID is not writable (11.4.6 leaves that to the model).

mod delivery;
mod ipi;
mod mode;
mod registers;
mod timer;
mod vectors;

use std::mem;

use x86::msr;

use super::Gp;
use super::bus;
pub use ipi::{Ipi, Startup};
use mode::Mode;
use registers::{COMMAND_WRITABLE, Lvt, Register, SPURIOUS_WRITABLE};
pub use timer::BUS_HZ;
use timer::{Timer, TimerMode};
use vectors::VectorSet;

/// Version 0x14, an integrated APIC, and in bits 16 to 23 the number of the last LVT entry
/// (11.4.8).
const VERSION: u32 = 0x14 | (Lvt::COUNT as u32 - 1) << 16;
/// APIC ID of the CPU that boots.
const BOOT_CPU: u8 = 0;

/// Software enable in the spurious-interrupt vector register (11.9).
const SOFTWARE_ENABLE: u32 = 1 << 8;
/// Mask in an entry of the local vector table (11.5.1).
const LVT_MASKED: u32 = 1 << 16;
const LVT_TIMER_MODE_SHIFT: u32 = 17;
/// Error status: access to a register that does not exist (11.5.3).
const ILLEGAL_REGISTER: u32 = 1 << 7;

/// The local APIC of a CPU.
#[derive(Debug)]
pub struct LocalApic {
    id: u8,
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
    /// What the CPU is to be told of its start.
    startup: Option<Startup>,
    /// Whether the CPU waits for a start-up message.
    waits: bool,
    /// A message to other CPUs that has not been delivered yet.
    sent: Option<Ipi>,
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
    /// The local APIC with this APIC ID after power-up: in xAPIC mode at
    /// [`abi::ports::LOCAL_APIC`], disabled by software. `tsc_khz` is the frequency of the CPU's
    /// time-stamp counter. CPU 0 runs, the others wait to be started.
    pub fn new(id: u8, tsc_khz: u32) -> Self {
        Self {
            id,
            mode: Mode::XApic,
            base: abi::ports::LOCAL_APIC,
            timer: Timer::new(tsc_khz),
            state: State::reset(),
            ended: None,
            news: false,
            nmi: false,
            startup: None,
            waits: id != BOOT_CPU,
            sent: None,
        }
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

    /// Whether it takes vectors that are sent to it.
    pub fn software_enabled(&self) -> bool {
        self.mode != Mode::Disabled && self.state.spurious & SOFTWARE_ENABLE != 0
    }

    fn x2apic_register(&self, index: u32) -> Result<Register, Gp> {
        if self.mode != Mode::X2Apic || !msr::X2APIC.contains(&index) {
            return Err(Gp);
        }
        Register::from_index(u64::from(index - msr::X2APIC.start())).ok_or(Gp)
    }

    fn read(&self, register: Register, now_ns: u64) -> u64 {
        let state = &self.state;
        u64::from(match register {
            Register::Id if self.mode == Mode::X2Apic => self.id.into(),
            Register::Id => u32::from(self.id) << 24,
            Register::Version => VERSION,
            Register::TaskPriority => u32::from(state.task_priority),
            Register::ProcessorPriority => u32::from(self.processor_priority()),
            Register::LogicalDestination if self.mode == Mode::X2Apic => self.x2apic_logical_id(),
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
