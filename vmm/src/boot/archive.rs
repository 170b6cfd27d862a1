//! An initramfs that the user gives: cpio archives in the "newc" format, one after the
//! other, each plain or compressed by gzip (Linux:
//! Documentation/driver-api/early-userspace/buffer-format.rst). The guest gets one plain
//! archive: its kernel need not unpack, and stops at the first end marker.
//!
//! Other compressions were rejected: each has a tool that unpacks it, and would need one
//! more crate that parses untrusted bytes.

use std::io::{self, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::image::{Image, ImageError};
use crate::size::Size;

const MAGIC: &[u8] = b"070701";
const GZIP: &[u8] = b"\x1f\x8b";
/// Magic and thirteen fields of eight hexadecimal digits.
const HEADER_SIZE: usize = 110;
const FIELD_MODE: usize = 1;
const FIELD_FILE_SIZE: usize = 6;
const FIELD_NAME_SIZE: usize = 11;
/// All but the last one, which only archives with checksums have.
const FIELDS: usize = 12;
const TRAILER: &[u8] = b"TRAILER!!!";
/// Headers and contents start at multiples of this.
const ALIGN: usize = 4;
/// An entry's type in its mode, and that of a directory.
const TYPE: u32 = libc::S_IFMT;
const DIRECTORY: u32 = libc::S_IFDIR;
/// Bytes that are unpacked at a time.
const STEP: u64 = 1 << 20;

/// What else a file may begin with, and what that is.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\xfd7zXZ\0", "compressed by xz: unpack it, or use gzip"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed by zstd: unpack it, or use gzip",
    ),
    (b"BZh", "compressed by bzip2: unpack it, or use gzip"),
    (
        b"\x02\x21\x4c\x18",
        "compressed by lz4: unpack it, or use gzip",
    ),
    (
        b"\x04\x22\x4d\x18",
        "compressed by lz4: unpack it, or use gzip",
    ),
    (b"\x89LZO", "compressed by lzop: unpack it, or use gzip"),
    (b"\x5d\0\0", "compressed by lzma: unpack it, or use gzip"),
    (
        b"070702",
        "a cpio archive with checksums: write it with cpio -H newc",
    ),
    (b"070707", "an old cpio archive: write it with cpio -H newc"),
    (
        b"\xc7\x71",
        "an old cpio archive: write it with cpio -H newc",
    ),
    (b"\x7fELF", "an ELF file, not a cpio archive"),
];

/// Why a file is no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It, or what it unpacks to, is not what it should be.
    #[error("{path}: {what}")]
    Unfit {
        /// The file.
        path: String,
        /// What is wrong.
        what: Flaw,
    },
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Flaw {
    /// It has no bytes but zeros, or none.
    #[error("empty: give a cpio archive (cpio -H newc), plain or compressed by gzip")]
    Empty,
    /// Something else than an archive, at this byte.
    #[error("{}", foreign(*.at, .what))]
    Foreign {
        /// Where.
        at: usize,
        /// What is there, if that is known.
        what: Option<&'static str>,
    },
    /// It ends too early.
    #[error("truncated: it ends {}", after(.0))]
    Truncated(Option<String>),
    /// An invalid header.
    #[error("damaged: the header {} makes no sense", after(.0))]
    Damaged(Option<String>),
    /// An error of gzip.
    #[error("cannot be unpacked by gzip: {0}")]
    Gzip(String),
    /// It unpacks to more than guest memory can hold.
    #[error(
        "unpacks to more than the {} that guest memory has room for: give more with --memory",
        Size(*.0)
    )]
    TooLarge(u64),
    /// The host has no memory for it.
    #[error("the host has no memory to unpack it")]
    NoMemory,
}

fn foreign(at: usize, what: &Option<&str>) -> String {
    let place = match at {
        0 => String::new(),
        at => format!("at byte {at}: "),
    };
    let what = what.unwrap_or("not a cpio archive: write one with cpio -H newc");
    place + what
}

fn after(entry: &Option<String>) -> String {
    match entry {
        Some(name) => format!("after the one of {name:?}"),
        None => "at the first entry".to_owned(),
    }
}

