//! Other names for nodes that have one.

use abi::Errno;
use mm::Shared;

use super::{Entry, Place, check_changeable, complete, has_lost};
use crate::fs::bytes::Bytes;
use crate::fs::node::Node;

/// Makes the name `to` stand for `node`, for which `from` has stood; something may be called
/// so already, and loses its name. Both are directories and names in them.
///
/// # Errors
/// As [`check_changeable`]; ENOMEM, ENOSPC; nothing has changed.
pub fn rename(
    node: &Shared<Node>,
    (from, from_name): (&Shared<Node>, &[u8]),
    (to, to_name): (&Shared<Node>, &[u8]),
) -> Result<(), Errno> {
    check_changeable(from)?;
    check_changeable(to)?;
    complete(from)?;
    let (source, target) = (from.directory()?.kept()?, to.directory()?.kept()?);
    let name = Bytes::name(to_name)?;
    let place = Place::of(node, to, &name)?;
    let replaced = target.borrow_mut().replace(to_name, node.clone());
    match replaced {
        Some(replaced) => has_lost(to, &replaced),
        None => {
            let entry = Entry {
                name,
                node: node.clone(),
            };
            target.borrow_mut().insert(entry)?;
        }
    }
    // It is there once more, so nothing goes with this entry.
    drop(source.borrow_mut().remove(from_name));
    if let Ok(inner) = node.directory() {
        inner.set_place(place);
        from.count_directory(-1);
        to.count_directory(1);
    }
    node.times().note_change();
    from.times().note_modification();
    to.times().note_modification();
    Ok(())
}

/// Makes each of two names stand for the other's node. Each has the directory that it is in
/// and the node.
///
/// # Errors
/// As [`check_changeable`]; ENOMEM; nothing has changed.
pub fn exchange(
    (one, one_name, one_node): (&Shared<Node>, &[u8], &Shared<Node>),
    (other, other_name, other_node): (&Shared<Node>, &[u8], &Shared<Node>),
) -> Result<(), Errno> {
    check_changeable(one)?;
    check_changeable(other)?;
    let places = (
        Place::of(other_node, one, &Bytes::name(one_name)?)?,
        Place::of(one_node, other, &Bytes::name(other_name)?)?,
    );
    for (directory, name, lost, gained, place) in [
        (one, one_name, one_node, other_node, places.0),
        (other, other_name, other_node, one_node, places.1),
    ] {
        let entries = directory.directory()?.kept()?;
        drop(entries.borrow_mut().replace(name, gained.clone()));
        if lost.is_directory() {
            directory.count_directory(-1);
        }
        if let Ok(inner) = gained.directory() {
            inner.set_place(place);
            directory.count_directory(1);
        }
        gained.times().note_change();
        directory.times().note_modification();
    }
    Ok(())
}
