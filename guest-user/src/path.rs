//! Paths made at run time, without a heap.

use core::ffi::CStr;
use core::fmt::{self, Write};

/// Longest path, without its zero.
const MAX: usize = 255;

/// A path in a buffer of its own; what does not fit is lost.
pub struct Path {
    bytes: [u8; MAX + 1],
    len: usize,
}

impl Path {
    /// Formats a path: `Path::new(format_args!("/tmp/{number}"))`.
    pub fn new(text: fmt::Arguments<'_>) -> Self {
        let mut path = Self {
            bytes: [0; MAX + 1],
            len: 0,
        };
        // It cannot fail: what does not fit is lost.
        let _ = path.write_fmt(text);
        path
    }

    /// Where a program is: beside the one whose first argument is `own`, so that
    /// programs also find one another under Linux; else in `/bin`.
    pub fn of_program(own: &str, name: &str) -> Self {
        match own.rfind('/') {
            Some(end) => Self::new(format_args!("{}/{name}", &own[..end])),
            None => Self::new(format_args!("/bin/{name}")),
        }
    }

    /// As system calls take it.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let bytes = text.as_bytes();
        let count = bytes.len().min(MAX - self.len);
        self.bytes[self.len..self.len + count].copy_from_slice(&bytes[..count]);
        self.len += count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn programs_are_found_beside_one_another() {
        assert_eq!(Path::of_program("/x/y/sh", "ls").as_c_str(), c"/x/y/ls");
        assert_eq!(Path::of_program("sh", "ls").as_c_str(), c"/bin/ls");
    }

    #[test]
    fn what_does_not_fit_is_lost() {
        let path = Path::new(format_args!("{:0300}", 0));
        assert_eq!(path.as_c_str().to_bytes(), [b'0'; 255]);
    }
}
