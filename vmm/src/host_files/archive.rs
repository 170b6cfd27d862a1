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

mod builder;
mod headers;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use builder::Builder;
use headers::Headers;

use super::{MAX_NODES, NAME_MAX};

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

impl Index {
    /// The index of `file`, which is from `path`.
    ///
    /// # Errors
    /// It is no archive, or one that is refused.
    pub fn read(file: File, path: PathBuf) -> Result<Self, ArchiveError> {
        let mut builder = Builder::new();
        let mut headers = Headers::of(&file)?;
        while let Some(entry) = headers.next()? {
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

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
