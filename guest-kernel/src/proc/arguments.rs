//! A program's arguments and environment on their way to its stack.

use abi::Errno;
use abi::virtual_map::PAGE_SIZE;
use mm::{AddressSpace, FilePages, UserSlice};

/// Bytes that strings and the pointers to them may take together.
const MAX_SIZE: u64 = 128 << 10;

/// Bytes that are searched for the end of a string, or of an array, at a time.
const CHUNK: u64 = 256;

const POINTER: u64 = size_of::<u64>() as u64;

/// Argument strings, then environment strings, each ending with a zero. They are kept as
/// the bytes of a file that has no name, for such a file can grow.
pub struct ProgramArguments {
    strings: FilePages,
    /// Where each starts in `strings`, 8 bytes each.
    offsets: FilePages,
    argument_count: u64,
}

impl ProgramArguments {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            strings: FilePages::new(&[]),
            offsets: FilePages::new(&[]),
            argument_count: 0,
        }
    }

    /// What a program gives to `execve`: two arrays of addresses of strings, each of which
    /// ends with a null. An array at address 0 is empty. `space` must be active.
    ///
    /// # Errors
    /// EFAULT if not all can be read, E2BIG if it is too much, ENOMEM if memory is short.
    pub fn from_user(space: &AddressSpace, argv: u64, envp: u64) -> Result<Self, Errno> {
        let mut arguments = Self::new();
        arguments.push_array(space, argv)?;
        arguments.argument_count = arguments.count();
        arguments.push_array(space, envp)?;
        Ok(arguments)
    }

    /// How many strings there are.
    pub fn count(&self) -> u64 {
        self.offsets.len() / POINTER
    }

    /// How many of them are arguments.
    pub fn argument_count(&self) -> u64 {
        self.argument_count
    }

    /// Appends an argument. All arguments come before all of the environment.
    ///
    /// # Errors
    /// E2BIG, ENOMEM.
    pub fn push_argument(&mut self, string: impl Iterator<Item = u8>) -> Result<(), Errno> {
        self.push(string)?;
        self.argument_count += 1;
        Ok(())
    }

    /// Appends an environment string, as `NAME=value`.
    ///
    /// # Errors
    /// E2BIG, ENOMEM.
    pub fn push_environment(&mut self, string: &[u8]) -> Result<(), Errno> {
        self.push(string.iter().copied())
    }

    /// All strings, each with its zero.
    pub fn strings(&self) -> &FilePages {
        &self.strings
    }

    /// Offset in the strings at which each of them starts.
    pub fn offsets(&self) -> impl Iterator<Item = u64> {
        (0..self.count()).map(|number| {
            let mut offset = [0; POINTER as usize];
            self.offsets.copy_at(number * POINTER, &mut offset);
            u64::from_le_bytes(offset)
        })
    }

    fn push(&mut self, string: impl Iterator<Item = u8>) -> Result<(), Errno> {
        self.start_string()?;
        let mut bytes = string.chain([0]).peekable();
        while bytes.peek().is_some() {
            self.append(|place| {
                place
                    .iter_mut()
                    .zip(&mut bytes)
                    .map(|(place, byte)| *place = byte)
                    .count()
            })?;
        }
        Ok(())
    }

    /// Records the start of the next string.
    fn start_string(&mut self) -> Result<(), Errno> {
        let start = self.strings.len().to_le_bytes();
        self.offsets.write_with(self.offsets.len(), |place| {
            place[..start.len()].copy_from_slice(&start);
            start.len()
        })?;
        Ok(())
    }

    /// Lets `fill` continue the last string.
    fn append(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<(), Errno> {
        self.strings.write_with(self.strings.len(), fill)?;
        if self.strings.len() + self.offsets.len() > MAX_SIZE {
            return Err(Errno::E2BIG);
        }
        Ok(())
    }

    /// Appends the strings of an array in user memory.
    fn push_array(&mut self, space: &AddressSpace, array: u64) -> Result<(), Errno> {
        let mut buffer = [0; CHUNK as usize];
        let mut next = array;
        while next != 0 {
            let len = in_page(next).max(POINTER);
            let pointers = UserSlice::new(next, len).copy_in(space, &mut buffer)?;
            for pointer in pointers.chunks_exact(POINTER as usize) {
                let pointer = pointer.first_chunk().copied().unwrap_or_default();
                match u64::from_le_bytes(pointer) {
                    0 => return Ok(()),
                    string => self.push_user_string(space, string)?,
                }
            }
            next += pointers.len() as u64 / POINTER * POINTER;
        }
        Ok(())
    }

    /// Appends the string at `address` in user memory.
    fn push_user_string(&mut self, space: &AddressSpace, address: u64) -> Result<(), Errno> {
        self.start_string()?;
        let mut next = address;
        loop {
            let mut result = Ok(());
            let mut ended = false;
            let before = self.strings.len();
            self.append(|place| {
                let len = (place.len() as u64).min(in_page(next));
                let string = UserSlice::new(next, len).copy_in(space, place);
                let string = string.unwrap_or_else(|error| {
                    result = Err(error);
                    &mut []
                });
                let end = string.iter().position(|&byte| byte == 0);
                ended = end.is_some();
                end.map_or(string.len(), |end| end + 1)
            })?;
            result?;
            if ended {
                return Ok(());
            }
            next += self.strings.len() - before;
        }
    }
}

/// Bytes from `address` on that can be read if its first can be, at most [`CHUNK`].
fn in_page(address: u64) -> u64 {
    CHUNK.min(PAGE_SIZE - address % PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::{MAX_SIZE, ProgramArguments, in_page};
    use abi::Errno;
    use mm::frames;

    fn bytes(arguments: &ProgramArguments) -> Vec<u8> {
        let mut bytes = vec![0; arguments.strings().len() as usize];
        arguments.strings().copy_at(0, &mut bytes);
        bytes
    }

    #[test]
    fn strings_follow_each_other() {
        let before = frames::free();
        let mut arguments = ProgramArguments::new();
        arguments
            .push_argument(b"ls".iter().copied())
            .expect("room");
        arguments.push_argument(b"".iter().copied()).expect("room");
        arguments.push_environment(b"-la").expect("room");
        assert_eq!(bytes(&arguments), b"ls\0\0-la\0");
        assert_eq!(arguments.offsets().collect::<Vec<_>>(), [0, 3, 4]);
        assert_eq!((arguments.argument_count(), arguments.count()), (2, 3));
        drop(arguments);
        assert_eq!(frames::free(), before);
    }

    #[test]
    fn strings_may_be_longer_than_a_page_but_not_than_the_limit() {
        let mut arguments = ProgramArguments::new();
        let long = std::iter::repeat_n(b'x', 5000);
        arguments.push_argument(long).expect("room");
        assert_eq!(bytes(&arguments).len(), 5001);
        assert_eq!(bytes(&arguments)[4999..], [b'x', 0]);
        let endless = std::iter::repeat_n(b'x', MAX_SIZE as usize);
        assert_eq!(arguments.push_argument(endless), Err(Errno::E2BIG));
    }

    #[test]
    fn chunks_end_with_the_page() {
        assert_eq!([0, 0xfff, 0x1080].map(in_page), [256, 1, 256]);
        assert_eq!(in_page(u64::MAX), 1);
    }
}
