//! Memory for code that is made at run time: never writable where it is executable.
//!
//! The same pages are mapped twice. Rejected: one mapping whose protection changes, which is a
//! system call for each change, and in between another thread may be executing there.

use std::ptr::{self, NonNull};
use std::sync::LazyLock;

/// Bytes that fit: some thousands of stubs.
const LEN: usize = 1 << 20;

/// Pages that are written here and executed there.
pub struct Executable {
    writable: NonNull<u8>,
    executable: NonNull<u8>,
    used: usize,
}

impl Executable {
    /// An empty one; `None` if the host refuses.
    pub fn new() -> Option<Self> {
        // SAFETY: makes a file that nobody else knows.
        let file = unsafe { libc::memfd_create(c"stubs".as_ptr(), libc::MFD_CLOEXEC) };
        if file < 0 {
            return None;
        }
        // SAFETY: makes new mappings, at addresses that the kernel chooses.
        let map = |protection| unsafe {
            let at = libc::mmap(ptr::null_mut(), LEN, protection, libc::MAP_SHARED, file, 0);
            NonNull::new(at.cast::<u8>()).filter(|_| at != libc::MAP_FAILED)
        };
        // SAFETY: the file is this function's own.
        let writable = match unsafe { libc::ftruncate(file, LEN as libc::off_t) } {
            0 => map(libc::PROT_READ | libc::PROT_WRITE),
            _ => None,
        };
        let executable = map(libc::PROT_READ | libc::PROT_EXEC);
        // SAFETY: as above; mappings outlive their file.
        unsafe { libc::close(file) };
        match (writable, executable) {
            (Some(writable), Some(executable)) => Some(Self {
                writable,
                executable,
                used: 0,
            }),
            (one, other) => {
                for mapping in [one, other].into_iter().flatten() {
                    unmap(mapping);
                }
                None
            }
        }
    }

    /// Whether the host allows such memory.
    pub fn is_allowed() -> bool {
        static ALLOWED: LazyLock<bool> = LazyLock::new(|| Executable::new().is_some());
        *ALLOWED
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        LEN - self.used
    }

    /// Adds `code`, aligned to 16 bytes. Returns where it is executed; `None` if it does not
    /// fit.
    pub fn add(&mut self, code: &[u8]) -> Option<u64> {
        if code.len() > self.left() {
            return None;
        }
        // SAFETY: so many bytes are left in both mappings, and `code` is in neither.
        let at = unsafe {
            let to = self.writable.as_ptr().add(self.used);
            ptr::copy_nonoverlapping(code.as_ptr(), to, code.len());
            self.executable.as_ptr().add(self.used)
        };
        self.used = (self.used + code.len()).next_multiple_of(16).min(LEN);
        Some(at.expose_provenance() as u64)
    }

    /// Forgets all code.
    pub fn clear(&mut self) {
        self.used = 0;
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        unmap(self.writable);
        unmap(self.executable);
    }
}

/// Ends one of the two mappings.
fn unmap(mapping: NonNull<u8>) {
    // SAFETY: `Executable::new` made it, with this length, and its owner is going.
    unsafe { libc::munmap(mapping.as_ptr().cast(), LEN) };
}

#[cfg(test)]
mod tests {
    use super::{Executable, LEN};

    #[test]
    fn code_is_executed_where_it_was_not_written() {
        let mut memory = Executable::new().expect("the host allows it");
        // mov eax, edi; add eax, 1; ret
        let at = memory
            .add(&[0x89, 0xf8, 0x83, 0xc0, 1, 0xc3])
            .expect("room");
        // SAFETY: a function of this signature is there.
        let function: extern "sysv64" fn(u32) -> u32 = unsafe { std::mem::transmute(at as usize) };
        assert_eq!(function(41), 42);
        assert_eq!(memory.add(&[0; LEN]), None);
        assert_eq!(memory.left(), LEN - 16);
    }
}
