//! The local APIC: its timer, and the end of interrupts (Intel SDM vol. 3A 11).
//!
//! The timer is set to one deadline at a time, so that a CPU with nothing to do is
//! woken only when something is due. x2APIC mode is used where there is one: a register
//! access is then an MSR access, which a hypervisor handles without decoding anything.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use abi::{ports::LOCAL_APIC, virtual_map::KERNEL_BASE};
use x86::msr;

use crate::clock::{self, scale};
use crate::cpu::{self, Features};
use crate::trap::vector;

/// The boot page tables map devices at their GPA with all high bits set.
const WINDOW: u64 = LOCAL_APIC | KERNEL_BASE;
/// IA32_APIC_BASE: x2APIC mode.
const X2APIC_ENABLE: u64 = 1 << 10;

/// Offsets of registers in the window.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Register {
    EndOfInterrupt = 0xb0,
    SpuriousVector = 0xf0,
    CommandLow = 0x300,
    CommandHigh = 0x310,
    LvtTimer = 0x320,
    LvtLint0 = 0x350,
    LvtLint1 = 0x360,
    InitialCount = 0x380,
    CurrentCount = 0x390,
    DivideConfiguration = 0x3e0,
}

/// Commands: the level is the one that all but an old INIT want.
const ASSERT: u32 = 1 << 14;
const INIT: u32 = 5 << 8 | ASSERT;
const START_UP: u32 = 6 << 8 | ASSERT;

const SOFTWARE_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
const LVT_TSC_DEADLINE: u32 = 2 << 17;
const DIVIDE_BY_1: u32 = 0b1011;

static X2APIC: AtomicBool = AtomicBool::new(false);
/// Timer counts per TSC count with 32 bits of fraction; 0 for TSC-deadline mode.
static BUS_PER_TSC: AtomicU64 = AtomicU64::new(0);

/// Turns the local APIC on, with its timer (whose input runs at `bus_khz`) idle.
pub fn start(features: Features, bus_khz: u64) {
    enable(features);
    if features.tsc_deadline {
        write(
            Register::LvtTimer,
            LVT_TSC_DEADLINE | u32::from(vector::TIMER),
        );
    } else {
        let tsc_khz = clock::counts(1_000_000).max(1);
        BUS_PER_TSC.store((bus_khz << 32) / tsc_khz, Relaxed);
        write(Register::DivideConfiguration, DIVIDE_BY_1);
        write(Register::LvtTimer, u32::from(vector::TIMER));
    }
}

/// Enables the APIC, and masks its pins: firmware may have left the PC's old interrupt
/// controller connected to LINT0.
fn enable(features: Features) {
    if features.x2apic {
        // SAFETY: the CPU has x2APIC mode, so the register and the bit exist; it changes
        // only how the APIC is accessed.
        unsafe {
            cpu::write_msr(
                msr::APIC_BASE,
                cpu::read_msr(msr::APIC_BASE) | X2APIC_ENABLE,
            )
        };
        X2APIC.store(true, Relaxed);
    }
    write(
        Register::SpuriousVector,
        SOFTWARE_ENABLE | u32::from(vector::SPURIOUS),
    );
    write(Register::LvtLint0, LVT_MASKED);
    write(Register::LvtLint1, LVT_MASKED);
}

/// Makes the timer interrupt when the time-stamp counter reaches `deadline`, at once if it
/// has; replaces an earlier deadline.
pub fn set_deadline(deadline: u64) {
    match BUS_PER_TSC.load(Relaxed) {
        // SAFETY: in this mode the register exists, and an early or late interrupt harms
        // nothing. 0 would mean none.
        0 => unsafe { cpu::write_msr(msr::TSC_DEADLINE, deadline.max(1)) },
        ratio => {
            let left = deadline.saturating_sub(clock::counter());
            let count = scale(left, ratio).saturating_add(1);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            write(Register::InitialCount, count);
        }
    }
}

/// Disarms the timer.
pub fn clear_deadline() {
    match BUS_PER_TSC.load(Relaxed) {
        // SAFETY: in this mode the register exists; 0 means no deadline.
        0 => unsafe { cpu::write_msr(msr::TSC_DEADLINE, 0) },
        _ => write(Register::InitialCount, 0),
    }
}

/// Signals the end of the current interrupt (EOI).
pub fn end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

/// Interrupts the CPU with this number by `vector`.
pub(crate) fn send_interrupt(cpu: u32, vector: u8) {
    send(cpu, ASSERT | u32::from(vector));
}

/// Resets the CPU with this number, which then waits for [`send_start`].
pub(crate) fn send_init(cpu: u32) {
    send(cpu, INIT);
}

/// Has it start in real mode at this page of the first MiB.
pub(crate) fn send_start(cpu: u32, page: u8) {
    send(cpu, START_UP | u32::from(page));
}

/// Numbers of CPUs are those of their local APICs.
fn send(number: u32, command: u32) {
    if X2APIC.load(Relaxed) {
        let register = x2apic_register(Register::CommandLow as u32);
        // SAFETY: the register exists; what the other CPU does with the command is in `startup`
        // and `processors`.
        unsafe { cpu::write_msr(register, u64::from(number) << 32 | u64::from(command)) }
    } else {
        write(Register::CommandHigh, number << 24);
        write(Register::CommandLow, command);
    }
}

/// Has the timer count down, for [`crate::calibrate`], as [`count_left`] says.
pub(crate) fn start_measuring(features: Features) {
    enable(features);
    write(Register::DivideConfiguration, DIVIDE_BY_1);
    write(Register::LvtTimer, LVT_MASKED);
    write(Register::InitialCount, u32::MAX);
}

/// What is left of the timer's count, which began with 2^32 - 1.
pub(crate) fn count_left() -> u32 {
    read(Register::CurrentCount)
}

/// Stops the timer.
pub(crate) fn stop_measuring() {
    write(Register::InitialCount, 0);
}

/// In x2APIC mode registers are MSRs, one for every 16 bytes of the window.
const fn x2apic_register(offset: u32) -> u32 {
    *msr::X2APIC.start() + offset / 16
}

fn write(register: Register, value: u32) {
    let offset = register as u32;
    // SAFETY: the register exists in either mode, and none of those named above can make
    // the APIC touch memory.
    unsafe {
        if X2APIC.load(Relaxed) {
            cpu::write_msr(x2apic_register(offset), u64::from(value));
        } else {
            ((WINDOW + u64::from(offset)) as *mut u32).write_volatile(value);
        }
    }
}

fn read(register: Register) -> u32 {
    let offset = register as u32;
    // SAFETY: as in `write`; reading these has no side effects.
    unsafe {
        if X2APIC.load(Relaxed) {
            cpu::read_msr(x2apic_register(offset)) as u32
        } else {
            ((WINDOW + u64::from(offset)) as *const u32).read_volatile()
        }
    }
}
