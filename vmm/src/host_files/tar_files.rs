//! The files of a tar archive.

use std::sync::Arc;

use abi::Errno;
use abi::host_files::Attributes;

use super::archive::{Index, Node};
use super::{KIND, Opened, Source, Visit, check_regular};

/// The files of an archive.
pub struct TarFiles(pub Arc<Index>);

impl TarFiles {
    fn node(&self, node: u64) -> Result<&Node, Errno> {
        let index = usize::try_from(node).map_err(|_| Errno::EINVAL)?;
        self.0.nodes.get(index).ok_or(Errno::EINVAL)
    }

    fn folder(&self, node: u64) -> Result<&Node, Errno> {
        let found = self.node(node)?;
        match found.mode & KIND {
            libc::S_IFDIR => Ok(found),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

impl Source for TarFiles {
    fn attributes(&mut self, node: u64) -> Result<Attributes, Errno> {
        let found = self.node(node)?;
        Ok(Attributes {
            node,
            size: found.size,
            modified_ns: found.modified_ns,
            mode: found.mode,
            links: found.links,
            user: found.user,
            group: found.group,
        })
    }

    fn look_up(&mut self, folder: u64, name: &[u8]) -> Result<Attributes, Errno> {
        let children = &self.folder(folder)?.children;
        let found = children.binary_search_by(|(other, _)| (**other).cmp(name));
        let (_, node) = children[found.map_err(|_| Errno::ENOENT)?];
        self.attributes(node.into())
    }

    fn list(&mut self, folder: u64, from: u64, visit: Visit<'_>) -> Result<bool, Errno> {
        let index = Arc::clone(&self.0);
        let first = usize::try_from(from).map_err(|_| Errno::EINVAL)?;
        self.folder(folder)?;
        let children = &index.nodes[folder as usize].children;
        let rest = children.get(first..).ok_or(Errno::EINVAL)?;
        for ((name, node), next) in rest.iter().zip(from + 1..) {
            if visit(name, self.attributes((*node).into())?, next).is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_link(&mut self, node: u64) -> Result<Vec<u8>, Errno> {
        let found = self.node(node)?;
        match found.mode & KIND {
            libc::S_IFLNK => Ok(found.target.to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&mut self, node: u64) -> Result<Opened, Errno> {
        let attributes = self.attributes(node)?;
        check_regular(attributes.mode)?;
        Ok(Opened {
            file: Arc::clone(&self.0.file),
            offset: self.node(node)?.offset,
            attributes,
            name: self.0.path.display().to_string(),
        })
    }
}
