//! The bytes of a file, shared by files and the areas mapped from them.
//!
//! A file from the initramfs is read where it lies, and so is one of the host, once it has
//! been [brought in](FilePages::bring_in). What has been written is in frames of
//! the file's own, page by page, and hides what lies below it; what is neither is zero:
//!
//! ```text
//! page      0        1        2        3        4
//! base   |aaaaaaaa|aaaa|                              (of the initramfs, maybe empty)
//! frames |        |bbbbbbbb|        |        |bbbb....|
//! file   |aaaaaaaa|bbbbbbbb|00000000|00000000|bbbb|   <- length
//! ```
//!
//! A frame is zero past the file's length, so that growing takes no time. Nothing is
//! borrowed when these functions return, so a page fault may read any file.

mod tree;

use core::cell::{Cell, RefCell};
use core::num::NonZero;

use abi::Errno;
use arch::paging::DIRECT_MAP;

use crate::file_pages::tree::PageTree;
use crate::frames::{self, FRAME_SIZE};
use crate::{Frame, OutOfMemory, host_files, quota};

/// Longest file, in bytes.
pub const MAX_LEN: u64 = tree::LIMIT * PAGE;

const PAGE: u64 = FRAME_SIZE as u64;

/// The base, for bytes never written.
static ZEROS: [u8; FRAME_SIZE] = [0; FRAME_SIZE];

/// A page of zeros.
pub fn zeros() -> &'static [u8] {
    &ZEROS
}

/// A file's bytes.
pub struct FilePages {
    base: Cell<&'static [u8]>,
    /// The host's file that is to be the base.
    outside: Cell<Option<NonZero<u64>>>,
    written: RefCell<PageTree>,
    len: Cell<u64>,
}

/// A page of the initramfs, or of the host, with nothing on it but a page of a file. It is
/// never written here and never free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageInPlace(u64);

impl PageInPlace {
    /// Its physical address.
    pub fn address(self) -> u64 {
        self.0
    }
}

impl FilePages {
    /// A file with these bytes, which are not copied.
    pub const fn new(base: &'static [u8]) -> Self {
        Self {
            base: Cell::new(base),
            outside: Cell::new(None),
            written: RefCell::new(PageTree::new()),
            len: Cell::new(base.len() as u64),
        }
    }

    /// Makes these bytes the file's, instead of what it has.
    pub fn replace(&self, base: &'static [u8]) {
        self.set_len(0);
        self.base.set(base);
        self.len.set(base.len() as u64);
    }

    /// The host's file `node`, which has `len` bytes. It must be
    /// [brought in](Self::bring_in) before its bytes are used.
    pub fn of_host(node: NonZero<u64>, len: u64) -> Self {
        Self {
            outside: Cell::new(Some(node)),
            len: Cell::new(len),
            ..Self::new(&[])
        }
    }

    /// Has the host map the file, if it is one of the host's. Its length is what it is now.
    ///
    /// # Errors
    /// Those of the host.
    pub fn bring_in(&self) -> Result<(), Errno> {
        let Some(node) = self.outside.get() else {
            return Ok(());
        };
        let bytes = host_files::map(node.get())?;
        self.base.set(bytes);
        self.len.set(bytes.len() as u64);
        self.outside.set(None);
        Ok(())
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len.get()
    }

    /// Gives `use_bytes` the bytes from `offset` on, to the end of their page or of the
    /// file: none past its end. It must not write to the same file.
    pub fn with_bytes<R>(&self, offset: u64, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        let left = self.len().saturating_sub(offset);
        let within = (offset % PAGE) as usize;
        let len = left.min((FRAME_SIZE - within) as u64) as usize;
        let written = self.written.borrow();
        if let Some(frame) = written.get(offset / PAGE) {
            return use_bytes(&frame.bytes()[within..][..len]);
        }
        let base = self.base_from(offset);
        if base.is_empty() {
            return use_bytes(&ZEROS[..len]);
        }
        // The base may end in the middle of a page; the rest comes with the next call.
        use_bytes(&base[..len.min(base.len())])
    }

    /// The page at `offset`, if it lies as a whole, and by itself, in the initramfs.
    pub fn page_in_place(&self, offset: u64) -> Option<PageInPlace> {
        let base = self.base_from(offset);
        let address = (base.as_ptr() as u64).wrapping_sub(DIRECT_MAP);
        let is_page = (address | offset).is_multiple_of(PAGE) && base.len() >= FRAME_SIZE;
        let is_read_there = || self.written.borrow().get(offset / PAGE).is_none();
        (is_page && frames::can_be_mapped(address) && is_read_there())
            .then_some(PageInPlace(address))
    }

