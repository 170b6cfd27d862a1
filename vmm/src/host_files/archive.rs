//! The index of a tar archive: what is where in it.
//!
//! Headers are read one by one, contents are not. The formats are those of POSIX (ustar, pax)
//! and GNU's long names, as `docker export`, layers of OCI images and every `tar` write them.
//! What an archive says of names is data: a name with `..`, or one that no folder can have, is
//! an error, and links are not followed. What would be put through a link, or is a link to a
//! file that is not there, is left out, and so are the marks by which a layer deletes files of
//! those below it (`.wh.NAME`).
//!
//! Rejected: the crate's own iterator, which reads the long name that an archive claims to have
//! into memory, whatever its size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use tar::{EntryType, Header, PaxExtensions};

use super::small::nanoseconds;
use super::{KIND, MAX_NODES, NAME_MAX};

/// Unit of an archive, in bytes.
const BLOCK: u64 = 512;
/// Most bytes of a header's extension.
const EXTENSION_MAX: u64 = 1 << 20;
/// Begins the name of what deletes a file of a layer below.
const WHITEOUT: &[u8] = b".wh.";

/// What is in an archive.
#[derive(Debug)]
pub struct Index {
    /// The archive, not compressed.
    pub file: Arc<File>,
    /// Where it is from.
    pub path: PathBuf,
    /// The first is where all others are below.
    pub nodes: Vec<Node>,
}

/// Something in an archive.
#[derive(Debug)]
pub struct Node {
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    pub modified_ns: i64,
    pub links: u32,
    /// Of a file: where its bytes are.
    pub offset: u64,
    pub size: u64,
    /// Of a link: where it leads.
    pub target: Box<[u8]>,
    /// Of a folder: what is in it, by name, in order.
    pub children: Vec<(Box<[u8]>, u32)>,
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ArchiveError {
    #[error("not a tar archive: give a folder, or what `docker export` or `tar -c` writes")]
    NotTar,
    #[error("compressed by {0}, which is not read here: decompress it first, or compress by gzip")]
    Compressed(&'static str),
    #[error("is an image in layers (docker save): give what `docker export CONTAINER` writes")]
    Layers,
    #[error("ends in the middle of {name:?}: the archive is damaged")]
    Short { name: String },
    #[error("damaged at byte {0}: its header has a wrong sum")]
    Damaged(u64),
    #[error("{name:?} in it leads out of the archive")]
    LeadsOut { name: String },
    #[error("a name in it has {0} bytes: {NAME_MAX} are the most")]
    LongName(usize),
    #[error("{name:?} in it is a sparse file: make the archive without --sparse")]
    Sparse { name: String },
    #[error("has more than {MAX_NODES} files")]
    TooMany,
    #[error(
        "decompressed it has more than {}, half of the host's memory: give a folder",
        crate::size::Size(*.0)
    )]
    Bomb(u64),
    #[error(transparent)]
    Host(#[from] io::Error),
}

/// A header, and what extensions say instead.
struct Entry {
    name: Vec<u8>,
    target: Vec<u8>,
    kind: EntryType,
    node: Node,
}

impl Index {
    /// The index of `file`, which is from `path`.
    ///
    /// # Errors
    /// It is no archive, or one that is refused.
    pub fn read(file: File, path: PathBuf) -> Result<Self, ArchiveError> {
        let mut builder = Builder::new();
        let mut reader = Reader::new(&file)?;
        while let Some(entry) = reader.next()? {
            builder.add(entry)?;
        }
        let nodes = builder.finish();
        let top = &nodes[0].children;
        let has = |name: &[u8]| top.iter().any(|(other, _)| **other == *name);
        if has(b"manifest.json") && (has(b"oci-layout") || has(b"repositories")) {
            return Err(ArchiveError::Layers);
        }
        let file = Arc::new(file);
        Ok(Self { file, path, nodes })
    }
}

/// Reads headers.
struct Reader<'a> {
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

impl<'a> Reader<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, len, at: 0 })
    }

    fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let kind = header.entry_type();
            let size = match extensions.size.filter(|_| !is_extension(kind)) {
                // Some archives say the size of what a link leads to.
                _ if is_header_only(kind) => 0,
                Some(size) => size,
                None => header.entry_size()?,
            };
            let start = self.at;
            let name = || {
                extensions
                    .name
                    .clone()
                    .unwrap_or(header.path_bytes().into())
            };
            let end = start.checked_add(size).filter(|&end| end <= self.len);
            let short = || ArchiveError::Short {
                name: text(&name()),
            };
            if kind.is_gnu_sparse() || extensions.is_sparse {
                return Err(ArchiveError::Sparse {
                    name: text(&name()),
                });
            }
            self.at = end.ok_or_else(short)?.next_multiple_of(BLOCK);
            if is_extension(kind) {
                if size > EXTENSION_MAX {
                    return Err(ArchiveError::LongName(size as usize));
                }
                let mut bytes = vec![0; size as usize];
                self.file.read_exact_at(&mut bytes, start)?;
                extensions.take(kind, bytes);
                continue;
            }
            let name = name();
            let target = header.link_name_bytes().unwrap_or_default().into_owned();
            return Ok(Some(Entry {
                name,
                target: extensions.target.unwrap_or(target),
                kind,
                node: Node {
                    mode: header.mode()? & !KIND,
                    user: extensions.user.unwrap_or(header.uid().unwrap_or(0)) as u32,
                    group: extensions.group.unwrap_or(header.gid().unwrap_or(0)) as u32,
                    modified_ns: extensions.modified_ns.unwrap_or_else(|| {
                        let seconds = i64::try_from(header.mtime().unwrap_or(0));
                        nanoseconds(seconds.unwrap_or(i64::MAX), 0)
                    }),
                    links: 1,
                    offset: start,
                    size,
                    target: Box::default(),
                    children: Vec::new(),
                },
            }));
        }
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

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Makes nodes of entries.
struct Builder {
    nodes: Vec<Node>,
    children: Vec<BTreeMap<Box<[u8]>, u32>>,
}

