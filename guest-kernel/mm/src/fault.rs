//! Page faults: the access, why it failed, and the trace record.

use abi::trace::{Kind, Resolution};
use arch::trace;
use x86::PageFaultErrorCode;

use crate::OutOfMemory;
use crate::page_tables::Access;

/// How memory was accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Whether a page fault's error code has these bits.
fn has(error: u32, bits: PageFaultErrorCode) -> bool {
    PageFaultErrorCode::from_bits_retain(error.into()).contains(bits)
}

/// Whether a page fault's error code says that a protection key forbids the access: the
/// page is mapped, and mapping another would not help. Only software-backed KVM lets
/// programs have keys.
pub(crate) fn is_by_key(error: u32) -> bool {
    has(error, PageFaultErrorCode::PROTECTION_KEY)
}

impl Attempt {
    /// From a page fault's error code.
    pub fn from_error(error: u32) -> Self {
        if has(error, PageFaultErrorCode::INSTRUCTION_FETCH) {
            Self::Execute
        } else if has(error, PageFaultErrorCode::CAUSED_BY_WRITE) {
            Self::Write
        } else {
            Self::Read
        }
    }

    /// One that needs most of what `access` permits.
    pub(crate) fn widest(access: Access) -> Self {
        if access.contains(Access::WRITE) {
            Self::Write
        } else if access.contains(Access::READ) {
            Self::Read
        } else {
            Self::Execute
        }
    }

    /// Whether `access` permits it.
    pub(crate) fn is_allowed(self, access: Access) -> bool {
        match self {
            Self::Read => !access.is_empty(),
            Self::Write => access.contains(Access::WRITE),
            Self::Execute => access.contains(Access::EXECUTE),
        }
    }
}

/// Why a fault could not be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCause {
    /// Nothing is mapped there.
    NotMapped,
    /// Nothing is mapped there, and it is where the stack would grow next.
    StackOverflow,
    /// The page is mapped without permission for this access.
    Forbidden,
    /// The program has denied itself the access by a protection key (`wrpkru`).
    ProtectionKey,
    /// A file is mapped there, which ends before this page.
    PastEndOfFile,
    /// Out of memory, or the program's quota is used up.
    OutOfMemory,
}

impl From<OutOfMemory> for FaultCause {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<FaultCause> for Resolution {
    fn from(cause: FaultCause) -> Self {
        match cause {
            FaultCause::NotMapped => Self::NotMapped,
            FaultCause::StackOverflow => Self::StackOverflow,
            FaultCause::Forbidden | FaultCause::ProtectionKey => Self::Forbidden,
            FaultCause::PastEndOfFile => Self::PastEndOfFile,
            FaultCause::OutOfMemory => Self::OutOfMemory,
        }
    }
}

/// Traces a fault and its resolution.
#[cold]
pub(crate) fn trace(address: u64, error: u32, resolved: Result<Resolution, FaultCause>) {
    let resolution = resolved.unwrap_or_else(Resolution::from);
    trace::send(Kind::Fault, &[address, error.into(), resolution as u64]);
}
