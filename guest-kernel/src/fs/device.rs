//! Devices that are files: which there are, and how `stat` and `/dev` show them.

use arch::serial::SerialPort;

use crate::fs::terminal::{self, Terminal};

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The serial console.
    Console,
    /// The same, but what is written goes to standard error. It has no name of its own.
    Errors,
    /// The terminal of whoever opens it: there is only the console.
    Tty,
    /// The serial line to another machine.
    Link,
    /// Discards writes; reads are at the end (`/dev/null`).
    Null,
    /// Discards writes; reads give zeros (`/dev/zero`).
    Zero,
}

/// Major and minor number of a device, as nodes have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceNumber {
    /// The driver's.
    pub major: u32,
    /// The device's own among those of its driver.
    pub minor: u32,
}

impl Device {
    /// The one with this number, if there is one and the machine has it.
    pub fn of(number: DeviceNumber) -> Option<Self> {
        let device = Self::ALL
            .into_iter()
            .find(|device| device.number() == number)?;
        device.is_present().then_some(device)
    }

    /// Those that have names.
    pub const ALL: [Self; 5] = [Self::Console, Self::Tty, Self::Link, Self::Null, Self::Zero];

    /// Its name in `/dev`.
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Console | Self::Errors => b"console",
            Self::Tty => b"tty",
            Self::Link => b"ttyS1",
            Self::Null => b"null",
            Self::Zero => b"zero",
        }
    }

    /// Its major and minor number (Linux, Documentation/admin-guide/devices.txt).
    pub fn number(self) -> DeviceNumber {
        let (major, minor) = match self {
            Self::Console | Self::Errors => (5, 1),
            Self::Tty => (5, 0),
            Self::Link => (4, 65),
            Self::Null => (1, 3),
            Self::Zero => (1, 5),
        };
        DeviceNumber { major, minor }
    }

    /// Its permission bits.
    pub fn mode(self) -> u32 {
        match self {
            Self::Console | Self::Errors => 0o600,
            Self::Link => 0o660,
            Self::Tty | Self::Null | Self::Zero => 0o666,
        }
    }

    /// Whether the machine has it.
    fn is_present(self) -> bool {
        match self {
            Self::Tty => terminal::CONSOLE.is_used(),
            Self::Link => SerialPort::LINK.is_present(),
            Self::Console | Self::Errors | Self::Null | Self::Zero => true,
        }
    }

    /// The terminal that it is, if it is one.
    pub fn terminal(self) -> Option<&'static Terminal> {
        match self {
            Self::Console | Self::Errors | Self::Tty => Some(&terminal::CONSOLE),
            Self::Link => Some(&terminal::LINK),
            Self::Null | Self::Zero => None,
        }
    }
}
