//! Contents of the host's files in guest-physical memory, beside RAM.
//!
//! ```text
//! guest-physical  | RAM ... |      | window: a reserved range of the VMM's addresses   |
//!                                  | file | file | small files | ... | nothing yet     |
//!                                    pages of the host's page cache    ^ used
//! ```
//!
//! The guest can read and execute it, and not write to it. A file is mapped, private and
//! read-only, once; what is less than a page, or does not start with one in its file, is
//! copied. Nothing is ever unmapped, so the addresses stay good.
//!
//! A page that is past the end of a file which was cut meanwhile raises SIGBUS in a thread
//! that reads it, and an error in KVM. The first becomes zeros, and both a message: the run is
//! to end, for which the reader is kicked.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use crate::Kick;
use crate::guarded::Guarded;
use crate::signals::{self, Before};

const PAGE: u64 = 4096;
/// Most mappings: the host allows a process 65,530 in all (vm.max_map_count).
const MOST_MAPPINGS: usize = 60_000;
/// Addresses that copies take at a time, and the longest that shares them.
const CHUNK: u64 = 1 << 20;
const LONGEST_SHARING: u64 = CHUNK / 16;
/// Alignment of copies of less than a page.
const LINE: u64 = 64;

/// The window; clones share it.
#[derive(Clone)]
pub struct FileWindow(Arc<Shared>);

struct Shared {
    gpa: u64,
    len: u64,
    host: *mut u8,
    /// What `host` is the start of.
    _addresses: Guarded,
    /// Bytes from the start on that are mapped readable.
    used: AtomicU64,
    contents: Mutex<Contents>,
    /// One more than the offset of the first page that was found to be cut off; or 0.
    cut: AtomicU64,
    reader: OnceLock<Arc<dyn Kick>>,
}

// SAFETY: `host` is the start of a mapping of this value's own; what is in it is read by the
// guest only, once `used` says so, and never a Rust object.
unsafe impl Send for Shared {}
// SAFETY: as above; the rest is shared by atomics and locks.
unsafe impl Sync for Shared {}

#[derive(Default)]
struct Contents {
    mappings: usize,
    /// Mapped files, by address.
    files: Vec<Mapped>,
    /// Offsets that the next copies can have.
    free: Range<u64>,
}

struct Mapped {
    offset: u64,
    len: u64,
    name: Box<str>,
}

