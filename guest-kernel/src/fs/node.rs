//! Nodes of the file tree: files, directories, links and devices, independent of names and
//! open files.
//!
//! A directory has names that stand for nodes, so a node may have several names, and lives
//! as long as it has one or anybody uses it. Only a directory has one place, which it knows
//! for `..`: removing it from there cuts both ways, so a directory that was removed leads
//! nowhere.

use core::cell::Cell;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::file_pages::FilePages;
use mm::{OutOfMemory, Shared};

use crate::fs::device::DeviceNumber;
use crate::fs::directory::Directory;
use crate::fs::events::inotify;
use crate::fs::extended::Attributes;
use crate::fs::fifo::Fifo;
use crate::fs::link_target::LinkTarget;
use crate::fs::locks::FileLocks;
use crate::fs::proc_files::ProcFile;
use crate::fs::stamp::{Stamp, Times};

/// Permission bits of a mode, and those that change what a program runs as.
pub const MODE_MASK: u32 = 0o7777;

/// What a node is.
pub enum Kind {
    /// A file.
    File(Shared<FilePages>),
    /// A directory.
    Directory(Directory),
    /// A symbolic link.
    Link(LinkTarget),
    /// A character device.
    Characters(DeviceNumber),
    /// A block device.
    Blocks(DeviceNumber),
    /// A FIFO.
    Fifo(Fifo),
    /// A socket, which is found by it.
    Socket,
    /// A file of `/proc`, generated when it is read.
    Proc(ProcFile),
}

/// A node of the file tree.
pub struct Node {
    kind: Kind,
    number: u64,
    mode: Cell<u32>,
    user: Cell<u32>,
    group: Cell<u32>,
    links: Cell<u32>,
    /// How many have it open for writing, or less than zero by how many programs of it run.
    uses: Cell<i32>,
    /// Whether it may have a name though it has none.
    is_linkable: Cell<bool>,
    /// How many watch it.
    watches: Cell<u8>,
    /// How many mounts cover it, through whichever mounts it is seen.
    covers: Cell<u32>,
    times: Times,
    locks: FileLocks,
    attributes: Attributes,
}

/// Number of the node made last.
#[cfg(not(test))]
static LAST_NUMBER: single_cpu::SingleCpu<Cell<u64>> = single_cpu::SingleCpu::new(Cell::new(0));

// Tests run at the same time and each has its own.
#[cfg(test)]
std::thread_local! {
    static LAST_NUMBER: Cell<u64> = const { Cell::new(0) };
}

