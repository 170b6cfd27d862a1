//! Giving nodes names and taking them away: making, linking, removing, renaming.

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{Shared, quota};

use crate::fs::bytes::Bytes;
use crate::fs::directory::{self, Directory};
use crate::fs::link_target::LinkTarget;
use crate::fs::mapped;
use crate::fs::mount::{Location, Mount};
use crate::fs::node::{Kind, Node};
use crate::fs::notify;
use crate::fs::path::{self, Last, Links, Place, Start};
use crate::fs::permission::{self, WRITE};
use crate::proc::capability::Capability;
use crate::proc::current;

/// Permissions of every symbolic link: nobody asks for them.
const LINK_MODE: u32 = 0o777;
/// What a directory can be made with.
const DIRECTORY_MODES: u32 = 0o1777;

/// Puts a node of this kind at a place where there is none.
pub(super) fn create(place: &Place<'_>, kind: Kind, mode: u32) -> Result<Shared<Node>, Errno> {
    let node = create_without_name((&place.mount, &place.directory), kind, mode)?;
    directory::insert(&place.directory, Bytes::name(place.name())?, &node)?;
    notify::created(&place.directory, place.name(), &node);
    Ok(node)
}

/// A node that can have a name in `directory`.
pub(super) fn create_without_name(
    (mount, directory): (&Mount, &Node),
    kind: Kind,
    mode: u32,
) -> Result<Shared<Node>, Errno> {
    mount.check_writable()?;
    directory::check_changeable(directory)?;
    permission::check_naming(directory)?;
    quota::check_file().map_err(|_| Errno::ENOSPC)?;
    let node = Node::new(kind, mode)?;
    if let Some(pages) = node.pages() {
        mount.file_system().limit(pages);
    }
    permission::own_new(directory, &node, mode);
    Ok(node)
}

/// The place at `path`, where there is nothing.
fn find_free<'p>(start: &Start, path: &'p [u8]) -> Result<Place<'p>, Errno> {
    let place = path::walk(start, path, Links::Named)?;
    match place.found {
        Some(_) => Err(Errno::EEXIST),
        None => Ok(place),
    }
}

/// The same, where no directory is to be.
fn find_free_for_other<'p>(start: &Start, path: &'p [u8]) -> Result<Place<'p>, Errno> {
    let place = find_free(start, path)?;
    match place.must_be_directory {
        true => Err(Errno::ENOENT),
        false => Ok(place),
    }
}

/// Makes a directory.
///
/// # Errors
/// As for [`find`](super::find); EEXIST, EROFS, ENOSPC.
pub fn make_directory(start: &Start, path: &[u8], mode: u32) -> Result<(), Errno> {
    let place = find_free(start, path)?;
    let kind = Kind::Directory(Directory::empty());
    create(&place, kind, mode & DIRECTORY_MODES).map(drop)
}

/// Makes something that is no directory.
///
/// # Errors
/// As for [`find`](super::find); EEXIST, EPERM (devices are the superuser's), EROFS, ENOSPC.
pub fn make_node(start: &Start, path: &[u8], kind: Kind, mode: u32) -> Result<Shared<Node>, Errno> {
    let place = find_free_for_other(start, path)?;
    if let Kind::Characters(_) | Kind::Blocks(_) = kind {
        place.mount.check_writable()?;
        permission::check_naming(&place.directory)?;
        current().require(Capability::Mknod)?;
    }
    create(&place, kind, mode)
}

/// Makes a symbolic link to `target` at `path`.
///
/// # Errors
/// As for [`find`](super::find); ENOENT (an empty target), EEXIST, EROFS, ENOSPC.
pub fn make_link(start: &Start, path: &[u8], target: &[u8]) -> Result<(), Errno> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let place = find_free_for_other(start, path)?;
    let kind = Kind::Link(LinkTarget::known(Bytes::new(target)?));
    create(&place, kind, LINK_MODE).map(drop)
}

/// Gives what is at the path `from` another name.
///
/// # Errors
/// As for [`link_node`] and [`find`](super::find).
pub fn link(from: (&Start, &[u8]), to: (&Start, &[u8]), links: Links) -> Result<(), Errno> {
    link_node(&super::locate(from.0, from.1, links)?, to)
}

/// Gives `node` the name `path` too.
///
/// # Errors
/// As for [`find`](super::find); EEXIST, EPERM (a directory), EXDEV (seen through another mount),
/// ENOENT (it has been removed), EROFS, ENOSPC.
pub fn link_node(from: &Location, (start, path): (&Start, &[u8])) -> Result<(), Errno> {
    let place = find_free_for_other(start, path)?;
    let node = &from.node;
    place.mount.check_writable()?;
    if !Shared::is_same(&from.mount, &place.mount) {
        return Err(Errno::EXDEV);
    }
    directory::check_changeable(&place.directory)?;
    permission::check_naming(&place.directory)?;
    match node.kind() {
        Kind::Directory(_) => return Err(Errno::EPERM),
        Kind::Proc(_) => return Err(Errno::EXDEV),
        _ if !node.is_linkable() => return Err(Errno::ENOENT),
        _ => {}
    }
    quota::check_file().map_err(|_| Errno::ENOSPC)?;
    directory::insert(&place.directory, Bytes::name(place.name())?, node)?;
    notify::linked(&place.directory, place.name(), node);
    Ok(())
}

