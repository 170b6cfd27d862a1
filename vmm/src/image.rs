//! Files of the host that become part of a guest: regular files of a bounded size, read
//! whole. A pipe or a device was rejected: it may never end, and never begin.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::size::Size;

/// The bytes of such a file, or of one that the binary carries; clones share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// Carried by the binary.
    Bundled(&'static [u8]),
    /// Read from the host, or made.
    Owned(Arc<Vec<u8>>),
}

impl Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bundled(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(Arc::new(bytes))
    }
}

/// Why a file cannot be an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The host does not give it.
    #[error("{path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The host's reason.
        source: io::Error,
    },
    /// It is not a regular file.
    #[error("{path} is {what}: give a regular file", path = .path.display())]
    NotAFile {
        /// What was to be a file.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// Guest memory cannot hold it.
    #[error(
        "{path} has {size}, guest memory has room for {room}: give more with --memory",
        path = .path.display(),
        size = Size(*.size),
        room = Size(*.room)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        size: u64,
        /// Bytes that guest memory has for one.
        room: u64,
    },
}

impl ImageError {
    /// That the host does not give the file at `path`, for this reason.
    pub(crate) fn unreadable(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Unreadable { path, source }
    }
}

impl Image {
    /// Reads the regular file at `path`, if it has at most `room` bytes.
    ///
    /// # Errors
    /// Anything else at `path`, and every error of the host, lack of memory included.
    pub fn read(path: &Path, room: u64) -> Result<Self, ImageError> {
        let unreadable = |source| ImageError::unreadable(path, source);
        let (file, metadata) = open(path, false)?;
        let size = metadata.len();
        if size > room {
            return Err(ImageError::TooLarge {
                path: path.to_owned(),
                size,
                room,
            });
        }
        let mut bytes = Vec::new();
        usize::try_from(size)
            .ok()
            .and_then(|size| bytes.try_reserve_exact(size).ok())
            .ok_or_else(|| unreadable(io::ErrorKind::OutOfMemory.into()))?;
        // Bytes that are appended meanwhile are not read.
        file.take(size)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        Ok(bytes.into())
    }
}

/// The empty file.
pub const NULL: &str = "/dev/null";

/// Opens the regular file at `path`, or [`NULL`], for reading.
///
/// # Errors
/// Anything else at `path`, and every error of the host.
pub fn open_or_null(path: &Path) -> Result<File, ImageError> {
    Ok(open(path, path == Path::new(NULL))?.0)
}

/// Opens the file at `path`, which may be something else if `any`. That it is a pipe with
/// nobody at its other end is no reason to wait.
fn open(path: &Path, any: bool) -> Result<(File, Metadata), ImageError> {
    let unreadable = |source| ImageError::unreadable(path, source);
    // Checked first: opening a device may have an effect.
    let check = |metadata: &Metadata| match any {
        true => Ok(()),
        false => check(path, metadata),
    };
    check(&fs::metadata(path).map_err(unreadable)?)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    check(&metadata)?;
    Ok((file, metadata))
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), ImageError> {
    let kind = metadata.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(ImageError::NotAFile {
        path: path.to_owned(),
        what,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Image, ImageError};

    #[test]
    fn only_a_regular_file_is_read() {
        let image = Image::read(Path::new("Cargo.toml"), 1 << 20).expect("the package's own");
        assert!(image.starts_with(b"[package]"));
        for (path, kind) in [("/", "a directory"), ("/dev/zero", "a device")] {
            match Image::read(Path::new(path), u64::MAX) {
                Err(ImageError::NotAFile { what, .. }) => assert_eq!(what, kind),
                other => panic!("{other:?}"),
            }
        }
        let error = Image::read(Path::new("Cargo.toml"), 10).expect_err("it has more");
        assert!(error.to_string().contains("room for 10 bytes"), "{error}");
    }
}
