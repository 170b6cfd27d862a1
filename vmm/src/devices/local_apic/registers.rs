//! The local APIC's register map (Intel SDM vol. 3A 11.4.1 and 11.12.1.2).
//!
//! Both ways in number the registers alike: the offset in the memory window divided by
//! 16 is the MSR's number less 0x800. So one table serves both, and the rules that differ
//! (which registers exist, which bits may be written) are here beside it.

/// A register by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// APIC ID.
    Id,
    /// Version and number of LVT entries.
    Version,
    /// Task priority.
    TaskPriority,
    /// Arbitration priority; memory window only.
    ArbitrationPriority,
    /// Processor priority.
    ProcessorPriority,
    /// End of interrupt.
    Eoi,
    /// Remote read; memory window only.
    RemoteRead,
    /// Logical destination.
    LogicalDestination,
    /// Destination format; memory window only.
    DestinationFormat,
    /// Spurious-interrupt vector and software enable.
    SpuriousVector,
    /// Vectors `32 * n` and up of those in service.
    InService(u8),
    /// Vectors `32 * n` and up of those level-triggered.
    TriggerMode(u8),
    /// Vectors `32 * n` and up of those requested.
    InterruptRequest(u8),
    /// Errors.
    ErrorStatus,
    /// Interrupt command; as an MSR all 64 bits.
    CommandLow,
    /// Interrupt command, upper half; memory window only.
    CommandHigh,
    /// An entry of the local vector table.
    Lvt(Lvt),
    /// The timer's initial count.
    InitialCount,
    /// The timer's current count.
    CurrentCount,
    /// The timer's divider.
    DivideConfig,
    /// Sends an interrupt to this CPU; MSR only.
    SelfIpi,
}

/// An entry of the local vector table (11.5.1), by its place in the array of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Lvt {
    /// Timer.
    Timer,
    /// Thermal monitor.
    Thermal,
    /// Performance counters.
    Performance,
    /// LINT0 pin.
    Lint0,
    /// LINT1 pin.
    Lint1,
    /// Error.
    Error,
}

impl Lvt {
    /// Number of entries.
    pub const COUNT: usize = 6;

    /// Bits that a guest may set.
    pub const fn writable(self) -> u32 {
        match self {
            Self::Timer => 0x0007_00ff,
            Self::Thermal | Self::Performance => 0x0001_07ff,
            Self::Lint0 | Self::Lint1 => 0x0001_a7ff,
            Self::Error => 0x0001_00ff,
        }
    }

    /// Bits that only the hardware sets; writing them is no error.
    const fn status(self) -> u32 {
        match self {
            Self::Lint0 | Self::Lint1 => 1 << 12 | 1 << 14,
            _ => 1 << 12,
        }
    }
}

/// Bits of the spurious-interrupt vector register that a guest may set: vector, software
/// enable, focus checking.
pub const SPURIOUS_WRITABLE: u32 = 0x3ff;
/// Bits of the interrupt command register's lower half that a guest may set.
pub const COMMAND_WRITABLE: u32 = 0x000c_cfff;
/// Delivery status in the same: only hardware sets it, writing it is no error.
const COMMAND_STATUS: u64 = 1 << 12;

impl Register {
    /// The register with number `index` (offset / 16).
    pub const fn from_index(index: u64) -> Option<Self> {
        Some(match index {
            0x02 => Self::Id,
            0x03 => Self::Version,
            0x08 => Self::TaskPriority,
            0x09 => Self::ArbitrationPriority,
            0x0a => Self::ProcessorPriority,
            0x0b => Self::Eoi,
            0x0c => Self::RemoteRead,
            0x0d => Self::LogicalDestination,
            0x0e => Self::DestinationFormat,
            0x0f => Self::SpuriousVector,
            0x10..=0x17 => Self::InService(index as u8 & 7),
            0x18..=0x1f => Self::TriggerMode(index as u8 & 7),
            0x20..=0x27 => Self::InterruptRequest(index as u8 & 7),
            0x28 => Self::ErrorStatus,
            0x30 => Self::CommandLow,
            0x31 => Self::CommandHigh,
            0x32 => Self::Lvt(Lvt::Timer),
            0x33 => Self::Lvt(Lvt::Thermal),
            0x34 => Self::Lvt(Lvt::Performance),
            0x35 => Self::Lvt(Lvt::Lint0),
            0x36 => Self::Lvt(Lvt::Lint1),
            0x37 => Self::Lvt(Lvt::Error),
            0x38 => Self::InitialCount,
            0x39 => Self::CurrentCount,
            0x3e => Self::DivideConfig,
            0x3f => Self::SelfIpi,
            _ => return None,
        })
    }

    /// Whether the memory window has it.
    pub const fn in_window(self) -> bool {
        !matches!(self, Self::SelfIpi)
    }

    /// Whether `rdmsr` may read it.
    pub const fn msr_readable(self) -> bool {
        !matches!(
            self,
            Self::ArbitrationPriority
                | Self::Eoi
                | Self::RemoteRead
                | Self::DestinationFormat
                | Self::CommandHigh
                | Self::SelfIpi
        )
    }

    /// The bits that `wrmsr` may set without #GP; `None` where it may not write at all.
    pub const fn msr_writable(self) -> Option<u64> {
        match self {
            Self::Eoi | Self::ErrorStatus => Some(0),
            Self::TaskPriority | Self::SelfIpi => Some(0xff),
            Self::SpuriousVector => Some(SPURIOUS_WRITABLE as u64),
            Self::CommandLow => {
                Some(0xffff_ffff_0000_0000 | COMMAND_WRITABLE as u64 | COMMAND_STATUS)
            }
            Self::Lvt(entry) => Some((entry.writable() | entry.status()) as u64),
            Self::InitialCount => Some(0xffff_ffff),
            Self::DivideConfig => Some(0xb),
            _ => None,
        }
    }
}
