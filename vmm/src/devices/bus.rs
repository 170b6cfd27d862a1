//! Dispatch of ports, addresses and MSRs to devices.
//!
//! The machine has a handful of devices at fixed places, so dispatch is a match that the
//! compiler turns into a few comparisons. Rejected: a table of boxed devices, which costs a
//! search and an indirect call for every port write, and hides which devices there are.
//!
//! An access belongs to the device that claims its first byte; bytes past the device's end
//! are unclaimed. Unclaimed reads give all ones, unclaimed writes are dropped.

use abi::ports;
use x86::msr;

use super::streams::Line;

const SERIAL_LAST: u16 = ports::SERIAL + (ports::SERIAL_LEN - 1);
const ERRORS_LAST: u16 = ports::ERRORS + (ports::SERIAL_LEN - 1);
const LOG_LAST: u16 = ports::LOG + (ports::SERIAL_LEN - 1);
const INPUT_LAST: u16 = ports::INPUT + (ports::INPUT_LEN - 1);
const LINK_LAST: u16 = ports::LINK + (ports::SERIAL_LEN - 1);
const SLEEP_LAST: u16 = ports::SLEEP_CONTROL + (ports::SLEEP_LEN - 1);
const DEBUG_EXIT_LAST: u16 = ports::DEBUG_EXIT + (ports::DEBUG_EXIT_LEN - 1);

/// Bytes in the register windows of the local and of the I/O APIC.
pub const APIC_WINDOW_LEN: u64 = 0x1000;

const IO_APIC_LAST: u64 = ports::IO_APIC + (APIC_WINDOW_LEN - 1);
const VIRTIO_CONSOLE_LAST: u64 = ports::VIRTIO_CONSOLE + (ports::VIRTIO_LEN - 1);
const VIRTIO_ERRORS_LAST: u64 = ports::VIRTIO_ERRORS + (ports::VIRTIO_LEN - 1);

/// A device with ports, and the offset of a port in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortDevice {
    /// A serial line of the standard streams; offset 0 to 7.
    Serial(Line, u8),
    /// The input stream; offset 0 to 7.
    Input(u8),
    /// The link to another machine, in machines that have one; offset 0 to 7.
    Link(u8),
    /// The device for files of the host, in machines that have one.
    HostFiles,
    /// The debug-exit device, whose ports are all alike.
    DebugExit,
    /// The doorbell of the trace, which does nothing by itself: the exit is what counts.
    TraceDoorbell,
    /// The sleep control and sleep status registers of ACPI; offset 0 and 1.
    Sleep(u8),
    /// The reset control register.
    Reset,
    /// The keyboard controller's command register.
    KeyboardCommand,
}

/// A memory-mapped device, and the offset of an address in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmioDevice {
    /// The I/O APIC.
    IoApic(u64),
    /// The local APIC.
    LocalApic(u64),
    /// A virtio console of the standard streams, in machines that have them.
    Virtio(Line, u64),
}

/// The device that claims `port`.
pub const fn port_device(port: u16) -> Option<PortDevice> {
    match port {
        ports::SERIAL..=SERIAL_LAST => serial(Line::Console, port - ports::SERIAL),
        ports::ERRORS..=ERRORS_LAST => serial(Line::Errors, port - ports::ERRORS),
        ports::LOG..=LOG_LAST => serial(Line::Log, port - ports::LOG),
        ports::INPUT..=INPUT_LAST => Some(PortDevice::Input((port - ports::INPUT) as u8)),
        ports::LINK..=LINK_LAST => Some(PortDevice::Link((port - ports::LINK) as u8)),
        ports::HOST_FILES => Some(PortDevice::HostFiles),
        ports::DEBUG_EXIT..=DEBUG_EXIT_LAST => Some(PortDevice::DebugExit),
        ports::TRACE_DOORBELL => Some(PortDevice::TraceDoorbell),
        ports::SLEEP_CONTROL..=SLEEP_LAST => {
            Some(PortDevice::Sleep((port - ports::SLEEP_CONTROL) as u8))
        }
        ports::RESET_CONTROL => Some(PortDevice::Reset),
        ports::KEYBOARD_COMMAND => Some(PortDevice::KeyboardCommand),
        _ => None,
    }
}