const TOP: u32 = 0;

impl Builder {
    fn new() -> Self {
        let mut builder = Self {
            nodes: Vec::new(),
            children: Vec::new(),
        };
        builder.push(folder());
        builder
    }

    fn push(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        self.children.push(BTreeMap::new());
        self.nodes.len() as u32 - 1
    }

    fn is_folder(&self, node: u32) -> bool {
        self.nodes[node as usize].mode & KIND == libc::S_IFDIR
    }

    fn add(&mut self, entry: Entry) -> Result<(), ArchiveError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(ArchiveError::TooMany);
        }
        let Entry {
            name,
            target,
            kind,
            mut node,
        } = entry;
        let path = components(&name)?;
        node.mode |= match kind {
            EntryType::Directory => libc::S_IFDIR,
            EntryType::Symlink => libc::S_IFLNK,
            EntryType::Char => libc::S_IFCHR,
            EntryType::Block => libc::S_IFBLK,
            EntryType::Fifo => libc::S_IFIFO,
            EntryType::Link | EntryType::Regular | EntryType::Continuous => libc::S_IFREG,
            // What POSIX asks for where a kind is not known.
            _ => libc::S_IFREG,
        };
        let Some((last, folders)) = path.split_last() else {
            // The archive's own root.
            if kind.is_dir() {
                self.nodes[TOP as usize] = Node {
                    links: 2,
                    size: 0,
                    ..node
                };
            }
            return Ok(());
        };
        let Some(parent) = self.parent(folders)? else {
            return Ok(());
        };
        if last.starts_with(WHITEOUT) {
            return Ok(());
        }
        let before = self.children[parent as usize].get(*last).copied();
        let made = match kind {
            EntryType::Link => {
                let Some(other) = self.find(&components(&target)?) else {
                    return Ok(());
                };
                if self.is_folder(other) {
                    return Ok(());
                }
                self.nodes[other as usize].links += 1;
                other
            }
            EntryType::Directory => {
                let node = Node {
                    links: 2,
                    size: 0,
                    ..node
                };
                match before.filter(|&before| self.is_folder(before)) {
                    Some(before) => {
                        self.nodes[before as usize] = node;
                        before
                    }
                    None => self.push(node),
                }
            }
            EntryType::Symlink => self.push(Node {
                size: target.len() as u64,
                target: target.into(),
                ..node
            }),
            _ => self.push(node),
        };
        self.children[parent as usize].insert((*last).into(), made);
        Ok(())
    }

    /// The folder at a path, which is made where there is none; `None` if there is something
    /// else.
    fn parent(&mut self, path: &[&[u8]]) -> Result<Option<u32>, ArchiveError> {
        let mut at = TOP;
        for name in path {
            at = match self.children[at as usize].get(*name).copied() {
                Some(child) if self.is_folder(child) => child,
                Some(_) => return Ok(None),
                None if self.nodes.len() >= MAX_NODES => return Err(ArchiveError::TooMany),
                None => {
                    let child = self.push(folder());
                    self.children[at as usize].insert((*name).into(), child);
                    child
                }
            };
        }
        Ok(Some(at))
    }

    fn find(&self, path: &[&[u8]]) -> Option<u32> {
        let mut at = TOP;
        for name in path {
            at = *self.children[at as usize].get(*name)?;
        }
        Some(at)
    }

    fn finish(mut self) -> Vec<Node> {
        for (node, children) in self.nodes.iter_mut().zip(self.children) {
            node.children = children.into_iter().collect();
        }
        self.nodes
    }
}

/// A folder that an archive has no header of.
fn folder() -> Node {
    Node {
        mode: libc::S_IFDIR | 0o755,
        user: 0,
        group: 0,
        modified_ns: 0,
        links: 2,
        offset: 0,
        size: 0,
        target: Box::default(),
        children: Vec::new(),
    }
}

/// The names in a path, from the archive's root.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, ArchiveError> {
    let mut names = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(ArchiveError::LeadsOut { name: text(path) }),
            _ if name.len() > NAME_MAX => return Err(ArchiveError::LongName(name.len())),
            _ if name.contains(&0) => return Err(ArchiveError::LeadsOut { name: text(path) }),
            _ => names.push(name),
        }
    }
    Ok(names)
}
