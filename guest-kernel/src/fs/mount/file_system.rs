//! What is mounted.

use core::cell::Cell;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::file_pages::FilePages;
use mm::quota::Budget;
use mm::{Shared, frames};

use crate::fs::directory::{self, Directory};
use crate::fs::mount::options::Options;
use crate::fs::node::{self, Node};
use crate::fs::{proc_files, ramfs};

/// What a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The files of the host and of the initramfs.
    Root,
    /// Files in memory.
    Memory,
    /// `/proc`. There is one, however often it is mounted.
    Proc,
    /// The pseudo-terminals: one, too.
    Terminals,
    /// The devices: what the root has in `/dev`.
    Devices,
}

impl Kind {
    /// Those that can be mounted.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Proc, Self::Terminals, Self::Devices];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "rootfs",
            Self::Memory => "tmpfs",
            Self::Proc => "proc",
            Self::Terminals => "devpts",
            Self::Devices => "devtmpfs",
        }
    }

    /// What `statfs` says that it is.
    pub const fn magic(self) -> u32 {
        match self {
            Self::Proc => linux::PROC_SUPER_MAGIC,
            Self::Terminals => linux::DEVPTS_SUPER_MAGIC,
            Self::Root | Self::Memory | Self::Devices => linux::TMPFS_MAGIC,
        }
    }

    /// Minor number of the device that it is on, where there is only one of the kind: the major
    /// one is 0, as of all that is no disk.
    const fn device(self) -> u32 {
        match self {
            Self::Root => 1,
            Self::Proc => 2,
            // 3 is that of pipes.
            Self::Terminals => 4,
            Self::Devices => 5,
            Self::Memory => 0,
        }
    }
}

/// A file system.
pub struct FileSystem {
    kind: Kind,
    device: u32,
    /// Its root directory.
    top: Shared<Node>,
    options: Cell<Options>,
    is_read_only: Cell<bool>,
    /// The frames of its files, if they are counted.
    budget: Option<Shared<Budget>>,
}

impl FileSystem {
    /// A new one, or what there is of one of which there is one.
    ///
    /// # Errors
    /// There is no memory.
    pub fn make(kind: Kind, options: Options) -> Result<Shared<Self>, Errno> {
        /// That of the first of which there may be several.
        const FIRST: u32 = 16;
        let number = match kind {
            Kind::Memory => FIRST + super::list::new_number(),
            _ => kind.device(),
        };
        let top = match kind {
            Kind::Proc => proc_files::top()?,
            Kind::Terminals => proc_files::pseudo_terminals()?,
            Kind::Devices => ramfs::devices()?,
            Kind::Memory | Kind::Root => {
                let directory = node::Kind::Directory(Directory::empty());
                let top = Node::new(directory, options.mode)?;
                top.set_owner(options.user, options.group);
                top
            }
        };
        let made = Self::of(kind, number, top)?;
        made.set_options(options)?;
        Ok(made)
    }

    /// The file system of the root, with this root directory.
    ///
    /// # Errors
    /// There is no memory.
    pub fn root(top: Shared<Node>) -> Result<Shared<Self>, Errno> {
        Self::of(Kind::Root, Kind::Root.device(), top)
    }

    fn of(kind: Kind, device: u32, top: Shared<Node>) -> Result<Shared<Self>, Errno> {
        Ok(Shared::new(Self {
            kind,
            device,
            top,
            options: Cell::new(Options::NONE),
            is_read_only: Cell::new(false),
            budget: match kind {
                Kind::Memory => Some(Shared::new(Budget::new(u64::MAX))?),
                _ => None,
            },
        })?)
    }

    /// Its root directory.
    pub fn top(&self) -> &Shared<Node> {
        &self.top
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Minor number of the device that it is on.
    pub fn device(&self) -> u32 {
        self.device
    }

    /// With what it has been mounted.
    pub fn options(&self) -> Options {
        self.options.get()
    }

    /// Changes that.
    ///
    /// # Errors
    /// EINVAL: its files have more than they may have then.
    pub fn set_options(&self, options: Options) -> Result<(), Errno> {
        if let Some(budget) = &self.budget {
            let most = options.frames.unwrap_or(u64::MAX);
            if most < budget.used() {
                return Err(Errno::EINVAL);
            }
            budget.set_most(most);
        }
        self.options.set(options);
        Ok(())
    }

    /// Counts the frames of a new file among those that its files may have.
    pub fn limit(&self, file: &FilePages) {
        if let Some(budget) = &self.budget {
            file.join(budget);
        }
    }

    /// Whether nothing in it can be changed.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only.get()
    }

    /// Says so.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.is_read_only.set(is_read_only);
    }

    /// Frames that it may have, and those of them that are free.
    pub fn frames(&self) -> (u64, u64) {
        let free = frames::free();
        match (self.kind, &self.budget) {
            (Kind::Proc | Kind::Terminals, _) => (0, 0),
            (_, Some(budget)) if budget.most() != u64::MAX => {
                let left = budget.most().saturating_sub(budget.used());
                (budget.most(), left.min(free))
            }
            _ => (frames::total(), free),
        }
    }
}

impl Drop for FileSystem {
    /// Its directories lead to each other, so they do not go by themselves.
    fn drop(&mut self) {
        if self.kind == Kind::Memory {
            directory::end_tree(&self.top);
        }
    }
}
