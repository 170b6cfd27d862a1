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
//! Page tables have shares of the very same pages, so files and all mappings agree:
//!
//! ```text
//! the file keeps          page tables may map it     a write to the file or a shared mapping
//! a frame of its own      writable, if shared        goes there
//! a page of the base      read-only                  gets a frame of its own first
//! nothing                 once it has a frame        gets a frame of zeros first
//! ```
//!
//! A page of the base that gets a frame leaves all page tables that map it; a page past the new
//! end of a file leaves all of them, copies too. The next access finds what the file has then.
//!
//! Rejected: reads and writes of whole pages that map them copy-on-write in place of copying.
//! Only software-backed KVM copies slowly, and there the VMM does it (`arch::copies`): so what
//! lies together in memory is read and written at once, and a long write gets frames that do.
//!
//! A frame is zero past the file's length, so that growing takes no time; what programs write
//! there through a mapping is cleared when the file grows. Nothing is borrowed when these
//! functions return, so a page fault may read any file.

mod base;
mod holes;
mod label;
mod tree;
mod writing;

use core::cell::{Cell, RefCell};
use core::num::{NonZero, NonZeroU32};

use abi::Errno;
use arch::copies::{self, ZEROS};

use crate::file_pages::base::Base;
use crate::file_pages::tree::{PageTree, Run};
use crate::frames::FRAME_SIZE;
use crate::quota::{self, Budget, BudgetShare};
use crate::{Frame, OutOfMemory, Shared, spaces};

pub use label::forget_by;

/// Longest file, in bytes.
pub const MAX_LEN: u64 = tree::LIMIT * PAGE;

const PAGE: u64 = FRAME_SIZE as u64;

/// A file's bytes.
pub struct FilePages {
    base: Base,
    written: RefCell<PageTree>,
    len: Cell<u64>,
    /// Pages from this one on are in no page table, not even as copies, and from the second on
    /// in none but as copies and as frames that are the file's own.
    mapped_end: Cell<u64>,
    read_only_end: Cell<u64>,
    /// What nobody may do to it any more, if it is a file that can be sealed.
    seals: Cell<Option<u32>>,
    /// What those who keep files' names know it by.
    label: Cell<Option<NonZeroU32>>,
    share: BudgetShare,
}

/// A page of a file as page tables may map it, as long as the file keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappablePage {
    /// Physical address.
    pub address: u64,
    /// Whether it is the file's own, which shared mappings may write to.
    pub is_own: bool,
}

/// Which pages of a file leave the page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Those of the file that are not its own.
    ReadOnly,
    /// All, those that private mappings have instead of the file's too.
    All,
    /// Those of the file before this one, its own or not.
    Before(u64),
}

impl FilePages {
    /// A file with these bytes, which are not copied.
    pub const fn new(base: &'static [u8]) -> Self {
        Self {
            base: Base::new(base),
            written: RefCell::new(PageTree::new()),
            len: Cell::new(base.len() as u64),
            mapped_end: Cell::new(0),
            read_only_end: Cell::new(0),
            seals: Cell::new(None),
            label: Cell::new(None),
            share: BudgetShare::none(),
        }
    }

