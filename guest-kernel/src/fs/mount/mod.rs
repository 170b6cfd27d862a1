//! Mounts: which file system is seen where.
//!
//! ```text
//! Namespace         the mounts that its processes see
//!   Mount           a file system, or a part of it, and the place that it covers
//!     FileSystem    what it is, and its options: several mounts may show the same
//! ```
//!
//! A path is walked in a [`Location`]: a node, and the mount that it is seen through. A node
//! knows whether anything is mounted on it, through whichever mount it is seen, so that a walk
//! looks for a mount at no other. Rejected: a table of mounts that each step looks into; mounts
//! that take the places of nodes in the tree, where a part that is seen twice would be one.
//!
//! All mounts are private: what is mounted in one place appears in no other.

mod change;
mod copying;
mod file_system;
mod list;
mod namespace;
mod options;

use core::cell::{Cell, RefCell};
use core::iter;

use abi::Errno;
use bitflags::bitflags;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::bytes::Bytes;
use crate::fs::node::Node;
use crate::fs::opened::Opened;
use crate::fs::path;
use crate::fs::shared_list::{Link, Linked};
use list::All;

pub use change::{Wanted, bind, mount_new, move_mount, pivot, remount, set_flags, unmount};
pub use file_system::{FileSystem, Kind};
pub use list::{all, all_of, hidden, make_below, make_top};
pub use namespace::{FIRST, Namespace, top};
pub use options::Options;

bitflags! {
    /// What a mount forbids (Linux, mount(2)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Nothing is changed through it.
        const READ_ONLY = linux::MS_RDONLY;
        /// Programs have nobody else's rights.
        const NO_RIGHTS = linux::MS_NOSUID;
        /// Devices cannot be opened.
        const NO_DEVICES = linux::MS_NODEV;
        /// No file is run.
        const NO_PROGRAMS = linux::MS_NOEXEC;
        /// Reads are not noted.
        const NO_ACCESS_TIMES = linux::MS_NOATIME;
        /// Those of directories are not.
        const NO_DIRECTORY_TIMES = linux::MS_NODIRATIME;
        /// Each is, not only the first after a change.
        const ALL_ACCESS_TIMES = linux::MS_STRICTATIME;
    }
}

/// A file system, or a part of it, and the place that it covers.
pub struct Mount {
    number: u32,
    file_system: Shared<FileSystem>,
    /// What it shows: mostly a directory.
    top: Shared<Node>,
    /// The directory that this is in, and its name there, if it is none.
    top_place: Option<(Shared<Node>, Bytes)>,
    /// Who has mounted it from what, as text.
    source: Bytes,
    flags: Cell<MountFlags>,
    /// Number of its namespace; 0 if it is not mounted any more.
    namespace: Cell<u64>,
    /// What it covers; `None` for the first of a namespace, and if it is not mounted.
    place: RefCell<Option<Opened>>,
    /// Files that are open for writing through it.
    writers: Cell<u32>,
    /// While mounts are copied, its copy.
    copy: RefCell<Option<Shared<Mount>>>,
    link: Link<Mount>,
}

impl Linked<All> for Mount {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Mount {
    /// A number that no other has.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What it shows, or a part of it.
    pub fn file_system(&self) -> &Shared<FileSystem> {
        &self.file_system
    }

    /// What of this it shows.
    pub fn top(&self) -> &Shared<Node> {
        &self.top
    }

    /// The directory that this is in, and its name there, if it is no directory.
    pub fn top_place(&self) -> Option<(&Shared<Node>, &[u8])> {
        let place = self.top_place.as_ref();
        place.map(|(directory, name)| (directory, &**name))
    }

    /// What is said to be mounted.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// What it forbids.
    pub fn flags(&self) -> MountFlags {
        self.flags.get()
    }

    /// Number of the namespace that it is in, or 0.
    pub fn namespace(&self) -> u64 {
        self.namespace.get()
    }

    /// The place that it covers, if there is one.
    pub fn place(&self) -> Option<Location> {
        let place = self.place.borrow();
        place.as_ref().map(Opened::location)
    }

