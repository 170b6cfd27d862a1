//! Bytes kept compactly: names of nodes, and where symbolic links lead.
//!
//! Most names are short, so they are kept in place; longer ones are in the smallest of a few
//! sizes. Rejected: one size for all, 256 bytes for each of thousands of names.

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, Owned};

/// Longest name of a node, in bytes.
pub const NAME_MAX: usize = linux::NAME_MAX as usize;

/// What fits beside a length and a tag in the size of a slice and a tag.
const SHORT: usize = 22;
const MEDIUM: usize = 64;

/// Up to a frame of bytes that never change.
pub enum Bytes {
    /// Where the initramfs has them, or the kernel.
    InPlace(&'static [u8]),
    /// A few.
    Short(u8, [u8; SHORT]),
    /// More.
    Medium(u8, Owned<[u8; MEDIUM]>),
    /// Up to the longest name.
    Long(u8, Owned<[u8; NAME_MAX]>),
    /// Up to the longest path.
    Longest(u16, Frame),
}

impl Bytes {
    /// A copy of `bytes`.
    ///
    /// # Errors
    /// ENAMETOOLONG: more than a frame holds. ENOMEM.
    pub fn new(bytes: &[u8]) -> Result<Self, Errno> {
        fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
            let mut padded = [0; N];
            padded[..bytes.len()].copy_from_slice(bytes);
            padded
        }
        let len = bytes.len();
        Ok(if len <= SHORT {
            Self::Short(len as u8, padded(bytes))
        } else if len <= MEDIUM {
            Self::Medium(len as u8, Owned::new(padded(bytes))?)
        } else if len <= NAME_MAX {
            Self::Long(len as u8, Owned::new(padded(bytes))?)
        } else if len <= FRAME_SIZE {
            let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
            frame.bytes_mut()[..len].copy_from_slice(bytes);
            Self::Longest(len as u16, frame)
        } else {
            return Err(Errno::ENAMETOOLONG);
        })
    }

    /// A copy of the name of a node.
    ///
    /// # Errors
    /// ENAMETOOLONG: longer than [`NAME_MAX`]. ENOMEM.
    pub fn name(bytes: &[u8]) -> Result<Self, Errno> {
        match bytes.len() {
            ..=NAME_MAX => Self::new(bytes),
            _ => Err(Errno::ENAMETOOLONG),
        }
    }

    /// The same bytes once more.
    ///
    /// # Errors
    /// There is no memory.
    pub fn duplicate(&self) -> Result<Self, Errno> {
        match self {
            Self::InPlace(bytes) => Ok(Self::InPlace(bytes)),
            _ => Self::new(self),
        }
    }
}

impl core::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Short(len, bytes) => &bytes[..usize::from(*len)],
            Self::Medium(len, bytes) => &bytes[..usize::from(*len)],
            Self::Long(len, bytes) => &bytes[..usize::from(*len)],
            Self::Longest(len, frame) => &frame.bytes()[..usize::from(*len)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, NAME_MAX};
    use abi::Errno;

    #[test]
    fn all_lengths_are_kept() {
        assert_eq!(size_of::<Bytes>(), 24);
        for len in [0, 1, 22, 23, 64, 65, 255, 256, 4096] {
            let bytes: Vec<_> = (0..len).map(|n| n as u8).collect();
            let kept = Bytes::new(&bytes).expect("there is memory");
            assert_eq!(*kept, bytes);
            let again = kept.duplicate().expect("there is memory");
            assert_eq!(*again, bytes);
        }
        assert_eq!(Bytes::new(&[0; 4097]).err(), Some(Errno::ENAMETOOLONG));
        let long = Bytes::name(&[b'a'; NAME_MAX + 1]);
        assert_eq!(long.err(), Some(Errno::ENAMETOOLONG));
    }
}
