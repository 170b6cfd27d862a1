//! Directories: from a name to a node, whatever knows the names.
//!
//! All that others do with a directory is [`find`], [`next`], [`insert`], [`remove`],
//! [`rename`] and [`exchange`]: they need not know whether its entries are kept here or
//! generated, and each may fail.

mod entries;
mod renaming;

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::Shared;

use crate::fs::bytes::Bytes;
use crate::fs::node::Node;
use crate::fs::outside::{self, Number};
use crate::fs::proc_files::{self, ProcFile};

pub use entries::{Entries, Entry};
pub use renaming::{exchange, rename};

/// A directory.
pub struct Directory {
    /// `None` for the root and for what has been removed.
    place: RefCell<Option<Place>>,
    contents: Contents,
}

/// Where a directory is.
struct Place {
    parent: Shared<Node>,
    name: Bytes,
}

/// Where entries come from.
enum Contents {
    /// They are kept in memory, some of those of a directory of the host as they are looked
    /// up, and all of them before it is listed or one is taken out: what is gone must not come
    /// back.
    Kept {
        entries: RefCell<Entries>,
        /// That directory, as long as it may have more.
        outside: Cell<Option<Number>>,
    },
    /// They are those of `/proc`, and nobody can change them.
    Proc(ProcFile),
}

/// An entry, as a program is told.
pub struct Listed<'n> {
    /// The name.
    pub name: &'n [u8],
    /// Number of the node.
    pub number: u64,
    /// Type and permissions.
    pub mode: u32,
}

impl Directory {
    /// An empty one.
    pub const fn empty() -> Self {
        Self {
            place: RefCell::new(None),
            contents: Contents::Kept {
                entries: RefCell::new(Entries::EMPTY),
                outside: Cell::new(None),
            },
        }
    }

    /// One of the host.
    pub fn of_host(number: Number) -> Self {
        let directory = Self::empty();
        if let Contents::Kept { outside, .. } = &directory.contents {
            outside.set(Some(number));
        }
        directory
    }

    /// One of `/proc`, in this place or none.
    ///
    /// # Errors
    /// There is no memory.
    pub fn of_proc(file: ProcFile, place: Option<(&Shared<Node>, &[u8])>) -> Result<Self, Errno> {
        let place = match place {
            Some((parent, name)) => Some(Place {
                parent: parent.clone(),
                name: Bytes::name(name)?,
            }),
            None => None,
        };
        Ok(Self {
            place: RefCell::new(place),
            contents: Contents::Proc(file),
        })
    }

    /// The directory that it is in: `None` for the root and for what has been removed.
    pub fn parent(&self) -> Option<Shared<Node>> {
        let place = self.place.borrow();
        place.as_ref().map(|place| place.parent.clone())
    }

    /// Calls `use_place` with the directory that it is in and its name there, if it is in
    /// one.
    pub fn with_place<R>(&self, use_place: impl FnOnce(&Shared<Node>, &[u8]) -> R) -> Option<R> {
        let place = self.place.borrow();
        place
            .as_ref()
            .map(|place| use_place(&place.parent, &place.name))
    }

    /// What of `/proc` it is, if its entries are generated, so that nobody can change them.
    pub fn generated(&self) -> Option<ProcFile> {
        match self.contents {
            Contents::Proc(file) => Some(file),
            Contents::Kept { .. } => None,
        }
    }

    /// Whether its entries are generated.
    pub fn is_generated(&self) -> bool {
        self.generated().is_some()
    }

    fn set_place(&self, place: Option<Place>) {
        // What is dropped must find nothing borrowed.
        drop(self.place.replace(place));
    }

    /// The entries, if they can be changed.
    fn kept(&self) -> Result<&RefCell<Entries>, Errno> {
        match &self.contents {
            Contents::Kept { entries, .. } => Ok(entries),
            Contents::Proc(_) => Err(Errno::EROFS),
        }
    }
}

/// Fails unless names can be added to `directory` and taken out of it.
///
/// # Errors
/// ENOTDIR; EROFS: nobody can change it; ENOENT: it has been removed.
pub fn check_changeable(directory: &Node) -> Result<(), Errno> {
    directory.directory()?.kept()?;
    match directory.is_removed() {
        true => Err(Errno::ENOENT),
        false => Ok(()),
    }
}

/// The node that `name` stands for in `directory`.
///
/// # Errors
/// ENOENT, ENOTDIR, ENOMEM.
pub fn find(directory: &Shared<Node>, name: &[u8]) -> Result<Shared<Node>, Errno> {
    match &directory.directory()?.contents {
        Contents::Kept { outside, .. } => {
            if let Some(node) = find_in_memory(directory, name) {
                return Ok(node);
            }
            let node = outside::look_up(outside.get().ok_or(Errno::ENOENT)?, name)?;
            take_over(directory, Bytes::name(name)?, &node)?;
            Ok(node)
        }
        Contents::Proc(file) => proc_files::find(directory, *file, name),
    }
}

/// The same without a question to the host.
pub fn find_in_memory(directory: &Node, name: &[u8]) -> Option<Shared<Node>> {
    let entries = directory.directory().ok()?.kept().ok()?.borrow();
    entries.find(name).map(|entry| entry.node.clone())
}

/// A name that stands for `node` in `directory`.
pub fn name_of(directory: &Node, node: &Shared<Node>) -> Option<Bytes> {
    let entries = directory.directory().ok()?.kept().ok()?.borrow();
    let mut from = 0;
    while let Some((place, entry)) = entries.next(from) {
        if Shared::is_same(&entry.node, node) {
            return entry.name.duplicate().ok();
        }
        from = place + 1;
    }
    None
}

