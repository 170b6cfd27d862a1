//! Devices that are files: which there are, and how `stat` and `/dev` show them.

use abi::Errno;
use arch::random;
use devices::serial::SerialPort;
use linux_raw_sys::general as linux;

use crate::fs::open_file::Object;
use crate::fs::terminal::{self, Found, Terminal};
use crate::fs::transfer::{self, Source, Step, Target};
use crate::proc::current;

/// Bits that random numbers have that are not known, as on Linux once there are any.
pub const ENTROPY: u32 = 256;

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The serial console.
    Console,
    /// The same, but what is written goes to standard error. It has no name of its own.
    Errors,
    /// The terminal of whoever opens it. Open, it is the console: others are opened in its
    /// place.
    Tty,
    /// Makes a pseudo-terminal for whoever opens it, whose master is opened in its place.
    PseudoTerminals,
    /// The serial line to another machine.
    Link,
    /// Discards writes; reads are at the end (`/dev/null`).
    Null,
    /// Discards writes; reads give zeros (`/dev/zero`).
    Zero,
    /// Has no room for writes; reads give zeros (`/dev/full`).
    Full,
    /// Takes writes; reads give random bytes (`/dev/random`).
    Random,
    /// The same (`/dev/urandom`).
    Urandom,
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
    pub const ALL: [Self; 9] = [
        Self::Console,
        Self::Tty,
        Self::PseudoTerminals,
        Self::Link,
        Self::Null,
        Self::Zero,
        Self::Full,
        Self::Random,
        Self::Urandom,
    ];

    /// Its name in `/dev`.
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Console | Self::Errors => b"console",
            Self::Tty => b"tty",
            Self::PseudoTerminals => b"ptmx",
            Self::Link => b"ttyS1",
            Self::Null => b"null",
            Self::Zero => b"zero",
            Self::Full => b"full",
            Self::Random => b"random",
            Self::Urandom => b"urandom",
        }
    }

    /// Its major and minor number (Linux, Documentation/admin-guide/devices.txt).
    pub fn number(self) -> DeviceNumber {
        let (major, minor) = match self {
            Self::Console | Self::Errors => (5, 1),
            Self::Tty => (5, 0),
            Self::PseudoTerminals => (5, 2),
            Self::Link => (4, 65),
            Self::Null => (1, 3),
            Self::Zero => (1, 5),
            Self::Full => (1, 7),
            Self::Random => (1, 8),
            Self::Urandom => (1, 9),
        };
        DeviceNumber { major, minor }
    }

    /// Its permission bits.
    pub fn mode(self) -> u32 {
        match self {
            Self::Console | Self::Errors => 0o600,
            Self::Link => 0o660,
            _ => 0o666,
        }
    }

    /// Whether the machine has it.
    fn is_present(self) -> bool {
        match self {
            Self::Link => SerialPort::LINK.is_present(),
            _ => true,
        }
    }

    /// Whether what is mapped from it is zeros.
    pub fn is_zeros(self) -> bool {
        self == Self::Zero
    }

    /// The terminal that it is, if it is one.
    pub fn terminal(self) -> Option<&'static Terminal> {
        match self {
            Self::Console | Self::Errors | Self::Tty => Some(&terminal::CONSOLE),
            Self::Link => Some(&terminal::LINK),
            _ => None,
        }
    }

    /// Reads from it, as long as there is something: of a terminal what is there, waiting for
    /// it unless `nonblocking`.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn read(self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        if let Some(terminal) = self.terminal() {
            return terminal.read(target, nonblocking);
        }
        match self {
            Self::Null => Ok(0),
            Self::Random | Self::Urandom => transfer::run(target, |target, _| {
                let bytes = [(); 8].map(|()| random::number().to_ne_bytes());
                Ok(put(target, bytes.as_flattened()))
            }),
            _ => transfer::run(target, |target, _| {
                let wanted = target.left();
                Ok(Step::copied(target.put_zeros(), wanted))
            }),
        }
    }

    /// Writes to it.
    ///
    /// # Errors
    /// ENOSPC, EINTR, EFAULT.
    pub fn write(self, source: &mut dyn Source) -> Result<u64, Errno> {
        match (self, self.terminal()) {
            (Self::Errors, Some(terminal)) => terminal.write_by(SerialPort::ERRORS, source),
            (_, Some(terminal)) => terminal.write(source, false),
            (Self::Full, None) if source.left() > 0 => Err(Errno::ENOSPC),
            (_, None) => Ok(source.left() as u64),
        }
    }
}

/// Opens the device with this number, with these flags of `open`.
///
/// # Errors
/// ENXIO: there is none. EIO: it cannot be opened. ENOMEM, ENOSPC.
pub fn open(number: DeviceNumber, flags: u32) -> Result<Object, Errno> {
    if terminal::is_pseudo(number) {
        return terminal::open_pseudo(number, flags);
    }
    match Device::of(number).ok_or(Errno::ENXIO)? {
        Device::PseudoTerminals => terminal::open_master(),
        Device::Tty => match terminal::of_session(current().session()).ok_or(Errno::ENXIO)? {
            Found::Port(port) if core::ptr::eq(port, &*terminal::LINK) => {
                Ok(Object::Device(Device::Link))
            }
            Found::Port(port) if !port.is_used() => Err(Errno::ENXIO),
            Found::Port(_) => Ok(Object::Device(Device::Tty)),
            Found::Pseudo(terminal) => terminal::open_pseudo(terminal.number(), linux::O_NOCTTY),
        },
        device => Ok(Object::Device(device)),
    }
}

/// Moves as many of these bytes as are wanted.
fn put(target: &mut dyn Target, bytes: &[u8]) -> Step {
    let wanted = bytes.len().min(target.left());
    Step::copied(target.put(&bytes[..wanted]), wanted)
}
