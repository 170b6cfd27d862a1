//! All mounts, of all namespaces, in the order in which they were made.

use core::cell::{Cell, RefCell};
use core::iter;

use abi::Errno;
use mm::{OutOfMemory, Shared, quota};
use single_cpu::SingleCpu;

use super::{FileSystem, Kind, Location, Mount, MountFlags, Options};
use crate::fs::bytes::Bytes;
use crate::fs::node::Node;
use crate::fs::opened::Opened;
use crate::fs::shared_list::{Link, SharedList};

/// Mounts that there can be: looking for one takes as many steps.
pub const MOST: usize = 1024;

/// The list of all mounts.
pub enum All {}

/// What there is.
struct Mounts {
    all: SharedList<Mount, All>,
    last_number: Cell<u32>,
    hidden: RefCell<Option<Location>>,
}

impl Mounts {
    const fn new() -> Self {
        Self {
            all: SharedList::new(),
            last_number: Cell::new(0),
            hidden: RefCell::new(None),
        }
    }
}

#[cfg(not(test))]
fn mounts() -> &'static Mounts {
    static MOUNTS: SingleCpu<Mounts> = SingleCpu::new(Mounts::new());
    &MOUNTS
}

/// Tests run at the same time and each has its own.
#[cfg(test)]
fn mounts() -> &'static Mounts {
    std::thread_local! {
        static MOUNTS: &'static SingleCpu<Mounts> =
            Box::leak(Box::new(SingleCpu::new(Mounts::new())));
    }
    MOUNTS.with(|mounts| *mounts)
}

/// A number that nothing else has that is mounted.
pub fn new_number() -> u32 {
    let number = mounts().last_number.get().wrapping_add(1);
    mounts().last_number.set(number);
    number
}

/// All mounts, the oldest first. Meanwhile the one that has come last may end, and others be made.
pub fn all() -> impl Iterator<Item = Shared<Mount>> {
    let next = |mount: &Shared<Mount>| SharedList::<Mount, All>::after(mount);
    iter::successors(mounts().all.first(), next)
}

/// Those of a namespace.
pub fn all_of(namespace: u64) -> impl Iterator<Item = Shared<Mount>> {
    all().filter(move |mount| mount.namespace() == namespace)
}

/// What is mounted on a location. Most of those that are looked for have been mounted last.
pub fn mounted_on(location: &Location) -> Option<Shared<Mount>> {
    let before = |mount: &Shared<Mount>| SharedList::<Mount, All>::before(mount);
    iter::successors(mounts().all.last(), before).find(|mount| {
        let place = mount.place.borrow();
        place.as_ref().is_some_and(|place| {
            Shared::is_same(&place.node, &location.node)
                && Shared::is_same(&place.mount, &location.mount)
        })
    })
}

/// The first mount of the first namespace, which shows the root of the tree `node`.
///
/// # Errors
/// There is no memory.
pub fn make_top(node: &Shared<Node>) -> Result<Location, Errno> {
    let mount = new(New {
        file_system: FileSystem::root(node.clone())?,
        top: node.clone(),
        top_place: None,
        source: Bytes::InPlace(Kind::Root.name().as_bytes()),
        flags: MountFlags::empty(),
    })?;
    enter(&mount, super::namespace::FIRST, None);
    Ok(Location {
        mount,
        node: node.clone(),
    })
}

/// Mounts a file system of this kind on a directory of the first namespace, unless something is.
///
/// # Errors
/// There is no memory.
pub fn make_below(top: &Location, directory: &Shared<Node>, kind: Kind) -> Result<(), Errno> {
    if directory.is_covered() {
        return Ok(());
    }
    let file_system = FileSystem::make(kind, Options::NONE)?;
    let mount = new(New {
        top: file_system.top().clone(),
        file_system,
        top_place: None,
        source: Bytes::InPlace(kind.name().as_bytes()),
        flags: MountFlags::empty(),
    })?;
    let place = Opened::directory(Location {
        mount: top.mount.clone(),
        node: directory.clone(),
    });
    enter(&mount, super::namespace::FIRST, Some(place));
    Ok(())
}

/// A place that no path leads to, for files that have no name.
///
/// # Errors
/// There is no memory.
pub fn hidden() -> Result<Location, Errno> {
    if let Some(hidden) = &*mounts().hidden.borrow() {
        return Ok(hidden.clone());
    }
    let file_system = FileSystem::make(Kind::Memory, Options::NONE)?;
    let node = file_system.top().clone();
    let mount = new(New {
        file_system,
        top: node.clone(),
        top_place: None,
        source: Bytes::InPlace(b"none"),
        flags: MountFlags::empty(),
    })?;
    let hidden = Location { mount, node };
    mounts().hidden.replace(Some(hidden.clone()));
    Ok(hidden)
}

/// A mount to be.
pub struct New {
    pub file_system: Shared<FileSystem>,
    pub top: Shared<Node>,
    pub top_place: Option<(Shared<Node>, Bytes)>,
    pub source: Bytes,
    pub flags: MountFlags,
}

/// Fails unless a program may have one mount more.
///
/// # Errors
/// ENOSPC: there are too many, or memory is short.
pub fn check_room() -> Result<(), Errno> {
    match mounts().all.len() < MOST && quota::check_file().is_ok() {
        true => Ok(()),
        false => Err(Errno::ENOSPC),
    }
}

/// A mount that is nowhere yet.
///
/// # Errors
/// There is no memory.
pub fn new(new: New) -> Result<Shared<Mount>, OutOfMemory> {
    Shared::new(Mount {
        number: new_number(),
        file_system: new.file_system,
        top: new.top,
        top_place: new.top_place,
        source: new.source,
        flags: Cell::new(new.flags),
        namespace: Cell::new(0),
        place: RefCell::new(None),
        writers: Cell::new(0),
        copy: RefCell::new(None),
        link: Link::new(),
    })
}

/// Mounts a mount in a namespace, on a place or as its first.
pub fn enter(mount: &Shared<Mount>, namespace: u64, place: Option<Opened>) {
    mount.namespace.set(namespace);
    set_place(mount, place);
    mounts().all.push_back(mount.clone());
}

/// Has a mount cover another place.
pub fn set_place(mount: &Mount, place: Option<Opened>) {
    if let Some(place) = &place {
        place.node.count_cover(1);
    }
    let before = mount.place.replace(place);
    if let Some(before) = before {
        before.node.count_cover(-1);
    }
}

/// Ends a mount, and all that are on it: one after the other, since there is room on the stack
/// for few.
pub fn leave(mount: &Shared<Mount>) {
    take_out(mount);
    let mut is_done = false;
    while !is_done {
        is_done = true;
        for mount in all() {
            if mount
                .parent()
                .is_some_and(|parent| !parent.link.is_linked())
            {
                take_out(&mount);
                is_done = false;
            }
        }
    }
}

fn take_out(mount: &Shared<Mount>) {
    mount.namespace.set(0);
    mounts().all.remove(mount);
    set_place(mount, None);
}
