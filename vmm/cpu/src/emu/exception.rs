//! Exceptions, and why an instruction did not finish.

/// A fault, trap or abort on its way to the guest's handler (AMD APM vol. 2 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    /// 0 to 31.
    pub(super) vector: u8,
    /// The error code of those that push one.
    pub(super) code: Option<u16>,
}

/// Vectors of exceptions.
pub(super) mod vector {
    pub const DE: u8 = 0;
    pub const DB: u8 = 1;
    pub const BP: u8 = 3;
    pub const OF: u8 = 4;
    pub const UD: u8 = 6;
    pub const NM: u8 = 7;
    pub const DF: u8 = 8;
    pub const TS: u8 = 10;
    pub const NP: u8 = 11;
    pub const SS: u8 = 12;
    pub const GP: u8 = 13;
    pub const PF: u8 = 14;
    pub const MF: u8 = 16;
    pub const AC: u8 = 17;
    pub const XM: u8 = 19;
}

impl Exception {
    /// One without an error code.
    pub(super) const fn plain(vector: u8) -> Self {
        Self { vector, code: None }
    }
    /// One with an error code.
    pub(super) const fn coded(vector: u8, code: u16) -> Self {
        Self {
            vector,
            code: Some(code),
        }
    }
    pub(super) const UD: Self = Self::plain(vector::UD);
    pub(super) const NM: Self = Self::plain(vector::NM);
    pub(super) const DE: Self = Self::plain(vector::DE);
    /// #GP(0).
    pub(super) const GP: Self = Self::coded(vector::GP, 0);
    /// #SS(0).
    pub(super) const SS: Self = Self::coded(vector::SS, 0);
}

/// Why an instruction did not finish. It has committed nothing (but whole elements of a
/// repeated string instruction).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Not a reason: the engine left between instructions.
    Leave,
    /// The fast path cannot do it; the slow one must.
    Miss,
    /// The guest gets an exception.
    Exception(Exception),
    /// The VMM is asked for something: see [`super::exit::Exit`].
    Exit,
    /// It has done part of its work, and can go on after a look at the outside.
    Again,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}
