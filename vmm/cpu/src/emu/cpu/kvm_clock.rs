//! The clock of KVM's guests, which a stock kernel takes its frequencies from (Linux:
//! Documentation/virt/kvm/x86/msr.rst): a guest names memory by an MSR and finds there how to
//! turn the time-stamp counter into nanoseconds, or the time of day at guest time zero.
//!
//! The time-stamp counter never changes its pace, so what is written stays right until
//! software sets the counter. Rejected: to have such kernels calibrate against a timer, which
//! takes them 50 ms or more, needs a PIT, and gives another figure in each run.

use std::time::Duration;

use x86::msr;

use crate::emu::cpu::Cpu;
use crate::emu::outside::meter::TSC_KHZ;

/// In the address of the time: write it. The others are the address.
const ENABLE: u64 = 1;
/// Flag of the time: all processors see the same.
const STABLE: u8 = 1;
/// A version that is even and not zero: what is there is complete.
const COMPLETE: u32 = 2;

/// The time-stamp counter counts nanoseconds: twice a count, by a factor of a half in units
/// of 2 to the power of -32.
const TSC_SHIFT: i8 = 1;
const TSC_FACTOR: u32 = 1 << 31;
const _: () = assert!(TSC_KHZ == 1_000_000);

/// What the guest has asked for.
pub struct KvmClock {
    /// Time of day at guest time zero, since 1970.
    time_of_day: Duration,
    wall_clock: u64,
    system_time: u64,
}

impl KvmClock {
    /// A clock that nobody has asked for.
    pub fn new(time_of_day: Duration) -> Self {
        Self {
            time_of_day,
            wall_clock: 0,
            system_time: 0,
        }
    }
}

impl Cpu {
    /// What was last written to one of the two MSRs.
    pub fn kvm_clock_msr(&self, index: u32) -> u64 {
        match index {
            msr::KVM_WALL_CLOCK => self.kvm_clock.wall_clock,
            _ => self.kvm_clock.system_time,
        }
    }

    /// Writes the time of day at guest time zero to `gpa`: version, seconds, nanoseconds.
    pub fn write_wall_clock(&mut self, gpa: u64) {
        self.kvm_clock.wall_clock = gpa;
        let time = self.kvm_clock.time_of_day;
        let fields = [COMPLETE, time.as_secs() as u32, time.subsec_nanos()];
        self.write_ram(gpa, fields.map(u32::to_le_bytes).as_flattened());
    }

    /// Writes how time follows from the time-stamp counter to where `value` says, if it
    /// enables that: version, a counter's value and the nanoseconds that belong to it, factor,
    /// shift, flags. `before` instructions of the block have been retired.
    pub fn write_system_time(&mut self, value: u64, before: u8) {
        self.kvm_clock.system_time = value;
        if value & ENABLE == 0 {
            return;
        }
        let now = self.meter.now_ns(self.meter.retired() + u64::from(before));
        let fields: [&[u8]; 7] = [
            &COMPLETE.to_le_bytes(),
            &[0; 4],
            &now.wrapping_add(self.meter.tsc_offset()).to_le_bytes(),
            &now.to_le_bytes(),
            &TSC_FACTOR.to_le_bytes(),
            &TSC_SHIFT.to_le_bytes(),
            &[STABLE, 0, 0],
        ];
        self.write_ram(value & !ENABLE, &fields.concat());
    }

    /// Sets the time-stamp counter.
    pub fn set_tsc(&mut self, value: u64, before: u8) {
        self.meter.set_tsc(value, before);
        self.write_system_time(self.kvm_clock.system_time, before);
    }

    /// Writes guest-physical memory; what is no RAM is left out.
    fn write_ram(&mut self, gpa: u64, bytes: &[u8]) {
        for (offset, &byte) in (0..).zip(bytes) {
            let at = gpa.wrapping_add(offset);
            self.mmu.ram.write(at, byte);
            self.ram_written(at, 1);
        }
    }
}