/// A checked initramfs: one plain archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive(Image);

/// A file or directory in it.
pub(crate) struct Entry<'a> {
    /// Its path from the root, without a slash before it; empty for the root itself.
    pub path: &'a [u8],
    mode: u32,
    /// Whether it is none, but the end: this has no other name.
    is_end: bool,
    /// Its bytes.
    pub contents: &'a [u8],
}

impl Entry<'_> {
    /// Whether it may be a program; the guest's kernel decides on links.
    pub fn may_run(&self) -> bool {
        self.mode & TYPE != DIRECTORY
    }
}

impl Archive {
    /// Reads and unpacks the file at `path`, where guest memory has `room` bytes for it.
    ///
    /// # Errors
    /// A file that is no initramfs, is cut short, or does not fit.
    pub fn read(path: &Path, room: u64) -> Result<Self, ArchiveError> {
        let packed = Image::read(path, room)?;
        Self::unpack(packed, room).map_err(|what| ArchiveError::Unfit {
            path: path.display().to_string(),
            what,
        })
    }

    /// The archive in `packed`, if it unpacks to at most `room` bytes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn unpack(packed: Image, room: u64) -> Result<Self, Flaw> {
        if packed.starts_with(MAGIC) {
            let (_, rest) = split(&packed)?;
            if rest.iter().all(|&byte| byte == 0) {
                return Ok(Self(packed));
            }
        }
        let mut plain = Plain {
            bytes: Vec::new(),
            ends: Vec::new(),
            room,
        };
        plain.add(&packed, true)?;
        if plain.ends.is_empty() {
            return Err(Flaw::Empty);
        }
        plain.last_first();
        plain.push(&super::Initramfs::new().finish())?;
        Ok(Self(plain.bytes.into()))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first entry at `path`, which the guest's kernel takes too.
    pub(crate) fn find(&self, path: &[u8]) -> Option<Entry<'_>> {
        let path = relative(path);
        let mut rest = &self.0[..];
        loop {
            let (entry, next) = entry(rest).ok()?;
            match entry {
                Entry { is_end: true, .. } => return None,
                entry if entry.path == path => return Some(entry),
                _ => rest = next,
            }
        }
    }
}

/// The entries of all archives so far, without end markers.
struct Plain {
    bytes: Vec<u8>,
    /// Where each archive's end.
    ends: Vec<usize>,
    room: u64,
}

impl Plain {
    /// Adds all archives in `bytes`, with any zeros between them. What is unpacked, if
    /// `packed`, is not unpacked again.
    fn add(&mut self, bytes: &[u8], packed: bool) -> Result<(), Flaw> {
        let mut rest = bytes;
        loop {
            let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
            rest = &rest[zeros..];
            if rest.is_empty() {
                return Ok(());
            }
            if packed && rest.starts_with(GZIP) {
                let unpacked = self.gunzip(&mut rest)?;
                self.add(&unpacked, false)?;
            } else if rest.starts_with(MAGIC) {
                rest = self.add_archive(rest)?;
            } else {
                return Err(strange(bytes, rest));
            }
        }
    }

