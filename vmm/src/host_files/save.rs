//! What a user wants to have of the guest's files.

use std::io;
use std::path::PathBuf;

/// Something to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    /// A file or a folder of the guest, from its root.
    pub guest: PathBuf,
    /// What it becomes: nothing is there yet, or an empty folder.
    pub host: PathBuf,
    /// Whether also if the guest's program fails.
    pub always: bool,
}

impl Save {
    /// The folder of the host in which something is made.
    pub(crate) fn folder(&self) -> PathBuf {
        if self.host.is_dir() {
            return self.host.clone();
        }
        match self.host.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => ".".into(),
        }
    }
}

/// Why something cannot be saved.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SaveError {
    #[error("{host}: {source}", host = .host.display())]
    Host { host: PathBuf, source: io::Error },
    #[error(
        "{host} exists: give a name that does not, or an empty folder",
        host = .0.display()
    )]
    Exists(PathBuf),
    #[error("{host} is given twice", host = .0.display())]
    Twice(PathBuf),
}
