//! Memory for code that is made at run time: never writable where it is executable.
//!
//! The same pages are mapped twice. Rejected: one mapping whose protection changes, which is a
//! system call for each change, and in between another thread may be executing there.

use std::fs::File;
use std::os::fd::FromRawFd;
use std::ptr;
use std::sync::LazyLock;

use crate::guarded::Guarded;

/// Bytes that fit: some thousands of stubs, and translations of as many blocks.
pub const LEN: usize = 8 << 20;

/// Pages that are written here and executed there.
pub struct Executable {
    writable: Guarded,
    executable: Guarded,
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
        // SAFETY: it is open, and this function's own.
        let file = unsafe { File::from_raw_fd(file) };
        file.set_len(LEN as u64).ok()?;
        let map = |rights| Guarded::file(&file, LEN as u64, rights).ok();
        Some(Self {
            writable: map(libc::PROT_READ | libc::PROT_WRITE)?,
            executable: map(libc::PROT_READ | libc::PROT_EXEC)?,
            used: 0,
        })
    }

    /// The same without a file: `perf` takes names from its map for code that has none.
    pub fn without_file() -> Option<Self> {
        let read = libc::PROT_READ;
        let rights = [read | libc::PROT_WRITE, read | libc::PROT_EXEC];
        let [writable, executable] = Guarded::twice(LEN as u64, rights).ok()?;
        Some(Self {
            writable,
            executable,
            used: 0,
        })
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
            let to = self.writable.start().add(self.used);
            ptr::copy_nonoverlapping(code.as_ptr(), to, code.len());
            self.executable.start().add(self.used)
        };
        self.used = (self.used + code.len()).next_multiple_of(16).min(LEN);
        Some(at.expose_provenance() as u64)
    }

    /// Forgets all code.
    pub fn clear(&mut self) {
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{Executable, LEN};

    #[test]
    fn code_is_executed_where_it_was_not_written() {
        execute(Executable::new().expect("the host allows it"));
        execute(Executable::without_file().expect("the host allows it"));
    }

    fn execute(mut memory: Executable) {
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
