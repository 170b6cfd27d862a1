//! Copies of mounts, with those that are on them.

use abi::Errno;
use mm::Shared;

use super::list::{self, New};
use super::{Location, Mount};
use crate::fs::bytes::Bytes;
use crate::fs::node::Node;
use crate::fs::opened::Opened;

/// Copies in the making. Each original knows its copy meanwhile.
pub struct Copies {
    /// That of what was to be copied, which is nowhere yet.
    top: Shared<Mount>,
    namespace: u64,
}

impl Copies {
    /// Copies what is seen at `source`, with all that is mounted in it if this is `recursive`,
    /// for a namespace.
    ///
    /// # Errors
    /// ENOSPC: too many mounts. ENOMEM.
    pub fn make(source: &Location, recursive: bool, namespace: u64) -> Result<Self, Errno> {
        let top = copy(&source.mount, &source.node, None)?;
        source.mount.copy.replace(Some(top.clone()));
        let copies = Self { top, namespace };
        if recursive && let Err(errno) = copies.add_all(source) {
            list::end_lost();
            return Err(errno);
        }
        Ok(copies)
    }

    /// The same, of what is no directory and has this place.
    ///
    /// # Errors
    /// As for [`make`](Self::make).
    pub fn make_one(source: &Opened, namespace: u64) -> Result<Self, Errno> {
        let place = (source.directory.clone(), source.name.duplicate()?);
        let top = copy(&source.mount, &source.node, Some(place))?;
        Ok(Self { top, namespace })
    }

    /// Copies the mounts in `source`: each after the one that it is on, which may have been made
    /// later.
    fn add_all(&self, source: &Location) -> Result<(), Errno> {
        let is_next = |mount: &Shared<Mount>| {
            let place = mount.place.borrow();
            let Some(place) = &*place else {
                return false;
            };
            let is_on_source = Shared::is_same(&place.mount, &source.mount);
            mount.copy.borrow().is_none()
                && place.mount.copy.borrow().is_some()
                && (!is_on_source || place.in_directory().is_inside(source))
        };
        while let Some(mount) = list::all().find(is_next) {
            let place = mount.named_place().ok_or(Errno::ENOMEM)?;
            let parent = self.of(&place.location()).mount;
            let top_place = match mount.top_place() {
                Some((directory, name)) => Some((directory.clone(), Bytes::name(name)?)),
                None => None,
            };
            let copied = copy(&mount, mount.top(), top_place)?;
            mount.copy.replace(Some(copied.clone()));
            let place = Opened {
                mount: parent,
                ..place
            };
            list::enter(&copied, self.namespace, Some(place));
        }
        Ok(())
    }

    /// The same location in the copies, if there is one.
    pub fn of(&self, location: &Location) -> Location {
        let copy = location.mount.copy.borrow().clone();
        Location {
            mount: copy.unwrap_or_else(|| location.mount.clone()),
            node: location.node.clone(),
        }
    }

    /// Mounts the copies.
    pub fn enter(self, place: Option<Opened>) {
        list::enter(&self.top, self.namespace, place);
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for mount in list::all() {
            let copy = mount.copy.take();
            drop(copy);
        }
    }
}

/// A copy of `mount` that shows `top`.
fn copy(
    mount: &Mount,
    top: &Shared<Node>,
    top_place: Option<(Shared<Node>, Bytes)>,
) -> Result<Shared<Mount>, Errno> {
    list::new(New {
        file_system: mount.file_system.clone(),
        top: top.clone(),
        top_place,
        source: mount.source.duplicate()?,
        flags: mount.flags(),
    })
}
