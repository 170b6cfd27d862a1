//! Checks of ELF files before they are loaded.

use elf::abi::{EM_386, EM_X86_64, ET_DYN, ET_EXEC, PT_INTERP, PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::note::Note;
use elf::segment::ProgramHeader;
use elf::{ElfBytes, ParseError};

/// Most bytes of notes in all: a kernel has some hundred, and each is looked at more than
/// once.
const MAX_NOTES: u64 = 1 << 16;

/// What is wrong with a file that should be an ELF executable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ElfError {
    /// No ELF header.
    #[error("not an ELF file")]
    NotElf,
    /// An ELF file for something else.
    #[error("not built for x86-64")]
    NotX86_64,
    /// An object file, a core dump or the like.
    #[error("not an executable")]
    NotExecutable,
    /// Needs a dynamic loader.
    #[error(
        "not static: build it with -static or -static-pie, or give it the files of this \
         machine with --root /"
    )]
    NotStatic,
    /// Segments reach past the end of the file.
    #[error("truncated: a segment ends at byte {needed} of a file of {length}")]
    Truncated {
        /// Where the last segment ends, in bytes from the start.
        needed: u64,
        /// Bytes in the file.
        length: u64,
    },
    /// Headers that contradict themselves.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl From<ParseError> for ElfError {
    fn from(error: ParseError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// A file that passed the checks.
#[derive(Debug)]
pub struct Executable<'a> {
    file: ElfBytes<'a, LittleEndian>,
    /// Bytes of memory that its segments take.
    pub memory: u64,
}

impl<'a> Executable<'a> {
    /// Checks that `bytes` is a complete static x86-64 executable, at fixed addresses or
    /// able to run at any (static PIE).
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        Self::parse_for(bytes, &[(Class::ELF64, EM_X86_64)])
    }

    /// The same for a kernel, which may be of 32 bits.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn parse_kernel(bytes: &'a [u8]) -> Result<Self, ElfError> {
        const KINDS: [(Class, u16); 3] = [
            (Class::ELF64, EM_X86_64),
            (Class::ELF32, EM_X86_64),
            (Class::ELF32, EM_386),
        ];
        Self::parse_for(bytes, &KINDS)
    }

    fn parse_for(bytes: &'a [u8], kinds: &[(Class, u16)]) -> Result<Self, ElfError> {
        if !bytes.starts_with(&elf::abi::ELFMAGIC) {
            return Err(ElfError::NotElf);
        }
        let file = ElfBytes::<LittleEndian>::minimal_parse(bytes).map_err(|error| match error {
            ParseError::UnsupportedElfEndianness(_) => ElfError::NotX86_64,
            ParseError::SliceReadError((_, needed)) => truncated(needed as u64, bytes),
            ParseError::BadOffset(needed) => truncated(needed, bytes),
            other => other.into(),
        })?;
        if !kinds.contains(&(file.ehdr.class, file.ehdr.e_machine)) {
            return Err(ElfError::NotX86_64);
        }
        let segments = file.segments().ok_or(ElfError::NotExecutable)?;
        let (mut memory, mut notes) = (0u64, 0u64);
        for segment in segments.iter() {
            if segment.p_type == PT_INTERP {
                return Err(ElfError::NotStatic);
            }
            if segment.p_type == PT_NOTE {
                notes = notes.saturating_add(segment.p_filesz);
            }
            if segment.p_type != PT_LOAD {
                continue;
            }
            if segment.p_filesz > segment.p_memsz {
                let what = "a segment has more bytes in the file than in memory";
                return Err(ElfError::Damaged(what.to_owned()));
            }
            let end = segment.p_offset.saturating_add(segment.p_filesz);
            if end > bytes.len() as u64 {
                return Err(truncated(end, bytes));
            }
            memory = memory.saturating_add(segment.p_memsz);
        }
        if notes > MAX_NOTES {
            let what = format!("{notes} bytes of notes, at most {MAX_NOTES} make sense");
            return Err(ElfError::Damaged(what));
        }
        match file.ehdr.e_type {
            ET_EXEC | ET_DYN => Ok(Self { file, memory }),
            _ => Err(ElfError::NotExecutable),
        }
    }

    /// Checks that no two loaded segments overlap, so that loading them takes no longer
    /// than their memory allows.
    ///
    /// # Errors
    /// Two do, at addresses of this kind.
    pub fn separate(&self, by: Addresses) -> Result<(), ElfError> {
        let segments = self.file.segments();
        let mut spans: Vec<_> = segments
            .iter()
            .flat_map(|table| table.iter())
            .filter(|segment| segment.p_type == PT_LOAD && segment.p_memsz > 0)
            .map(|segment| {
                let start = by.of(&segment);
                (start, start.saturating_add(segment.p_memsz))
            })
            .collect();
        spans.sort_unstable();
        match spans.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            None => Ok(()),
            Some(pair) => {
                let what = format!("segments overlap at {:#x}", pair[1].0);
                Err(ElfError::Damaged(what))
            }
        }
    }

    /// The first end-of-segment address past every loaded segment, by physical address.
    pub fn physical_end(&self) -> u64 {
        let segments = self.file.segments();
        segments
            .iter()
            .flat_map(|table| table.iter())
            .filter(|segment| segment.p_type == PT_LOAD)
            .map(|segment| segment.p_paddr.saturating_add(segment.p_memsz))
            .max()
            .unwrap_or(0)
    }

    /// What goes into memory, by physical address; the rest of it is zero.
    pub fn loaded(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let segments = self.file.segments();
        let segments = segments.into_iter().flat_map(|table| table.iter());
        segments
            .filter(|segment| segment.p_type == PT_LOAD)
            .filter_map(|segment| Some((segment.p_paddr, self.file.segment_data(&segment).ok()?)))
    }

    /// The descriptor of the first note with this owner and type.
    pub fn note(&self, owner: &str, kind: u32) -> Option<&'a [u8]> {
        let segments = self.file.segments()?;
        segments
            .iter()
            .filter(|segment| segment.p_type == elf::abi::PT_NOTE)
            .filter_map(|segment| self.file.segment_data_as_notes(&segment).ok())
            .flatten()
            .find_map(|note| match note {
                Note::Unknown(note) if note.n_type == u64::from(kind) => {
                    let name = note.name_str().ok()?;
                    (name == owner).then_some(note.desc)
                }
                _ => None,
            })
    }
}

