//! What mapped files are called, for `/proc/PID/maps`.
//!
//! A file that is mapped is kept by its pages alone: it may have been closed, renamed and
//! removed. So the first time that it is mapped, its directory and name there are noted under a
//! number that its pages carry, and renaming changes the note. Rejected: a search of the tree,
//! which has no removed files; a reference from each area, which `fork` and `mmap` would pay for.

use core::cell::RefCell;
use core::num::NonZeroU32;

use abi::Errno;
use mm::{FilePages, Shared, file_pages, spaces};

use crate::fs::bytes::Bytes;
use crate::fs::directory;
use crate::fs::mount::{self, Location, Mount};
use crate::fs::node::Node;
use crate::fs::number_map::{LIMIT, NumberMap};
use crate::fs::opened::Opened;
use crate::fs::path::{self, Backwards, DELETED};

/// The names by labels. Nobody has the label 0.
#[cfg(not(test))]
static NAMES: single_cpu::SingleCpu<RefCell<Names>> =
    single_cpu::SingleCpu::new(RefCell::new(Names::NONE));

// Tests run at the same time and each has its own.
#[cfg(test)]
std::thread_local! {
    static NAMES: RefCell<Names> = const { RefCell::new(Names::NONE) };
}

/// The names, and how many there are: without any they take no memory.
struct Names {
    map: NumberMap<Name>,
    count: usize,
}

impl Names {
    const NONE: Self = Self {
        map: NumberMap::EMPTY,
        count: 0,
    };
}

/// What a file was called when it was first mapped, or has been renamed to.
struct Name {
    /// Number of the mount that it was seen through: who has the mount itself would keep it from
    /// being ended.
    mount: u32,
    directory: Shared<Node>,
    name: Bytes,
    /// Its number, and the minor number of what it is on.
    number: u64,
    device: u32,
}

impl Name {
    fn duplicate(&self) -> Result<Self, Errno> {
        Ok(Self {
            directory: self.directory.clone(),
            name: self.name.duplicate()?,
            ..*self
        })
    }
}

/// What is told of a mapped file, or of memory that is none.
pub struct Described<'d> {
    /// Minor number of what it is on.
    pub device: u32,
    /// Its number there.
    pub number: u64,
    /// What it is called.
    pub path: &'d [u8],
}

impl Described<'static> {
    /// No file.
    pub fn as_memory(name: &'static [u8]) -> Self {
        Self {
            device: 0,
            number: 0,
            path: name,
        }
    }
}

fn with_names<R>(act: impl FnOnce(&mut Names) -> R) -> R {
    #[cfg(not(test))]
    return act(&mut NAMES.borrow_mut());
    #[cfg(test)]
    NAMES.with_borrow_mut(act)
}

/// Notes what a file that is mapped is called. Without memory it has no name.
pub fn note(opened: &Opened) {
    if let Some(pages) = opened.node.pages() {
        note_opened(pages, opened);
    }
}

/// The same of the first program, whose bytes were taken from where `opened` has them.
pub fn note_program(pages: &FilePages, opened: &Opened) {
    let own = opened.node.pages();
    if own.is_some_and(|own| own.has_base_of(pages)) {
        note_opened(pages, opened);
    }
}

fn note_opened(pages: &FilePages, opened: &Opened) {
    let name = (&opened.directory, &*opened.name);
    note_pages(pages, (&opened.mount, &opened.node), name);
}

fn note_pages(
    pages: &FilePages,
    (mount, node): (&Mount, &Node),
    (directory, name): (&Shared<Node>, &[u8]),
) {
    if pages.label().is_some() {
        return;
    }
    file_pages::forget_by(forget);
    let Ok(name) = Bytes::name(name) else {
        return;
    };
    let name = Name {
        mount: mount.number(),
        directory: directory.clone(),
        name,
        number: node.number(),
        device: mount.file_system().device(),
    };
    let label = with_names(|names| {
        let free = names.map.first_missing(1);
        if free == LIMIT || names.map.put(free, name, false).is_err() {
            return None;
        }
        names.count += 1;
        NonZeroU32::new(u32::try_from(free).ok()?)
    });
    if let Some(label) = label {
        pages.set_label(label);
    }
}

