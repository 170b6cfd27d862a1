//! Nodes of the file tree: files, directories and devices, independent of names and open
//! files.
//!
//! A directory owns its nodes, and each node its parent, for `..`: removing a node from
//! its directory cuts both ways. So a node lives as long as it has a name or anybody uses
//! it, and a directory that was removed leads nowhere.

use core::cell::{Cell, RefCell};

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::file_pages::FilePages;
use mm::{OutOfMemory, Owned, Shared};

use crate::fs::device::Device;
use crate::fs::directory::Directory;
use crate::fs::proc_files::ProcFile;

/// Longest name of a node, in bytes.
pub const NAME_MAX: usize = linux::NAME_MAX as usize;

/// Permission bits of a mode, and those that change what a program runs as.
pub const MODE_MASK: u32 = 0o7777;

/// What a node is.
pub enum Kind {
    /// A file.
    File(Shared<FilePages>),
    /// A directory whose nodes are kept in memory.
    Directory(Directory),
    /// A device.
    Device(Device),
    /// A file of `/proc`, generated when it is read.
    Proc(ProcFile),
}

/// A node of the file tree.
pub struct Node {
    kind: Kind,
    number: u64,
    mode: Cell<u32>,
    name: RefCell<Name>,
    /// `None` for the root and for what has been removed.
    parent: RefCell<Option<Shared<Node>>>,
}

/// Number of the node made last.
#[cfg(not(test))]
static LAST_NUMBER: arch::SingleCpu<Cell<u64>> = arch::SingleCpu::new(Cell::new(0));

// Tests run at the same time and each has its own.
#[cfg(test)]
std::thread_local! {
    static LAST_NUMBER: Cell<u64> = const { Cell::new(0) };
}

impl Node {
    /// A node outside the tree, with a number of its own and the permission bits of
    /// `mode`.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(kind: Kind, mode: u32, name: Name) -> Result<Shared<Self>, OutOfMemory> {
        let number = LAST_NUMBER.get() + 1;
        LAST_NUMBER.set(number);
        Self::with_number(kind, mode, name, number)
    }

    /// A node outside the tree with this number.
    ///
    /// # Errors
    /// There is no memory.
    pub fn with_number(
        kind: Kind,
        mode: u32,
        name: Name,
        number: u64,
    ) -> Result<Shared<Self>, OutOfMemory> {
        Shared::new(Self {
            kind,
            number,
            mode: Cell::new(mode & MODE_MASK),
            name: RefCell::new(name),
            parent: RefCell::new(None),
        })
    }

    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether it is a directory of any kind.
    pub fn is_directory(&self) -> bool {
        match &self.kind {
            Kind::Directory(_) => true,
            Kind::Proc(file) => file.is_directory(),
            _ => false,
        }
    }

    /// Its number, as `stat` has it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Type and permission bits, as `stat` has them.
    pub fn mode(&self) -> u32 {
        let kind = match &self.kind {
            Kind::Device(_) => linux::S_IFCHR,
            _ if self.is_directory() => linux::S_IFDIR,
            _ => linux::S_IFREG,
        };
        kind | self.mode.get()
    }

    /// Sets the permission bits.
    pub fn set_mode(&self, mode: u32) {
        self.mode.set(mode & MODE_MASK);
    }

    /// Calls `use_name` with its name: empty for the root.
    pub fn with_name<R>(&self, use_name: impl FnOnce(&[u8]) -> R) -> R {
        use_name(self.name.borrow().bytes())
    }

    /// The directory that it is in: `None` for the root and for what has been removed.
    pub fn parent(&self) -> Option<Shared<Node>> {
        self.parent.borrow().clone()
    }

    /// Whether it has been removed from the tree.
    pub fn is_removed(&self) -> bool {
        self.parent.borrow().is_none() && !self.name.borrow().bytes().is_empty()
    }

    /// Sets its parent, for [`Directory`] and `/proc`.
    pub fn set_parent(&self, parent: Option<Shared<Node>>) {
        *self.parent.borrow_mut() = parent;
    }

    /// For [`Directory`]: gives it another name.
    pub fn set_name(&self, name: Name) {
        *self.name.borrow_mut() = name;
    }

    /// Its nodes, if it is a directory whose nodes can be changed.
    ///
    /// # Errors
    /// ENOTDIR if it is no directory, EROFS if nobody can change it, ENOENT if it has been
    /// removed and so cannot have any.
    pub fn directory(&self) -> Result<&Directory, Errno> {
        match &self.kind {
            Kind::Directory(_) if self.is_removed() => Err(Errno::ENOENT),
            Kind::Directory(directory) => Ok(directory),
            Kind::Proc(file) if file.is_directory() => Err(Errno::EROFS),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

/// A node's name: at most [`NAME_MAX`] bytes, none a slash or zero.
pub enum Name {
    /// Where the initramfs has it, or the kernel.
    InPlace(&'static [u8]),
    /// From a program.
    Own(Owned<OwnName>),
}

/// A name that a program gave.
pub struct OwnName {
    len: u8,
    bytes: [u8; NAME_MAX],
}

impl Name {
    /// A copy of `bytes`.
    ///
    /// # Errors
    /// ENAMETOOLONG, or ENOMEM.
    pub fn new(bytes: &[u8]) -> Result<Self, Errno> {
        let mut name = OwnName {
            len: u8::try_from(bytes.len()).map_err(|_| Errno::ENAMETOOLONG)?,
            bytes: [0; NAME_MAX],
        };
        name.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(Self::Own(Owned::new(name)?))
    }

    /// The name.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Own(name) => &name.bytes[..usize::from(name.len)],
        }
    }
}
