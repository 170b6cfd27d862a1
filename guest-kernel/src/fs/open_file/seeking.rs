//! The offset of an open file.

use abi::Errno;
use linux_raw_sys::general as linux;

use crate::fs::open_file::{Object, OpenFile};

impl OpenFile {
    /// Whether it has an offset.
    pub fn is_seekable(&self) -> bool {
        match &self.object {
            Object::Node(_) => true,
            Object::Device(device) => device.terminal().is_none(),
            _ => false,
        }
    }

    /// Moves the offset, as `lseek` does, and returns it: devices stay at 0.
    ///
    /// # Errors
    /// ESPIPE: has none. EINVAL: to before the start, or an invalid `whence`.
    pub fn seek(&self, offset: i64, whence: u32) -> Result<u64, Errno> {
        let ignores_seeks = matches!(&self.object, Object::Event(event) if event.ignores_seeks());
        if !self.is_seekable() && !ignores_seeks {
            return Err(Errno::ESPIPE);
        }
        if let Object::Device(_) | Object::Event(_) = self.object {
            return Ok(0);
        }
        let from = match whence {
            linux::SEEK_SET => 0,
            linux::SEEK_CUR => self.offset.get(),
            linux::SEEK_END => self.len(),
            linux::SEEK_DATA | linux::SEEK_HOLE => return self.seek_data(offset, whence),
            _ => return Err(Errno::EINVAL),
        };
        let to = from.checked_add_signed(offset).ok_or(Errno::EINVAL)?;
        if i64::try_from(to).is_err() {
            return Err(Errno::EINVAL);
        }
        self.offset.set(to);
        Ok(to)
    }

    /// The end is a hole.
    fn seek_data(&self, offset: i64, whence: u32) -> Result<u64, Errno> {
        let pages = self.regular().ok_or(Errno::EINVAL)?;
        let offset = u64::try_from(offset).ok();
        let offset = offset.filter(|&offset| offset < pages.len());
        let offset = offset.ok_or(Errno::ENXIO)?;
        let to = match whence {
            linux::SEEK_DATA => pages.next_data(offset).ok_or(Errno::ENXIO)?,
            _ => pages.next_hole(offset),
        };
        self.offset.set(to);
        Ok(to)
    }

    /// Where the offset is, for directories: the place of the next node.
    pub fn offset(&self) -> u64 {
        self.offset.get()
    }

    /// Sets the offset.
    pub fn set_offset(&self, offset: u64) {
        self.offset.set(offset);
    }
}
