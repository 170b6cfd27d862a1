//! Who is told by signals what can be done with an open file (Linux, fcntl(2), F_SETOWN).

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::open_file::{Object, OpenFile};
use crate::fs::sigio::Recipient;
use crate::proc::signal::Signal;

impl OpenFile {
    /// Says whether the recipient shall be told by signals what can be done, as of descriptor `fd`.
    ///
    /// # Errors
    /// ENOTTY: it is neither a pipe nor a socket. ENOMEM.
    pub fn set_async(this: &Shared<Self>, fd: u64, is_async: bool) -> Result<(), Errno> {
        let watches = match this.object {
            Object::ReadEnd(_) | Object::WriteEnd(_) | Object::BothEnds(..) | Object::Socket(_) => {
                this.watches()
            }
            _ => None,
        };
        let watches = watches.ok_or(Errno::ENOTTY)?;
        if is_async != this.has(linux::FASYNC) {
            match is_async {
                true => watches.tell_by_signal(this, fd as u32 as usize)?,
                false => watches.stop_telling(this),
            }
            this.flags.set(this.flags.get() ^ linux::FASYNC);
        }
        Ok(())
    }

    /// Who is told so.
    pub fn recipient(&self) -> Recipient {
        self.recipient.get()
    }

    /// Says who.
    pub fn set_recipient(&self, recipient: Recipient) {
        self.recipient.set(recipient);
    }

    /// By which signal, if not by SIGIO alone.
    pub fn signal(&self) -> Option<Signal> {
        self.signal.get()
    }

    /// Says which.
    pub fn set_signal(&self, signal: Option<Signal>) {
        self.signal.set(signal);
    }
}