const fn serial(line: Line, offset: u16) -> Option<PortDevice> {
    Some(PortDevice::Serial(line, offset as u8))
}

/// The device that claims guest-physical address `gpa`, with the local APIC's window at
/// `local_apic` (the guest may move it and switch it off). Where windows overlap, the
/// local APIC wins: it is nearest to the CPU.
pub const fn mmio_device(gpa: u64, local_apic: Option<u64>) -> Option<MmioDevice> {
    if let Some(base) = local_apic
        && let Some(offset) = gpa.checked_sub(base)
        && offset < APIC_WINDOW_LEN
    {
        return Some(MmioDevice::LocalApic(offset));
    }
    match gpa {
        ports::IO_APIC..=IO_APIC_LAST => Some(MmioDevice::IoApic(gpa - ports::IO_APIC)),
        ports::VIRTIO_CONSOLE..=VIRTIO_CONSOLE_LAST => Some(MmioDevice::Virtio(
            Line::Console,
            gpa - ports::VIRTIO_CONSOLE,
        )),
        ports::VIRTIO_ERRORS..=VIRTIO_ERRORS_LAST => {
            Some(MmioDevice::Virtio(Line::Errors, gpa - ports::VIRTIO_ERRORS))
        }
        _ => None,
    }
}

/// The name of the device at `port`, for reports; `None` where nobody claims it.
pub const fn port_name(port: u16) -> Option<&'static str> {
    match port_device(port) {
        Some(PortDevice::Serial(Line::Console, _)) => Some("serial"),
        Some(PortDevice::Serial(Line::Errors, _)) => Some("errors"),
        Some(PortDevice::Serial(Line::Log, _)) => Some("log"),
        Some(PortDevice::Input(_)) => Some("input"),
        Some(PortDevice::Link(_)) => Some("link"),
        Some(PortDevice::HostFiles) => Some("host files"),
        Some(PortDevice::DebugExit) => Some("debug exit"),
        Some(PortDevice::TraceDoorbell) => Some("trace doorbell"),
        Some(PortDevice::Sleep(_)) => Some("sleep"),
        Some(PortDevice::Reset) => Some("reset"),
        Some(PortDevice::KeyboardCommand) => Some("keyboard controller"),
        None => None,
    }
}

/// The name of the device at `gpa`, for reports; `None` where nobody claims it. Knows the
/// local APIC at its reset address.
pub const fn mmio_name(gpa: u64) -> Option<&'static str> {
    match mmio_device(gpa, Some(ports::LOCAL_APIC)) {
        Some(MmioDevice::IoApic(_)) => Some("I/O APIC"),
        Some(MmioDevice::LocalApic(_)) => Some("local APIC"),
        Some(MmioDevice::Virtio(Line::Errors, _)) => Some("virtio errors"),
        Some(MmioDevice::Virtio(..)) => Some("virtio console"),
        None => None,
    }
}

/// The name of the device whose register MSR `index` is, for reports; `None` where nobody
/// claims it.
pub fn msr_name(index: u32) -> Option<&'static str> {
    let apic = matches!(index, msr::APIC_BASE | msr::TSC_DEADLINE) || msr::X2APIC.contains(&index);
    apic.then_some("local APIC")
}

/// Answers a read of any length that starts `skipped` bytes into a register: the rest of
/// its bytes, then zeros.
pub(super) fn read_register(value: u32, skipped: usize, data: &mut [u8]) {
    let register = value.to_le_bytes();
    let mut bytes = register.iter().skip(skipped);
    data.fill_with(|| bytes.next().copied().unwrap_or(0));
}