/// Where segments lie: a kernel's by physical address, a program's by virtual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// `p_paddr`.
    Physical,
    /// `p_vaddr`.
    Virtual,
}

impl Addresses {
    fn of(self, segment: &ProgramHeader) -> u64 {
        match self {
            Self::Physical => segment.p_paddr,
            Self::Virtual => segment.p_vaddr,
        }
    }
}

fn truncated(needed: u64, bytes: &[u8]) -> ElfError {
    ElfError::Truncated {
        needed,
        length: bytes.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(class: u8, machine: u16, kind: u16) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..4].copy_from_slice(b"\x7fELF");
        file[4] = class;
        file[5] = 1;
        file[6] = 1;
        file[16..18].copy_from_slice(&kind.to_le_bytes());
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[20] = 1;
        file[32] = 64;
        file[52] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64] = PT_LOAD as u8;
        file
    }

    fn error(file: &[u8]) -> ElfError {
        Executable::parse(file).expect_err("the file must not pass")
    }

    #[test]
    fn each_kind_of_wrong_file_is_named() {
        assert_eq!(error(b"#!/bin/sh\n"), ElfError::NotElf);
        assert_eq!(error(b""), ElfError::NotElf);
        assert_eq!(error(&header(2, 183, ET_EXEC)), ElfError::NotX86_64);
        let mut dynamic = header(2, EM_X86_64, ET_DYN);
        dynamic[64] = PT_INTERP as u8;
        assert_eq!(error(&dynamic), ElfError::NotStatic);
        assert_eq!(error(&header(2, EM_X86_64, 1)), ElfError::NotExecutable);
        assert!(matches!(
            error(&header(2, EM_X86_64, ET_EXEC)[..80]),
            ElfError::Truncated { .. }
        ));
        let mut long = header(2, EM_X86_64, ET_EXEC);
        for size in [64 + 32, 64 + 40] {
            long[size..size + 8].copy_from_slice(&1000u64.to_le_bytes());
        }
        assert_eq!(
            error(&long),
            ElfError::Truncated {
                needed: 1000,
                length: 120
            }
        );
    }

    #[test]
    fn segments_may_touch_but_not_overlap() {
        let mut file = header(2, EM_X86_64, ET_EXEC);
        file[56] = 2;
        file.extend_from_within(64..120);
        let word = |at: usize, value: u64, file: &mut Vec<u8>| {
            file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        };
        word(64 + 40, 0x1000, &mut file);
        word(120 + 40, 0x1000, &mut file);
        word(120 + 16, 0x1000, &mut file);
        let check = |file: &[u8], by| Executable::parse(file).expect("fair headers").separate(by);
        assert_eq!(check(&file, Addresses::Virtual), Ok(()));
        assert!(check(&file, Addresses::Physical).is_err());
        word(120 + 16, 0xfff, &mut file);
        assert!(check(&file, Addresses::Virtual).is_err());
    }

    #[test]
    fn notes_have_a_limit() {
        let mut file = header(2, EM_X86_64, ET_EXEC);
        file[64] = PT_NOTE as u8;
        file[64 + 32..64 + 40].copy_from_slice(&(MAX_NOTES + 1).to_le_bytes());
        assert!(error(&file).to_string().contains("of notes"));
    }

    #[test]
    fn a_static_executable_passes() {
        for kind in [ET_EXEC, ET_DYN] {
            let file = header(2, EM_X86_64, kind);
            assert_eq!(Executable::parse(&file).expect("a fair file").memory, 0);
        }
    }
}
