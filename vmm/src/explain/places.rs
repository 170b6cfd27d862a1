//! The numbers of ports, addresses, MSRs and system calls, by name.

use std::ops::RangeInclusive;

use abi::ports;
use x86::msr;

use super::Kind;
use crate::devices::bus::APIC_WINDOW_LEN;
use crate::trace::call_numbers;

/// First and last number of each, by the constant's name.
type Places = &'static [(&'static str, u64, u64)];

/// Constants of a module, each with how many numbers it has, or with its last one.
macro_rules! places {
    ($module:ident: $($name:ident $(; $len:expr)?),* $(,)?) => {
        &[$((
            stringify!($name),
            $module::$name as u64,
            $module::$name as u64 $(+ $len as u64 - 1)?,
        )),*]
    };
}

pub(super) const PORTS: Places = places![ports:
    SERIAL; ports::SERIAL_LEN,
    LINK; ports::SERIAL_LEN,
    ERRORS; ports::SERIAL_LEN,
    LOG; ports::SERIAL_LEN,
    INPUT; ports::INPUT_DATA - ports::INPUT,
    INPUT_DATA; ports::INPUT_LEN - (ports::INPUT_DATA - ports::INPUT),
    EXTENDED_STATE,
    HOST_FILES,
    COPIES,
    YIELD,
    DEBUG_EXIT; ports::DEBUG_EXIT_LEN,
    TRACE_DOORBELL,
    SLEEP_CONTROL; ports::SLEEP_LEN,
    RESET_CONTROL,
    KEYBOARD_COMMAND,
];

pub(super) const ADDRESSES: Places = places![ports:
    VIRTIO_CONSOLE; ports::VIRTIO_LEN,
    VIRTIO_ERRORS; ports::VIRTIO_LEN,
    IO_APIC; APIC_WINDOW_LEN,
    LOCAL_APIC; APIC_WINDOW_LEN,
];

const MSRS: Places = places![msr:
    TSC, APIC_BASE, BIOS_SIGN, MTRR_CAP, SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP, MCG_CAP,
    MCG_STATUS, PAT, MTRR_DEF_TYPE, TSC_DEADLINE, XSS, EFER, STAR, LSTAR, CSTAR, SFMASK, FS_BASE,
    GS_BASE, KERNEL_GS_BASE, TSC_AUX, KVM_WALL_CLOCK, KVM_SYSTEM_TIME, SYSCFG, HWCR, TOP_MEM,
    TOP_MEM2, NB_CFG, VM_CR,
];

/// MSRs of which there are several.
const MSR_RANGES: [(&str, RangeInclusive<u32>); 4] = [
    ("MTRR_VARIABLE", msr::MTRR_VARIABLE),
    ("X2APIC", msr::X2APIC),
    ("PERF_EVENT_SELECT", msr::PERF_EVENT_SELECT),
    ("PERF_COUNTER", msr::PERF_COUNTER),
];

/// The numbers of what is called `name`; none if it has none.
pub(super) fn numbers(kind: Kind, name: &str) -> Vec<RangeInclusive<u64>> {
    match kind {
        Kind::Exit | Kind::Counter => Vec::new(),
        Kind::Port => of_place(PORTS, name),
        Kind::Gpa => of_place(ADDRESSES, name),
        Kind::Msr => of_msr(name),
        Kind::Syscall => {
            let calls = call_numbers().filter(|(other, _)| *other == name);
            calls.map(|(_, number)| number..=number).collect()
        }
    }
}

fn of_place(places: Places, name: &str) -> Vec<RangeInclusive<u64>> {
    let places = places.iter().filter(|(other, ..)| is_called(other, name));
    places.map(|&(_, first, last)| first..=last).collect()
}

fn of_msr(name: &str) -> Vec<RangeInclusive<u64>> {
    let ranges = MSR_RANGES
        .iter()
        .filter(|(other, _)| is_called(other, name));
    let ranges = ranges.map(|(_, range)| u64::from(*range.start())..=u64::from(*range.end()));
    let fixed = msr::MTRR_FIXED.into_iter().map(u64::from);
    let fixed = fixed.filter(|_| is_called("MTRR_FIXED", name));
    let one = of_place(MSRS, name).into_iter();
    one.chain(ranges)
        .chain(fixed.map(|number| number..=number))
        .collect()
}

/// Whether the text called `name` is of the constant `constant`.
fn is_called(constant: &str, name: &str) -> bool {
    constant.eq_ignore_ascii_case(name)
}
