//! Copies of mounts, with those that are on them.

use abi::Errno;
use mm::Shared;

use super::list::{self, New};
use super::{Location, Mount};
use crate::fs::bytes::Bytes;
use crate::fs::node::Node;
use crate::fs::opened::Opened;

/// Copies that have just been mounted. Each original knows its copy meanwhile.
pub struct Copies {
    /// That of what was to be copied. All copies have higher numbers than what there was before.
    top: Shared<Mount>,
    namespace: u64,
}

impl Copies {
    /// Mounts what is seen at `source` on `place` too, with all that is mounted in it if this is
    /// `recursive`; or as the first of a new namespace.
    ///
    /// # Errors
    /// ENOSPC: too many mounts. ENOMEM. Nothing has changed.
    pub fn make(
        source: &Location,
        recursive: bool,
        namespace: u64,
        place: Option<Opened>,
    ) -> Result<Self, Errno> {
        let top = copy(&source.mount, &source.node, None)?;
        source.mount.copy.replace(Some(top.clone()));
        list::enter(&top, namespace, place);
        let copies = Self { top, namespace };
        if recursive {
            copies
                .add_all(source)
                .inspect_err(|_| list::leave(&copies.top))?;
        }
        Ok(copies)
    }

    /// Copies the mounts in `source`: each after the one that it is on, which may have been made
    /// later.
    fn add_all(&self, source: &Location) -> Result<(), Errno> {
        let is_next = |mount: &Mount| {
            let place = mount.place.borrow();
            let Some(place) = &*place else {
                return false;
            };
            let is_on_source = Shared::is_same(&place.mount, &source.mount);
            mount.number < self.top.number
                && mount.copy.borrow().is_none()
                && place.mount.copy.borrow().is_some()
                && (!is_on_source || place.in_directory().is_inside(source))
        };
        loop {
            let mut is_done = true;
            for mount in list::all() {
                if is_next(&mount) {
                    self.add(&mount)?;
                    is_done = false;
                }
            }
            if is_done {
                return Ok(());
            }
        }
    }

    /// Copies a mount that is on one that has been copied.
    fn add(&self, mount: &Mount) -> Result<(), Errno> {
        let place = mount.named_place().ok_or(Errno::ENOMEM)?;
        let place = Opened {
            mount: self.of(&place.location()).mount,
            ..place
        };
        let top_place = match mount.top_place() {
            Some((directory, name)) => Some((directory.clone(), Bytes::name(name)?)),
            None => None,
        };
        let copied = copy(mount, mount.top(), top_place)?;
        mount.copy.replace(Some(copied.clone()));
        list::enter(&copied, self.namespace, Some(place));
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
}

impl Drop for Copies {
    fn drop(&mut self) {
        for mount in list::all() {
            let copy = mount.copy.take();
            drop(copy);
        }
    }
}

/// Mounts what is no directory on `place` too.
///
/// # Errors
/// As of [`Copies::make`].
pub fn make_one(source: &Opened, namespace: u64, place: Opened) -> Result<(), Errno> {
    let top_place = (source.directory.clone(), source.name.duplicate()?);
    let copied = copy(&source.mount, &source.node, Some(top_place))?;
    list::enter(&copied, namespace, Some(place));
    Ok(())
}

/// A copy of `mount` that shows `top`.
fn copy(
    mount: &Mount,
    top: &Shared<Node>,
    top_place: Option<(Shared<Node>, Bytes)>,
) -> Result<Shared<Mount>, Errno> {
    list::check_room()?;
    Ok(list::new(New {
        file_system: mount.file_system.clone(),
        top: top.clone(),
        top_place,
        source: mount.source.duplicate()?,
        flags: mount.flags(),
    })?)
}