    /// The same with its name.
    pub fn named_place(&self) -> Option<Opened> {
        self.place.borrow().as_ref()?.try_clone().ok()
    }

    /// The mount that it is on, if there is one.
    pub fn parent(&self) -> Option<Shared<Mount>> {
        let place = self.place.borrow();
        place.as_ref().map(|place| place.mount.clone())
    }

    /// Whether `other` is it, or on it across mounts. No mount is on itself in this way, so that
    /// whoever follows places comes to an end.
    pub fn carries(&self, other: &Shared<Mount>) -> bool {
        iter::successors(Some(other.clone()), |mount| mount.parent())
            .any(|mount| core::ptr::eq(&*mount, self))
    }

    /// Whether it shows `directory`, which has been reached through it: a part of a file system
    /// loses what is moved out of it.
    pub fn shows(&self, directory: &Shared<Node>) -> bool {
        Shared::is_same(&self.top, self.file_system.top()) || path::is_inside(directory, &self.top)
    }

    /// Whether nothing can be changed through it.
    pub fn is_read_only(&self) -> bool {
        self.has(MountFlags::READ_ONLY) || self.file_system.is_read_only()
    }

    /// Whether it forbids this.
    pub fn has(&self, flag: MountFlags) -> bool {
        self.flags.get().contains(flag)
    }

    /// Fails unless things can be changed through it.
    ///
    /// # Errors
    /// EROFS.
    pub fn check_writable(&self) -> Result<(), Errno> {
        match self.is_read_only() {
            true => Err(Errno::EROFS),
            false => Ok(()),
        }
    }

    /// Notes that `node` is read through it.
    pub fn note_access(&self, node: &Node) {
        let flags = self.flags.get();
        let is_left = flags.contains(MountFlags::NO_ACCESS_TIMES)
            || flags.contains(MountFlags::NO_DIRECTORY_TIMES) && node.is_directory();
        if is_left || self.is_read_only() {
            return;
        }
        match flags.contains(MountFlags::ALL_ACCESS_TIMES) {
            true => node.times().note_each_access(),
            false => node.times().note_access(),
        }
    }

    /// Counts one more file that is open for writing through it (1), or one less (-1).
    pub fn count_writer(&self, change: i32) {
        let writers = self.writers.get();
        self.writers.set(writers.saturating_add_signed(change));
    }
}

/// A node as it is seen through a mount.
#[derive(Clone)]
pub struct Location {
    /// The mount.
    pub mount: Shared<Mount>,
    /// The node.
    pub node: Shared<Node>,
}

impl Location {
    /// Whether both are the same.
    pub fn is_same(&self, other: &Self) -> bool {
        Shared::is_same(&self.node, &other.node) && Shared::is_same(&self.mount, &other.mount)
    }

    /// Whether it is what its mount shows as a whole.
    pub fn is_top(&self) -> bool {
        Shared::is_same(&self.node, &self.mount.top)
    }

    /// What is seen here: the last of what has been mounted here, one on the other.
    #[inline]
    pub fn seen(self) -> Self {
        match self.node.is_covered() {
            true => self.uppermost(),
            false => self,
        }
    }

    #[inline(never)]
    fn uppermost(mut self) -> Self {
        while self.node.is_covered()
            && let Some(mount) = list::mounted_on(&self)
        {
            self.node = mount.top.clone();
            self.mount = mount;
        }
        self
    }

    /// Whether something is mounted here.
    pub fn is_covered(&self) -> bool {
        self.node.is_covered() && list::mounted_on(self).is_some()
    }

    /// Whether it is `ancestor`, or in it, across mounts: of places that mounts cover, a directory
    /// may have been moved out of what its mount shows.
    pub fn is_inside(&self, ancestor: &Self) -> bool {
        let mut here = self.clone();
        while !Shared::is_same(&here.mount, &ancestor.mount) {
            match here.mount.place() {
                Some(place) => here = place,
                None => return false,
            }
        }
        path::is_inside(&here.node, &ancestor.node)
    }
}

#[cfg(test)]
mod tests;