/// Removes a name that is not a directory's; what it stands for goes when it has no other
/// and nobody has it open.
///
/// # Errors
/// As for [`find`](super::find); EISDIR, EROFS.
pub fn remove_file(start: &Start, path: &[u8]) -> Result<(), Errno> {
    let place = path::walk(start, path, Links::Named)?;
    if place.last == Last::Name {
        place.mount.check_writable()?;
    }
    let found = place.found.as_ref().ok_or(Errno::ENOENT)?;
    if place.last != Last::Name {
        return Err(Errno::EISDIR);
    }
    permission::check_removal(&place.directory, found)?;
    if found.is_directory() {
        return Err(Errno::EISDIR);
    }
    place.node()?;
    place.check_not_covered()?;
    directory::remove(&place.directory, place.name())?;
    notify::removed(place);
    Ok(())
}

/// Removes a directory.
///
/// # Errors
/// As for [`find`](super::find); ENOTDIR, ENOTEMPTY, EINVAL (`.`), EBUSY (the root), EROFS.
pub fn remove_directory(start: &Start, path: &[u8]) -> Result<(), Errno> {
    let place = path::walk(start, path, Links::Named)?;
    match place.last {
        Last::Name => {}
        Last::Dot => return Err(Errno::EINVAL),
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Root => return Err(Errno::EBUSY),
    }
    place.mount.check_writable()?;
    let node = place.node()?;
    directory::check_changeable(&place.directory)?;
    permission::check_removal(&place.directory, node)?;
    place.check_not_covered()?;
    if !directory::is_empty(node)? {
        return Err(Errno::ENOTEMPTY);
    }
    directory::remove(&place.directory, place.name())?;
    notify::removed(place);
    Ok(())
}

/// Renames what is at one path to another, as the flags of `renameat2` say: without any, it
/// replaces what is there.
///
/// # Errors
/// As for [`find`](super::find); EEXIST, EISDIR, ENOTEMPTY, EINVAL (into itself, or flags),
/// EBUSY, EROFS.
pub fn rename(from: (&Start, &[u8]), to: (&Start, &[u8]), flags: u32) -> Result<(), Errno> {
    const KNOWN: u32 = linux::RENAME_NOREPLACE | linux::RENAME_EXCHANGE;
    if flags & !KNOWN != 0 || flags == KNOWN {
        return Err(Errno::EINVAL);
    }
    let source = path::walk(from.0, from.1, Links::Named)?;
    let target = path::walk(to.0, to.1, Links::Named)?;
    if !Shared::is_same(&source.mount, &target.mount) {
        return Err(Errno::EXDEV);
    }
    if source.last != Last::Name || target.last != Last::Name {
        let keeps = source.last == Last::Name && flags == linux::RENAME_NOREPLACE;
        return Err(if keeps { Errno::EEXIST } else { Errno::EBUSY });
    }
    let node = source.found.as_ref().ok_or(Errno::ENOENT)?;
    match &target.found {
        Some(_) if flags == linux::RENAME_NOREPLACE => return Err(Errno::EEXIST),
        None if flags == linux::RENAME_EXCHANGE => return Err(Errno::ENOENT),
        _ => {}
    }
    source.node()?;
    source.mount.check_writable()?;
    check_moving(&source, &target, node)?;
    source.check_not_covered()?;
    target.check_not_covered()?;
    if flags == linux::RENAME_EXCHANGE {
        return exchange(&source, &target);
    }
    if target.must_be_directory && !node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    check_not_inside(&target.directory, node)?;
    if let Some(replaced) = &target.found {
        if path::is_inside(&source.directory, replaced) {
            return Err(Errno::ENOTEMPTY);
        }
        if Shared::is_same(replaced, node) {
            return Ok(());
        }
        match (node.is_directory(), replaced.is_directory()) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) if !directory::is_empty(replaced)? => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
    }
    let from = (&source.directory, source.name());
    let to = (&target.directory, target.name());
    directory::rename(node, from, to)?;
    mapped::renamed((&source.mount, node), from, to);
    let replaced = target.found.as_deref();
    notify::moved(node, (from.0, from.1), (to.0, to.1), replaced);
    Ok(())
}

/// Fails unless the process may move `node` from one place to another.
fn check_moving(source: &Place<'_>, target: &Place<'_>, node: &Node) -> Result<(), Errno> {
    permission::check_removal(&source.directory, node)?;
    match &target.found {
        Some(replaced) => permission::check_removal(&target.directory, replaced)?,
        None => permission::check_naming(&target.directory)?,
    }
    let moves_up = node.is_directory() && !Shared::is_same(&source.directory, &target.directory);
    match moves_up {
        // Its `..` changes.
        true => permission::check(node, WRITE),
        false => Ok(()),
    }
}

fn exchange(one: &Place<'_>, other: &Place<'_>) -> Result<(), Errno> {
    let nodes = (one.node()?, other.node()?);
    check_not_inside(&other.directory, nodes.0)?;
    check_not_inside(&one.directory, nodes.1)?;
    if Shared::is_same(nodes.0, nodes.1) {
        return Ok(());
    }
    let (first, second) = (one.name(), other.name());
    directory::exchange(
        (&one.directory, first, nodes.0),
        (&other.directory, second, nodes.1),
    )?;
    let (here, there) = ((&one.directory, first), (&other.directory, second));
    mapped::renamed((&one.mount, nodes.0), here, there);
    mapped::renamed((&other.mount, nodes.1), there, here);
    let (first, second) = ((&*one.directory, first), (&*other.directory, second));
    notify::moved(nodes.0, first, second, None);
    notify::moved(nodes.1, second, first, None);
    Ok(())
}

/// Fails if `node` is a directory and `directory` somewhere in it.
fn check_not_inside(directory: &Shared<Node>, node: &Shared<Node>) -> Result<(), Errno> {
    match node.is_directory() && path::is_inside(directory, node) {
        true => Err(Errno::EINVAL),
        false => Ok(()),
    }
}
