//! Files without a name (`memfd_create`), and their seals: what nobody may do to such a file
//! any more.

use abi::Errno;
use bitflags::bitflags;
use linux_raw_sys::general as linux;
use mm::file_pages::FilePages;
use mm::{Shared, spaces};

use crate::fs::bytes::Bytes;
use crate::fs::mount;
use crate::fs::node::{Kind, Node};
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::opened::Opened;

bitflags! {
    /// Seals.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Seals: u32 {
        /// Seals stay as they are.
        const SEAL = linux::F_SEAL_SEAL;
        /// The file gets no shorter.
        const SHRINK = linux::F_SEAL_SHRINK;
        /// It gets no longer.
        const GROW = linux::F_SEAL_GROW;
        /// Nobody writes to it.
        const WRITE = linux::F_SEAL_WRITE;
        /// Nobody does but by the mappings that there are.
        const FUTURE_WRITE = linux::F_SEAL_FUTURE_WRITE;
        /// Its permission to be executed stays.
        const EXEC = linux::F_SEAL_EXEC;
    }
}

/// Whether a file has any of these seals.
#[inline]
pub fn has(file: &FilePages, seals: Seals) -> bool {
    file.seals().is_some_and(|has| has & seals.bits() != 0)
}

/// A new file in no directory, which can be sealed unless it is sealed against that. Who looks
/// at what is open finds `name`.
///
/// # Errors
/// ENFILE, ENOMEM, ENAMETOOLONG.
pub fn create(name: &[u8], mode: u32, seals: Seals) -> Result<Shared<OpenFile>, Errno> {
    let pages = Shared::new(FilePages::new(&[]))?;
    pages.set_seals(seals.bits());
    let node = Node::new(Kind::File(pages), mode)?;
    let nowhere = mount::hidden()?;
    let opened = Opened {
        mount: nowhere.mount,
        node: node.clone(),
        directory: nowhere.node,
        name: Bytes::name(name)?,
    };
    let flags = linux::O_RDWR | linux::O_LARGEFILE;
    OpenFile::at(Object::Node(node), flags, opened)
}

/// The seals of an open file.
///
/// # Errors
/// EINVAL: it cannot have any.
pub fn get(open: &OpenFile) -> Result<Seals, Errno> {
    let seals = open.regular().and_then(|file| file.seals());
    seals.map(Seals::from_bits_retain).ok_or(Errno::EINVAL)
}

/// Adds seals to an open file.
///
/// # Errors
/// EINVAL: it cannot have any, or there are no such seals. EPERM: it is not open for writing,
/// or sealed against that. EBUSY: somebody could still write to it.
pub fn add(open: &OpenFile, seals: u32) -> Result<(), Errno> {
    let old = get(open);
    if !open.is_writable() {
        return Err(Errno::EPERM);
    }
    let seals = Seals::from_bits(seals).ok_or(Errno::EINVAL)?;
    let (old, file) = (old?, open.regular().ok_or(Errno::EINVAL)?);
    if old.contains(Seals::SEAL) {
        return Err(Errno::EPERM);
    }
    if seals.contains(Seals::WRITE) && !old.contains(Seals::WRITE) && spaces::may_write_shared(file)
    {
        return Err(Errno::EBUSY);
    }
    file.set_seals((old | seals).bits());
    Ok(())
}
