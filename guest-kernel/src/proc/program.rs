//! Loading a program: its memory, and the stack that it starts with (System V ABI for
//! x86-64, 3.4.1).
//!
//! Nothing is copied but the stack: an area refers to the file, and a page of it is made
//! when it is touched. The address space need not be active, so a program that cannot be
//! loaded leaves no trace.

use abi::Errno;
use abi::virtual_map::PAGE_SIZE;
use formats::elf::{self, ElfError, Segment};
use mm::address_space::MemoryLimits;
use mm::area::FilePart;
use mm::page_tables::Access;
use mm::user_memory::BadAddress;
use mm::{AddressSpace, FilePages, OutOfMemory, Shared};

use crate::proc::arguments::ProgramArguments;
use crate::proc::credentials::Rights;
use crate::proc::current;

mod stack;

use stack::Auxiliary;
pub use stack::TICKS_PER_SECOND;

/// An executable, of which the kernel has pages.
pub type Elf = elf::Elf<Shared<FilePages>>;

/// Where a program goes that may be anywhere and that another one loads; and the heap of one
/// that loads itself, a static one or a loader called by its name, which goes where mappings
/// go (Linux, ELF_ET_DYN_BASE).
const RELATIVE_BASE: u64 = 0x5555_5555_4000;

/// Why a program cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file is not one that the kernel can run.
    File(ElfError),
    /// What should load it is not.
    Interpreter(ElfError),
    /// A segment is where none may be, or memory is short.
    Memory(Errno),
}

impl From<ElfError> for LoadError {
    fn from(error: ElfError) -> Self {
        Self::File(error)
    }
}

impl From<OutOfMemory> for LoadError {
    fn from(error: OutOfMemory) -> Self {
        Self::Memory(error.into())
    }
}

impl From<BadAddress> for LoadError {
    /// The stack is there, so it can only be that it cannot be filled.
    fn from(_: BadAddress) -> Self {
        Self::Memory(Errno::ENOMEM)
    }
}

impl From<LoadError> for Errno {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::File(error) => error.into(),
            LoadError::Interpreter(_) => Self::ELIBBAD,
            // What the file says about addresses is the file's fault.
            LoadError::Memory(Errno::ENOMEM) => Self::ENOMEM,
            LoadError::Memory(_) => Self::ENOEXEC,
        }
    }
}

/// The files of a program.
pub struct Image {
    /// The program itself.
    pub program: Elf,
    /// What loads it and is started in its place, if it is dynamic.
    pub interpreter: Option<Elf>,
    /// Whose rights it has.
    pub rights: Rights,
}

/// Where a program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first instruction.
    pub entry: u64,
    /// The stack pointer there.
    pub stack: u64,
    /// What is on the stack.
    pub places: Places,
}

/// Where a program has what it was started with, unless it has changed that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The strings of its arguments start here.
    pub arguments: u64,
    /// Those of its environment start here, where the others end.
    pub environment: u64,
    /// They end here.
    pub environment_end: u64,
    /// Its auxiliary vector.
    pub auxiliary: u64,
    /// Bytes of that.
    pub auxiliary_len: u64,
    /// The stack pointer at its start.
    pub stack: u64,
}

impl Places {
    /// A program that has nothing.
    pub const NONE: Self = Self {
        arguments: 0,
        environment: 0,
        environment_end: 0,
        auxiliary: 0,
        auxiliary_len: 0,
        stack: 0,
    };
}

/// The program in `file`, that loads another.
///
/// # Errors
/// It is none.
pub fn interpreter(file: Shared<FilePages>) -> Result<Elf, LoadError> {
    Elf::parse(file).map_err(LoadError::Interpreter)
}