impl FileWindow {
    /// A window for guest-physical addresses `gpas`, of whole pages. It takes addresses of the
    /// VMM, but no memory.
    ///
    /// # Errors
    /// The process may not have so many addresses.
    pub fn new(gpas: Range<u64>) -> io::Result<Self> {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| signals::install(libc::SIGBUS, on_bus_error, &BEFORE));
        let len = gpas.end - gpas.start;
        let addresses = Guarded::reserve(len)?;
        Ok(Self(Arc::new(Shared {
            gpa: gpas.start,
            len,
            host: addresses.start(),
            _addresses: addresses,
            used: AtomicU64::new(0),
            contents: Mutex::default(),
            cut: AtomicU64::new(0),
            reader: OnceLock::new(),
        })))
    }

    /// The first guest-physical address.
    pub fn gpa(&self) -> u64 {
        self.0.gpa
    }

    /// Bytes in all.
    pub fn size(&self) -> u64 {
        self.0.len
    }

    /// Bytes from the start on that the guest can read so far.
    #[inline]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Acquire)
    }

    /// Where the window is in the VMM's addresses.
    pub fn host_base(&self) -> *mut u8 {
        self.0.host
    }

    /// Host address of the byte at `gpa`, which can be read to the end of its page.
    #[inline]
    pub fn host(&self, gpa: u64) -> Option<*mut u8> {
        let offset = gpa.wrapping_sub(self.0.gpa);
        (offset < self.used()).then(|| self.0.host.wrapping_add(offset as usize))
    }

    /// Fills `bytes` from `gpa` on; `None` if not all of that can be read.
    pub(crate) fn read(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        // SAFETY: it is not guest memory.
        unsafe { self.copy_to(gpa, bytes.as_mut_ptr(), bytes.len()) }
    }

    /// The same for `len` bytes at `to`.
    ///
    /// # Safety
    /// They can be written, and are not in the window.
    pub(crate) unsafe fn copy_to(&self, gpa: u64, to: *mut u8, len: usize) -> Option<()> {
        let _reading = self.read_here();
        let end = (gpa - self.0.gpa).checked_add(len as u64)?;
        let host = self.host(gpa).filter(|_| end <= self.used())?;
        // SAFETY: all of the range is mapped readable for good; where a file was cut, the
        // signal's handler puts zeros. The rest is the caller's promise.
        unsafe { ptr::copy_nonoverlapping(host, to, len) };
        Some(())
    }

    /// Adds `len` bytes of `file` from `offset` on; `name` is for messages. Returns their
    /// guest-physical address and how many they are: fewer than asked for if the file has
    /// fewer by now. A page or more starts with a page, and has zeros after its end.
    ///
    /// # Errors
    /// Those of the host; ENFILE: too many files; ENOMEM: the window is full.
    pub fn add(
        &self,
        name: &str,
        file: &File,
        offset: u64,
        len: u64,
    ) -> Result<(u64, u64), io::Error> {
        let mut contents = self
            .0
            .contents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (place, len) = match len >= PAGE && offset.is_multiple_of(PAGE) {
            true => (contents.map(&self.0, name, file, offset, len)?, len),
            false => contents.copy(&self.0, file, offset, len)?,
        };
        Ok((self.0.gpa + place, len))
    }

    /// Says whom to kick when a read finds a file cut.
    pub(crate) fn set_reader(&self, reader: Arc<dyn Kick>) {
        let _ = self.0.reader.set(reader);
    }

    /// Has this thread survive the cut of a file until the result is dropped.
    pub(crate) fn read_here(&self) -> Reading {
        Reading(READING.replace(Arc::as_ptr(&self.0)), self.clone())
    }

    /// Whether a read on a thread has found a file cut.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Relaxed) != 0
    }

    /// What to say of a file that was cut, if one was.
    pub(crate) fn cut_file(&self) -> Option<String> {
        let contents = self
            .0
            .contents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let file = match self.0.cut.load(Ordering::Relaxed).checked_sub(1) {
            Some(offset) => {
                let after = contents.files.partition_point(|file| file.offset <= offset);
                contents.files.get(after.checked_sub(1)?)
            }
            None => contents.files.iter().find(|file| self.0.is_cut(file)),
        };
        file.map(|Mapped { name, .. }| {
            format!("{name}: the host cut the file, or cannot read it, while the guest used it")
        })
    }
}

impl fmt::Debug for FileWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { gpa, len, .. } = *self.0;
        write!(f, "FileWindow({gpa:#x}, {len:#x} bytes)")
    }
}

impl Contents {
    /// Takes `size` bytes of whole pages, and has `fill` map something readable there. Returns
    /// the offset.
    fn take(
        &mut self,
        shared: &Shared,
        size: u64,
        fill: impl FnOnce(*mut u8) -> io::Result<*mut u8>,
    ) -> io::Result<u64> {
        let offset = shared.used.load(Ordering::Relaxed);
        if size > shared.len - offset {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        if self.mappings == MOST_MAPPINGS {
            return Err(io::Error::from_raw_os_error(libc::ENFILE));
        }
        let place = shared.host.wrapping_add(offset as usize);
        if let Err(error) = fill(place) {
            // A failure may have left nothing reserved there.
            // SAFETY: the place is the window's, and nobody uses it yet.
            unsafe { map(place, size, libc::PROT_NONE, None) }?;
            return Err(error);
        }
        self.mappings += 1;
        shared.used.store(offset + size, Ordering::Release);
        Ok(offset)
    }

    fn map(
        &mut self,
        shared: &Shared,
        name: &str,
        file: &File,
        offset: u64,
        len: u64,
    ) -> io::Result<u64> {
        let size = len.checked_next_multiple_of(PAGE);
        let size = size.ok_or(io::ErrorKind::OutOfMemory)?;
        let place = self.take(shared, size, |place| {
            // SAFETY: the place is the window's, and nobody uses it yet.
            unsafe {
                let file = Some((file, offset));
                map(place, size, libc::PROT_READ, file)
            }
        })?;
        self.files.push(Mapped {
            offset: place,
            len: size,
            name: name.into(),
        });
        Ok(place)
    }

    fn copy(
        &mut self,
        shared: &Shared,
        file: &File,
        offset: u64,
        len: u64,
    ) -> io::Result<(u64, u64)> {
        let unit = if len >= PAGE { PAGE } else { LINE };
        let size = len.checked_next_multiple_of(unit);
        let size = size.ok_or(io::ErrorKind::OutOfMemory)?;
        let memory = |place, size| {
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: the place is the window's, and nobody uses it yet.
            unsafe { map(place, size, rights, None) }
        };
        let place = if size > LONGEST_SHARING {
            self.take(shared, size, |place| memory(place, size))?
        } else {
            let start = self.free.start.next_multiple_of(unit);
            if start + size > self.free.end {
                let chunk = self.take(shared, CHUNK, |place| memory(place, CHUNK))?;
                self.free = chunk..chunk + CHUNK;
            }
            let start = self.free.start.next_multiple_of(unit);
            self.free.start = start + size;
            start
        };
        // SAFETY: these bytes are mapped writable, and the guest has not been told of them.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(shared.host.add(place as usize), len as usize)
        };
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((place, read as u64))
    }
}