    /// Adds the archive that `archives` starts with and returns what follows it.
    fn add_archive<'a>(&mut self, archives: &'a [u8]) -> Result<&'a [u8], Flaw> {
        let (entries, rest) = split(archives)?;
        self.push(entries)?;
        self.ends.push(self.bytes.len());
        Ok(rest)
    }

    /// Turns the order of the archives around: under Linux a later file replaces an earlier
    /// one of its name, and our kernel takes the first that it meets.
    fn last_first(&mut self) {
        let length = self.bytes.len();
        self.bytes.reverse();
        let mut start = 0;
        for &end in &self.ends {
            // In the reversed bytes.
            self.bytes[length - end..length - start].reverse();
            start = end;
        }
    }

    /// Unpacks what `packed` starts with: one stream, in as many parts as follow each
    /// other at once.
    fn gunzip(&self, packed: &mut &[u8]) -> Result<Vec<u8>, Flaw> {
        let mut unpacked = Vec::new();
        while packed.starts_with(GZIP) {
            let mut decoder = GzDecoder::new(&mut *packed);
            loop {
                unpacked
                    .try_reserve(STEP as usize)
                    .map_err(|_| Flaw::NoMemory)?;
                match decoder.by_ref().take(STEP).read_to_end(&mut unpacked) {
                    Ok(0) => break,
                    Ok(_) if unpacked.len() as u64 > self.room => {
                        return Err(Flaw::TooLarge(self.room));
                    }
                    Ok(_) => {}
                    Err(error) => return Err(unpacking(&error)),
                }
            }
        }
        Ok(unpacked)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        if (self.bytes.len() + bytes.len()) as u64 > self.room {
            return Err(Flaw::TooLarge(self.room));
        }
        self.bytes
            .try_reserve(bytes.len())
            .map_err(|_| Flaw::NoMemory)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

fn unpacking(error: &io::Error) -> Flaw {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Flaw::Gzip("it is truncated".to_owned()),
        io::ErrorKind::OutOfMemory => Flaw::NoMemory,
        _ => Flaw::Gzip(error.to_string()),
    }
}

/// What `rest`, the end of `whole`, starts with.
fn strange(whole: &[u8], rest: &[u8]) -> Flaw {
    let known = FOREIGN.iter().find(|(magic, _)| rest.starts_with(magic));
    Flaw::Foreign {
        at: whole.len() - rest.len(),
        what: known.map(|&(_, what)| what),
    }
}

/// The entries of the first archive, without its end marker, and what follows that.
fn split(archives: &[u8]) -> Result<(&[u8], &[u8]), Flaw> {
    let mut rest = archives;
    let mut last = None;
    loop {
        let (entry, next) = entry(rest).map_err(|fault| {
            let name = last.map(|name| String::from_utf8_lossy(name).into_owned());
            match fault {
                Fault::Truncated => Flaw::Truncated(name),
                Fault::Damaged => Flaw::Damaged(name),
            }
        })?;
        if entry.is_end {
            let entries = &archives[..archives.len() - rest.len()];
            return Ok((entries, next));
        }
        last = Some(entry.path);
        rest = next;
    }
}

enum Fault {
    Truncated,
    Damaged,
}

/// The entry that `archive` starts with, and what follows it. An archive's last padding
/// may be missing.
fn entry(archive: &[u8]) -> Result<(Entry<'_>, &[u8]), Fault> {
    let header: &[u8; HEADER_SIZE] = archive.first_chunk().ok_or(Fault::Truncated)?;
    if !header.starts_with(MAGIC) {
        return Err(Fault::Damaged);
    }
    let field = |number| field(header, number).ok_or(Fault::Damaged);
    // The guest's kernel stops at the first that is none.
    for number in 0..FIELDS {
        field(number)?;
    }
    let name_size = field(FIELD_NAME_SIZE)? as usize;
    let size = field(FIELD_FILE_SIZE)? as usize;
    // No overflow: each is below 2^32.
    let name_end = HEADER_SIZE + name_size;
    let start = name_end.next_multiple_of(ALIGN);
    let end = start + size;
    let name = archive.get(HEADER_SIZE..name_end).ok_or(Fault::Truncated)?;
    let name = match name.iter().position(|&byte| byte == 0) {
        Some(end) => &name[..end],
        None => return Err(Fault::Damaged),
    };
    // The end marker may be the file's last bytes.
    let contents = match size {
        0 => &[],
        _ => archive.get(start..end).ok_or(Fault::Truncated)?,
    };
    let next = archive.get(end.next_multiple_of(ALIGN)..);
    let entry = Entry {
        path: relative(name),
        mode: field(FIELD_MODE)?,
        is_end: name == TRAILER,
        contents,
    };
    Ok((entry, next.unwrap_or_default()))
}

fn field(header: &[u8; HEADER_SIZE], number: usize) -> Option<u32> {
    let start = MAGIC.len() + number * 8;
    let digits = header.get(start..start + 8)?;
    digits.iter().try_fold(0, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

/// Without what may stand before a path's first name.
fn relative(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b".").unwrap_or(path);
    path.strip_prefix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod tests;
