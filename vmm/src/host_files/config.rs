//! Which files a guest gets, as the user says it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use abi::Errno;

use super::Source;
use super::archive::{ArchiveError, Index};
use super::folder::Folder;
use super::gzip;
use super::small::OneFile;
use super::tar_files::TarFiles;
use super::tree::{MAX_SOURCES, Tree};

/// The files of the host that a guest can read; clones share an archive's index.
#[derive(Clone, Debug, Default)]
pub struct FilesConfig {
    /// All that the guest has; without it the bundled programs.
    pub root: Option<Root>,
    /// What comes to that, the later hiding the earlier.
    pub added: Vec<Addition>,
}

/// The guest's root.
#[derive(Clone, Debug)]
pub enum Root {
    /// A folder of the host.
    Folder(PathBuf),
    /// A tar archive.
    Archive(Arc<Index>),
}

/// A folder or a file of the host, and where the guest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// On the host.
    pub host: PathBuf,
    /// In the guest, from the root.
    pub guest: PathBuf,
}

/// Why files cannot be given to a guest.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum FilesError {
    #[error("{path}: {source}", path = .path.display())]
    Host { path: PathBuf, source: io::Error },
    #[error("{path}: {source}", path = .path.display())]
    Archive { path: PathBuf, source: ArchiveError },
    #[error("{path} is neither a folder nor a regular file", path = .0.display())]
    Special(PathBuf),
    #[error("{guest} cannot be added to the guest's files: {why}", guest = .guest.display())]
    Place { guest: PathBuf, why: &'static str },
    #[error(
        "a guest with files of the host has at most {} of memory: give less with --memory",
        crate::size::Size(*.0)
    )]
    TooMuchMemory(u64),
}

impl Root {
    /// The root at `path`: a folder, or an archive, perhaps compressed by gzip.
    ///
    /// # Errors
    /// It is neither.
    pub fn read(path: &Path) -> Result<Self, FilesError> {
        let of_host = |source| host_error(path, source);
        let found = fs::metadata(path).map_err(of_host)?;
        if found.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let file = open_regular(path)?;
        let index = gzip::decompressed(file).and_then(|file| Index::read(file, path.to_owned()));
        match index {
            Ok(index) => Ok(Self::Archive(Arc::new(index))),
            Err(ArchiveError::Host(source)) => Err(of_host(source)),
            Err(source) => Err(FilesError::Archive {
                path: path.to_owned(),
                source,
            }),
        }
    }
}

impl FilesConfig {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.root.is_none() && self.added.is_empty()
    }

    /// Where they are on the host, but for an archive, which is open.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let root = match &self.root {
            Some(Root::Folder(path)) => Some(path),
            Some(Root::Archive(_)) | None => None,
        };
        let added = self.added.iter().map(|addition| &addition.host);
        root.into_iter().chain(added).map(PathBuf::as_path)
    }

    /// The folders of the host among them.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.paths().filter(|path| path.is_dir())
    }

    /// Opens them.
    ///
    /// # Errors
    /// What is missing or of the wrong kind.
    pub fn open(&self) -> Result<Tree, FilesError> {
        let mut tree = Tree::new(match &self.root {
            None => None,
            Some(Root::Folder(path)) => Some(folder(path)?),
            Some(Root::Archive(index)) => Some(Box::new(TarFiles(Arc::clone(index)))),
        });
        for Addition { host, guest } in &self.added {
            let source = match fs::metadata(host) {
                Err(source) => return Err(host_error(host, source)),
                Ok(found) if found.is_dir() => folder(host)?,
                Ok(_) => Box::new(OneFile::new(open_regular(host)?, host)),
            };
            let added = tree.add(guest.as_os_str().as_bytes(), source);
            added.map_err(|error| FilesError::Place {
                guest: guest.clone(),
                why: match error {
                    Errno::ENOTDIR => "its path leads through a link or a file",
                    Errno::EBUSY => "give the root with --root",
                    Errno::ENFILE => TOO_MANY,
                    _ => "its path is invalid",
                },
            })?;
        }
        Ok(tree)
    }
}

const TOO_MANY: &str = "254 can be added at most";
const _: () = assert!(MAX_SOURCES == 254 + 2);

fn folder(path: &Path) -> Result<Box<dyn Source>, FilesError> {
    match Folder::open(path) {
        Ok(folder) => Ok(Box::new(folder)),
        Err(source) => Err(host_error(path, source)),
    }
}

fn host_error(path: &Path, source: io::Error) -> FilesError {
    let path = path.to_owned();
    FilesError::Host { path, source }
}

/// Opens a regular file; nothing else, as that may have an effect, or have to wait.
fn open_regular(path: &Path) -> Result<File, FilesError> {
    let of_host = |source| host_error(path, source);
    let special = || FilesError::Special(path.to_owned());
    if !fs::metadata(path).map_err(of_host)?.is_file() {
        return Err(special());
    }
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(of_host)?;
    match file.metadata().map_err(of_host)?.is_file() {
        true => Ok(file),
        false => Err(special()),
    }
}