/// Puts in a node of the host, which nobody else has.
fn take_over(directory: &Shared<Node>, name: Bytes, node: &Shared<Node>) -> Result<(), Errno> {
    let place = Place::of(node, directory, &name)?;
    let node = node.clone();
    if let Ok(inner) = node.directory() {
        inner.set_place(place);
    }
    let entries = directory.directory()?.kept()?;
    entries.borrow_mut().insert(Entry { name, node })
}

/// Has in memory all that there is in `directory`.
///
/// # Errors
/// ENOTDIR, ENOMEM, and others of the host.
pub fn complete(directory: &Shared<Node>) -> Result<(), Errno> {
    let Contents::Kept { outside, .. } = &directory.directory()?.contents else {
        return Ok(());
    };
    let Some(number) = outside.get() else {
        return Ok(());
    };
    let mut position = Some(0);
    while let Some(from) = position {
        position = outside::list(number, from, |name, attributes| {
            if find_in_memory(directory, name).is_some() {
                return Ok(());
            }
            match outside::node(attributes) {
                Ok(node) => take_over(directory, Bytes::name(name)?, &node),
                Err(Errno::ENOENT) => Ok(()),
                Err(errno) => Err(errno),
            }
        })?;
    }
    outside.set(None);
    Ok(())
}

/// Calls `tell` with the first entry at place `from` of `directory` or after it; its place,
/// and what `tell` returned.
///
/// # Errors
/// ENOTDIR, ENOMEM.
pub fn next<R>(
    directory: &Shared<Node>,
    from: usize,
    tell: impl FnOnce(usize, &Listed<'_>) -> R,
) -> Result<Option<R>, Errno> {
    match &directory.directory()?.contents {
        Contents::Kept { entries, .. } => {
            complete(directory)?;
            Ok(entries.borrow().next(from).map(|(place, entry)| {
                let listed = Listed {
                    name: &entry.name,
                    number: entry.node.number(),
                    mode: entry.node.mode(),
                };
                tell(place, &listed)
            }))
        }
        Contents::Proc(file) => Ok(file.next(from).map(|(place, file, name)| {
            let listed = Listed {
                name: name.bytes(),
                number: file.number(),
                mode: file.mode(),
            };
            tell(place, &listed)
        })),
    }
}

/// Whether nothing is in `directory`.
///
/// # Errors
/// ENOTDIR, ENOMEM.
pub fn is_empty(directory: &Shared<Node>) -> Result<bool, Errno> {
    Ok(next(directory, 0, |_, _| ())?.is_none())
}

/// Makes `name`, which stands for nothing, stand for `node` in `directory`.
///
/// # Errors
/// As [`check_changeable`]; ENOMEM, ENOSPC; nothing has changed.
pub fn insert(directory: &Shared<Node>, name: Bytes, node: &Shared<Node>) -> Result<(), Errno> {
    put(directory, name, node)?;
    directory.times().note_modification();
    Ok(())
}

/// The same, but the directory's times stay.
///
/// # Errors
/// As [`insert`].
pub fn put(directory: &Shared<Node>, name: Bytes, node: &Shared<Node>) -> Result<(), Errno> {
    check_changeable(directory)?;
    let place = Place::of(node, directory, &name)?;
    let entry = Entry {
        name,
        node: node.clone(),
    };
    directory.directory()?.kept()?.borrow_mut().insert(entry)?;
    match node.directory() {
        Ok(inner) => {
            inner.set_place(place);
            directory.count_directory(1);
        }
        Err(_) => node.add_link(),
    }
    Ok(())
}

/// Takes `name`, which stands for something, out of `directory`.
///
/// # Errors
/// As [`check_changeable`]; ENOENT, ENOMEM; nothing has changed.
pub fn remove(directory: &Shared<Node>, name: &[u8]) -> Result<(), Errno> {
    check_changeable(directory)?;
    complete(directory)?;
    let removed = directory.directory()?.kept()?.borrow_mut().remove(name);
    let removed = removed.ok_or(Errno::ENOENT)?;
    has_lost(directory, &removed.node);
    directory.times().note_modification();
    Ok(())
}

/// Ends a tree of directories that nobody can reach any more, its root but not what is in it:
/// one step after the other, since there is room on the stack for few, and without any memory.
pub fn end_tree(root: &Shared<Node>) {
    let mut here = root.clone();
    loop {
        let entries = here.directory().ok().and_then(|inner| inner.kept().ok());
        let last = entries.and_then(|entries| entries.borrow_mut().take_last());
        match last {
            Some(entry) if entry.node.is_directory() => here = entry.node,
            Some(entry) => entry.node.remove_link(),
            None => {
                let inner = here.directory().ok();
                let Some(parent) = inner.and_then(Directory::parent) else {
                    return;
                };
                has_lost(&parent, &here);
                here = parent;
            }
        }
    }
}

/// `directory` has one name less for `node`.
fn has_lost(directory: &Node, node: &Node) {
    node.remove_link();
    if let Ok(inner) = node.directory() {
        inner.set_place(None);
        directory.count_directory(-1);
    }
}

impl Place {
    /// Where `node` will be; `None` if it is no directory.
    fn of(node: &Node, parent: &Shared<Node>, name: &Bytes) -> Result<Option<Self>, Errno> {
        if !node.is_directory() {
            return Ok(None);
        }
        Ok(Some(Self {
            parent: parent.clone(),
            name: name.duplicate()?,
        }))
    }
}

#[cfg(test)]
mod tests;