impl Node {
    /// A node without a name, with a number of its own and the permission bits of `mode`.
    /// The superuser owns it.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(kind: Kind, mode: u32) -> Result<Shared<Self>, OutOfMemory> {
        let number = LAST_NUMBER.get() + 1;
        LAST_NUMBER.set(number);
        Self::with_number(kind, mode, number)
    }

    /// A node with this number, which others may have too.
    ///
    /// # Errors
    /// There is no memory.
    pub fn with_number(kind: Kind, mode: u32, number: u64) -> Result<Shared<Self>, OutOfMemory> {
        let links = match kind {
            // Its name and its own `.`.
            Kind::Directory(_) => 2,
            _ => 0,
        };
        Shared::new(Self {
            kind,
            number,
            mode: Cell::new(mode & MODE_MASK),
            user: Cell::new(0),
            group: Cell::new(0),
            links: Cell::new(links),
            uses: Cell::new(0),
            is_linkable: Cell::new(false),
            watches: Cell::new(0),
            covers: Cell::new(0),
            times: Times::all(Stamp::now()),
            locks: FileLocks::new(),
            attributes: Attributes::none(),
        })
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether it is a directory of any kind.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// Whether it is generated, so that another look-up finds another node.
    pub fn is_generated(&self) -> bool {
        match &self.kind {
            Kind::Directory(directory) => directory.is_generated(),
            Kind::Proc(_) => true,
            _ => false,
        }
    }

    /// What is in it.
    ///
    /// # Errors
    /// ENOTDIR.
    pub fn directory(&self) -> Result<&Directory, Errno> {
        match &self.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Its bytes, if it is a file.
    pub fn pages(&self) -> Option<&Shared<FilePages>> {
        match &self.kind {
            Kind::File(pages) => Some(pages),
            _ => None,
        }
    }

    /// The locks that programs have set on it.
    pub fn locks(&self) -> &FileLocks {
        &self.locks
    }

    /// Its extended attributes.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Counts one more that writes it (1) or runs it (-1).
    ///
    /// # Errors
    /// ETXTBSY: others do the other.
    pub fn count_use(&self, kind: i32) -> Result<(), Errno> {
        let uses = self.uses.get();
        if uses.signum() == -kind {
            return Err(Errno::ETXTBSY);
        }
        self.uses.set(uses + kind);
        Ok(())
    }

    /// Ends what [`count_use`](Self::count_use) has begun.
    pub fn end_use(&self, kind: i32) {
        self.uses.set(self.uses.get() - kind);
    }

    /// Fails if somebody has it open for writing.
    ///
    /// # Errors
    /// ETXTBSY.
    pub fn check_not_written(&self) -> Result<(), Errno> {
        match self.uses.get() {
            1.. => Err(Errno::ETXTBSY),
            _ => Ok(()),
        }
    }

    /// Fails if a program of it runs, which writing would change.
    ///
    /// # Errors
    /// ETXTBSY.
    pub fn check_not_running(&self) -> Result<(), Errno> {
        match self.uses.get() {
            ..0 => Err(Errno::ETXTBSY),
            _ => Ok(()),
        }
    }

    /// Its number, as `stat` has it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Type and permission bits, as `stat` has them.
    pub fn mode(&self) -> u32 {
        let kind = match &self.kind {
            Kind::Directory(_) => linux::S_IFDIR,
            Kind::Link(_) => linux::S_IFLNK,
            Kind::Characters(_) => linux::S_IFCHR,
            Kind::Blocks(_) => linux::S_IFBLK,
            Kind::Fifo(_) => linux::S_IFIFO,
            Kind::Socket => linux::S_IFSOCK,
            Kind::File(_) => linux::S_IFREG,
            Kind::Proc(file) => file.mode() & linux::S_IFMT,
        };
        kind | self.mode.get()
    }

    /// Sets the permission bits.
    pub fn set_mode(&self, mode: u32) {
        self.mode.set(mode & MODE_MASK);
        self.times.note_change();
    }

    /// Its owner.
    pub fn user(&self) -> u32 {
        self.user.get()
    }

    /// Its group.
    pub fn group(&self) -> u32 {
        self.group.get()
    }

    /// Gives it to this user and group.
    pub fn set_owner(&self, user: u32, group: u32) {
        self.user.set(user);
        self.group.set(group);
        self.times.note_change();
    }

    /// How many names it has; for a directory, with those in itself and in directories that
    /// are in it.
    pub fn links(&self) -> u32 {
        self.links.get()
    }

    /// Sets that.
    pub fn set_links(&self, links: u32) {
        self.links.set(links);
    }

    /// Whether it has no name any more, or none yet.
    pub fn is_removed(&self) -> bool {
        self.links() == 0
    }

    /// Lets it have a name though it has none (`O_TMPFILE`).
    pub fn make_linkable(&self) {
        self.is_linkable.set(true);
    }

    /// Whether it can have another name, or its first.
    pub fn is_linkable(&self) -> bool {
        !self.is_removed() || self.is_linkable.get()
    }

    /// For [`Directory`]: another name stands for it.
    pub fn add_link(&self) {
        self.links.set(self.links() + 1);
        self.times.note_change();
    }

    /// For [`Directory`]: one less does, or none if it is a directory itself.
    pub fn remove_link(&self) {
        let left = match self.kind {
            Kind::Directory(_) => 0,
            _ => self.links() - 1,
        };
        self.links.set(left);
        self.times.note_change();
    }

    /// For [`Directory`]: it has this many directories more, or less.
    pub fn count_directory(&self, change: i32) {
        self.links.set(self.links().saturating_add_signed(change));
    }

    /// Whether it has watches (`inotify`).
    pub fn is_watched(&self) -> bool {
        self.watches.get() != 0
    }

    /// For [`inotify`]: it has one watch more (1), or one less (-1).
    pub fn count_watch(&self, change: i8) {
        let watches = self.watches.get();
        self.watches.set(watches.saturating_add_signed(change));
    }

    /// Whether a mount covers it, through whichever mount it is seen.
    pub fn is_covered(&self) -> bool {
        self.covers.get() != 0
    }

    /// For [`mount`](super::mount): one mount more covers it (1), or one less (-1).
    pub fn count_cover(&self, change: i32) {
        self.covers
            .set(self.covers.get().saturating_add_signed(change));
    }

    /// When what happened to it.
    pub fn times(&self) -> &Times {
        &self.times
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.is_watched() {
            inotify::node_ends(self);
        }
    }
}