    /// Copies bytes from `offset` on, with zeros for what is past the file's end.
    pub fn copy_at(&self, offset: u64, buffer: &mut [u8]) {
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            let count = self.with_bytes(offset.saturating_add(done as u64), |bytes| {
                let count = bytes.len().min(rest.len());
                rest[..count].copy_from_slice(&bytes[..count]);
                count
            });
            if count == 0 {
                rest.fill(0);
                return;
            }
            done += count;
        }
    }

    /// Calls `fill` with the bytes from `offset` on, to the end of their page; it returns
    /// how many it has overwritten. The file grows to hold them. `fill` must not use the
    /// same file.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    ///
    /// # Panics
    /// `offset` is not below [`MAX_LEN`].
    pub fn write_with(
        &self,
        offset: u64,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, OutOfMemory> {
        let page = offset / PAGE;
        let mut written = self.written.borrow_mut();
        let frame = written.get_or_insert(page, || self.copy_of_base(page))?;
        let count = fill(&mut frame.bytes_mut()[(offset % PAGE) as usize..]);
        self.len.set(self.len().max(offset + count as u64));
        Ok(count)
    }

    /// Truncates the file, or extends it with zeros. One of the host that is not brought in
    /// loses all of its bytes.
    ///
    /// # Panics
    /// `len` is above [`MAX_LEN`].
    pub fn set_len(&self, len: u64) {
        assert!(len <= MAX_LEN, "no file has {len} bytes");
        self.outside.set(None);
        if len < self.len() {
            let kept = usize::try_from(len).unwrap_or(usize::MAX);
            let base = self.base.get();
            self.base.set(&base[..base.len().min(kept)]);
            let mut written = self.written.borrow_mut();
            written.truncate(len.div_ceil(PAGE));
            let within = (len % PAGE) as usize;
            if within != 0 && written.get(len / PAGE).is_some() {
                let last = written.get_or_insert(len / PAGE, || None);
                if let Ok(frame) = last {
                    frame.bytes_mut()[within..].fill(0);
                }
            }
        }
        self.len.set(len);
    }

    /// Frames that hold what was written.
    pub fn frame_count(&self) -> u64 {
        self.written.borrow().count()
    }

    fn base_from(&self, offset: u64) -> &'static [u8] {
        let from = usize::try_from(offset).ok();
        from.and_then(|from| self.base.get().get(from..))
            .unwrap_or(&[])
    }

    /// A frame with the base of a page that is about to be written.
    fn copy_of_base(&self, page: u64) -> Option<Frame> {
        quota::check_file().ok()?;
        let base = self.base_from(page * PAGE);
        if base.is_empty() {
            return Frame::allocate_zeroed();
        }
        let mut frame = Frame::allocate()?;
        let (copied, rest) = frame.bytes_mut().split_at_mut(base.len().min(FRAME_SIZE));
        copied.copy_from_slice(&base[..copied.len()]);
        rest.fill(0);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::{FilePages, MAX_LEN, PAGE, PageInPlace};
    use crate::frames;
    use fastrand::Rng;

    use crate::test_support::pages;

    fn base(len: usize) -> &'static [u8] {
        (0..len)
            .map(|n| (n % 251) as u8 + 1)
            .collect::<Vec<_>>()
            .leak()
    }

    fn write(file: &FilePages, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = file.write_with(offset, |place| {
                let count = place.len().min(bytes.len());
                place[..count].copy_from_slice(&bytes[..count]);
                count
            });
            let count = count.expect("there is memory");
            bytes = &bytes[count..];
            offset += count as u64;
        }
    }

    fn read(file: &FilePages) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let count = file.with_bytes(bytes.len() as u64, |part| part.to_vec());
            if count.is_empty() {
                return bytes;
            }
            bytes.extend(count);
        }
    }

    #[test]
    fn unwritten_files_take_no_memory() {
        let before = frames::free();
        let file = FilePages::new(base(10_000));
        assert_eq!(read(&file), base(10_000));
        assert_eq!((frames::free(), file.frame_count()), (before, 0));
    }

    #[test]
    fn whole_pages_of_the_base_are_in_place_until_written() {
        let base = pages(&[1, 2]);
        let address = base.as_ptr() as u64;
        let file = FilePages::new(base);
        let first_page = || file.page_in_place(0).map(PageInPlace::address);
        assert_eq!(first_page(), Some(address));
        assert!(file.page_in_place(PAGE).is_some());
        assert_eq!(file.page_in_place(2 * PAGE), None);
        assert_eq!(FilePages::new(&base[..4095]).page_in_place(0), None);
        assert_eq!(FilePages::new(&base[1..]).page_in_place(0), None);
        write(&file, 5, b"x");
        assert_eq!(first_page(), None);
        assert!(file.page_in_place(PAGE).is_some());
        file.replace(base);
        assert_eq!(first_page(), Some(address));
    }

    #[test]
    fn holes_are_zero_and_cost_nothing() {
        let before = frames::free();
        let file = FilePages::new(&[]);
        write(&file, 1 << 30, b"end");
        assert_eq!(file.len(), (1 << 30) + 3);
        let mut buffer = [1; 6];
        file.copy_at((1 << 30) - 3, &mut buffer);
        assert_eq!(&buffer, b"\0\0\0end");
        file.copy_at(1 << 30, &mut buffer);
        assert_eq!(&buffer, b"end\0\0\0");
        assert!(before - frames::free() < 8);
        file.set_len(MAX_LEN);
        file.copy_at(MAX_LEN - 6, &mut buffer);
        assert_eq!(buffer, [0; 6]);
        file.set_len(0);
        assert_eq!(file.frame_count(), 0);
    }

    #[test]
    fn it_is_what_a_vector_would_be() {
        let mut random = Rng::with_seed(5);
        for start in [0, 100, 3 * PAGE as usize + 5] {
            let file = FilePages::new(base(start));
            let mut expected = base(start).to_vec();
            for round in 0..300 {
                let at = random.u64(..6 * PAGE) as usize;
                if random.u64(..4) == 0 {
                    expected.resize(at, 0);
                    file.set_len(at as u64);
                } else {
                    let bytes = vec![round as u8; random.u64(..2 * PAGE) as usize];
                    if !bytes.is_empty() {
                        expected.resize(expected.len().max(at + bytes.len()), 0);
                        expected[at..][..bytes.len()].copy_from_slice(&bytes);
                    }
                    write(&file, at as u64, &bytes);
                }
                assert_eq!(read(&file), expected, "start {start}, round {round}");
            }
        }
    }
}
