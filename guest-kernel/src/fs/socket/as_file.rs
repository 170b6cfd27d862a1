//! What a socket does as a file: it is read and written, and says what it holds.

use abi::Errno;

use crate::fs::socket::Socket;
use crate::fs::socket::endpoint::{Stage, Style};
use crate::fs::socket::message::Attached;
use crate::fs::socket::transport::{Incoming, Outgoing};
use crate::fs::transfer::{Source, Target};

impl Socket {
    /// Receives as a file.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        if target.left() == 0 && self.0.style == Style::Stream {
            return Ok(0);
        }
        let patience = self.patience_to_receive(nonblocking);
        self.receive(&mut Incoming::new(target, patience))
    }

    /// Sends as a file; the caller signals that nobody reads it.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn write(&self, source: &mut dyn Source, nonblocking: bool) -> Result<u64, Errno> {
        let outgoing = Outgoing {
            source,
            attached: Attached::default(),
            patience: self.patience_to_send(nonblocking),
        };
        self.send(None, outgoing, true)
    }

    /// Bytes that can be received: of the first message, or of all of a connection.
    ///
    /// # Errors
    /// EINVAL: it listens.
    pub fn available(&self) -> Result<u64, Errno> {
        if self.0.stage.get() == Stage::Listening {
            return Err(Errno::EINVAL);
        }
        let inbox = self.0.inbox.borrow();
        Ok(match inbox.first() {
            Some(first) if !self.0.style.has_connections() => first.len() as u64,
            _ => inbox.len() as u64,
        })
    }

    /// Bytes that the receiver has not read.
    pub fn unread(&self) -> u64 {
        self.0
            .peer()
            .map_or(0, |peer| peer.inbox.borrow().len() as u64)
    }
}
