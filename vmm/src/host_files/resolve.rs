//! Paths in the tree, as the guest would follow them: for the program that it starts with.

use abi::Errno;
use abi::host_files::{Attributes, ROOT};

use super::{KIND, Tree};

/// Most links that a path leads through, as Linux has it.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is there.
    pub attributes: Attributes,
    /// Its path without links, from the root.
    pub path: Vec<u8>,
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// There is nothing of that name.
    Missing,
    /// Linux's error.
    Failed(Errno),
}

impl From<Errno> for Unresolved {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ENOENT | Errno::ENOTDIR => Self::Missing,
            error => Self::Failed(error),
        }
    }
}

impl Tree {
    /// Follows `path` from the root, and links on the way.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn resolve(&mut self, path: &[u8]) -> Result<Found, Unresolved> {
        let (mut way, mut links) = (vec![(ROOT, Vec::new())], 0);
        let mut rest = parts(path);
        while let Some(name) = rest.pop() {
            let &(folder, _) = way.last().ok_or(Unresolved::Missing)?;
            if name == b".." {
                way.truncate(way.len().saturating_sub(1).max(1));
                continue;
            }
            let found = self.look_up(folder, &name)?;
            if found.mode & KIND != libc::S_IFLNK {
                way.push((found.node, name));
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Unresolved::Missing);
            }
            let target = self.read_link(found.node)?;
            if target.starts_with(b"/") {
                way.truncate(1);
            }
            rest.extend(parts(&target));
        }
        let names = way
            .iter()
            .skip(1)
            .map(|(_, name)| [b"/", &name[..]].concat());
        let path = names.collect::<Vec<_>>().concat();
        let &(node, _) = way.last().ok_or(Unresolved::Missing)?;
        Ok(Found {
            attributes: self.attributes(node)?,
            path,
        })
    }
}

/// The names in a path, the last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|&byte| byte == b'/').rev();
    let names = names.filter(|name| !matches!(*name, b"" | b"."));
    names.map(<[u8]>::to_vec).collect()
}
