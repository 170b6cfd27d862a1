//! User memory as system calls see it. A pointer from a program is untrusted: it is only
//! used to copy, and a copy from or to a bad address is EFAULT.

use core::marker::PhantomData;

use abi::Errno;
use abi::virtual_map::USER_END;
use arch::user_copy::{self, CopyFault};

use crate::AddressSpace;

/// The program has no such memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

impl From<BadAddress> for Errno {
    fn from(BadAddress: BadAddress) -> Self {
        Self::EFAULT
    }
}

/// A range of a program's memory, not checked yet.
#[derive(Clone, Copy, Debug)]
pub struct UserSlice {
    start: u64,
    len: u64,
}

impl UserSlice {
    /// `len` bytes from `start`; both may be any number.
    pub fn new(start: u64, len: u64) -> Self {
        Self { start, len }
    }

    /// Number of bytes.
    pub fn len(self) -> u64 {
        self.len
    }

    /// Fails for a range that leaves user memory, whatever is mapped in it.
    ///
    /// # Errors
    /// It does.
    pub fn check(self) -> Result<(), BadAddress> {
        match self.start.checked_add(self.len) {
            Some(end) if end <= USER_END => Ok(()),
            _ => Err(BadAddress),
        }
    }

    /// The part from `offset` on, of at most `len` bytes.
    pub fn part(self, offset: u64, len: u64) -> Self {
        Self {
            start: self.start.wrapping_add(offset),
            len: self.len.saturating_sub(offset).min(len),
        }
    }

    /// Copies the bytes into the front of `buffer` and returns that.
    ///
    /// # Errors
    /// Not all of them can be read, or the buffer is too small.
    pub fn copy_in<'a>(
        self,
        space: &AddressSpace,
        buffer: &'a mut [u8],
    ) -> Result<&'a [u8], BadAddress> {
        let len = usize::try_from(self.len).map_err(|_| BadAddress)?;
        let buffer = buffer.get_mut(..len).ok_or(BadAddress)?;
        let mut done = 0;
        retry(space, || {
            let result = user_copy::from_user(&mut buffer[done..], self.start + done as u64);
            advance(&mut done, result)
        })?;
        Ok(buffer)
    }

    /// Copies `bytes`, of exactly this length, out.
    ///
    /// # Errors
    /// Not all of them can be written; some may have been.
    pub fn copy_out(self, space: &AddressSpace, bytes: &[u8]) -> Result<(), BadAddress> {
        if bytes.len() as u64 != self.len {
            return Err(BadAddress);
        }
        let mut done = 0;
        retry(space, || {
            let result = user_copy::to_user(self.start + done as u64, &bytes[done..]);
            advance(&mut done, result)
        })
    }
}

fn advance(done: &mut usize, result: Result<(), CopyFault>) -> Result<(), CopyFault> {
    if let Err(fault) = result {
        *done += fault.copied;
    }
    result
}

/// Continues a copy as long as each fault can be resolved.
fn retry<T>(
    space: &AddressSpace,
    mut copy: impl FnMut() -> Result<T, CopyFault>,
) -> Result<T, BadAddress> {
    loop {
        let fault = match copy() {
            Ok(done) => return Ok(done),
            Err(fault) => fault,
        };
        space
            .resolve(fault.address, fault.error)
            .map_err(|_| BadAddress)?;
    }
}

/// A pointer to a value of a program, not checked yet.
#[derive(Debug)]
pub struct UserPtr<T> {
    address: u64,
    target: PhantomData<T>,
}

/// Fixed-size values that cross between kernel and programs as bytes.
pub trait UserData: Sized {
    /// As the program has it in memory.
    type Bytes: AsRef<[u8]> + AsMut<[u8]> + Default;
    /// From what a program wrote.
    fn from_bytes(bytes: &Self::Bytes) -> Self;
    /// To what a program reads.
    fn to_bytes(&self) -> Self::Bytes;
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(
            impl UserData for $number {
                type Bytes = [u8; size_of::<Self>()];

                fn from_bytes(bytes: &Self::Bytes) -> Self {
                    Self::from_le_bytes(*bytes)
                }

                fn to_bytes(&self) -> Self::Bytes {
                    self.to_le_bytes()
                }
            }
        )*
    };
}

numbers!(u32, u64);

/// The bytes of `N` numbers of `SIZE` bytes each.
pub struct Flat<const SIZE: usize, const N: usize>([[u8; SIZE]; N]);

impl<const SIZE: usize, const N: usize> Default for Flat<SIZE, N> {
    fn default() -> Self {
        Self([[0; SIZE]; N])
    }
}

impl<const SIZE: usize, const N: usize> AsRef<[u8]> for Flat<SIZE, N> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_flattened()
    }
}

impl<const SIZE: usize, const N: usize> AsMut<[u8]> for Flat<SIZE, N> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_flattened_mut()
    }
}

/// Structures of many equal fields.
macro_rules! arrays_are_user_data {
    ($($number:ty),*) => {
        $(
            impl<const N: usize> UserData for [$number; N] {
                type Bytes = Flat<{ size_of::<$number>() }, N>;

                fn from_bytes(bytes: &Self::Bytes) -> Self {
                    bytes.0.map(<$number>::from_le_bytes)
                }

                fn to_bytes(&self) -> Self::Bytes {
                    Flat(self.map(<$number>::to_le_bytes))
                }
            }
        )*
    };
}

arrays_are_user_data!(u32, u64);

impl<T: UserData> UserPtr<T> {
    /// A pointer, which may be any number.
    pub fn new(address: u64) -> Self {
        Self {
            address,
            target: PhantomData,
        }
    }

    /// Reads the value.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, space: &AddressSpace) -> Result<T, BadAddress> {
        let mut bytes = T::Bytes::default();
        let buffer = bytes.as_mut();
        UserSlice::new(self.address, buffer.len() as u64).copy_in(space, buffer)?;
        Ok(T::from_bytes(&bytes))
    }

    /// Writes the value.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, space: &AddressSpace, value: &T) -> Result<(), BadAddress> {
        let bytes = value.to_bytes();
        let bytes = bytes.as_ref();
        UserSlice::new(self.address, bytes.len() as u64).copy_out(space, bytes)
    }
}

impl UserPtr<u32> {
    /// Changes the number as `change` says, given what it is, in one step whatever other threads of
    /// the program do meanwhile; or not, if that says so. Returns what it was before. Programs that
    /// change it without end do so until their ticks bring them to the kernel.
    ///
    /// # Errors
    /// It cannot be written, and those of `change`, with nothing changed.
    pub fn update<E: From<BadAddress>>(
        &self,
        space: &AddressSpace,
        mut change: impl FnMut(u32) -> Result<Option<u32>, E>,
    ) -> Result<u32, E> {
        let exchange = |old, new| retry(space, || user_copy::exchange(self.address, old, new));
        let mut old = exchange(0, 0)?;
        while let Some(new) = change(old)? {
            let found = exchange(old, new)?;
            if found == old {
                break;
            }
            old = found;
        }
        Ok(old)
    }
}
