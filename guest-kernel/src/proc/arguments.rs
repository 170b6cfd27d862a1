//! A program's arguments and environment on their way to its stack.

use crate::mm::Frame;

/// They do not fit: E2BIG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Argument strings, then environment strings, each ending with a zero: together at most
/// a frame.
pub struct Arguments {
    bytes: Frame,
    len: usize,
    argument_count: usize,
    environment_count: usize,
}

impl Arguments {
    /// Nothing yet. `None` if memory is short.
    pub fn new() -> Option<Self> {
        Some(Self {
            bytes: Frame::allocate()?,
            len: 0,
            argument_count: 0,
            environment_count: 0,
        })
    }

    /// How many arguments there are.
    pub fn argument_count(&self) -> usize {
        self.argument_count
    }

    /// How many environment strings there are.
    pub fn environment_count(&self) -> usize {
        self.environment_count
    }

    /// Appends an argument. All arguments come before all of the environment.
    ///
    /// # Errors
    /// No room.
    pub fn push_argument(&mut self, string: impl Iterator<Item = u8>) -> Result<(), TooLong> {
        self.len = append(self.bytes.bytes_mut(), self.len, string)?;
        self.argument_count += 1;
        Ok(())
    }

    /// Appends an environment string, as `NAME=value`.
    ///
    /// # Errors
    /// No room.
    pub fn push_environment(&mut self, string: &[u8]) -> Result<(), TooLong> {
        self.len = append(self.bytes.bytes_mut(), self.len, string.iter().copied())?;
        self.environment_count += 1;
        Ok(())
    }

    /// All strings, each with its zero.
    pub fn strings(&self) -> &[u8] {
        &self.bytes.bytes()[..self.len]
    }
}

/// Puts `string` and a zero at `start` and returns where they end.
fn append(
    buffer: &mut [u8],
    start: usize,
    string: impl IntoIterator<Item = u8>,
) -> Result<usize, TooLong> {
    let mut end = start;
    for byte in string.into_iter().chain([0]) {
        *buffer.get_mut(end).ok_or(TooLong)? = byte;
        end += 1;
    }
    Ok(end)
}

/// Offsets in `strings` at which a string starts.
pub fn offsets(strings: &[u8]) -> impl Iterator<Item = u64> {
    let mut next = 0;
    strings
        .split_inclusive(|&byte| byte == 0)
        .map(move |string| {
            let offset = next;
            next += string.len() as u64;
            offset
        })
}

#[cfg(test)]
mod tests {
    use super::{TooLong, append, offsets};

    #[test]
    fn strings_follow_each_other() {
        let mut buffer = [b'?'; 9];
        let end = append(&mut buffer, 0, *b"ls").and_then(|end| append(&mut buffer, end, *b""));
        let end = end.and_then(|end| append(&mut buffer, end, *b"-la"));
        assert_eq!(end, Ok(8));
        assert_eq!(&buffer, b"ls\0\0-la\0?");
        assert_eq!(offsets(&buffer[..8]).collect::<Vec<_>>(), [0, 3, 4]);
    }

    #[test]
    fn a_string_without_room_for_its_zero_is_too_long() {
        assert_eq!(append(&mut [0; 3], 0, *b"abc"), Err(TooLong));
        assert_eq!(append(&mut [0; 3], 3, *b""), Err(TooLong));
    }
}
