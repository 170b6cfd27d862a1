//! What mapped files are called, for `/proc/PID/maps`.
//!
//! A file that is mapped is kept by its pages alone: it may have been closed, renamed and
//! removed. So the first time that it is mapped, its directory and name there are noted under a
//! number that its pages carry, and renaming changes the note. Rejected: a search of the tree,
//! which has no removed files; a reference from each area, which `fork` and `mmap` would pay for.

use core::cell::RefCell;
use core::num::NonZeroU32;

use abi::Errno;
use mm::{FilePages, Shared, file_pages};

use crate::fs::bytes::Bytes;
use crate::fs::directory;
use crate::fs::node::Node;
use crate::fs::number_map::{LIMIT, NumberMap};
use crate::fs::opened::Opened;
use crate::fs::path;

/// The names by labels. Nobody has the label 0.
#[cfg(not(test))]
static NAMES: arch::SingleCpu<RefCell<Names>> = arch::SingleCpu::new(RefCell::new(Names::NONE));

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
    directory: Shared<Node>,
    name: Bytes,
    /// Its number.
    number: u64,
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
        note_pages(pages, (&opened.directory, &opened.name), &opened.node);
    }
}

/// The same of the first program, whose bytes were taken from where `opened` has them.
pub fn note_program(pages: &FilePages, opened: &Opened) {
    if opened
        .node
        .pages()
        .is_some_and(|own| own.has_base_of(pages))
    {
        note_pages(pages, (&opened.directory, &opened.name), &opened.node);
    }
}

fn note_pages(pages: &FilePages, (directory, name): (&Shared<Node>, &[u8]), node: &Node) {
    if pages.label().is_some() {
        return;
    }
    file_pages::forget_by(forget);
    let Ok(name) = Bytes::name(name) else {
        return;
    };
    let name = Name {
        directory: directory.clone(),
        name,
        number: node.number(),
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

/// A file that was called `from` in its directory is called `to` in that one. Who has it open
/// may still map it, so it is noted if that was its only name.
pub fn renamed(node: &Node, from: (&Shared<Node>, &[u8]), to: (&Shared<Node>, &[u8])) {
    let Some(pages) = node.pages() else {
        return;
    };
    let Some(label) = pages.label() else {
        if node.links() == 1 {
            note_pages(pages, to, node);
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
            number: old.number,
        };
        names.map.put(number, new, false).ok().flatten()
    });
    drop(before);
}

/// The number of a mapped file and, at the end of `buffer`, its path from `root`, if it has one.
///
/// # Errors
/// ERANGE: the buffer is too small. ENOENT: the directory has been removed. ENOMEM.
pub fn describe<'b>(
    root: &Shared<Node>,
    pages: &Shared<FilePages>,
    buffer: &'b mut [u8],
) -> Result<Option<(u64, &'b [u8])>, Errno> {
    let Some(label) = pages.label() else {
        return Ok(None);
    };
    let found = with_names(|names| {
        let name = names.map.get(label.get() as usize)?;
        let copy = name.name.duplicate().ok()?;
        Some((name.directory.clone(), copy, name.number))
    });
    let Some((directory, name, number)) = found else {
        return Ok(None);
    };
    let is_it = |node: &Node| {
        let own = node.pages();
        own.is_some_and(|own| Shared::is_same(own, pages) || own.has_base_of(pages))
    };
    let is_there = directory::find_in_memory(&directory, &name).is_some_and(|node| is_it(&node));
    let path = path::write_name(root, (&directory, &name), is_there, buffer)?;
    Ok(Some((number, path)))
}
