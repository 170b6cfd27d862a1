//! A program's arguments and environment on their way to its stack.

use core::ffi::CStr;

use abi::Errno;
use abi::virtual_map::PAGE_SIZE;
use mm::{AddressSpace, FilePages, UserSlice};

use crate::proc::script::Interpreters;

/// Bytes of a string, with its zero (Linux, MAX_ARG_STRLEN).
const MAX_STRING: u64 = 128 << 10;

/// Bytes that strings and the pointers to them may always take together (Linux, ARG_MAX),
/// and at most.
const SIZES: core::ops::RangeInclusive<u64> = 128 << 10..=6 << 20;
/// The part of the stack that they may take.
const STACK_PART: u64 = 4;

/// Strings of which it is kept where they start: as many as small programs have.
const KNOWN: usize = 8;

/// Bytes that are searched for the end of a string, or of an array, at a time.
const CHUNK: u64 = 256;

const POINTER: u64 = size_of::<u64>() as u64;

/// Argument strings, then environment strings, then the name of the program's file, each
/// ending with a zero. They are kept as the bytes of a file that has no name, for such a file
/// can grow.
pub struct ProgramArguments {
    strings: FilePages,
    /// How many there are but for the file's name.
    count: u64,
    argument_count: u64,
    /// Where the arguments end in `strings`.
    argument_end: u64,
    /// Where the file's name starts there, and the environment ends.
    file_name: u64,
    /// Where the first strings start.
    starts: [u32; KNOWN],
    limit: u64,
}

impl ProgramArguments {
    /// Nothing yet, for a stack of at most this size.
    pub fn new(stack: u64) -> Self {
        Self {
            strings: FilePages::new(&[]),
            count: 0,
            argument_count: 0,
            argument_end: 0,
            file_name: 0,
            starts: [0; KNOWN],
            limit: (stack / STACK_PART).clamp(*SIZES.start(), *SIZES.end()),
        }
    }

    /// What a program gives to `execve`: two arrays of addresses of strings, each of which
    /// ends with a null. An array at address 0 is empty. `space` must be active. If
    /// `interpreters` run the file, they and its name come instead of the first argument.
    ///
    /// # Errors
    /// EFAULT if not all can be read, E2BIG if it is too much, ENOMEM if memory is short.
    pub fn push_from_user(
        &mut self,
        space: &AddressSpace,
        [argv, envp]: [u64; 2],
        interpreters: &Interpreters,
        file_name: &[u8],
    ) -> Result<(), Errno> {
        self.push_interpreters(interpreters, file_name)?;
        self.push_array(space, argv, !interpreters.is_empty())?;
        if self.count == 0 {
            self.push([])?;
        }
        self.argument_count = self.count;
        self.argument_end = self.strings.len();
        self.push_array(space, envp, false)?;
        self.finish(file_name)
    }

    /// What comes instead of the first argument of a script: nothing if the file is none.
    ///
    /// # Errors
    /// E2BIG, ENOMEM.
    pub fn push_interpreters(
        &mut self,
        interpreters: &Interpreters,
        file_name: &[u8],
    ) -> Result<(), Errno> {
        let file_name = (!interpreters.is_empty()).then_some(file_name);
        for string in interpreters.strings().chain(file_name) {
            self.push_argument([string])?;
        }
        Ok(())
    }

