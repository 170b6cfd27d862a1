//! What the host gets at the machine's end: files and trees that the command line names.
//!
//! Folders that are still to be handed over are in a list, as the kernel's stack is too small
//! to recurse. The VMM checks all that it is told; here an error only ends the handing over.

use core::cell::Cell;

use abi::Errno;
use abi::command_line as word;
use abi::host_files::{Attributes, Entry, Operation, Record};
use abi::words::{Word, Words};
use devices::host_files::ask;
use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{FilePages, Frame, OutOfMemory, Owned, Shared};
use single_cpu::SingleCpu;

use crate::fs::bytes::{Bytes, NAME_MAX};
use crate::fs::calls;
use crate::fs::directory;
use crate::fs::node::{Kind, Node};
use crate::fs::path::{Links, Start};
use crate::proc::exit;
use crate::syscall::time::of_stamp;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// The command line.
static COMMAND_LINE: SingleCpu<Cell<&'static [u8]>> = SingleCpu::new(Cell::new(b""));

/// Has what the command line names handed over at the end.
pub fn start(command_line: &'static [u8]) {
    COMMAND_LINE.set(command_line);
    exit::before_end(save);
}

/// Hands it over: after a failure only what is always wanted.
fn save(succeeded: bool) {
    let words = Words::new(COMMAND_LINE.get()).map(Word::written);
    let wanted = words
        .take_while(|&written| written != word::SEPARATOR)
        .filter_map(|written| {
            let equals = written.iter().position(|&byte| byte == b'=')?;
            let path = Word::new(&written[equals + 1..]);
            match &written[..equals] {
                word::SAVE => Some((false, path)),
                word::SAVE_ALWAYS => Some((true, path)),
                _ => None,
            }
        });
    for (number, (always, path)) in (0..).zip(wanted) {
        if !always && !succeeded {
            continue;
        }
        let saved = path.with_bytes::<{ linux::PATH_MAX as usize }, _>(|path| {
            let node = calls::find(&Start::of_tree()?, path, Links::Followed)?;
            save_tree(&node, number)
        });
        let why = match saved.unwrap_or(Err(Errno::ENAMETOOLONG)) {
            Ok(()) => 0,
            Err(errno) => errno.number(),
        };
        // A VMM that does not want it knows why.
        let _ = ask(Operation::Saved, why, number, b"", |_, _| ());
    }
}

/// A folder that the host has already, and whose entries it gets.
struct Pending {
    folder: Shared<Node>,
    number: u64,
    next: Option<Owned<Pending>>,
}

/// Hands over `node`, as what word `word` of the command line names.
fn save_tree(node: &Shared<Node>, word: u64) -> Result<(), Errno> {
    let mut pending = None;
    save_node(node, (0, word), b"", &mut pending)?;
    while let Some(Pending {
        folder,
        number,
        next,
    }) = pending.map(Owned::into_inner)
    {
        pending = next;
        let mut from = 0;
        while let Some((place, name)) = directory::next(&folder, from, |place, listed| {
            (place, Bytes::name(listed.name))
        })? {
            let name = name?;
            let node = directory::find(&folder, &name)?;
            save_node(&node, (number, 0), &name, &mut pending)?;
            from = place + 1;
        }
    }
    Ok(())
}

/// Hands over one node, which is called `name` in a folder of the host; if it is a folder, its
/// entries are put in front of `pending`.
fn save_node(
    node: &Shared<Node>,
    (folder, word): (u64, u64),
    name: &[u8],
    pending: &mut Option<Owned<Pending>>,
) -> Result<(), Errno> {
    let (size, link) = match node.kind() {
        Kind::File(pages) => {
            pages.bring_in()?;
            (pages.len(), &[][..])
        }
        Kind::Link(target) => (target.len(), target.text()?),
        _ => (0, &[][..]),
    };
    let message = Message::of(node, size, name, link)?;
    let number = ask(
        Operation::Save,
        folder,
        word,
        message.bytes(),
        |number, _| number,
    )?;
    match node.kind() {
        _ if number == 0 => {}
        Kind::File(pages) => save_bytes(pages, number)?,
        Kind::Directory(_) => {
            let next = pending.take();
            let folder = node.clone();
            *pending = Some(Owned::new(Pending {
                folder,
                number,
                next,
            })?);
        }
        _ => {}
    }
    Ok(())
}

fn save_bytes(pages: &FilePages, number: u64) -> Result<(), Errno> {
    let mut at = 0;
    while at < pages.len() {
        let len = pages.with_bytes(at, |bytes| {
            let sent = ask(Operation::SaveBytes, number, at, bytes, |_, _| ());
            sent.map(|()| bytes.len() as u64)
        })?;
        at += len;
    }
    Ok(())
}

/// What the host is told of a node.
struct Message {
    frame: Frame,
    len: usize,
}

impl Message {
    fn of(node: &Node, size: u64, name: &[u8], link: &[u8]) -> Result<Self, Errno> {
        const _: () = assert!(Entry::LEN + (NAME_MAX + 1).next_multiple_of(8) < FRAME_SIZE);
        let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
        let time = of_stamp(node.times().modified.get());
        let entry = Entry {
            attributes: Attributes {
                node: node.number(),
                size,
                modified_ns: time.seconds * NS_PER_SECOND + i64::from(time.nanoseconds),
                mode: node.mode(),
                links: node.links(),
                user: node.user(),
                group: node.group(),
            },
            name_len: name.len() as u64,
        };
        let bytes = frame.bytes_mut();
        entry.write(bytes);
        bytes[Entry::LEN..][..name.len()].copy_from_slice(name);
        let start = Entry::LEN + name.len().next_multiple_of(8);
        let len = start + link.len();
        let place = bytes.get_mut(start..len);
        place.ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(link);
        Ok(Self { frame, len })
    }

    fn bytes(&self) -> &[u8] {
        &self.frame.bytes()[..self.len]
    }
}
