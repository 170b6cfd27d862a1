//! The two smallest sources: one file, and folders that join others.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use abi::Errno;
use abi::host_files::Attributes;

use super::{Opened, Source, Visit, check_regular, errno};

/// A file of the host.
pub struct OneFile {
    file: Arc<File>,
    name: String,
}

impl OneFile {
    /// The regular file `file`, which is from `path`.
    pub fn new(file: File, path: &Path) -> Self {
        Self {
            file: Arc::new(file),
            name: path.display().to_string(),
        }
    }
}

impl Source for OneFile {
    fn attributes(&mut self, _: u64) -> Result<Attributes, Errno> {
        let found = self.file.metadata().map_err(|error| errno(&error))?;
        Ok(Attributes {
            node: 0,
            size: found.size(),
            modified_ns: nanoseconds(found.mtime(), found.mtime_nsec()),
            mode: found.mode(),
            links: 1,
            user: found.uid(),
            group: found.gid(),
        })
    }

    fn look_up(&mut self, _: u64, _: &[u8]) -> Result<Attributes, Errno> {
        Err(Errno::ENOTDIR)
    }

    fn list(&mut self, _: u64, _: u64, _: Visit<'_>) -> Result<bool, Errno> {
        Err(Errno::ENOTDIR)
    }

    fn read_link(&mut self, _: u64) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn open(&mut self, node: u64) -> Result<Opened, Errno> {
        let attributes = self.attributes(node)?;
        check_regular(attributes.mode)?;
        Ok(Opened {
            file: Arc::clone(&self.file),
            offset: 0,
            attributes,
            name: self.name.clone(),
        })
    }
}

/// Folders with nothing in them but what the tree adds. Every number is one of them.
pub struct Joints {
    made_ns: i64,
}

impl Joints {
    /// Folders made now.
    pub fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            made_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

impl Source for Joints {
    fn attributes(&mut self, node: u64) -> Result<Attributes, Errno> {
        Ok(Attributes {
            node,
            size: 0,
            modified_ns: self.made_ns,
            mode: libc::S_IFDIR | 0o755,
            links: 2,
            user: 0,
            group: 0,
        })
    }

    fn look_up(&mut self, _: u64, _: &[u8]) -> Result<Attributes, Errno> {
        Err(Errno::ENOENT)
    }

    fn list(&mut self, _: u64, _: u64, _: Visit<'_>) -> Result<bool, Errno> {
        Ok(true)
    }

    fn read_link(&mut self, _: u64) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn open(&mut self, _: u64) -> Result<Opened, Errno> {
        Err(Errno::EISDIR)
    }
}

/// A time of the host: seconds and nanoseconds, in nanoseconds.
pub fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