    /// Appends the name of the program's file, as the last of all.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn finish(&mut self, file_name: &[u8]) -> Result<(), Errno> {
        self.file_name = self.strings.len();
        self.push_string([file_name])
    }

    /// Where the arguments end in the strings, and where the environment does and the name of
    /// the file begins.
    pub fn ends(&self) -> [u64; 2] {
        [self.argument_end, self.file_name]
    }

    /// How many strings there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of them are arguments.
    pub fn argument_count(&self) -> u64 {
        self.argument_count
    }

    /// Appends an argument, in pieces. All arguments come before all of the environment.
    ///
    /// # Errors
    /// E2BIG, ENOMEM.
    pub fn push_argument<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Errno> {
        self.push(pieces)?;
        self.argument_count += 1;
        self.argument_end = self.strings.len();
        Ok(())
    }

    /// Appends an environment string, as `NAME=value`, in pieces.
    ///
    /// # Errors
    /// E2BIG, ENOMEM.
    pub fn push_environment<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Errno> {
        self.push(pieces)
    }

    /// All strings, each with its zero.
    pub fn strings(&self) -> &FilePages {
        &self.strings
    }

    /// Calls `each` with the offset in the strings at which each of them starts, but for the
    /// file's name, until it fails. Those behind the first few are found by the ends of the
    /// others: that costs less than to keep all.
    ///
    /// # Errors
    /// That of `each`.
    pub fn for_each_start<E>(&self, mut each: impl FnMut(u64) -> Result<(), E>) -> Result<(), E> {
        let (mut searched, mut left) = (0, self.count);
        for start in self.starts.iter().take(self.count as usize) {
            searched = u64::from(*start);
            left -= 1;
            each(searched)?;
        }
        while left > 0 && searched < self.strings.len() {
            searched += self.strings.with_bytes(searched, |bytes| {
                let mut rest = bytes;
                while left > 0
                    && let Ok(string) = CStr::from_bytes_until_nul(rest)
                {
                    rest = &rest[string.count_bytes() + 1..];
                    left -= 1;
                    each(searched + (bytes.len() - rest.len()) as u64)?;
                }
                Ok(bytes.len() as u64)
            })?;
        }
        Ok(())
    }

    /// Counts the string that begins at the end of the others.
    fn begin(&mut self) {
        if let Some(start) = self.starts.get_mut(self.count as usize) {
            *start = self.strings.len() as u32;
        }
        self.count += 1;
    }

    fn push<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Errno> {
        self.begin();
        self.push_string(pieces)
    }

    fn push_string<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Errno> {
        let mut pieces = pieces.into_iter().chain([&[0][..]]);
        let mut rest = pieces.next();
        while rest.is_some() {
            self.append(|place| {
                let mut done = 0;
                while let Some(piece) = rest {
                    let count = piece.len().min(place.len() - done);
                    place[done..][..count].copy_from_slice(&piece[..count]);
                    done += count;
                    if count < piece.len() {
                        rest = Some(&piece[count..]);
                        break;
                    }
                    rest = pieces.next();
                }
                done
            })?;
        }
        Ok(())
    }

    /// Lets `fill` continue the last string.
    fn append(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<(), Errno> {
        self.strings.write_with(self.strings.len(), fill)?;
        if self.strings.len() + self.count * POINTER > self.limit {
            return Err(Errno::E2BIG);
        }
        Ok(())
    }

    /// Appends the strings of an array in user memory, perhaps without the first.
    fn push_array(
        &mut self,
        space: &AddressSpace,
        array: u64,
        mut skip: bool,
    ) -> Result<(), Errno> {
        let mut buffer = [0; CHUNK as usize];
        let mut next = array;
        while next != 0 {
            let len = in_page(next).max(POINTER);
            let pointers = UserSlice::new(next, len).copy_in(space, &mut buffer)?;
            for pointer in pointers.chunks_exact(POINTER as usize) {
                let pointer = pointer.first_chunk().copied().unwrap_or_default();
                match u64::from_le_bytes(pointer) {
                    0 => return Ok(()),
                    _ if skip => skip = false,
                    string => self.push_user_string(space, string)?,
                }
            }
            next += pointers.len() as u64 / POINTER * POINTER;
        }
        Ok(())
    }

    /// Appends the string at `address` in user memory.
    fn push_user_string(&mut self, space: &AddressSpace, address: u64) -> Result<(), Errno> {
        self.begin();
        let start = self.strings.len();
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
                // Several bytes at a time, as a search for a byte would not be.
                let end = CStr::from_bytes_until_nul(string).ok();
                ended = end.is_some();
                end.map_or(string.len(), |string| string.count_bytes() + 1)
            })?;
            result?;
            if self.strings.len() - start > MAX_STRING {
                return Err(Errno::E2BIG);
            }
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
    use super::{MAX_STRING, ProgramArguments, in_page};
    use abi::Errno;
    use mm::frames;

    fn starts(arguments: &ProgramArguments) -> Vec<u64> {
        let mut starts = Vec::new();
        let each = |start| {
            starts.push(start);
            Ok::<_, ()>(())
        };
        arguments.for_each_start(each).expect("it does not fail");
        starts
    }

    fn bytes(arguments: &ProgramArguments) -> Vec<u8> {
        let mut bytes = vec![0; arguments.strings().len() as usize];
        arguments.strings().copy_at(0, &mut bytes);
        bytes
    }

    #[test]
    fn strings_follow_each_other() {
        let before = frames::free();
        let mut arguments = ProgramArguments::new(0);
        arguments.push_argument([&b"ls"[..]]).expect("room");
        arguments.push_argument([]).expect("room");
        let pieces = [&b"-"[..], b"", b"la"];
        arguments.push_environment(pieces).expect("room");
        arguments.finish(b"/ls").expect("room");
        assert_eq!(bytes(&arguments), b"ls\0\0-la\0/ls\0");
        assert_eq!(arguments.ends(), [4, 8]);
        assert_eq!(starts(&arguments), [0, 3, 4]);
        assert_eq!((arguments.argument_count(), arguments.count()), (2, 3));
        drop(arguments);
        assert_eq!(frames::free(), before);
    }

    #[test]
    fn strings_may_be_longer_than_a_page_but_not_than_the_limit() {
        let mut arguments = ProgramArguments::new(0);
        let long = [b'x'; 5000];
        arguments.push_argument([&long[..]]).expect("room");
        assert_eq!(bytes(&arguments).len(), 5001);
        assert_eq!(bytes(&arguments)[4999..], [b'x', 0]);
        arguments.push_argument([&b"a"[..]]).expect("room");
        assert_eq!(starts(&arguments), [0, 5001]);
        let endless = std::iter::repeat_n(&[b'x'; 1024][..], MAX_STRING as usize / 1024);
        assert_eq!(arguments.push_argument(endless), Err(Errno::E2BIG));
    }

    #[test]
    fn all_of_many_strings_are_found() {
        let mut arguments = ProgramArguments::new(0);
        let long = [b'x'; 999];
        for len in 0..100 {
            let string = &long[..len * 10];
            arguments.push_argument([string]).expect("room");
        }
        let ends = (0..99).map(|len| len * 10 + 1).scan(0, |sum, len| {
            *sum += len;
            Some(*sum)
        });
        let wanted: Vec<u64> = [0].into_iter().chain(ends).collect();
        assert_eq!(starts(&arguments), wanted);
    }

    #[test]
    fn chunks_end_with_the_page() {
        assert_eq!([0, 0xfff, 0x1080].map(in_page), [256, 1, 256]);
        assert_eq!(in_page(u64::MAX), 1);
    }
}
