//! How the kernel asks for files of the host: one buffer in guest memory and one port.
//!
//! ```text
//! kernel                                        VMM
//! writes a Request and a name into the buffer
//! writes the buffer's frame number to the port -> answers in the buffer, in one exit
//! reads the Reply and what follows it
//! ```
//!
//! Nodes are numbers that the VMM gives; the root is [`ROOT`]. No file of the
//! host ever changes through this; the last operations make new ones, where the user wants them. The contents of a file are in guest-physical memory of their own,
//! outside RAM, once [`Operation::Map`] has asked for them: pages of the host's own file,
//! which the guest can read and not write.
//!
//! Rejected: an archive with all names, which takes as long to read as a tree is large; FUSE
//! over virtio, with queues for what is one question and one answer.

/// Bytes of the buffer, which starts with a page and is contiguous in RAM.
pub const BUFFER_LEN: usize = 0x4000;
/// The node that `/` is.
pub const ROOT: u64 = 1;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Operation {
    /// The [`Attributes`] of the name that follows, in the folder [`Request::node`]; without a
    /// name those of the node itself, as they are now.
    LookUp = 1,
    /// The entries of a folder but `.` and `..`, from the place [`Request::position`] on, 0
    /// first: as many [`Entry`]s as there is room for; [`Reply::position`] is where the next
    /// are, 0 if there are none.
    List = 2,
    /// Where a symbolic link leads: bytes.
    ReadLink = 3,
    /// Guest-physical address of a file's contents, in [`Reply::position`], which stay there;
    /// the [`Attributes`] follow, with the length that is mapped. Whole pages start with a
    /// page, and the last one has zeros after the end.
    Map = 4,
    /// Makes a file, folder or symbolic link of the guest on the host, new: in the folder
    /// [`Request::node`], a number from an earlier such reply, or 0 for what the command line's
    /// word [`SAVE`](crate::command_line::SAVE) number [`Request::position`] names, from 0 on.
    /// An [`Entry`], with the length of the whole file, and its name follow, and behind those
    /// where a link leads. The name of what the word names does not matter.
    /// [`Reply::position`] is its number; 0 if nothing can be in it.
    Save = 5,
    /// Bytes of the file that was made last, which has the number [`Request::node`], at
    /// [`Request::position`]. They follow; what never comes is zero.
    SaveBytes = 6,
    /// All that word number [`Request::position`] names has been saved; or not, and
    /// [`Request::node`] is why, as an errno of Linux.
    Saved = 7,
}

impl Operation {
    /// The operation with this number.
    pub const fn new(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::LookUp,
            2 => Self::List,
            3 => Self::ReadLink,
            4 => Self::Map,
            5 => Self::Save,
            6 => Self::SaveBytes,
            7 => Self::Saved,
            _ => return None,
        })
    }
}

/// The start of the buffer when the kernel asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// An [`Operation`], by its number.
    pub operation: u64,
    /// Which node.
    pub node: u64,
    /// For [`Operation::List`].
    pub position: u64,
    /// Bytes that follow.
    pub len: u64,
}

/// The start of the buffer when the VMM has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0, or a positive errno of Linux; then nothing follows.
    pub error: u64,
    /// See [`Operation`].
    pub position: u64,
    /// Bytes that follow.
    pub len: u64,
}

/// What a node is, as `stat` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Its number, for requests. One file with several names has one number.
    pub node: u64,
    /// Length in bytes.
    pub size: u64,
    /// Last change of contents, in nanoseconds after 1970.
    pub modified_ns: i64,
    /// Type and permissions.
    pub mode: u32,
    /// Names that it has.
    pub links: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
}

/// In a list: attributes, then the name, up to a multiple of 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub attributes: Attributes,
    /// Bytes of the name that follows.
    pub name_len: u64,
}

/// Something of fixed size in the buffer: words of 8 bytes, little-endian.
pub trait Record: Sized {
    /// Bytes of it.
    const LEN: usize;

    /// Writes it to the start of `bytes`.
    ///
    /// # Panics
    /// There are fewer than [`LEN`](Self::LEN).
    fn write(self, bytes: &mut [u8]);

    /// What is at the start of `bytes`; `None` if there are fewer than
    /// [`LEN`](Self::LEN).
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// Says in which words a record's fields are.
macro_rules! record {
    ($name:ident: $len:literal, $record:ident => $words:expr, $from:ident => $read:expr) => {
        impl Record for $name {
            const LEN: usize = $len * 8;

            fn write(self, bytes: &mut [u8]) {
                let $record = self;
                let words: [u64; $len] = $words;
                for (place, word) in bytes[..Self::LEN].chunks_exact_mut(8).zip(words) {
                    place.copy_from_slice(&word.to_le_bytes());
                }
            }

            fn read(bytes: &[u8]) -> Option<Self> {
                let (words, _) = bytes.get(..Self::LEN)?.as_chunks();
                let mut $from = [0; $len];
                for (word, bytes) in $from.iter_mut().zip(words) {
                    *word = u64::from_le_bytes(*bytes);
                }
                Some($read)
            }
        }
    };
}

record!(Request: 4, it => [it.operation, it.node, it.position, it.len], words => {
    let [operation, node, position, len] = words;
    Self { operation, node, position, len }
});

record!(Reply: 3, it => [it.error, it.position, it.len], words => {
    let [error, position, len] = words;
    Self { error, position, len }
});

record!(Attributes: 5, it => {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    [
        it.node,
        it.size,
        it.modified_ns as u64,
        pair(it.mode, it.links),
        pair(it.user, it.group),
    ]
}, words => {
    let [node, size, modified, modes, owners] = words;
    Self {
        node,
        size,
        modified_ns: modified as i64,
        mode: modes as u32,
        links: (modes >> 32) as u32,
        user: owners as u32,
        group: (owners >> 32) as u32,
    }
});

impl Record for Entry {
    const LEN: usize = Attributes::LEN + 8;

    fn write(self, bytes: &mut [u8]) {
        self.attributes.write(bytes);
        bytes[Attributes::LEN..Self::LEN].copy_from_slice(&self.name_len.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            attributes: Attributes::read(bytes)?,
            name_len: u64::from_le_bytes(*bytes.get(Attributes::LEN..)?.first_chunk()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, Entry, Record, Reply, Request};

    fn survives<T: Record + Copy + PartialEq + core::fmt::Debug>(record: T) {
        let mut bytes = [0xff; 64];
        record.write(&mut bytes);
        assert_eq!(T::read(&bytes), Some(record));
        assert_eq!(T::read(&bytes[..T::LEN - 1]), None);
        assert_eq!(bytes[T::LEN], 0xff);
    }

    #[test]
    fn records_survive_the_buffer() {
        survives(Request {
            operation: 1,
            node: 2,
            position: 3,
            len: 4,
        });
        survives(Reply {
            error: 5,
            position: u64::MAX,
            len: 6,
        });
        let attributes = Attributes {
            node: 7,
            size: 1 << 40,
            modified_ns: -8,
            mode: 0o100_644,
            links: 9,
            user: u32::MAX,
            group: 10,
        };
        survives(attributes);
        survives(Entry {
            attributes,
            name_len: 255,
        });
    }
}
