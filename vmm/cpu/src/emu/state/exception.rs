//! Exceptions, and why an instruction did not finish.

use x86::vector;

/// A fault, trap or abort on its way to the guest's handler (AMD APM vol. 2 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// 0 to 31.
    pub vector: u8,
    /// The error code of those that push one.
    pub code: Option<u16>,
}

impl Exception {
    /// One without an error code.
    pub const fn plain(vector: u8) -> Self {
        Self { vector, code: None }
    }
    /// One with an error code.
    pub const fn coded(vector: u8, code: u16) -> Self {
        Self {
            vector,
            code: Some(code),
        }
    }
    pub const UD: Self = Self::plain(vector::UD);
    pub const NM: Self = Self::plain(vector::NM);
    pub const DE: Self = Self::plain(vector::DE);
    /// #GP(0).
    pub const GP: Self = Self::coded(vector::GP, 0);
    /// #SS(0).
    pub const SS: Self = Self::coded(vector::SS, 0);
}

/// Why an instruction did not finish. It has committed nothing (but whole elements of a
/// repeated string instruction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Not a reason: the engine left between instructions.
    Leave,
    /// The fast path cannot do it; the slow one must.
    Miss,
    /// The guest gets an exception.
    Exception(Exception),
    /// The VMM gets an exit: see [`crate::emu::outside::exit::Exit`].
    Exit,
    /// It has done part of its work, and continues after a check for events.
    Again,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}