    /// Makes these bytes the file's, instead of what it has.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    pub fn replace(&self, base: &'static [u8]) -> Result<(), OutOfMemory> {
        self.set_len(0)?;
        self.base.replace(base);
        self.len.set(base.len() as u64);
        Ok(())
    }

    /// The host's file `node`, which has `len` bytes. It must be
    /// [brought in](Self::bring_in) before its bytes are used.
    pub fn of_host(node: NonZero<u64>, len: u64) -> Self {
        let mut file = Self::new(&[]);
        file.base = Base::of_host(node);
        file.len.set(len);
        file
    }

    /// Counts the frames of a new file in `budget`.
    pub fn join(&self, budget: &Shared<Budget>) {
        self.share.join(budget);
    }

    /// Has the host map the file, if it is one of the host's. Its length is what it is now.
    ///
    /// # Errors
    /// Those of the host.
    pub fn bring_in(&self) -> Result<(), Errno> {
        if let Some(len) = self.base.bring_in()? {
            self.len.set(len);
        }
        Ok(())
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len.get()
    }

    /// Its seals, if it is a file that can have some (Linux, F_SEAL_...).
    pub fn seals(&self) -> Option<u32> {
        self.seals.get()
    }

    /// Changes them, for those who write to it and map it to respect.
    pub fn set_seals(&self, seals: u32) {
        self.seals.set(Some(seals));
    }

    /// A number, unique among the files alive.
    pub fn id(&self) -> u64 {
        core::ptr::from_ref(self) as u64
    }

    /// Whether it has been made of the very bytes that `other` has been made of.
    pub fn has_base_of(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|file| file.base.from(0));
        !own.is_empty() && core::ptr::eq(own, others)
    }

    /// Gives `use_bytes` the bytes from `offset` on, to the end of their page or of the
    /// file: none past its end. It must not write to the same file.
    pub fn with_bytes<R>(&self, offset: u64, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        let within = (offset % PAGE) as usize;
        self.with_run(offset, FRAME_SIZE - within, use_bytes)
    }

    /// The same with up to `most` bytes, as many as lie together. There are some unless `most`
    /// is 0, or the file ends before `offset`.
    pub fn with_run<R>(&self, offset: u64, most: usize, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        let left = self.len().saturating_sub(offset).min(most as u64);
        let within = offset % PAGE;
        let written = self.written.borrow();
        let len = match written.run(offset / PAGE, (within + left).div_ceil(PAGE)) {
            Run::Kept(bytes) => {
                let bytes = &bytes[within as usize..];
                return use_bytes(&bytes[..bytes.len().min(left as usize)]);
            }
            Run::Gap(pages) => left.min(pages.saturating_mul(PAGE) - within) as usize,
        };
        // What was never written is zeros. The base may end in the middle of a page; the rest comes with the next call.
        let bytes = match self.base.from(offset) {
            [] => &ZEROS[within as usize..],
            base => base,
        };
        use_bytes(&bytes[..len.min(bytes.len())])
    }

    /// The page at `offset`, which is page-aligned, for page tables to map; `None` if it needs
    /// a frame first, or is past the end.
    pub fn page(&self, offset: u64) -> Option<MappablePage> {
        if offset >= self.len() {
            return None;
        }
        let page = self.peek(offset)?;
        self.note_mapped(offset);
        if !page.is_own {
            let end = offset / PAGE + 1;
            self.read_only_end.set(self.read_only_end.get().max(end));
        }
        Some(page)
    }

    /// The page at `offset`, as [`Self::page`] gives it, and how many from it on, of at most
    /// `most`, follow each other in memory and are none of the file's own. It does not look for
    /// more than what is known at once, as of a file that nobody has written to.
    pub fn pages(&self, offset: u64, most: u64) -> Option<(MappablePage, u64)> {
        let first = self.page(offset)?;
        if !self.written.borrow().is_empty() {
            return Some((first, 1));
        }
        let count = self.base.pages(offset).clamp(1, most.max(1));
        let last = self.page(offset + (count - 1) * PAGE);
        Some((first, last.map_or(1, |_| count)))
    }

    /// Says that page tables have a page for what is at `offset`, the file's or a copy.
    pub(crate) fn note_mapped(&self, offset: u64) {
        let end = offset / PAGE + 1;
        self.mapped_end.set(self.mapped_end.get().max(end));
    }

    /// The same as [`Self::page`], not to be mapped.
    pub(crate) fn peek(&self, offset: u64) -> Option<MappablePage> {
        match self.written.borrow().get(offset / PAGE) {
            Some(address) => Some(MappablePage {
                address,
                is_own: true,
            }),
            None => self.base.page(offset).map(|address| MappablePage {
                address,
                is_own: false,
            }),
        }
    }

    /// Gives the page at `offset` a frame of the file's own.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    pub fn make_own(&self, offset: u64) -> Result<(), OutOfMemory> {
        let page = offset / PAGE;
        self.leave_read_only(page);
        let mut written = self.written.borrow_mut();
        written.keep(page, || self.copy_of_base(page))?;
        self.share.settle(written.count());
        Ok(())
    }

    /// Copies bytes from `offset` on, with zeros for what is past the file's end.
    pub fn copy_at(&self, offset: u64, buffer: &mut [u8]) {
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            let at = offset.saturating_add(done as u64);
            let count = self.with_run(at, rest.len(), |bytes| {
                copies::copy(&mut rest[..bytes.len()], bytes);
                bytes.len()
            });
            if count == 0 {
                copies::clear(rest);
                return;
            }
            done += count;
        }
    }

    /// Truncates the file, or extends it with zeros. One of the host that is not brought in
    /// loses all of its bytes.
    ///
    /// # Errors
    /// There is no memory to copy its last page; nothing has changed.
    ///
    /// # Panics
    /// `len` is above [`MAX_LEN`].
    pub fn set_len(&self, len: u64) -> Result<(), OutOfMemory> {
        assert!(len <= MAX_LEN, "no file has {len} bytes");
        if len >= self.len() {
            self.base.forget_host();
            self.grow(len, len);
            return Ok(());
        }
        let within = (len % PAGE) as usize;
        if within != 0 {
            self.leave_read_only(len / PAGE);
            let mut written = self.written.borrow_mut();
            if let Some(last) = written.get_mut(len / PAGE) {
                copies::clear(&mut last[within..]);
            }
        }
        let first = len.div_ceil(PAGE);
        if first < self.mapped_end.get() {
            self.mapped_end.set(first);
            self.read_only_end.set(self.read_only_end.get().min(first));
            spaces::for_each(&mut |space| space.forget_file(self, first, Leaving::All));
        }
        self.base.truncate(len);
        let mut written = self.written.borrow_mut();
        written.remove(first..tree::LIMIT);
        self.share.settle(written.count());
        self.len.set(len);
        Ok(())
    }

    /// Pages that are no holes.
    pub fn page_count(&self) -> u64 {
        let base = match self.base.is_outside() {
            true => self.len().div_ceil(PAGE),
            false => self.base_pages(),
        };
        base + self.written.borrow().count_from(base)
    }

    /// Frames that hold what was written.
    pub fn frame_count(&self) -> u64 {
        self.written.borrow().count()
    }

    /// Before `page` gets a frame of the file's own, unless it has one.
    #[inline]
    fn leave_read_only(&self, page: u64) {
        if page < self.read_only_end.get() {
            let found = self.peek(page * PAGE);
            if found.is_some_and(|found| !found.is_own) {
                self.take_out(page);
            }
        }
    }

    /// Takes what is not the file's own, from `first` on, out of page tables: all at once, so
    /// that a file that is written to from its start does this once.
    fn take_out(&self, first: u64) {
        if first < self.read_only_end.get() {
            self.read_only_end.set(first);
            spaces::for_each(&mut |space| space.forget_file(self, first, Leaving::ReadOnly));
        }
    }

    /// A frame with the base of a page that is about to be written.
    fn copy_of_base(&self, page: u64) -> Option<Frame> {
        quota::check_file().ok()?;
        if self.share.left() == 0 {
            return None;
        }
        let base = self.base.from(page * PAGE);
        let mut frame = match base {
            [] => Frame::allocate_zeroed()?,
            _ => Frame::allocate()?,
        };
        if base.is_empty() {
            return Some(frame);
        }
        let (copied, rest) = frame.bytes_mut().split_at_mut(base.len().min(FRAME_SIZE));
        copies::copy(copied, &base[..copied.len()]);
        copies::clear(rest);
        Some(frame)
    }
}

#[cfg(test)]
mod tests;
