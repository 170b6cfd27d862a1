//! Reading executables: ELF, 64-bit, x86-64, either linked at fixed addresses or able to
//! run anywhere (System V ABI, chapter 4 and 5). What loads a dynamic program is such a file
//! too.
//!
//! The file is untrusted: every field is checked before use.
//!
//! Rejected: the crate `elf`, whose reader wants the file in one slice. The kernel's files
//! are pages, read in parts ([`File`]), so only the places of fields would come from there, and those
//! `linux_raw_sys` has.

use core::mem::{offset_of, size_of};
use core::ops::Range;

use abi::Errno;
use abi::virtual_map::PAGE_SIZE;
use linux_raw_sys::elf_uapi::{
    ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_X86_64, ET_DYN, ET_EXEC, Elf64_Ehdr, Elf64_Phdr, PF_R,
    PF_W, PF_X, PT_INTERP, PT_LOAD, SELFMAG,
};
use linux_raw_sys::general::PATH_MAX;
use mm::page_tables::Access;
use mm::{FilePages, Shared};

/// A file that is read in parts.
pub trait File {
    /// Bytes of it.
    fn size(&self) -> u64;

    /// Copies bytes from `offset` on, with zeros for what is past the file's end.
    fn copy_at(&self, offset: u64, buffer: &mut [u8]);
}

impl File for Shared<FilePages> {
    #[inline]
    fn size(&self) -> u64 {
        self.len()
    }

    #[inline]
    fn copy_at(&self, offset: u64, buffer: &mut [u8]) {
        FilePages::copy_at(self, offset, buffer);
    }
}

impl File for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn copy_at(&self, offset: u64, buffer: &mut [u8]) {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.get(start..)).unwrap_or(&[]);
        let count = found.len().min(buffer.len());
        let (there, past) = buffer.split_at_mut(count);
        there.copy_from_slice(&found[..count]);
        past.fill(0);
    }
}

/// A file that cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// Not a 64-bit little-endian ELF file for x86-64 that could be run.
    NotForThisMachine,
    /// A part lies outside of the file, or a field is invalid.
    Malformed,
}

impl From<ElfError> for Errno {
    fn from(_: ElfError) -> Self {
        Self::ENOEXEC
    }
}

/// An executable whose header has been checked.
pub struct Elf<F> {
    /// All of it.
    pub file: F,
    /// Address of the first instruction, before any bias.
    pub entry: u64,
    /// Whether it may be put anywhere: all addresses are relative to where that is.
    pub is_relative: bool,
    table_offset: u64,
    /// Number of program headers.
    pub header_count: u16,
}

/// A part of an executable to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address of the first byte, any alignment.
    pub start: u64,
    /// Past-the-end address, above `start`.
    pub end: u64,
    /// Where in the file its bytes are.
    pub offset: u64,
    /// How many come from the file; the rest of the segment is zero.
    pub len: u64,
    /// What the program may do there.
    pub access: Access,
}

const HEADER_SIZE: usize = size_of::<Elf64_Ehdr>();
const PROGRAM_HEADER_SIZE: usize = size_of::<Elf64_Phdr>();
/// More program headers are refused, so that none can keep the kernel busy.
const MAX_HEADERS: u16 = 64;

/// A field of a header: the little-endian number at the field's place.
macro_rules! field {
    ($bytes:expr, $header:ty, $field:ident, $number:ty) => {{
        const OFFSET: usize = offset_of!($header, $field);
        let mut number = [0; size_of::<$number>()];
        number.copy_from_slice(&$bytes[OFFSET..][..size_of::<$number>()]);
        <$number>::from_le_bytes(number)
    }};
}

impl<F: File> Elf<F> {
    /// Checks the header of `file`.
    ///
    /// # Errors
    /// Not an executable for this kernel.
    pub fn parse(file: F) -> Result<Self, ElfError> {
        const CLASS: usize = SELFMAG as usize;
        let mut header = [0; HEADER_SIZE];
        file.copy_at(0, &mut header);
        let kind = u32::from(field!(header, Elf64_Ehdr, e_type, u16));
        if !header.starts_with(&ELFMAG[..CLASS])
            || header[CLASS..CLASS + 2] != [ELFCLASS64 as u8, ELFDATA2LSB as u8]
            || u32::from(field!(header, Elf64_Ehdr, e_machine, u16)) != EM_X86_64
            || ![ET_EXEC, ET_DYN].contains(&kind)
        {
            return Err(ElfError::NotForThisMachine);
        }
        let header_size = field!(header, Elf64_Ehdr, e_phentsize, u16);
        let elf = Self {
            file,
            entry: field!(header, Elf64_Ehdr, e_entry, u64),
            is_relative: kind == ET_DYN,
            table_offset: field!(header, Elf64_Ehdr, e_phoff, u64),
            header_count: field!(header, Elf64_Ehdr, e_phnum, u16),
        };
        if usize::from(header_size) != PROGRAM_HEADER_SIZE || elf.header_count > MAX_HEADERS {
            return Err(ElfError::Malformed);
        }
        elf.check_part(elf.table_offset, elf.table_size())?;
        Ok(elf)
    }

