//! Reading and writing open files.

use abi::Errno;
use linux_raw_sys::general as linux;

use crate::fs::input_stream::INPUT;
use crate::fs::node::Kind;
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::transfer::{First, Source, Target};
use crate::fs::{notify, output, permission, proc_files, regular, size_limit};

impl OpenFile {
    /// Reads from where the offset is, and moves it.
    ///
    /// # Errors
    /// EBADF: not open for reading. EISDIR, EAGAIN, EINTR, EFAULT.
    pub fn read(&self, target: &mut dyn Target) -> Result<u64, Errno> {
        let offset = self.offset.get();
        let count = self.read_from(offset, target)?;
        self.offset.set(offset.saturating_add(count));
        Ok(count)
    }

    /// Reads from `offset` on and leaves the offset alone.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and ESPIPE: has no offset.
    pub fn read_at(&self, offset: u64, target: &mut dyn Target) -> Result<u64, Errno> {
        if !self.is_seekable() {
            return Err(Errno::ESPIPE);
        }
        self.read_from(offset, target)
    }

    fn read_from(&self, offset: u64, target: &mut dyn Target) -> Result<u64, Errno> {
        if !self.is_readable() {
            return Err(Errno::EBADF);
        }
        match &self.object {
            Object::ReadEnd(end) | Object::BothEnds(end, _) => {
                end.read(target, self.is_nonblocking())
            }
            _ => self.read_other(offset, target),
        }
    }

    /// What is no pipe: out of line, so that pipes need not save what all others use.
    #[inline(never)]
    fn read_other(&self, offset: u64, target: &mut dyn Target) -> Result<u64, Errno> {
        match &self.object {
            Object::Node(node) => match node.kind() {
                Kind::File(pages) => {
                    if !self.has(linux::O_NOATIME)
                        && let Some(opened) = self.opened()
                    {
                        opened.mount.note_access(node);
                    }
                    let count = regular::read(pages, offset, target)?;
                    if count > 0 {
                        notify::file(self, notify::ACCESS);
                    }
                    Ok(count)
                }
                Kind::Proc(file) => proc_files::read(*file, offset, target),
                Kind::Directory(_) => Err(Errno::EISDIR),
                // Open, they are other objects.
                _ => Err(Errno::EBADF),
            },
            Object::Device(device) => device.read(target, self.is_nonblocking()),
            Object::Slave(slave) => slave.read(target, self.is_nonblocking()),
            Object::Master(master) => master.read(target, self.is_nonblocking()),
            Object::Event(event) => event.read(target, self.is_nonblocking()),
            Object::Input => INPUT.read(target, self.is_nonblocking()),
            Object::Socket(socket) => socket.read(target, self.is_nonblocking()),
            Object::Namespace(_) => Err(Errno::EINVAL),
            Object::ReadEnd(_) | Object::BothEnds(..) | Object::WriteEnd(_) | Object::Output(_) => {
                Err(Errno::EBADF)
            }
        }
    }

    /// Writes to where the offset is, or to the end if so opened, and moves the offset.
    ///
    /// # Errors
    /// EBADF: not open for writing. EPIPE, EFBIG, ENOSPC, EAGAIN, EINTR, EFAULT.
    pub fn write(&self, source: &mut dyn Source) -> Result<u64, Errno> {
        self.write_appending(source, self.appends())
    }

    /// Writes to where the offset is or, with `appends`, to the end, and moves the offset.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_appending(&self, source: &mut dyn Source, appends: bool) -> Result<u64, Errno> {
        let offset = match self.regular() {
            Some(pages) if appends => pages.len(),
            _ => self.offset.get(),
        };
        let count = self.write_to(offset, source)?;
        self.offset.set(offset.saturating_add(count));
        Ok(count)
    }

    /// Writes to `offset`, or to the end if so opened, and leaves the offset alone.
    ///
    /// # Errors
    /// As for [`write`](Self::write), and ESPIPE: has no offset.
    pub fn write_at(&self, offset: u64, source: &mut dyn Source) -> Result<u64, Errno> {
        self.write_at_appending(offset, source, self.appends())
    }

    /// Writes to `offset` or, with `appends`, to the end, and leaves the offset alone.
    ///
    /// # Errors
    /// As for [`write_at`](Self::write_at).
    pub fn write_at_appending(
        &self,
        offset: u64,
        source: &mut dyn Source,
        appends: bool,
    ) -> Result<u64, Errno> {
        if !self.is_seekable() {
            return Err(Errno::ESPIPE);
        }
        match self.regular() {
            Some(pages) if appends => self.write_to(pages.len(), source),
            _ => self.write_to(offset, source),
        }
    }

    /// Whether it is open for writing at the end.
    pub fn appends(&self) -> bool {
        self.has(linux::O_APPEND)
    }

    fn write_to(&self, offset: u64, source: &mut dyn Source) -> Result<u64, Errno> {
        if !self.is_writable() {
            return Err(Errno::EBADF);
        }
        match &self.object {
            Object::WriteEnd(end) | Object::BothEnds(_, end) => {
                end.write(source, self.is_nonblocking(), self.has(linux::O_DIRECT))
            }
            _ => self.write_other(offset, source),
        }
    }

    /// As [`read_other`](Self::read_other).
    #[inline(never)]
    fn write_other(&self, offset: u64, source: &mut dyn Source) -> Result<u64, Errno> {
        match &self.object {
            Object::Node(node) => match node.kind() {
                Kind::File(pages) => {
                    permission::note_write(node);
                    let room = size_limit::room(offset, source.left())?;
                    let count = regular::write(pages, offset, &mut First::new(source, room))?;
                    node.times().note_modification();
                    if count > 0 {
                        notify::file(self, notify::MODIFY);
                    }
                    Ok(count)
                }
                Kind::Proc(file) => proc_files::write(*file, offset, source),
                _ => Err(Errno::EBADF),
            },
            Object::Device(device) => device.write(source),
            Object::Slave(slave) => slave.write(source, self.is_nonblocking()),
            Object::Master(master) => master.write(source, self.is_nonblocking()),
            Object::Event(event) => event.write(source, self.is_nonblocking()),
            Object::Output(port) => output::send(*port, source),
            Object::Socket(socket) => socket.write(source, self.is_nonblocking()),
            Object::ReadEnd(_)
            | Object::WriteEnd(_)
            | Object::BothEnds(..)
            | Object::Input
            | Object::Namespace(_) => Err(Errno::EBADF),
        }
    }
}
