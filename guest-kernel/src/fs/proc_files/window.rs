//! Reading a text that is generated: the part of it that is wanted is kept, and what comes before
//! is made and forgotten.

use core::fmt::{self, Write};

use abi::Errno;
use mm::frames::FRAME_SIZE;
use mm::{AddressSpace, Frame, OutOfMemory};

use crate::fs::transfer::{self, Step, Target};

/// A part of a text that is being made.
pub struct Window {
    frame: Frame,
    /// Where in the text the window starts.
    start: u64,
    /// How much of the text has been made.
    made: u64,
}

impl Window {
    /// Whether what follows is past the window.
    pub fn is_full(&self) -> bool {
        self.made >= self.end()
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(FRAME_SIZE as u64)
    }

    /// Appends bytes to the text.
    pub fn push(&mut self, bytes: &[u8]) {
        let _: Result<(), ()> = self.push_with(bytes.len() as u64, |place, from| {
            place.copy_from_slice(&bytes[from as usize..][..place.len()]);
            Ok(())
        });
    }

    /// Appends `len` bytes from an address in a program's memory, as far as they can be read.
    pub fn push_memory(&mut self, space: &AddressSpace, address: u64, len: u64) {
        let made = self.made;
        let read = self.push_with(len, |place, from| {
            space.get(address.saturating_add(from), place)
        });
        if read.is_err() {
            self.made = made;
        }
    }

    /// Appends `len` bytes, of which `fill` gives those in the window, from an offset on.
    fn push_with<E>(
        &mut self,
        len: u64,
        fill: impl FnOnce(&mut [u8], u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let (from, to) = (self.made, self.made.saturating_add(len));
        self.made = to;
        let (first, last) = (from.max(self.start), to.min(self.end()));
        if first >= last {
            return Ok(());
        }
        let place = (first - self.start) as usize..(last - self.start) as usize;
        fill(&mut self.frame.bytes_mut()[place], first - from)
    }

    /// What is in it.
    fn bytes(&self) -> &[u8] {
        let len = self.made.saturating_sub(self.start).min(FRAME_SIZE as u64);
        &self.frame.bytes()[..len as usize]
    }
}

impl Write for Window {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Has `write` make a text, and moves the part from `offset` on to `target`, at most a page:
/// nobody should wait long for a read.
///
/// # Errors
/// Those of `write`; ENOMEM, EFAULT.
pub fn read(
    offset: u64,
    target: &mut dyn Target,
    write: impl FnOnce(&mut Window) -> Result<fmt::Result, Errno>,
) -> Result<u64, Errno> {
    let mut window = Window {
        frame: Frame::allocate().ok_or(OutOfMemory)?,
        start: offset,
        made: 0,
    };
    // A window is never full.
    let _ = write(&mut window)?;
    transfer::run(target, |target, done| {
        let rest = window.bytes().get(done as usize..).unwrap_or(&[]);
        let wanted = rest.len().min(target.left());
        Ok(match wanted {
            0 => Step::stop(),
            _ => Step::copied(target.put(&rest[..wanted]), wanted),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::transfer::tests::Buffer;

    #[test]
    fn a_text_is_read_in_parts() {
        let read = |offset, room| {
            let mut target = Buffer::room(room).with_faults(&[1]);
            let count = read(offset, &mut target, |to| Ok(to.write_str("0123456789")));
            (count, String::from_utf8(target.bytes).expect("it was text"))
        };
        assert_eq!(read(0, 4), (Ok(4), "0123".into()));
        assert_eq!(read(4, 100), (Ok(6), "456789".into()));
        assert_eq!(read(10, 100), (Ok(0), "".into()));
        assert_eq!(read(u64::MAX, 100), (Ok(0), "".into()));
    }

    #[test]
    fn a_long_text_comes_page_by_page() {
        let mut whole = Vec::new();
        loop {
            let mut target = Buffer::room(10_000);
            let write = |to: &mut Window| Ok((0..3000).try_for_each(|n| writeln!(to, "{n}")));
            match read(whole.len() as u64, &mut target, write) {
                Ok(0) => break,
                count => assert_eq!(count, Ok(target.bytes.len() as u64)),
            }
            assert!(target.bytes.len() <= FRAME_SIZE);
            whole.extend(target.bytes);
        }
        let expected: String = (0..3000).map(|n| format!("{n}\n")).collect();
        assert_eq!(whole, expected.as_bytes());
    }
}