    /// The program headers, several of which are read at a time.
    fn headers(&self) -> impl Iterator<Item = [u8; PROGRAM_HEADER_SIZE]> {
        const AT_ONCE: usize = 8;
        let mut headers = [[0; PROGRAM_HEADER_SIZE]; AT_ONCE];
        let count = usize::from(self.header_count);
        (0..count).map(move |number| {
            if number.is_multiple_of(AT_ONCE) {
                let wanted = (count - number).min(AT_ONCE);
                let offset = self.table_offset + (number * PROGRAM_HEADER_SIZE) as u64;
                let place = headers[..wanted].as_flattened_mut();
                self.file.copy_at(offset, place);
            }
            headers[number % AT_ONCE]
        })
    }

    /// The parts to be mapped, in the file's order.
    pub fn segments(&self) -> impl Iterator<Item = Result<Segment, ElfError>> {
        self.headers()
            .filter_map(move |header| self.segment(&header).transpose())
    }

    /// Where in the file the path of its interpreter is, without its zero, if another program is
    /// to load it.
    ///
    /// # Errors
    /// There is no path of a possible length.
    pub fn interpreter(&self) -> Result<Option<Range<u64>>, ElfError> {
        /// A byte and a zero.
        const SHORTEST: u64 = 2;
        let kind = |header: &[u8; PROGRAM_HEADER_SIZE]| field!(header, Elf64_Phdr, p_type, u32);
        let Some(header) = self.headers().find(|header| kind(header) == PT_INTERP) else {
            return Ok(None);
        };
        let offset = field!(header, Elf64_Phdr, p_offset, u64);
        let len = field!(header, Elf64_Phdr, p_filesz, u64);
        self.check_part(offset, len)?;
        if !(SHORTEST..=PATH_MAX.into()).contains(&len) {
            return Err(ElfError::Malformed);
        }
        let end = offset + len - 1;
        let mut last = [0];
        self.file.copy_at(end, &mut last);
        match last {
            [0] => Ok(Some(offset..end)),
            _ => Err(ElfError::Malformed),
        }
    }

    /// The addresses of all segments together, in whole pages, and what their start must be a
    /// multiple of. Empty if there are no segments.
    ///
    /// # Errors
    /// A segment is malformed.
    pub fn span(&self) -> Result<(Range<u64>, u64), ElfError> {
        let (mut start, mut end, mut alignment) = (u64::MAX, 0, PAGE_SIZE);
        for header in self.headers() {
            if let Some(segment) = self.segment(&header)? {
                start = start.min(segment.start & !(PAGE_SIZE - 1));
                end = end.max(segment.end);
                let wanted = field!(header, Elf64_Phdr, p_align, u64);
                if wanted.is_power_of_two() {
                    alignment = alignment.max(wanted);
                }
            }
        }
        let end = end.checked_next_multiple_of(PAGE_SIZE);
        let end = end.ok_or(ElfError::Malformed)?;
        Ok((start.min(end)..end, alignment))
    }

    /// Where the program itself finds its program headers, if `segment` has them.
    pub fn headers_in(&self, segment: &Segment) -> Option<u64> {
        let offset = self.table_offset.checked_sub(segment.offset)?;
        let end = offset + self.table_size();
        (end <= segment.len).then_some(segment.start + offset)
    }

    fn table_size(&self) -> u64 {
        u64::from(self.header_count) * PROGRAM_HEADER_SIZE as u64
    }

    fn segment(&self, header: &[u8; PROGRAM_HEADER_SIZE]) -> Result<Option<Segment>, ElfError> {
        if field!(header, Elf64_Phdr, p_type, u32) != PT_LOAD {
            return Ok(None);
        }
        let size = field!(header, Elf64_Phdr, p_memsz, u64);
        if size == 0 {
            return Ok(None);
        }
        let start = field!(header, Elf64_Phdr, p_vaddr, u64);
        let offset = field!(header, Elf64_Phdr, p_offset, u64);
        let len = field!(header, Elf64_Phdr, p_filesz, u64);
        self.check_part(offset, len)?;
        let end = start.checked_add(size).ok_or(ElfError::Malformed)?;
        if len > size {
            return Err(ElfError::Malformed);
        }
        let flags = field!(header, Elf64_Phdr, p_flags, u32);
        let mut access = Access::empty();
        access.set(Access::READ, flags & PF_R != 0);
        access.set(Access::WRITE, flags & PF_W != 0);
        access.set(Access::EXECUTE, flags & PF_X != 0);
        Ok(Some(Segment {
            start,
            end,
            offset,
            len,
            access,
        }))
    }

