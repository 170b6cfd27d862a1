//! Changing what nodes are like: mode, owner, times.

use abi::Errno;
use linux_raw_sys::general as linux;

use crate::fs::node::{Kind, Node};
use crate::fs::permission::{self, WRITE};
use crate::fs::stamp::Stamp;
use crate::proc::capability::Capability;
use crate::proc::credentials::SAME;
use crate::proc::current;

/// Changes the permission bits of `node`.
///
/// # Errors
/// EPERM; EOPNOTSUPP: a symbolic link has none.
pub fn set_mode(node: &Node, mode: u32) -> Result<(), Errno> {
    if let Kind::Link(_) = node.kind() {
        return Err(Errno::EOPNOTSUPP);
    }
    permission::check_owner(node)?;
    let process = current();
    let keeps_group = process.credentials.is_in(node.group()) || process.may(Capability::Fsetid);
    let refused = match keeps_group {
        true => 0,
        false => linux::S_ISGID,
    };
    node.set_mode(mode & !refused);
    Ok(())
}

/// Gives `node` to this user and group; [`SAME`] is who has it.
///
/// # Errors
/// EPERM: only the superuser may give it to others, and its owner to groups of his.
pub fn set_owner(node: &Node, user: u32, group: u32) -> Result<(), Errno> {
    let process = current();
    if !process.may(Capability::Chown) {
        let credentials = &process.credentials;
        let keeps_user = user == SAME || user == node.user();
        let has_group = group == SAME || group == node.group() || credentials.is_in(group);
        let is_own = credentials.users().files == node.user();
        let is_allowed = is_own && keeps_user && has_group;
        if !is_allowed && (user, group) != (SAME, SAME) {
            return Err(Errno::EPERM);
        }
    }
    let or = |id, before| if id == SAME { before } else { id };
    permission::drop_privileges(node);
    node.set_owner(or(user, node.user()), or(group, node.group()));
    Ok(())
}

/// What a program wants of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTime {
    /// It stays.
    Same,
    /// The present.
    Now,
    /// What it says.
    At(Stamp),
}

/// Sets the times of the last access and of the last change of contents.
///
/// # Errors
/// EPERM; EACCES: it may not even write, which allows the present for both.
pub fn set_times(node: &Node, accessed: NewTime, modified: NewTime) -> Result<(), Errno> {
    if (accessed, modified) == (NewTime::Now, NewTime::Now) {
        if !permission::owns(node) {
            permission::check(node, WRITE)?;
        }
    } else {
        permission::check_owner(node)?;
    }
    let times = node.times();
    let new = |time, before| match time {
        NewTime::Same => before,
        NewTime::Now => Stamp::now(),
        NewTime::At(stamp) => stamp,
    };
    times.tell(
        new(accessed, times.accessed.get()),
        new(modified, times.modified.get()),
    );
    Ok(())
}
