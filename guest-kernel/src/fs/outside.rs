//! Nodes of the host's files: what the VMM says of them becomes a node of the tree when it is
//! first looked up. From then on the node is the truth, and what programs change of it stays
//! in the guest.
//!
//! A file with several names on the host is one file for each name here: nothing but its
//! number says that they belong together.

use abi::Errno;
use abi::host_files::{Attributes, Entry, Operation, ROOT, Record};
use core::num::NonZero;
use devices::host_files::ask;
use linux_raw_sys::general as linux;
use mm::file_pages::FilePages;
use mm::{OutOfMemory, Shared};

use crate::fs::bytes::Bytes;
use crate::fs::directory::Directory;
use crate::fs::link_target::LinkTarget;
use crate::fs::node::{Kind, Node};
use crate::fs::stamp::{Stamp, Time};

const NS_PER_SECOND: i64 = 1_000_000_000;
/// Where the numbers of these nodes start, after those of the guest's own.
const FIRST_NUMBER: u64 = 1 << 40;

/// A number that the VMM gave.
pub type Number = NonZero<u64>;

/// That of the root directory.
pub const ROOT_NUMBER: Number = NonZero::new(ROOT).expect("it is not zero");

/// The node that `name` stands for in a directory of the host.
///
/// # Errors
/// ENOENT, ENOMEM, and others of the host.
pub fn look_up(directory: Number, name: &[u8]) -> Result<Shared<Node>, Errno> {
    let attributes = ask(Operation::LookUp, directory.get(), 0, name, |_, bytes| {
        Attributes::read(bytes)
    })?;
    node(&attributes.ok_or(Errno::EIO)?)
}

/// Calls `tell` with the entries of a directory of the host from `position` on, 0 first, until
/// it refuses; where the next ones are, if there are more.
///
/// # Errors
/// Those of the host and of `tell`.
pub fn list(
    directory: Number,
    position: u64,
    mut tell: impl FnMut(&[u8], &Attributes) -> Result<(), Errno>,
) -> Result<Option<u64>, Errno> {
    ask(
        Operation::List,
        directory.get(),
        position,
        b"",
        |next, mut bytes| {
            while let Some(entry) = Entry::read(bytes) {
                let rest = &bytes[Entry::LEN..];
                let len = usize::try_from(entry.name_len).map_err(|_| Errno::EIO)?;
                tell(rest.get(..len).ok_or(Errno::EIO)?, &entry.attributes)?;
                bytes = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
            }
            Ok(Some(next).filter(|&next| next != 0))
        },
    )?
}

/// Where a symbolic link of the host leads.
///
/// # Errors
/// ENOMEM, ENAMETOOLONG, and others of the host.
pub fn read_link(link: Number) -> Result<Bytes, Errno> {
    ask(Operation::ReadLink, link.get(), 0, b"", |_, bytes| {
        Bytes::new(bytes)
    })?
}

/// A node with these attributes.
///
/// # Errors
/// ENOENT: nothing that the guest can have. ENOMEM.
pub fn node(attributes: &Attributes) -> Result<Shared<Node>, Errno> {
    let number = Number::new(attributes.node).ok_or(Errno::EIO)?;
    let kind = match attributes.mode & linux::S_IFMT {
        linux::S_IFDIR => Kind::Directory(Directory::of_host(number)),
        linux::S_IFREG => {
            let pages = FilePages::of_host(number, attributes.size);
            Kind::File(Shared::new(pages)?)
        }
        linux::S_IFLNK => Kind::Link(LinkTarget::of_host(number, attributes.size)),
        _ => return Err(Errno::ENOENT),
    };
    Ok(with_attributes(kind, attributes)?)
}

fn with_attributes(kind: Kind, attributes: &Attributes) -> Result<Shared<Node>, OutOfMemory> {
    let number = FIRST_NUMBER + attributes.node;
    let node = Node::with_number(kind, attributes.mode, number)?;
    node.set_owner(attributes.user, attributes.group);
    node.set_links(attributes.links);
    let modified = Stamp::Told(Time {
        seconds: attributes.modified_ns.div_euclid(NS_PER_SECOND),
        nanoseconds: attributes.modified_ns.rem_euclid(NS_PER_SECOND) as u32,
    });
    node.times().set_all(modified);
    Ok(node)
}
