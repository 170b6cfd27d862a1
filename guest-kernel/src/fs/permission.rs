//! What the current process may do to nodes (Linux, path_resolution(7)).
//!
//! Capabilities allow everything but to run what nobody may run.

use abi::Errno;
use linux_raw_sys::general as linux;

use crate::fs::directory::Directory;
use crate::fs::node::Node;
use crate::proc::capability::Capability;
use crate::proc::credentials::Rights;
use crate::proc::current;

/// Bits of `access`, which are those of a mode for one class of users.
pub const EXECUTE: u32 = 1;
/// To change contents.
pub const WRITE: u32 = 2;
/// To read contents.
pub const READ: u32 = 4;

/// Anybody's permission to run a file.
const EXECUTABLE: u32 = 0o111;
/// Of a program that acts as its group.
const GROUP_PROGRAM: u32 = linux::S_ISGID | linux::S_IXGRP;

/// Fails unless the process may use `node` in these ways.
///
/// # Errors
/// EACCES.
pub fn check(node: &Node, wanted: u32) -> Result<(), Errno> {
    let credentials = &current().credentials;
    let mode = node.mode();
    let allowed = if credentials.users().files == node.user() {
        mode >> 6
    } else if credentials.is_in(node.group()) {
        mode >> 3
    } else {
        mode
    };
    let is_allowed = wanted & !allowed == 0 || may_anyway(node, wanted);
    let may = match node.directory().ok().and_then(Directory::generated) {
        Some(file) => file.may_be_used(is_allowed),
        None => is_allowed,
    };
    match may {
        true => Ok(()),
        false => Err(Errno::EACCES),
    }
}

/// Whether the process may use `node` in these ways though its mode does not allow it.
#[inline(never)]
fn may_anyway(node: &Node, wanted: u32) -> bool {
    let is_directory = node.is_directory();
    let only_looks = match is_directory {
        true => wanted & WRITE == 0,
        false => wanted == READ,
    };
    let can_be = is_directory || wanted & EXECUTE == 0 || node.mode() & EXECUTABLE != 0;
    only_looks && current().may(Capability::DacReadSearch)
        || can_be && current().may(Capability::DacOverride)
}

/// Whether the process may change what only the owner may.
pub fn owns(node: &Node) -> bool {
    let process = current();
    process.credentials.users().files == node.user() || process.may(Capability::Fowner)
}

/// Fails unless it may.
///
/// # Errors
/// EPERM.
pub fn check_owner(node: &Node) -> Result<(), Errno> {
    match owns(node) {
        true => Ok(()),
        false => Err(Errno::EPERM),
    }
}

/// Fails unless the process may give names in `directory`.
///
/// # Errors
/// EACCES.
pub fn check_naming(directory: &Node) -> Result<(), Errno> {
    check(directory, WRITE | EXECUTE)
}

/// Fails unless the process may take a name of `node` out of `directory`.
///
/// # Errors
/// EACCES; EPERM: the directory is sticky, and neither is the process's own.
pub fn check_removal(directory: &Node, node: &Node) -> Result<(), Errno> {
    check_naming(directory)?;
    let is_sticky = directory.mode() & linux::S_ISVTX != 0;
    match is_sticky && !owns(directory) && !owns(node) {
        true => Err(Errno::EPERM),
        false => Ok(()),
    }
}

/// Gives a new node in `directory` to the process, and says with which mode: group and
/// set-group-ID bit may come from the directory. Nobody makes a program that acts as a group
/// that he is not in.
pub fn own_new(directory: &Node, node: &Node, mode: u32) {
    let credentials = &current().credentials;
    let inherits = directory.mode() & linux::S_ISGID != 0;
    let group = match inherits {
        true => directory.group(),
        false => credentials.groups().files,
    };
    node.set_owner(credentials.users().files, group);
    if !inherits {
        return;
    }
    let acts_as_group = mode & GROUP_PROGRAM == GROUP_PROGRAM;
    if node.is_directory() {
        node.set_mode(mode | linux::S_ISGID);
    } else if acts_as_group && !credentials.is_in(group) && !current().may(Capability::Fsetid) {
        node.set_mode(mode & !linux::S_ISGID);
    }
}

/// What `node` loses when somebody without the right to set them writes it: bits that make its
/// program act as its owner.
pub fn note_write(node: &Node) {
    if !current().may(Capability::Fsetid) {
        drop_privileges(node);
    }
}

/// Takes those bits away: the group's only where it may run the program.
pub fn drop_privileges(node: &Node) {
    let mode = node.mode();
    if node.is_directory() || mode & (linux::S_ISUID | linux::S_ISGID) == 0 {
        return;
    }
    let group = match mode & linux::S_IXGRP {
        0 => 0,
        _ => linux::S_ISGID,
    };
    node.set_mode(mode & !linux::S_ISUID & !group);
}

/// Whose rights a program of this file has.
pub fn rights(node: &Node) -> Rights {
    let mode = node.mode();
    Rights {
        user: (mode & linux::S_ISUID != 0).then(|| node.user()),
        group: (mode & GROUP_PROGRAM == GROUP_PROGRAM).then(|| node.group()),
    }
}

/// Calls `act` with the real user and group in place of those for files, as `access` does; and
/// with all capabilities that the real superuser may have, or nobody else's.
pub fn as_real<R>(act: impl FnOnce() -> R) -> R {
    let process = current();
    let credentials = &process.credentials;
    let (users, groups) = (credentials.users(), credentials.groups());
    let own = process.attributes().capabilities;
    let effective = match users.real {
        0 => own.permitted,
        _ => 0,
    };
    let set_effective = |effective| {
        process.change_attributes(|own| own.capabilities.effective = effective);
    };
    credentials.set_users(users.set_files(users.real, true));
    credentials.set_groups(groups.set_files(groups.real, true));
    set_effective(effective);
    let result = act();
    credentials.set_users(users);
    credentials.set_groups(groups);
    set_effective(own.effective);
    result
}