impl Shared {
    /// Whether the last page of a mapped file is none of it any more.
    fn is_cut(&self, file: &Mapped) -> bool {
        let last = self
            .host
            .wrapping_add((file.offset + file.len - PAGE) as usize);
        // SAFETY: it reads a page of the window.
        let read = unsafe { libc::madvise(last.cast(), PAGE as usize, libc::MADV_POPULATE_READ) };
        read != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
    }
}

/// Maps private memory at `place`: of a file, from an offset on, or anonymous.
///
/// # Safety
/// `size` bytes at `place` are the caller's.
unsafe fn map(
    place: *mut u8,
    size: u64,
    rights: libc::c_int,
    file: Option<(&File, u64)>,
) -> io::Result<*mut u8> {
    let size = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let (fd, offset, kind) = match file {
        Some((file, offset)) => (file.as_raw_fd(), offset as libc::off_t, 0),
        None => (-1, 0, libc::MAP_ANONYMOUS | libc::MAP_NORESERVE),
    };
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | kind;
    // SAFETY: the caller's promise.
    let mapped = unsafe { libc::mmap(place.cast(), size, rights, flags, fd, offset) };
    match mapped {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        mapped => Ok(mapped.cast()),
    }
}

thread_local! {
    /// The window that this thread reads now.
    static READING: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

/// A thread reads a window.
pub struct Reading(
    *const Shared,
    #[expect(dead_code, reason = "kept alive")] FileWindow,
);

impl Drop for Reading {
    fn drop(&mut self) {
        READING.set(self.0);
    }
}

/// What SIGBUS did before.
static BEFORE: Before = Before::new();

extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes what it tells of the signal.
    let (is_sent, address) = unsafe { (signals::is_sent(info), (*info).si_addr()) };
    // SAFETY: where it is not null, `Reading` keeps it alive.
    let window = unsafe { READING.get().as_ref() };
    let survives = !is_sent && window.is_some_and(|window| window.survive(address as usize));
    if let Some(before) = BEFORE.get()
        && !survives
    {
        signals::pass_on(before, is_sent, signal, info, context);
    }
}

impl Shared {
    /// Puts zeros where a read at `address` met the end of a file; false if that is not in the
    /// window. In a signal handler: system calls, atomics, and a kick, which is one of them.
    fn survive(&self, address: usize) -> bool {
        let offset = (address.wrapping_sub(self.host.addr())) as u64 & !(PAGE - 1);
        if offset >= self.used.load(Ordering::Acquire) {
            return false;
        }
        let page = self.host.wrapping_add(offset as usize);
        // SAFETY: the page is the window's, and cannot be read as it is.
        if unsafe { map(page, PAGE, libc::PROT_READ, None) }.is_err() {
            return false;
        }
        let first = (0, offset + 1);
        let (relaxed, cut) = (Ordering::Relaxed, &self.cut);
        let _ = cut.compare_exchange(first.0, first.1, relaxed, relaxed);
        if let Some(reader) = self.reader.get() {
            reader.kick();
        }
        true
    }
}

#[cfg(test)]
mod tests;
