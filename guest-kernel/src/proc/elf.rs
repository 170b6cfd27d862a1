//! Reading executables: ELF, 64-bit, x86-64, linked at fixed addresses (System V ABI,
//! chapter 4 and 5).
//!
//! The file is whatever someone put into the initramfs: every field is checked before it
//! is believed.

use core::mem::{offset_of, size_of};

use linux_raw_sys::elf_uapi::{
    ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_X86_64, ET_EXEC, Elf64_Ehdr, Elf64_Phdr, PF_W, PF_X,
    PT_INTERP, PT_LOAD, SELFMAG,
};

use crate::arch::paging::Access;

/// A file that cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// Not a 64-bit little-endian ELF file for x86-64, linked at fixed addresses.
    NotForThisMachine,
    /// It wants a dynamic linker.
    Dynamic,
    /// Something in it lies outside of it, or makes no sense.
    Malformed,
}

/// An executable whose header has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Elf {
    file: &'static [u8],
    /// Address of the first instruction.
    pub entry: u64,
    table: &'static [u8],
    table_offset: u64,
}

/// A part of an executable to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address of the first byte, any alignment.
    pub start: u64,
    /// Past-the-end address, above `start`.
    pub end: u64,
    /// What comes from the file; the rest of the segment is zero.
    pub bytes: &'static [u8],
    /// What the program may do there.
    pub access: Access,
}

const PROGRAM_HEADER_SIZE: usize = size_of::<Elf64_Phdr>();

/// A field of a header: the little-endian number at the field's place.
macro_rules! field {
    ($bytes:expr, $header:ty, $field:ident, $number:ty) => {{
        const OFFSET: usize = offset_of!($header, $field);
        let bytes = $bytes.get(OFFSET..OFFSET + size_of::<$number>());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(<$number>::from_le_bytes)
            .ok_or(ElfError::Malformed)
    }};
}

impl Elf {
    /// Checks the header of `file`.
    ///
    /// # Errors
    /// Not an executable for this kernel.
    pub fn parse(file: &'static [u8]) -> Result<Self, ElfError> {
        const CLASS: usize = SELFMAG as usize;
        let is_elf = file.starts_with(&ELFMAG[..CLASS])
            && file.get(CLASS..CLASS + 2) == Some(&[ELFCLASS64 as u8, ELFDATA2LSB as u8]);
        if !is_elf
            || u32::from(field!(file, Elf64_Ehdr, e_type, u16)?) != ET_EXEC
            || u32::from(field!(file, Elf64_Ehdr, e_machine, u16)?) != EM_X86_64
        {
            return Err(ElfError::NotForThisMachine);
        }
        if usize::from(field!(file, Elf64_Ehdr, e_phentsize, u16)?) != PROGRAM_HEADER_SIZE {
            return Err(ElfError::Malformed);
        }
        let count = u64::from(field!(file, Elf64_Ehdr, e_phnum, u16)?);
        let table_offset = field!(file, Elf64_Ehdr, e_phoff, u64)?;
        Ok(Self {
            file,
            entry: field!(file, Elf64_Ehdr, e_entry, u64)?,
            table: part(file, table_offset, count * PROGRAM_HEADER_SIZE as u64)?,
            table_offset,
        })
    }

    /// The parts to be mapped, in the file's order.
    pub fn segments(self) -> impl Iterator<Item = Result<Segment, ElfError>> {
        self.table
            .chunks_exact(PROGRAM_HEADER_SIZE)
            .filter_map(move |header| self.segment(header).transpose())
    }

    /// Number of program headers.
    pub fn header_count(self) -> usize {
        self.table.len() / PROGRAM_HEADER_SIZE
    }

    /// Where the program itself finds its program headers, if a segment has them.
    pub fn header_address(self) -> Option<u64> {
        self.segments().flatten().find_map(|segment| {
            let start = segment.bytes.as_ptr_range().start as usize - self.file.as_ptr() as usize;
            let offset = self.table_offset.checked_sub(start as u64)?;
            let end = offset + self.table.len() as u64;
            (end <= segment.bytes.len() as u64).then_some(segment.start + offset)
        })
    }

    fn segment(self, header: &[u8]) -> Result<Option<Segment>, ElfError> {
        match field!(header, Elf64_Phdr, p_type, u32)? {
            PT_LOAD => {}
            PT_INTERP => return Err(ElfError::Dynamic),
            _ => return Ok(None),
        }
        let size = field!(header, Elf64_Phdr, p_memsz, u64)?;
        if size == 0 {
            return Ok(None);
        }
        let start = field!(header, Elf64_Phdr, p_vaddr, u64)?;
        let offset = field!(header, Elf64_Phdr, p_offset, u64)?;
        let bytes = part(
            self.file,
            offset,
            field!(header, Elf64_Phdr, p_filesz, u64)?,
        )?;
        let end = start.checked_add(size).ok_or(ElfError::Malformed)?;
        if bytes.len() as u64 > size {
            return Err(ElfError::Malformed);
        }
        let flags = field!(header, Elf64_Phdr, p_flags, u32)?;
        let mut access = Access::empty();
        access.set(Access::WRITE, flags & PF_W != 0);
        access.set(Access::EXECUTE, flags & PF_X != 0);
        Ok(Some(Segment {
            start,
            end,
            bytes,
            access,
        }))
    }
}

fn part(file: &'static [u8], offset: u64, len: u64) -> Result<&'static [u8], ElfError> {
    let range = || {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        file.get(start..end)
    };
    range().ok_or(ElfError::Malformed)
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

    fn segments(file: Vec<u8>) -> Result<Vec<Segment>, ElfError> {
        Elf::parse(file.leak())?.segments().collect()
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
                bytes: &[0; 0x10],
                access: Access::EXECUTE
            }]
        );
    }

    #[test]
    fn headers_are_found_where_a_segment_has_them() {
        let elf = Elf::parse(file().leak()).expect("the file is in order");
        assert_eq!((elf.header_address(), elf.header_count()), (None, 1));
        let mut whole = with(P_OFFSET, &[0]);
        whole[P_VADDR] = 0;
        whole[P_FILESZ] = 0x80;
        whole[P_MEMSZ] = 0x80;
        let elf = Elf::parse(whole.leak()).expect("the file is in order");
        assert_eq!(elf.header_address(), Some(0x40_0040));
    }

    #[test]
    fn foreign_files_are_refused() {
        for file in [
            b"#!/bin/sh".to_vec(),
            vec![],
            with(4, &[1]),
            with(18, &[3]),
            with(E_TYPE, &[3]),
        ] {
            assert_eq!(segments(file), Err(ElfError::NotForThisMachine));
        }
        assert_eq!(segments(with(PHDR, &[3])), Err(ElfError::Dynamic));
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
