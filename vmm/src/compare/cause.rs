//! Why a count differs from machine to machine.

use serde::Serialize;
use strum::VariantArray;
use x86::msr;

use crate::devices::bus::{self, MmioDevice};
use crate::exit::ExitReason;
use crate::report::ExitDetail;

/// Local APIC registers that are accessed once a tick: end of interrupt, and the timer's
/// initial and current counts (Intel SDM vol. 3A, table 11-1).
const TICK_REGISTERS: [u64; 3] = [0xb0, 0x380, 0x390];
/// The interrupt command register, by which one CPU interrupts another.
const COMMAND_REGISTER: [u64; 2] = [0x300, 0x310];

/// What makes a count differ between machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Where the local APIC is: in the VMM, every access to it is an exit.
    Apic,
    /// Time: the timer's ticks, and what else depends on how long the program runs.
    Timer,
    /// Several CPUs: which one does what, and when.
    Cpus,
    /// A software-backed KVM that leaves instructions to the VMM.
    Software,
    /// KVM, which fetches the items of a string input ahead: fewer exits, as many items.
    Input,
    /// The program itself, or an error: nothing else explains it.
    Program,
}

impl Cause {
    /// All of them, in order.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// What differing counts of exits for `reason` and `detail` come from.
    pub fn of_exit(reason: ExitReason, detail: ExitDetail) -> Self {
        match reason {
            ExitReason::Hlt | ExitReason::Cr8Write | ExitReason::Eoi => Self::Apic,
            ExitReason::MmioRead | ExitReason::MmioWrite => match detail {
                ExitDetail::Gpa(gpa) => of_mmio(gpa),
                _ => Self::Program,
            },
            ExitReason::MsrRead | ExitReason::MsrWrite => match detail {
                ExitDetail::Msr(index) => u32::try_from(index).map_or(Self::Program, of_msr),
                _ => Self::Program,
            },
            ExitReason::Interrupted | ExitReason::InterruptWindow => Self::Timer,
            ExitReason::Emulated => Self::Software,
            ExitReason::PioIn
            | ExitReason::PioOut
            | ExitReason::InstructionLimit
            | ExitReason::TripleFault
            | ExitReason::Failed => Self::Program,
        }
    }

    /// The letter that marks it in the table.
    pub const fn mark(self) -> char {
        match self {
            Self::Apic => 'A',
            Self::Timer => 'T',
            Self::Cpus => 'C',
            Self::Software => 'S',
            Self::Input => 'I',
            Self::Program => '!',
        }
    }

    /// What the mark means.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Apic => "local APIC: in the VMM each access and halt is an exit, in KVM none",
            Self::Timer => "time: ticks, and what else depends on how long the program takes",
            Self::Cpus => "several CPUs: interrupts between them, and which of them does what when",
            Self::Software => {
                "software-backed KVM: an instruction that it cannot execute and the VMM does"
            }
            Self::Input => "string input: KVM fetches several items in one exit",
            Self::Program => "should be the same on every machine",
        }
    }
}

fn of_mmio(gpa: u64) -> Cause {
    match bus::mmio_device(gpa, Some(abi::ports::LOCAL_APIC)) {
        Some(MmioDevice::LocalApic(offset)) => of_apic_register(offset),
        _ => Cause::Program,
    }
}

fn of_msr(index: u32) -> Cause {
    match index {
        msr::TSC_DEADLINE => Cause::Timer,
        msr::APIC_BASE => Cause::Apic,
        index if msr::X2APIC.contains(&index) => {
            // An x2APIC register's MSR is its xAPIC offset in units of 16 bytes.
            of_apic_register(u64::from(index - msr::X2APIC.start()) << 4)
        }
        _ => Cause::Program,
    }
}

fn of_apic_register(offset: u64) -> Cause {
    if TICK_REGISTERS.contains(&offset) {
        Cause::Timer
    } else if COMMAND_REGISTER.contains(&offset) {
        Cause::Cpus
    } else {
        Cause::Apic
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, ExitDetail, ExitReason};

    #[test]
    fn each_difference_has_its_cause() {
        use ExitDetail::{Gpa, Msr, None, Other, Port};
        for (reason, detail, cause) in [
            (ExitReason::PioOut, Port(0x3f8), Cause::Program),
            (ExitReason::Hlt, None, Cause::Apic),
            (ExitReason::InterruptWindow, None, Cause::Timer),
            (ExitReason::MmioWrite, Gpa(0xfee0_00b0), Cause::Timer),
            (ExitReason::MmioWrite, Gpa(0xfee0_00f0), Cause::Apic),
            (ExitReason::MmioWrite, Gpa(0xfec0_0010), Cause::Program),
            (ExitReason::MmioRead, Other, Cause::Program),
            (ExitReason::MsrWrite, Msr(0x80b), Cause::Timer),
            (ExitReason::MsrWrite, Msr(0x80f), Cause::Apic),
            (ExitReason::MsrWrite, Msr(0x830), Cause::Cpus),
            (ExitReason::MsrWrite, Msr(0x6e0), Cause::Timer),
            (ExitReason::MsrWrite, Msr(u64::MAX), Cause::Program),
            (ExitReason::Interrupted, None, Cause::Timer),
            (ExitReason::Emulated, None, Cause::Software),
        ] {
            assert_eq!(Cause::of_exit(reason, detail), cause, "{reason:?} {detail}");
        }
    }
}