/// Whether a program has a file mapped that was first seen through this mount: it is used as long
/// as that is so.
pub fn is_used(mount: &Mount) -> bool {
    let is_seen_through = |label: NonZeroU32| {
        with_names(|names| {
            let name = names.map.get(label.get() as usize);
            name.is_some_and(|name| name.mount == mount.number())
        })
    };
    spaces::is_any_mapped(|pages| pages.label().is_some_and(is_seen_through))
}

fn forget(label: NonZeroU32) {
    let name = with_names(|names| {
        let name = names.map.take(label.get() as usize)?;
        names.count -= 1;
        if names.count == 0 {
            *names = Names::NONE;
        }
        Some(name)
    });
    // It may be the last to have its directory.
    drop(name);
}

/// A file that was called `from` in its directory is called `to` in that one, as it is seen
/// through `mount`. Who has it open may still map it, so it is noted if that was its only name.
pub fn renamed(
    (mount, node): (&Mount, &Node),
    from: (&Shared<Node>, &[u8]),
    to: (&Shared<Node>, &[u8]),
) {
    let Some(pages) = node.pages() else {
        return;
    };
    let Some(label) = pages.label() else {
        if node.links() == 1 {
            note_pages(pages, (mount, node), to);
        }
        return;
    };
    let Ok(name) = Bytes::name(to.1) else {
        return;
    };
    let before = with_names(|names| {
        let number = label.get() as usize;
        let old = names.map.get(number)?;
        if !Shared::is_same(&old.directory, from.0) || *old.name != *from.1 {
            return None;
        }
        let new = Name {
            directory: to.0.clone(),
            name,
            ..*old
        };
        names.map.put(number, new, false).ok().flatten()
    });
    drop(before);
}

/// What a mapped file is, with its path from `root` at the end of `buffer`, if it has one: as it
/// is seen `through` a mount, or through that which it was first seen through.
///
/// # Errors
/// ERANGE: the buffer is too small. ENOENT: the directory has been removed. ENOMEM.
pub fn describe<'b>(
    root: &Location,
    pages: &Shared<FilePages>,
    through: Option<&Shared<Mount>>,
    buffer: &'b mut [u8],
) -> Result<Option<Described<'b>>, Errno> {
    let copy = |label: NonZeroU32| {
        with_names(|names| names.map.get(label.get() as usize)?.duplicate().ok())
    };
    let Some(name) = pages.label().and_then(copy) else {
        return Ok(None);
    };
    let is_it = |node: &Node| {
        let own = node.pages();
        own.is_some_and(|own| Shared::is_same(own, pages) || own.has_base_of(pages))
    };
    let mut path = Backwards::new(buffer);
    match through.cloned().or_else(|| mount_of(&name, root)) {
        // It has been mounted by itself.
        Some(mount) if is_it(mount.top()) => {
            let node = mount.top().clone();
            path.push_path(root, &Location { mount, node })?;
        }
        mount => {
            let there = directory::find_in_memory(&name.directory, &name.name);
            if !there.is_some_and(|node| is_it(&node)) {
                path.push(DELETED)?;
            }
            let node = name.directory;
            match mount {
                Some(mount) => {
                    path.push_named(root, Location { mount, node }, &name.name)?;
                }
                None => {
                    path.push(&name.name)?;
                    path.push(b"/")?;
                    path.push_names(node, &root.node)?;
                }
            }
        }
    }
    Ok(Some(Described {
        device: name.device,
        number: name.number,
        path: path.bytes(),
    }))
}

/// The mount through which who has this `root` sees a file: the one that it was seen through, or
/// another that shows its directory.
fn mount_of(name: &Name, root: &Location) -> Option<Shared<Mount>> {
    let own = || mount::all_of(root.mount.namespace());
    let shows_it = |mount: &Shared<Mount>| {
        mount.file_system().device() == name.device && path::is_inside(&name.directory, mount.top())
    };
    let same = own().find(|mount| mount.number() == name.mount);
    same.or_else(|| own().find(shows_it))
}
