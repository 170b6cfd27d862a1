//! The headers of an archive, one by one, and what they say together.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use tar::{EntryType, Header, PaxExtensions};

use super::{ArchiveError, Node, text};
use crate::host_files::KIND;
use crate::host_files::small::nanoseconds;

/// Unit of an archive, in bytes.
const BLOCK: u64 = 512;
/// Most bytes of a header's extension.
const EXTENSION_MAX: u64 = 1 << 20;

/// A header, and what extensions say instead.
pub struct Entry {
    pub name: Vec<u8>,
    pub target: Vec<u8>,
    pub kind: EntryType,
    pub node: Node,
}

/// Reads headers.
pub struct Headers<'a> {
    file: &'a File,
    len: u64,
    at: u64,
}

/// What extensions say of the next entry.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    user: Option<u64>,
    group: Option<u64>,
    modified_ns: Option<i64>,
    is_sparse: bool,
}

impl<'a> Headers<'a> {
    /// Those of `file`.
    ///
    /// # Errors
    /// The host does not say how long it is.
    pub fn of(file: &'a File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len, at: 0 })
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// The archive is damaged, or has what is refused.
    pub fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extensions = Extensions::default();
        while let Some(header) = self.header()? {
            let kind = header.entry_type();
            let size = match extensions.size.filter(|_| !is_extension(kind)) {
                // Some archives say the size of what a link leads to.
                _ if is_header_only(kind) => 0,
                Some(size) => size,
                None => header.entry_size()?,
            };
            let start = self.skip(size).ok_or_else(|| ArchiveError::Short {
                name: text(&extensions.name(&header)),
            })?;
            if kind.is_gnu_sparse() || extensions.is_sparse {
                return Err(ArchiveError::Sparse {
                    name: text(&extensions.name(&header)),
                });
            }
            if !is_extension(kind) {
                return Ok(Some(extensions.entry(&header, start, size)?));
            }
            if size > EXTENSION_MAX {
                return Err(ArchiveError::LongName(size as usize));
            }
            let mut bytes = vec![0; size as usize];
            self.file.read_exact_at(&mut bytes, start)?;
            extensions.take(kind, bytes);
        }
        Ok(None)
    }

    /// Goes on behind `size` bytes of contents, and returns where they start, if they are
    /// there.
    fn skip(&mut self, size: u64) -> Option<u64> {
        let start = self.at;
        let end = start.checked_add(size).filter(|&end| end <= self.len)?;
        self.at = end.next_multiple_of(BLOCK);
        Some(start)
    }

    /// The next header; none at the end.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        let bytes = header.as_mut_bytes();
        if self.at + BLOCK > self.len {
            return match self.at {
                0 => Err(foreign(self.file)),
                _ => Ok(None),
            };
        }
        self.file.read_exact_at(bytes, self.at)?;
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        const SUM: std::ops::Range<usize> = 148..156;
        let sum = (0..)
            .zip(bytes.iter())
            .map(|(at, &byte)| match SUM.contains(&at) {
                true => u32::from(b' '),
                false => byte.into(),
            });
        let sum: u32 = sum.sum();
        if header.cksum().ok() != Some(sum) {
            return Err(match self.at {
                0 => foreign(self.file),
                at => ArchiveError::Damaged(at),
            });
        }
        self.at += BLOCK;
        Ok(Some(header))
    }
}

/// Whether nothing follows the header, whatever size it says.
fn is_header_only(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    matches!(kind, Link | Symlink | Char | Block | Directory | Fifo)
}

/// Whether an entry says something of the next one, or of all.
fn is_extension(kind: EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

impl Extensions {
    fn name(&self, header: &Header) -> Vec<u8> {
        let name = self.name.clone();
        name.unwrap_or_else(|| header.path_bytes().into())
    }

    /// What this header and they say of `size` bytes from `start` on.
    fn entry(self, header: &Header, start: u64, size: u64) -> Result<Entry, ArchiveError> {
        let name = self.name(header);
        let target = self.target;
        let target = target.or_else(|| Some(header.link_name_bytes()?.into_owned()));
        let id = |extended: Option<u64>, plain: io::Result<u64>| {
            extended.unwrap_or(plain.unwrap_or(0)) as u32
        };
        let modified_ns = self.modified_ns.unwrap_or_else(|| {
            let seconds = i64::try_from(header.mtime().unwrap_or(0));
            nanoseconds(seconds.unwrap_or(i64::MAX), 0)
        });
        Ok(Entry {
            name,
            target: target.unwrap_or_default(),
            kind: header.entry_type(),
            node: Node {
                mode: header.mode()? & !KIND,
                user: id(self.user, header.uid()),
                group: id(self.group, header.gid()),
                modified_ns,
                links: 1,
                offset: start,
                size,
                target: Box::default(),
                children: Vec::new(),
            },
        })
    }

    fn take(&mut self, kind: EntryType, mut bytes: Vec<u8>) {
        if kind.is_pax_local_extensions() {
            for record in PaxExtensions::new(&bytes).flatten() {
                self.take_record(record.key_bytes(), record.value_bytes());
            }
            return;
        }
        let end = bytes.iter().position(|&byte| byte == 0);
        bytes.truncate(end.unwrap_or(bytes.len()));
        if kind.is_gnu_longname() {
            self.name = Some(bytes);
        } else if kind.is_gnu_longlink() {
            self.target = Some(bytes);
        }
    }

    fn take_record(&mut self, key: &[u8], value: &[u8]) {
        let text = || std::str::from_utf8(value).ok();
        let number = || text()?.parse().ok();
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.target = Some(value.to_vec()),
            b"size" => self.size = number(),
            b"uid" => self.user = number(),
            b"gid" => self.group = number(),
            b"mtime" => {
                let seconds = text().and_then(|text| text.parse::<f64>().ok());
                self.modified_ns = seconds.map(|seconds| (seconds * 1e9) as i64);
            }
            _ => self.is_sparse |= key.starts_with(b"GNU.sparse."),
        }
    }
}

/// What a file that is no archive may be.
fn foreign(file: &File) -> ArchiveError {
    let mut magic = [0; 6];
    let _ = file.read_at(&mut magic, 0);
    match magic {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ArchiveError::Compressed("zstd"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => ArchiveError::Compressed("xz"),
        [b'B', b'Z', b'h', ..] => ArchiveError::Compressed("bzip2"),
        _ => ArchiveError::NotTar,
    }
}
