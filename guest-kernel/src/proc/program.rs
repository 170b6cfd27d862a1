//! Loading a program: its memory, and the stack that it starts with (System V ABI for
//! x86-64, 3.4.1).
//!
//! Nothing is copied but the stack: an area refers to the file's bytes, and a page of it
//! is made when it is touched.

use abi::virtual_map::{PAGE_SIZE, USER_END};
use linux_raw_sys::auxvec::{AT_ENTRY, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM};
use linux_raw_sys::elf_uapi::Elf64_Phdr;

use super::arguments::{Arguments, offsets};
use super::elf::{Elf, ElfError, Segment};
use crate::mm::area::{Area, Contents};
use crate::mm::{AddressSpace, UserSlice};

/// Why a program cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file is not one that the kernel can run.
    File(ElfError),
    /// A segment is where none may be.
    Layout,
    /// Memory is short.
    OutOfMemory,
}

impl From<ElfError> for LoadError {
    fn from(error: ElfError) -> Self {
        Self::File(error)
    }
}

/// Where a program starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its first instruction.
    pub entry: u64,
    /// Its stack pointer there.
    pub stack: u64,
}

/// An address space with the segments of `elf`.
///
/// # Errors
/// The file makes no sense, or there is no memory.
pub fn load(elf: Elf) -> Result<AddressSpace, LoadError> {
    let mut space = AddressSpace::new().ok_or(LoadError::OutOfMemory)?;
    for segment in elf.segments() {
        space.add(area(segment?)?).map_err(|_| LoadError::Layout)?;
    }
    Ok(space)
}

fn area(segment: Segment) -> Result<Area, LoadError> {
    let end = segment.end.checked_next_multiple_of(PAGE_SIZE);
    Ok(Area {
        start: segment.start & !(PAGE_SIZE - 1),
        end: end.ok_or(LoadError::Layout)?,
        access: segment.access,
        contents: Some(Contents {
            start: segment.start,
            bytes: segment.bytes,
        }),
    })
}

/// Builds the initial stack in `space`, which must be active, and says where to start.
///
/// ```text
/// USER_END  strings of arguments and environment
///           0, 0 and other pairs: the auxiliary vector, upwards
///           0, pointers to the environment's strings
///           0, pointers to the arguments
/// rsp       number of arguments
/// ```
///
/// # Errors
/// Memory is short.
pub fn build_stack(
    space: &mut AddressSpace,
    elf: Elf,
    arguments: &Arguments,
) -> Result<Start, LoadError> {
    const ALIGNMENT: u64 = 16;
    let strings = arguments.strings();
    let strings_start = USER_END - strings.len() as u64;
    let mut pointers = offsets(strings).map(|offset| strings_start + offset);
    let header_address = elf.header_address();
    let auxiliary = [
        (AT_PAGESZ, PAGE_SIZE),
        (AT_ENTRY, elf.entry),
        (AT_PHENT, size_of::<Elf64_Phdr>() as u64),
        (AT_PHNUM, elf.header_count() as u64),
        // Last, since it may be missing.
        (
            header_address.map_or(AT_NULL, |_| AT_PHDR),
            header_address.unwrap_or(0),
        ),
        (AT_NULL, 0),
    ];
    let count = arguments.argument_count() + arguments.environment_count();
    let words = (3 + count + 2 * auxiliary.len()) as u64;
    let stack = (strings_start - 8 * words) & !(ALIGNMENT - 1);

    copy_out(space, strings_start, strings)?;
    let mut writer = WordWriter::new(space, stack);
    writer.push(arguments.argument_count() as u64)?;
    for pointer in pointers.by_ref().take(arguments.argument_count()) {
        writer.push(pointer)?;
    }
    writer.push(0)?;
    for pointer in pointers {
        writer.push(pointer)?;
    }
    writer.push(0)?;
    for (kind, value) in auxiliary {
        writer.push(u64::from(kind))?;
        writer.push(value)?;
    }
    writer.flush()?;
    Ok(Start {
        entry: elf.entry,
        stack,
    })
}

fn copy_out(space: &mut AddressSpace, start: u64, bytes: &[u8]) -> Result<(), LoadError> {
    let target = UserSlice::new(start, bytes.len() as u64);
    target
        .copy_out(space, bytes)
        .map_err(|_| LoadError::OutOfMemory)
}

/// Bytes that a [`WordWriter`] copies at a time.
const BUFFER_SIZE: usize = 32 * size_of::<u64>();

/// Writes words upwards, several at a time.
struct WordWriter<'a> {
    space: &'a mut AddressSpace,
    next: u64,
    buffer: [u8; BUFFER_SIZE],
    used: usize,
}

impl<'a> WordWriter<'a> {
    fn new(space: &'a mut AddressSpace, start: u64) -> Self {
        Self {
            space,
            next: start,
            buffer: [0; BUFFER_SIZE],
            used: 0,
        }
    }

    fn push(&mut self, word: u64) -> Result<(), LoadError> {
        if self.used == self.buffer.len() {
            self.flush()?;
        }
        self.buffer[self.used..][..8].copy_from_slice(&word.to_le_bytes());
        self.used += 8;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        copy_out(self.space, self.next, &self.buffer[..self.used])?;
        self.next += self.used as u64;
        self.used = 0;
        Ok(())
    }
}