/// An address space with the program in `image`, about to start with `arguments`.
///
/// # Errors
/// A file makes no sense, or there is no memory.
pub fn load(
    image: &Image,
    arguments: &ProgramArguments,
    limits: MemoryLimits,
) -> Result<(AddressSpace, Start), LoadError> {
    let elf = &image.program;
    let space = AddressSpace::new(limits)?;
    let loads_itself = image.interpreter.is_none();
    let base = (!loads_itself).then_some(RELATIVE_BASE);
    let program = map(&space, elf, base)?;
    let heap = match loads_itself && elf.is_relative {
        true => RELATIVE_BASE,
        false => program.end,
    };
    space.start_heap(heap);
    let interpreter = image.interpreter.as_ref().map(|elf| {
        map(&space, elf, None).map_err(|error| match error {
            LoadError::File(error) => LoadError::Interpreter(error),
            other => other,
        })
    });
    let interpreter = interpreter.transpose()?;
    space.map_vdso().map_err(LoadError::Memory)?;
    let auxiliary = Auxiliary {
        entry: program.entry,
        headers: program.headers,
        header_count: u64::from(elf.header_count),
        interpreter_base: interpreter.as_ref().map_or(0, |mapped| mapped.bias),
        ids: image.rights.ids(&current().credentials),
    };
    let places = stack::build(&space, &auxiliary, arguments)?;
    let entry = interpreter.map_or(program.entry, |mapped| mapped.entry);
    space.bring_code(entry);
    let start = Start {
        entry,
        stack: places.stack,
        places,
    };
    Ok((space, start))
}

/// An executable in memory.
struct Mapped {
    /// What its addresses have been shifted by.
    bias: u64,
    /// Its first instruction.
    entry: u64,
    /// Its program headers; 0 if it does not contain them.
    headers: u64,
    /// Where it ends.
    end: u64,
}

/// Maps all of an executable. If it may be anywhere, it goes to `base` or, without that, where
/// mappings go.
fn map(space: &AddressSpace, elf: &Elf, base: Option<u64>) -> Result<Mapped, LoadError> {
    let bias = match elf.is_relative {
        true => bias(space, elf, base)?,
        false => 0,
    };
    let (mut headers, mut end) = (None, 0);
    for segment in elf.segments() {
        let segment = segment?;
        let segment_end =
            map_segment(space, &elf.file, segment, bias).map_err(LoadError::Memory)?;
        headers = headers.or(elf.headers_in(&segment));
        end = end.max(segment_end);
    }
    Ok(Mapped {
        bias,
        entry: elf.entry.wrapping_add(bias),
        headers: headers.map_or(0, |address| address.wrapping_add(bias)),
        end,
    })
}

/// What the addresses of an executable that may be anywhere are to be shifted by.
fn bias(space: &AddressSpace, elf: &Elf, base: Option<u64>) -> Result<u64, LoadError> {
    let (span, alignment) = elf.span()?;
    let base = match base {
        Some(base) => base,
        None => {
            let len = span.end.saturating_sub(span.start);
            let gap = space.find_gap(len.saturating_add(alignment - PAGE_SIZE));
            let gap = gap.ok_or(LoadError::Memory(Errno::ENOMEM))?;
            gap.saturating_add(alignment - PAGE_SIZE)
        }
    };
    Ok((base & !(alignment - 1)).wrapping_sub(span.start & !(alignment - 1)))
}

/// Maps a segment and returns where it ends.
fn map_segment(
    space: &AddressSpace,
    file: &Shared<FilePages>,
    segment: Segment,
    bias: u64,
) -> Result<u64, Errno> {
    // A bias may be negative. No segment wraps around, moved or not.
    let start = segment.start.wrapping_add(bias);
    let len = segment.end - segment.start;
    let end = start.checked_add(len).ok_or(Errno::ENOEXEC)?;
    let end = end.checked_next_multiple_of(PAGE_SIZE);
    let end = end.ok_or(Errno::ENOEXEC)?;
    let mut part = FilePart {
        file: file.clone(),
        offset: segment.offset,
        start,
        len: segment.len,
    };
    let is_file_only = segment.len == len && !segment.access.contains(Access::WRITE);
    if is_file_only && segment.offset % PAGE_SIZE == start % PAGE_SIZE {
        // Whole pages of the file, as on Linux, which all who run it have in common.
        part.offset -= start % PAGE_SIZE;
        part.start -= start % PAGE_SIZE;
        part.len = end - part.start;
    }
    space.map_segment(start & !(PAGE_SIZE - 1)..end, segment.access, part)?;
    Ok(end)
}
