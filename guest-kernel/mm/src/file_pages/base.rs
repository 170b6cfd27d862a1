//! The bytes that a file has had from the beginning, which nobody writes to.

use core::cell::Cell;
use core::num::NonZero;

use abi::Errno;
use arch::paging::DIRECT_MAP;

use crate::file_pages::PAGE;
use crate::frames::{self, FRAME_SIZE};
use crate::host_files;

/// Bytes of the initramfs, maybe none, or of a file of the host.
pub struct Base {
    bytes: Cell<&'static [u8]>,
    /// The host's file that is to be the base.
    outside: Cell<Option<NonZero<u64>>>,
}

impl Base {
    /// These bytes.
    pub const fn new(bytes: &'static [u8]) -> Self {
        Self {
            bytes: Cell::new(bytes),
            outside: Cell::new(None),
        }
    }

    /// Those of the host's file `node`, once they are brought in.
    pub const fn of_host(node: NonZero<u64>) -> Self {
        Self {
            bytes: Cell::new(&[]),
            outside: Cell::new(Some(node)),
        }
    }

    /// Has the host map its file, if that is to be the base, and says how many bytes that are.
    ///
    /// # Errors
    /// Those of the host.
    pub fn bring_in(&self) -> Result<Option<u64>, Errno> {
        let Some(node) = self.outside.get() else {
            return Ok(None);
        };
        let bytes = host_files::map(node.get())?;
        self.replace(bytes);
        Ok(Some(bytes.len() as u64))
    }

    /// Other bytes.
    pub fn replace(&self, bytes: &'static [u8]) {
        self.bytes.set(bytes);
        self.outside.set(None);
    }

    /// What there is from `offset` on.
    pub fn from(&self, offset: u64) -> &'static [u8] {
        let from = usize::try_from(offset).ok();
        from.and_then(|from| self.bytes.get().get(from..))
            .unwrap_or(&[])
    }

    /// Physical address of the page at `offset`, if it lies as a whole, and by itself, in memory that can be mapped:
    /// then page tables may have shares of it. The base's own share never ends.
    pub fn page(&self, offset: u64) -> Option<u64> {
        let bytes = self.from(offset);
        let address = (bytes.as_ptr() as u64).wrapping_sub(DIRECT_MAP);
        let is_page = (address | offset).is_multiple_of(PAGE) && bytes.len() >= FRAME_SIZE;
        (is_page && frames::can_be_mapped(address)).then_some(address)
    }

    /// How many whole pages there are from `offset` on.
    pub fn pages(&self, offset: u64) -> u64 {
        self.from(offset).len() as u64 / PAGE
    }

    /// Whether it is a file of the host that is not brought in.
    pub fn is_outside(&self) -> bool {
        self.outside.get().is_some()
    }

    /// Forgets a file of the host that is not brought in.
    pub fn forget_host(&self) {
        self.outside.set(None);
    }

    /// Forgets what is past `len`, and a file of the host that is not brought in.
    pub fn truncate(&self, len: u64) {
        self.forget_host();
        let kept = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = self.bytes.get();
        self.bytes.set(&bytes[..bytes.len().min(kept)]);
    }
}