/// What a write of any length, little-endian, puts into a register of 32 bits: its first
/// four bytes, zero-extended.
pub(super) fn written(data: &[u8]) -> u32 {
    let mut value = [0; 4];
    for (to, from) in value.iter_mut().zip(data) {
        *to = *from;
    }
    u32::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::{
        Line, MmioDevice, PortDevice, mmio_device, mmio_name, msr_name, port_device, port_name,
    };

    #[test]
    fn ports_are_claimed_to_their_edges() {
        for (first, line) in [
            (0x3f8, Line::Console),
            (0x3e8, Line::Errors),
            (0x2e8, Line::Log),
        ] {
            assert_eq!(port_device(first - 1), None);
            assert_eq!(port_device(first), Some(PortDevice::Serial(line, 0)));
            assert_eq!(port_device(first + 7), Some(PortDevice::Serial(line, 7)));
            assert_eq!(port_device(first + 8), None);
        }
        assert_eq!(port_device(0x5e0), Some(PortDevice::Input(0)));
        assert_eq!(port_device(0x5e7), Some(PortDevice::Input(7)));
        assert_eq!(port_device(0x5e8), None);
        assert_eq!(port_device(0x5ec), Some(PortDevice::HostFiles));
        assert_eq!((port_device(0x5eb), port_device(0x5ed)), (None, None));
        assert_eq!(port_device(0x2f7), None);
        assert_eq!(port_device(0x2f8), Some(PortDevice::Link(0)));
        assert_eq!(port_device(0x2ff), Some(PortDevice::Link(7)));
        assert_eq!(port_device(0x300), None);
        assert_eq!(port_device(0xf3), None);
        assert_eq!(port_device(0xf4), Some(PortDevice::DebugExit));
        assert_eq!(port_device(0xf7), Some(PortDevice::DebugExit));
        assert_eq!(port_device(0xf8), Some(PortDevice::TraceDoorbell));
        assert_eq!(port_device(0xf9), None);
        assert_eq!(port_device(0x601), Some(PortDevice::Sleep(1)));
        assert_eq!(port_device(0x602), None);
        assert_eq!(port_device(0xcf9), Some(PortDevice::Reset));
        assert_eq!((port_device(0xcf8), port_device(0xcfa)), (None, None));
        assert_eq!((port_device(0), port_device(0xffff)), (None, None));
    }

    #[test]
    fn a_moved_local_apic_hides_what_it_covers() {
        assert_eq!(
            mmio_device(0xfec0_0010, None),
            Some(MmioDevice::IoApic(0x10))
        );
        assert_eq!(
            mmio_device(0xfec0_0010, Some(0xfec0_0000)),
            Some(MmioDevice::LocalApic(0x10))
        );
        assert_eq!(mmio_device(0xfee0_0000, None), None);
        assert_eq!(
            mmio_device(u64::MAX, Some(u64::MAX - 0xfff)).map(offset),
            Some(0xfff)
        );
    }

    fn offset(device: MmioDevice) -> u64 {
        let (MmioDevice::IoApic(offset)
        | MmioDevice::LocalApic(offset)
        | MmioDevice::Virtio(_, offset)) = device;
        offset
    }

    #[test]
    fn reports_know_the_names() {
        assert_eq!(port_name(0x3fd), Some("serial"));
        assert_eq!(port_name(0x3e8), Some("errors"));
        assert_eq!(port_name(0x2e8), Some("log"));
        assert_eq!(port_name(0x5e4), Some("input"));
        assert_eq!(port_name(0x2f8), Some("link"));
        assert_eq!(port_name(0xf4), Some("debug exit"));
        assert_eq!(port_name(0x64), Some("keyboard controller"));
        assert_eq!(port_name(0x60), None);
        assert_eq!(mmio_name(0xfec0_0000), Some("I/O APIC"));
        assert_eq!(mmio_name(0xfee0_00b0), Some("local APIC"));
        assert_eq!(mmio_name(0xfee0_1000), None);
        assert_eq!(mmio_name(0xfeb0_0050), Some("virtio console"));
        assert_eq!(mmio_name(0xfeb0_1fff), Some("virtio errors"));
        assert_eq!(
            (mmio_name(0xfeaf_ffff), mmio_name(0xfeb0_2000)),
            (None, None)
        );
        assert_eq!(msr_name(0x838), Some("local APIC"));
        assert_eq!(msr_name(0x900), None);
    }
}