    fn check_part(&self, offset: u64, len: u64) -> Result<(), ElfError> {
        match offset.checked_add(len) {
            Some(end) if end <= self.file.size() => Ok(()),
            _ => Err(ElfError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Elf, ElfError, Segment};

    const E_TYPE: usize = 16;
    const E_PHOFF: usize = 32;
    const E_PHENTSIZE: usize = 54;
    const E_PHNUM: usize = 56;
    const PHDR: usize = 64;
    const P_OFFSET: usize = PHDR + 8;
    const P_VADDR: usize = PHDR + 16;
    const P_FILESZ: usize = PHDR + 32;
    const P_MEMSZ: usize = PHDR + 40;

    /// One executable segment of 0x10 bytes of file and 0x30 of memory at 0x400078.
    fn file() -> Vec<u8> {
        let mut file = vec![0; 0x88];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        put(E_TYPE, &[2, 0, 62, 0, 1]);
        put(24, &0x40_0078_u64.to_le_bytes());
        put(E_PHOFF, &64_u64.to_le_bytes());
        put(E_PHENTSIZE, &56_u16.to_le_bytes());
        put(E_PHNUM, &1_u16.to_le_bytes());
        put(PHDR, &[1, 0, 0, 0, 5]);
        put(P_OFFSET, &0x78_u64.to_le_bytes());
        put(P_VADDR, &0x40_0078_u64.to_le_bytes());
        put(P_FILESZ, &0x10_u64.to_le_bytes());
        put(P_MEMSZ, &0x30_u64.to_le_bytes());
        file
    }

    fn parse(file: &[u8]) -> Result<Elf<&[u8]>, ElfError> {
        Elf::parse(file)
    }

    fn segments(file: Vec<u8>) -> Result<Vec<Segment>, ElfError> {
        parse(&file)?.segments().collect()
    }

    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut file = file();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }

    #[test]
    fn a_segment_is_what_its_header_says() {
        let segments = segments(file()).expect("the file is in order");
        assert_eq!(
            segments,
            [Segment {
                start: 0x40_0078,
                end: 0x40_00a8,
                offset: 0x78,
                len: 0x10,
                access: Access::READ | Access::EXECUTE
            }]
        );
    }

    fn header_address(file: Vec<u8>) -> Option<u64> {
        let elf = parse(&file).expect("the file is in order");
        assert_eq!(elf.header_count, 1);
        let mut segments = elf.segments().flatten();
        segments.find_map(|segment| elf.headers_in(&segment))
    }

    #[test]
    fn headers_are_found_where_a_segment_has_them() {
        assert_eq!(header_address(file()), None);
        let mut whole = with(P_OFFSET, &[0]);
        whole[P_VADDR] = 0;
        whole[P_FILESZ] = 0x80;
        whole[P_MEMSZ] = 0x80;
        assert_eq!(header_address(whole), Some(0x40_0040));
    }

    #[test]
    fn a_static_pie_is_relative() {
        for (kind, is_relative) in [(2, false), (3, true)] {
            let elf = parse(&with(E_TYPE, &[kind])).map(|elf| elf.is_relative);
            assert_eq!(elf, Ok(is_relative));
        }
    }

    #[test]
    fn foreign_files_are_refused() {
        for file in [
            b"#!/bin/sh".to_vec(),
            vec![],
            with(4, &[1]),
            with(18, &[3]),
            with(E_TYPE, &[1]),
        ] {
            assert_eq!(segments(file), Err(ElfError::NotForThisMachine));
        }
    }

    #[test]
    fn an_interpreter_has_a_path() {
        let find = |path: &[u8], size: usize| {
            let mut file = with(PHDR, &[3]);
            file[P_FILESZ] = size as u8;
            file[0x78..][..path.len()].copy_from_slice(path);
            parse(&file).and_then(|elf| elf.interpreter())
        };
        assert_eq!(find(b"/ld.so\0", 7), Ok(Some(0x78..0x7e)));
        for (path, size) in [(&b"\0"[..], 1), (b"/ld.so", 6), (b"/ld\0", 0x11)] {
            assert_eq!(find(path, size), Err(ElfError::Malformed));
        }
        assert_eq!(parse(&file()).and_then(|elf| elf.interpreter()), Ok(None));
    }

    #[test]
    fn a_span_is_in_pages() {
        let of = |file: Vec<u8>| parse(&file).and_then(|elf| elf.span());
        assert_eq!(of(file()), Ok((0x40_0000..0x40_1000, 0x1000)));
        let aligned = of(with(PHDR + 48, &[0, 0, 0x20]));
        assert_eq!(aligned, Ok((0x40_0000..0x40_1000, 0x20_0000)));
        assert_eq!(of(with(PHDR, &[4])), Ok((0..0, 0x1000)));
    }

    #[test]
    fn wild_numbers_are_refused() {
        let huge = u64::MAX.to_le_bytes();
        for file in [
            with(E_PHOFF, &huge),
            with(E_PHENTSIZE, &[57]),
            with(E_PHNUM, &[0xff, 0xff]),
            with(P_OFFSET, &huge),
            with(P_OFFSET, &[0x79]),
            with(P_FILESZ, &huge),
            with(P_VADDR, &huge),
            with(P_MEMSZ, &[0xf]),
        ] {
            assert_eq!(segments(file), Err(ElfError::Malformed));
        }
        for len in 0..file().len() {
            assert!(segments(file()[..len].to_vec()).is_err(), "{len} bytes");
        }
    }
}
