//! The device that answers the guest's questions for files of the host: see
//! [`abi::host_files`].
//!
//! All in the buffer is guest input. The answer is written only once it is whole; a buffer that
//! is not in RAM gets none.

use std::collections::HashMap;

use abi::Errno;
use abi::host_files::{Attributes, BUFFER_LEN, Entry, Operation, Record, Reply, Request};
use vm_memory::{Bytes, GuestAddress};

use crate::host_files::{Saving, Tree};
use crate::layout::PAGE;
use crate::memory::{FileWindow, GuestRam};

/// Bytes that can follow a reply.
const ROOM: usize = BUFFER_LEN - Reply::LEN;

/// The device, and what it has told the guest.
pub struct HostFiles {
    tree: Tree,
    saving: Saving,
    ram: GuestRam,
    window: FileWindow,
    /// Where contents are, by node.
    mapped: HashMap<u64, (u64, Attributes)>,
}

/// What an answer says, but for errors: the position, and what follows.
type Answer = (u64, Vec<u8>);

impl HostFiles {
    /// A device that answers from `tree`, in `ram`, and puts contents into `window`; what the
    /// guest hands over goes to `saving`.
    pub fn new(tree: Tree, saving: Saving, ram: GuestRam, window: FileWindow) -> Self {
        Self {
            tree,
            saving,
            ram,
            window,
            mapped: HashMap::new(),
        }
    }

    /// Answers in the buffer that starts with page `frame` of RAM.
    pub fn answer(&mut self, frame: u32) {
        let at = GuestAddress(u64::from(frame) * PAGE);
        let mut buffer = vec![0; BUFFER_LEN];
        if self.ram.mmap().read_slice(&mut buffer, at).is_err() {
            return;
        }
        let (error, position, mut bytes) = match self.serve(&buffer) {
            Ok((position, bytes)) => (0, position, bytes),
            Err(error) => (error.number(), 0, Vec::new()),
        };
        bytes.truncate(ROOM);
        let reply = Reply {
            error,
            position,
            len: bytes.len() as u64,
        };
        reply.write(&mut buffer);
        let end = Reply::LEN + bytes.len();
        buffer[Reply::LEN..end].copy_from_slice(&bytes);
        // It was RAM a moment ago.
        let _ = self.ram.mmap().write_slice(&buffer[..end], at);
    }

    /// What the guest has handed over.
    pub fn saving(&mut self) -> &mut Saving {
        &mut self.saving
    }

    fn serve(&mut self, buffer: &[u8]) -> Result<Answer, Errno> {
        let request = Request::read(buffer).ok_or(Errno::EINVAL)?;
        let len = usize::try_from(request.len).map_err(|_| Errno::EINVAL)?;
        let name = buffer[Request::LEN..].get(..len).ok_or(Errno::EINVAL)?;
        let node = request.node;
        match Operation::new(request.operation).ok_or(Errno::ENOSYS)? {
            Operation::LookUp => {
                let found = match name {
                    b"" => self.tree.attributes(node)?,
                    name => self.tree.look_up(node, name)?,
                };
                Ok((0, written(found)))
            }
            Operation::List => {
                let mut entries = Vec::new();
                let position = request.position;
                let next = self.tree.list(node, position, ROOM, &mut entries)?;
                Ok((next, entries))
            }
            Operation::ReadLink => Ok((0, self.tree.read_link(node)?)),
            Operation::Map => {
                let (address, attributes) = self.map(node)?;
                Ok((address, written(attributes)))
            }
            Operation::Save => Ok((self.save(request, name)?, Vec::new())),
            Operation::SaveBytes => {
                self.saving.write(node, request.position, name)?;
                Ok((0, Vec::new()))
            }
            Operation::Saved => {
                let result = match node {
                    0 => Ok(()),
                    number => Err(Errno::new(number)),
                };
                self.saving.end(request.position, result)?;
                Ok((0, Vec::new()))
            }
        }
    }

    fn save(&mut self, request: Request, bytes: &[u8]) -> Result<u64, Errno> {
        let entry = Entry::read(bytes).ok_or(Errno::EINVAL)?;
        let len = usize::try_from(entry.name_len).map_err(|_| Errno::EINVAL)?;
        let rest = &bytes[Entry::LEN..];
        let name = rest.get(..len).ok_or(Errno::EINVAL)?;
        let link = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
        let Request { node, position, .. } = request;
        self.saving
            .make(node, position, name, entry.attributes, link)
    }

    /// Where the contents of a file are, and what it was when they came there.
    fn map(&mut self, node: u64) -> Result<(u64, Attributes), Errno> {
        if let Some(&mapped) = self.mapped.get(&node) {
            return Ok(mapped);
        }
        let opened = self.tree.open(node)?;
        let mut attributes = opened.attributes;
        let mut address = 0;
        if attributes.size != 0 {
            let (offset, len) = (opened.offset, attributes.size);
            let added = self.window.add(&opened.name, &opened.file, offset, len);
            let failed = |error: std::io::Error| {
                let number = error
                    .raw_os_error()
                    .map_or(Errno::ENOMEM.number(), |n| n as u64);
                Errno::new(number)
            };
            (address, attributes.size) = added.map_err(failed)?;
        }
        self.mapped.insert(node, (address, attributes));
        Ok((address, attributes))
    }
}

fn written(attributes: Attributes) -> Vec<u8> {
    let mut bytes = vec![0; Attributes::LEN];
    attributes.write(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
