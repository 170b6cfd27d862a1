//! What `/proc/PID/ns` leads to: what some processes share and others have for themselves.

use core::fmt::{self, Write};

use abi::Errno;
use mm::Shared;

use crate::fs::mount::{self, Namespace};
use crate::fs::process_files;
use crate::proc::process::Process;
use crate::proc::spawn::CloneFlags;
use crate::proc::system::Names;

/// One that a process is in. `None` is the first of the kind.
pub enum OwnNamespace {
    /// Its mounts.
    Mounts(Option<Shared<Namespace>>),
    /// What the machine is called.
    Names(Option<Shared<Names>>),
}

/// The kinds, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    /// `mnt`
    Mounts,
    /// `uts`
    Names,
}

impl OwnNamespace {
    /// That of a process.
    ///
    /// # Errors
    /// ENOENT: it has ended.
    pub fn of(process: &Process, kind: NamespaceKind) -> Result<Self, Errno> {
        if !process.is_alive() {
            return Err(Errno::ENOENT);
        }
        Ok(match kind {
            NamespaceKind::Mounts => Self::Mounts(process_files::mounts(process)),
            NamespaceKind::Names => Self::Names(process.own_names()),
        })
    }

    /// Its number, which no other has.
    pub fn number(&self) -> u64 {
        match self {
            Self::Mounts(mounts) => mounts.as_ref().map_or(mount::FIRST, |own| own.number()),
            Self::Names(names) => names
                .as_ref()
                .map_or(Names::first().number(), |own| own.number()),
        }
    }

    /// What asks `clone` for a new one.
    pub fn flag(&self) -> CloneFlags {
        match self {
            Self::Mounts(_) => CloneFlags::OWN_MOUNTS,
            Self::Names(_) => CloneFlags::OWN_NAMES,
        }
    }

    /// Writes what a link to it says.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, to: &mut dyn Write) -> fmt::Result {
        let kind = match self {
            Self::Mounts(_) => "mnt",
            Self::Names(_) => "uts",
        };
        write!(to, "{kind}:[{}]", self.number())
    }
}
