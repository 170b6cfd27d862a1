//! The mounts that processes see.

use abi::Errno;
use mm::{OutOfMemory, Shared};

use super::copying::Copies;
use super::list;
use super::{Location, Mount};
use crate::fs::path::Start;

/// Number of the first namespace, as on Linux.
pub const FIRST: u64 = 0xf000_0000;

/// Mounts that several processes see, which end with it. The first namespace, that of processes
/// that have none, never ends.
pub struct Namespace {
    number: u64,
}

impl Namespace {
    fn new() -> Result<Shared<Self>, OutOfMemory> {
        let number = FIRST + u64::from(list::new_number());
        Shared::new(Self { number })
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// A copy of the namespace with this number, and where paths start there that have started
    /// at `start`.
    ///
    /// # Errors
    /// ENOSPC: too many mounts. ENOMEM.
    pub fn copy(number: u64, start: &Start) -> Result<(Shared<Self>, Start), Errno> {
        let new = Self::new()?;
        let top = top(number).ok_or(Errno::EINVAL)?;
        let copies = Copies::make(&top, true, new.number, None)?;
        let start = Start {
            root: copies.of(&start.root),
            directory: copies.of(&start.directory),
            rules: start.rules,
        };
        Ok((new, start))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        while let Some(top) = first_mount(self.number) {
            list::leave(&top);
        }
    }
}

fn first_mount(namespace: u64) -> Option<Shared<Mount>> {
    list::all().find(|mount| mount.namespace() == namespace && mount.parent().is_none())
}

/// The root of what is seen in a namespace.
pub fn top(namespace: u64) -> Option<Location> {
    let mount = first_mount(namespace)?;
    let node = mount.top().clone();
    Some(Location { mount, node })
}
