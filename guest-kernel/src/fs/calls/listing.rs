//! Listing directories.

use abi::Errno;
use mm::Shared;

use crate::fs::directory::{self, Listed};
use crate::fs::node::Node;

/// `.` and `..`, which come before all others.
const SPECIAL: [&[u8]; 2] = [b".", b".."];

/// An entry, and where to go on after it.
pub struct ListedAt<'l, 'n> {
    /// The entry.
    pub entry: &'l Listed<'n>,
    /// Place of the next one.
    pub next: u64,
}

/// Calls `list` with what is at place `from` of the directory or first after it, until it
/// refuses; returns where to go on. Places 0 and 1 are `.` and `..`.
///
/// # Errors
/// ENOTDIR; ENOENT: it has been removed.
pub fn list(
    directory: &Shared<Node>,
    from: u64,
    mut list: impl FnMut(&ListedAt<'_, '_>) -> bool,
) -> Result<u64, Errno> {
    let inner = directory.directory()?;
    if directory.is_removed() {
        return Err(Errno::ENOENT);
    }
    let mut place = from;
    for name in SPECIAL.iter().skip(place.min(2) as usize) {
        let parent = inner.parent().filter(|_| name.len() == 2);
        let node = parent.as_ref().unwrap_or(directory);
        let entry = Listed {
            name,
            number: node.number(),
            mode: node.mode(),
        };
        let next = place + 1;
        if !list(&ListedAt {
            entry: &entry,
            next,
        }) {
            return Ok(place);
        }
        place = next;
    }
    loop {
        let at = usize::try_from(place - SPECIAL.len() as u64).unwrap_or(usize::MAX);
        let told = directory::next(directory, at, |at, entry| {
            let next = (at + SPECIAL.len() + 1) as u64;
            (next, list(&ListedAt { entry, next }))
        })?;
        match told {
            Some((next, true)) => place = next,
            Some((_, false)) | None => return Ok(place),
        }
    }
}
