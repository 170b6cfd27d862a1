//! Addresses of the VMM's own for what a guest has: with guards around, and in no core dump.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

const PAGE: usize = 4096;
/// So that large pages of host and guest can be the same.
const ALIGNMENT: usize = 2 << 20;

/// A range of addresses. On both sides is a page or more that nobody can access: what runs past
/// the end ends the process, instead of reading or writing what is beside.
#[derive(Debug)]
pub struct Guarded {
    /// All that is taken.
    all: *mut u8,
    all_len: usize,
    start: *mut u8,
    len: usize,
}

// SAFETY: it owns the mapping, and gives out raw pointers only.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// Takes `len` bytes of addresses, from a multiple of 2 MiB on, that nobody can access yet.
    ///
    /// # Errors
    /// The process may not have so many.
    pub fn reserve(len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let pages = len.checked_next_multiple_of(PAGE);
        let all_len = pages.and_then(|pages| pages.checked_add(2 * ALIGNMENT));
        let all_len = all_len.ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: asks for new addresses.
        let all = unsafe { libc::mmap(ptr::null_mut(), all_len, libc::PROT_NONE, flags, -1, 0) };
        if all == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let all = all.cast::<u8>();
        let skipped = (all.addr() + PAGE).next_multiple_of(ALIGNMENT) - all.addr();
        Ok(Self {
            all,
            all_len,
            start: all.wrapping_add(skipped),
            len,
        })
    }

    /// The same with memory, all zeros, which costs nothing until it is touched.
    ///
    /// # Errors
    /// As for [`reserve`](Self::reserve).
    pub fn memory(len: u64) -> io::Result<Self> {
        let range = Self::reserve(len)?;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range is this function's own.
        match unsafe { libc::mprotect(range.start.cast(), range.len, rights) } {
            0 => keep_out_of_dumps(range.start, range.len).map(|()| range),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The same with the first `len` bytes of `file`, shared, and with `rights` (`PROT_*`).
    ///
    /// # Errors
    /// As for [`reserve`](Self::reserve), or the host does not grant the rights.
    pub fn file(file: &File, len: u64, rights: libc::c_int) -> io::Result<Self> {
        Self::shared(file.as_raw_fd(), 0, len, rights)
    }

    /// Twice the same memory, all zeros, with these rights here and those there. It belongs to no
    /// file, and can be shared with children.
    ///
    /// # Errors
    /// As of [`file`](Self::file).
    pub fn twice(len: u64, rights: [libc::c_int; 2]) -> io::Result<[Self; 2]> {
        let first = Self::shared(-1, libc::MAP_ANONYMOUS, len, rights[0])?;
        let second = Self::reserve(len)?;
        let (old, new, len) = (first.start.cast(), second.start.cast(), second.len);
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: of shared memory an old size of zero moves nothing and maps it once more (mremap(2));
        // the range at which it does is this function's own.
        let mapped = unsafe { libc::mremap(old, 0, len, flags, new) };
        // SAFETY: as above.
        match mapped == new && unsafe { libc::mprotect(new, len, rights[1]) } == 0 {
            true => Ok([first, second]),
            false => Err(io::Error::last_os_error()),
        }
    }

    fn shared(
        file: libc::c_int,
        kind: libc::c_int,
        len: u64,
        rights: libc::c_int,
    ) -> io::Result<Self> {
        let range = Self::reserve(len)?;
        let (place, flags) = (range.start.cast(), libc::MAP_SHARED | libc::MAP_FIXED);
        // SAFETY: the range is this function's own.
        match unsafe { libc::mmap(place, range.len, rights, flags | kind, file, 0) } {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            _ => Ok(range),
        }
    }

    /// The first address, valid as long as this is there.
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// Bytes between the guards.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: all of it is this value's, and whoever has an address in it has the value.
        unsafe { libc::munmap(self.all.cast(), self.all_len) };
    }
}

/// Leaves what is mapped at `start`, whole pages, out of core dumps: it is the guest's, and large.
pub fn keep_out_of_dumps(start: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: it changes no contents.
    match unsafe { libc::madvise(start.cast(), len, libc::MADV_DONTDUMP) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
pub mod tests {
    use std::fs;

    use super::{ALIGNMENT, Guarded};

    /// What `/proc/self/smaps` says of the mapping that `address` is in: rights, and flags.
    pub fn mapping(address: usize) -> (String, String) {
        let maps = fs::read_to_string("/proc/self/smaps").expect("Linux has it");
        let mut lines = maps.lines();
        let holds = |line: &&str| {
            let (start, rest) = line.split_once('-')?;
            let (end, _) = rest.split_once(' ')?;
            let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16));
            Some((start.ok()?..end.ok()?).contains(&address))
        };
        let line = lines.find(|line| holds(line) == Some(true));
        let line = line.expect("it is mapped");
        let rights = line.split(' ').nth(1).expect("rights");
        let flags = lines.find_map(|line| line.strip_prefix("VmFlags: "));
        (rights.into(), flags.expect("flags").into())
    }

    #[test]
    fn nobody_can_access_what_is_beside() {
        for len in [4096, ALIGNMENT as u64 + 8192] {
            let range = Guarded::memory(len).expect("address space");
            let start = range.start().addr();
            assert!(start.is_multiple_of(ALIGNMENT));
            let (rights, flags) = mapping(start);
            assert_eq!(rights, "rw-p");
            assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
            for beside in [start - 1, start + range.len()] {
                assert_eq!(mapping(beside).0, "---p");
            }
        }
    }
}
