//! The program's side of a read or write: where bytes come from and go to.
//!
//! A copy stops where user memory faults. Only the call to `resolve` maps the missing page,
//! and its caller holds no borrow: a fault may read the very file that is being written. So
//! every file's loop is: copy; if that stopped early, resolve; repeat.

mod kernel_bytes;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};
use arch::copies::ZEROS;
use arch::user_copy::{self, CopyFault};
use mm::UserSlice;

pub use kernel_bytes::{First, KernelBytes, KernelRoom};

use crate::proc::current;

/// Most bytes that one call moves (Linux, MAX_RW_COUNT).
const MAX_LEN: u64 = 0x7fff_f000;
/// Most bytes that are named as one piece of physical memory.
const MAX_PIECE: u64 = 16 * PAGE_SIZE;
/// Bytes of an `iovec`: address and length.
const VECTOR_SIZE: u64 = 16;
/// Vectors that a call can have.
const MAX_VECTORS: u64 = linux_raw_sys::general::UIO_MAXIOV as u64;

/// The part common to both directions.
pub trait Transfer {
    /// Bytes still to be moved.
    fn left(&self) -> usize;

    /// Resolves the fault that stopped a copy. Nothing of `fs` may be borrowed.
    ///
    /// # Errors
    /// EFAULT: nothing more can be copied.
    fn resolve(&mut self) -> Result<(), Errno>;
}

/// Where a write takes its bytes.
pub trait Source: Transfer {
    /// Fills the front of `buffer` with what comes next and says how much: less than there
    /// is room for and bytes are left only if it must be [resolved](Transfer::resolve).
    fn take(&mut self, buffer: &mut [u8]) -> usize;

    /// Instead of a copy, names the physical memory of what comes next to `read`, piece by
    /// piece with address and length, until that wants no more, and says how much it was:
    /// [`take`](Self::take)'s rule holds. `None` if it does not know.
    ///
    /// The memory stays what it is until another thread runs, and the caller borrows nothing
    /// of `fs`.
    fn read_in_place(&mut self, read: &mut dyn FnMut(u64, usize) -> bool) -> Option<usize> {
        let _ = read;
        None
    }
}

/// Where a read puts its bytes.
pub trait Target: Transfer {
    /// Copies the front of `bytes` out and says how much: less than there are and room is
    /// left for only if it must be [resolved](Transfer::resolve).
    fn put(&mut self, bytes: &[u8]) -> usize;

    /// The same with zeros, of which there are as many as there is room for.
    fn put_zeros(&mut self) -> usize {
        let mut done = 0;
        while self.left() > 0 {
            let put = self.put(&ZEROS);
            if put == 0 {
                break;
            }
            done += put;
        }
        done
    }
}

