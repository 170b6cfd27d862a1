//! Telling those who watch files and directories what happens to them (`inotify`): as Linux
//! does, an event of what has a name goes to the directory first, with the name, and then to
//! the node itself (include/linux/fsnotify.h).
//!
//! Where nobody watches anything, each of these costs a look at one number.
//!
//! Only files are told to be read and written, as pipes and devices are many times a second.
//! A file knows no directory, so the one counts in which it was opened: after it was moved to
//! another one its events go to neither.

use core::cell::Cell;

use linux_raw_sys::general as linux;
use mm::Shared;
use single_cpu::SingleCpu;

use crate::fs::bytes::Bytes;
use crate::fs::directory;
use crate::fs::events::inotify::{Happened, is_used, tell};
use crate::fs::node::Node;
use crate::fs::open_file::OpenFile;
use crate::fs::opened::Opened;
use crate::fs::path::Place;

pub use linux::{
    IN_ACCESS as ACCESS, IN_ATTRIB as ATTRIBUTES, IN_MODIFY as MODIFY, IN_OPEN as OPEN,
};

/// A directory and a name in it.
type Name<'n> = (&'n Node, &'n [u8]);

/// The bit that says of what an event is.
fn kind(node: &Node) -> u32 {
    match node.is_directory() {
        true => linux::IN_ISDIR,
        false => 0,
    }
}

/// `event` is of what has this name.
fn tell_directory((directory, name): Name<'_>, event: u32, cookie: u32) {
    let happened = Happened {
        event,
        cookie,
        name,
        is_unlinked: false,
    };
    tell(directory, happened);
}

/// An event of an open file.
#[inline]
pub fn file(file: &OpenFile, event: u32) {
    if is_used() {
        tell_file(file, event);
    }
}

#[inline(never)]
fn tell_file(file: &OpenFile, event: u32) {
    if let Some(opened) = file.opened().filter(|_| !file.is_path()) {
        tell_opened(opened, event);
    }
}

/// An open file that nobody has any more.
#[inline]
pub fn closed(closed: &OpenFile) {
    if is_used() {
        let event = match closed.is_writable() {
            true => linux::IN_CLOSE_WRITE,
            false => linux::IN_CLOSE_NOWRITE,
        };
        tell_file(closed, event);
    }
}

/// An event of what a path led to.
#[inline]
pub fn opened(opened: &Opened, event: u32) {
    if is_used() {
        tell_opened(opened, event);
    }
}

#[inline(never)]
fn tell_opened(opened: &Opened, event: u32) {
    let node = &opened.node;
    let event = event | kind(node);
    with_name(opened, |directory, name| {
        let happened = Happened {
            event,
            cookie: 0,
            name,
            is_unlinked: node.is_removed(),
        };
        tell(directory, happened);
    });
    tell(node, Happened::to_itself(event));
}

/// Calls `use_name` with the directory of what a path led to and the name there, if somebody
/// watches that.
fn with_name(opened: &Opened, use_name: impl FnOnce(&Node, &[u8])) {
    let node = &opened.node;
    if let Ok(inner) = node.directory() {
        let place = inner.with_place(|parent, name| {
            let name = Bytes::name(name).ok().filter(|_| parent.is_watched())?;
            Some((parent.clone(), name))
        });
        if let Some((parent, name)) = place.flatten() {
            use_name(&parent, &name);
        }
        return;
    }
    let directory = &opened.directory;
    if !directory.is_watched() || opened.name.is_empty() {
        return;
    }
    let there = directory::find_in_memory(directory, &opened.name);
    if node.is_removed() || there.is_some_and(|there| Shared::is_same(&there, node)) {
        use_name(directory, &opened.name);
    } else if let Some(name) = directory::name_of(directory, node) {
        use_name(directory, &name);
    }
}

/// A new node has its first name.
pub fn created(directory: &Node, name: &[u8], node: &Node) {
    if is_used() {
        tell_directory((directory, name), linux::IN_CREATE | kind(node), 0);
    }
}

/// A node has one name more.
pub fn linked(directory: &Node, name: &[u8], node: &Node) {
    if is_used() {
        tell(node, Happened::to_itself(ATTRIBUTES));
        created(directory, name, node);
    }
}

/// What was at `place` has lost that name, and may be nowhere any more.
pub fn removed(mut place: Place<'_>) {
    if !is_used() {
        return;
    }
    let kind = place.found.take().map_or(0, |node| {
        if !node.is_directory() {
            tell(&node, Happened::to_itself(ATTRIBUTES));
        }
        kind(&node)
    });
    let name = (&*place.directory, place.name());
    tell_directory(name, linux::IN_DELETE | kind, 0);
}

/// `node` has another name, which `replaced` has lost.
pub fn moved(node: &Node, from: Name<'_>, to: Name<'_>, replaced: Option<&Node>) {
    static LAST_COOKIE: SingleCpu<Cell<u32>> = SingleCpu::new(Cell::new(0));
    if !is_used() {
        return;
    }
    let cookie = LAST_COOKIE.get().wrapping_add(1);
    LAST_COOKIE.set(cookie);
    tell_directory(from, linux::IN_MOVED_FROM | kind(node), cookie);
    tell_directory(to, linux::IN_MOVED_TO | kind(node), cookie);
    if let Some(replaced) = replaced {
        tell(replaced, Happened::to_itself(ATTRIBUTES | kind(replaced)));
    }
    tell(node, Happened::to_itself(linux::IN_MOVE_SELF));
}