/// Makes `step` until nothing is left or it moves no more, and says how many bytes were
/// moved in all. `step` says how many it has moved, and whether it stopped at a fault.
///
/// # Errors
/// Those of `step` and EFAULT, if nothing was moved before.
pub fn run<T: Transfer + ?Sized>(
    transfer: &mut T,
    mut step: impl FnMut(&mut T, u64) -> Result<Step, Errno>,
) -> Result<u64, Errno> {
    let mut done = 0;
    while transfer.left() > 0 {
        let result = step(transfer, done).and_then(|step| {
            done += step.moved as u64;
            match step.next {
                Next::Resolve => transfer.resolve().map(|()| true),
                Next::More => Ok(true),
                Next::Stop => Ok(false),
            }
        });
        match result {
            Ok(true) => {}
            Ok(false) => break,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// What one step of a transfer has done.
pub struct Step {
    /// Bytes that it moved.
    pub moved: usize,
    /// What comes after it.
    pub next: Next,
}

/// How a transfer continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// With another step.
    More,
    /// With another step, once the fault is resolved.
    Resolve,
    /// Not at all.
    Stop,
}

impl Step {
    /// After copying `moved` of the `wanted` bytes that could be.
    pub fn copied(moved: usize, wanted: usize) -> Self {
        let next = if moved < wanted {
            Next::Resolve
        } else {
            Next::More
        };
        Self { moved, next }
    }

    /// Nothing more to move.
    pub fn stop() -> Self {
        Self {
            moved: 0,
            next: Next::Stop,
        }
    }
}

/// Memory of the current process, in one piece or several.
pub struct UserBytes {
    /// The rest of the current piece.
    start: u64,
    len: u64,
    /// `iovec`s of the pieces to come.
    vectors: u64,
    vector_count: u64,
    /// Bytes in all of them, as far as they are to be moved.
    left: u64,
    fault: Option<CopyFault>,
}

impl UserBytes {
    /// `len` bytes from `start`; both may be any number.
    ///
    /// # Errors
    /// EFAULT: not a range of user memory.
    pub fn one(start: u64, len: u64) -> Result<Self, Errno> {
        UserSlice::new(start, len).check()?;
        let len = len.min(MAX_LEN);
        Ok(Self {
            start,
            len,
            vectors: 0,
            vector_count: 0,
            left: len,
            fault: None,
        })
    }

    /// What `count` vectors from `address` refer to.
    ///
    /// # Errors
    /// EINVAL: too many, or too much. EFAULT: they cannot be read, or a piece is not user
    /// memory.
    pub fn vectors(address: u64, count: u64) -> Result<Self, Errno> {
        if count > MAX_VECTORS {
            return Err(Errno::EINVAL);
        }
        let mut left = 0_u64;
        for number in 0..count {
            let (start, len) = read_vector(address.wrapping_add(number * VECTOR_SIZE))?;
            if i64::try_from(len).is_err() {
                return Err(Errno::EINVAL);
            }
            UserSlice::new(start, len).check()?;
            left = left.checked_add(len).ok_or(Errno::EINVAL)?;
        }
        if i64::try_from(left).is_err() {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            start: 0,
            len: 0,
            vectors: address,
            vector_count: count,
            left: left.min(MAX_LEN),
            fault: None,
        })
    }

    /// Advances to a piece that has bytes; there are some left. The program may have
    /// changed its vectors meanwhile: then the rest is a fault. Out of line, since most
    /// transfers have one piece.
    #[inline(never)]
    fn next_piece(&mut self) -> bool {
        while self.len == 0 {
            if self.vector_count == 0 {
                return false;
            }
            let mut bytes = [0; VECTOR_SIZE as usize];
            if let Err(fault) = user_copy::from_user(&mut bytes, self.vectors) {
                self.fault = Some(fault);
                return false;
            }
            (self.start, self.len) = parse_vector(&bytes);
            self.vectors += VECTOR_SIZE;
            self.vector_count -= 1;
        }
        true
    }

    /// Copies up to `len` bytes by `copy(address in user memory, done, how many)`.
    #[inline]
    fn copy(
        &mut self,
        len: usize,
        mut copy: impl FnMut(u64, usize, usize) -> Result<(), CopyFault>,
    ) -> usize {
        let len = len.min(self.left());
        if len as u64 <= self.len {
            return self.copy_in_piece(len, |address| copy(address, 0, len));
        }
        let mut done = 0;
        while done < len && self.next_piece() {
            let count = (len - done).min(usize::try_from(self.len).unwrap_or(usize::MAX));
            let copied = self.copy_in_piece(count, |address| copy(address, done, count));
            done += copied;
            if copied < count {
                break;
            }
        }
        done
    }

    /// Copies `count` bytes of the current piece by `copy(address in user memory)`.
    #[inline]
    fn copy_in_piece(
        &mut self,
        count: usize,
        copy: impl FnOnce(u64) -> Result<(), CopyFault>,
    ) -> usize {
        let result = copy(self.start);
        let copied = result.err().map_or(count, |fault| fault.copied);
        self.start += copied as u64;
        self.len -= copied as u64;
        self.left -= copied as u64;
        if result.is_err() {
            self.fault = result.err();
        }
        copied
    }
}

impl Transfer for UserBytes {
    fn left(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    fn resolve(&mut self) -> Result<(), Errno> {
        let fault = self.fault.take().ok_or(Errno::EFAULT)?;
        let resolved = current().space().resolve(fault.address, fault.error);
        resolved.map_err(|_| Errno::EFAULT)
    }
}

impl Source for UserBytes {
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        self.copy(buffer.len(), |address, done, count| {
            user_copy::from_user(&mut buffer[done..][..count], address)
        })
    }

    fn read_in_place(&mut self, read: &mut dyn FnMut(u64, usize) -> bool) -> Option<usize> {
        let mut lent = 0;
        let mut wants_more = true;
        while wants_more && self.left > 0 && self.next_piece() {
            let most = self.len.min(self.left).min(MAX_PIECE);
            let Some((address, count)) = mapped(self.start, most) else {
                self.fault = Some(CopyFault::missing(self.start));
                break;
            };
            wants_more = read(address, count as usize);
            self.start += count;
            self.len -= count;
            self.left -= count;
            lent += count as usize;
        }
        Some(lent)
    }
}

/// The physical address of what the current process has at `address`, whose page is mapped
/// if it was not, and how many bytes, up to `most`, lie together there.
fn mapped(address: u64, most: u64) -> Option<(u64, u64)> {
    if address >= USER_END {
        return None;
    }
    let space = current().space();
    space.mapped(address, most).or_else(|| {
        let CopyFault { error, .. } = CopyFault::missing(address);
        space.resolve(address, error).ok()?;
        space.mapped(address, most)
    })
}

impl Target for UserBytes {
    fn put(&mut self, bytes: &[u8]) -> usize {
        self.copy(bytes.len(), |address, done, count| {
            user_copy::to_user(address, &bytes[done..][..count])
        })
    }

    fn put_zeros(&mut self) -> usize {
        self.copy(self.left(), |address, _, count| {
            user_copy::clear_user(address, count)
        })
    }
}

fn read_vector(address: u64) -> Result<(u64, u64), Errno> {
    let mut bytes = [0; VECTOR_SIZE as usize];
    UserSlice::new(address, VECTOR_SIZE).copy_in(&current().space(), &mut bytes)?;
    Ok(parse_vector(&bytes))
}

fn parse_vector(bytes: &[u8; VECTOR_SIZE as usize]) -> (u64, u64) {
    let [start, len] = [0, 8].map(|at| {
        let word = bytes[at..].first_chunk().copied();
        u64::from_le_bytes(word.unwrap_or_default())
    });
    (start, len)
}

#[cfg(test)]
pub mod tests;
