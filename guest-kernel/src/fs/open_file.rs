//! Open files: what descriptors stand for.
//!
//! An open file has one offset and one set of flags, whoever shares it: descriptors made
//! by `dup`, and those that a child has from its parent.

use core::cell::Cell;

use abi::Errno;
use arch::serial::SerialPort;
use linux_raw_sys::general as linux;
use mm::Shared;
use mm::file_pages::{self, FilePages};

use crate::fs::bytes::Bytes;
use crate::fs::device::Device;
use crate::fs::input_stream::INPUT;
use crate::fs::node::{Kind, Node};
use crate::fs::pipe::{ReadEnd, WriteEnd};
use crate::fs::poll::Readiness;
use crate::fs::socket::{self, Socket};
use crate::fs::terminal;
use crate::fs::transfer::{self, Source, Step, Target};
use crate::fs::{proc_files, regular};

/// Open files that there can be at once, in all processes together.
pub const LIMIT: usize = 1024;

#[cfg(not(test))]
static COUNT: arch::SingleCpu<Cell<usize>> = arch::SingleCpu::new(Cell::new(0));

// Tests run at the same time and each has its own.
#[cfg(test)]
std::thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// How many open files there are.
pub fn count() -> usize {
    COUNT.get()
}

/// Flags that can be changed by `fcntl`.
const CHANGEABLE: u32 = linux::O_APPEND | linux::O_NOATIME | linux::O_NONBLOCK;

/// What is open.
pub enum Object {
    /// A file, directory, or something of `/proc`.
    Node(Shared<Node>),
    /// A device.
    Device(Device),
    /// The end of a pipe that bytes come out of.
    ReadEnd(ReadEnd),
    /// The other one.
    WriteEnd(WriteEnd),
    /// Standard input that is no terminal.
    Input,
    /// A serial port that takes what programs write and is no terminal.
    Output(SerialPort),
    /// A socket.
    Socket(Socket),
}

/// What a path led to when it was opened.
pub struct Opened {
    /// The node.
    pub node: Shared<Node>,
    /// The directory that it was found in, or that it is.
    pub directory: Shared<Node>,
    /// Its name there; empty for the directory itself, and if it had none.
    pub name: Bytes,
}

/// An open file.
pub struct OpenFile {
    object: Object,
    opened: Option<Opened>,
    /// As `open` has them: access mode, [`CHANGEABLE`] flags.
    flags: Cell<u32>,
    offset: Cell<u64>,
}

impl OpenFile {
    /// Opens `object` with these flags of `open`.
    ///
    /// # Errors
    /// ENFILE, ENOMEM.
    pub fn new(object: Object, flags: u32) -> Result<Shared<Self>, Errno> {
        Self::make(object, flags, None)
    }

    /// Opens `object`, to which a path led.
    ///
    /// # Errors
    /// ENFILE, ENOMEM.
    pub fn at(object: Object, flags: u32, opened: Opened) -> Result<Shared<Self>, Errno> {
        Self::make(object, flags, Some(opened))
    }

    fn make(object: Object, flags: u32, opened: Option<Opened>) -> Result<Shared<Self>, Errno> {
        if count() >= LIMIT {
            socket::collect();
        }
        if count() >= LIMIT {
            return Err(Errno::ENFILE);
        }
        COUNT.set(count() + 1);
        let kept = linux::O_ACCMODE
            | CHANGEABLE
            | linux::O_DIRECTORY
            | linux::O_LARGEFILE
            | linux::O_NOFOLLOW
            | linux::O_PATH;
        // If there is no memory the value is dropped, which decrements the count.
        Ok(Shared::new(Self {
            object,
            opened,
            flags: Cell::new(flags & kept),
            offset: Cell::new(0),
        })?)
    }

    /// What is open.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The node that it was opened by, if there was one.
    pub fn node(&self) -> Option<&Shared<Node>> {
        self.opened.as_ref().map(|opened| &opened.node)
    }

    /// The flags, as `open` has them.
    pub fn flags(&self) -> u32 {
        self.flags.get()
    }

    /// Changes those flags that can be.
    pub fn set_flags(&self, flags: u32) {
        self.flags
            .set(self.flags.get() & !CHANGEABLE | flags & CHANGEABLE);
    }

    /// Whether it only stands for a node and cannot be read, written or otherwise used.
    pub fn is_path(&self) -> bool {
        self.has(linux::O_PATH)
    }

    fn has(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }

    /// Whether reads and writes return instead of waiting.
    pub fn is_nonblocking(&self) -> bool {
        self.has(linux::O_NONBLOCK)
    }

    /// Says whether reads and writes shall return instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        let others = self.flags.get() & !linux::O_NONBLOCK;
        let flag = if nonblocking { linux::O_NONBLOCK } else { 0 };
        self.flags.set(others | flag);
    }

    fn is_readable(&self) -> bool {
        !self.is_path() && self.flags.get() & linux::O_ACCMODE != linux::O_WRONLY
    }

    fn is_writable(&self) -> bool {
        !self.is_path() && self.flags.get() & linux::O_ACCMODE != linux::O_RDONLY
    }

    /// The bytes of a file, to be mapped or executed.
    ///
    /// # Errors
    /// EACCES: not open for reading. ENODEV: not a file.
    pub fn pages(&self) -> Result<&Shared<FilePages>, Errno> {
        if !self.is_readable() {
            return Err(Errno::EACCES);
        }
        self.regular().ok_or(Errno::ENODEV)
    }

    fn regular(&self) -> Option<&Shared<FilePages>> {
        match &self.object {
            Object::Node(node) => node.pages(),
            _ => None,
        }
    }

    /// Whether it has an offset.
    fn is_seekable(&self) -> bool {
        matches!(
            self.object,
            Object::Node(_) | Object::Device(Device::Null | Device::Zero)
        )
    }

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
            Object::Node(node) => match node.kind() {
                Kind::File(pages) => {
                    if !self.has(linux::O_NOATIME) {
                        node.times().note_access();
                    }
                    regular::read(pages, offset, target)
                }
                Kind::Proc(file) => proc_files::read(*file, offset, target),
                Kind::Directory(_) => Err(Errno::EISDIR),
                Kind::Link(_) | Kind::Characters(_) | Kind::Blocks(_) | Kind::Socket => {
                    Err(Errno::EBADF)
                }
            },
            Object::Device(device) => self.read_device(*device, target),
            Object::ReadEnd(end) => end.read(target, self.is_nonblocking()),
            Object::Input => INPUT.read(target, self.is_nonblocking()),
            Object::Socket(socket) => socket.read(target, self.is_nonblocking()),
            Object::WriteEnd(_) | Object::Output(_) => Err(Errno::EBADF),
        }
    }

    fn read_device(&self, device: Device, target: &mut dyn Target) -> Result<u64, Errno> {
        match device.terminal() {
            Some(terminal) => terminal.read(target, self.is_nonblocking()),
            None if device == Device::Null => Ok(0),
            None => transfer::run(target, |target, _| {
                let zeros = file_pages::zeros();
                let wanted = zeros.len().min(target.left());
                Ok(Step::copied(target.put(&zeros[..wanted]), wanted))
            }),
        }
    }

    /// Writes to where the offset is, or to the end if so opened, and moves the offset.
    ///
    /// # Errors
    /// EBADF: not open for writing. EPIPE, EFBIG, ENOSPC, EAGAIN, EINTR, EFAULT.
    pub fn write(&self, source: &mut dyn Source) -> Result<u64, Errno> {
        let offset = match self.regular() {
            Some(pages) if self.has(linux::O_APPEND) => pages.len(),
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
        if !self.is_seekable() {
            return Err(Errno::ESPIPE);
        }
        match self.regular() {
            Some(pages) if self.has(linux::O_APPEND) => self.write_to(pages.len(), source),
            _ => self.write_to(offset, source),
        }
    }

    fn write_to(&self, offset: u64, source: &mut dyn Source) -> Result<u64, Errno> {
        if !self.is_writable() {
            return Err(Errno::EBADF);
        }
        match &self.object {
            Object::Node(node) => match node.kind() {
                Kind::File(pages) => {
                    let count = regular::write(pages, offset, source)?;
                    node.times().note_modification();
                    Ok(count)
                }
                _ => Err(Errno::EBADF),
            },
            Object::Device(device) => write_device(*device, source),
            Object::WriteEnd(end) => end.write(source, self.is_nonblocking()),
            Object::Output(port) => terminal::send(*port, source),
            Object::Socket(socket) => socket.write(source, self.is_nonblocking()),
            Object::ReadEnd(_) | Object::Input => Err(Errno::EBADF),
        }
    }

    /// Moves the offset, as `lseek` does, and returns it: devices stay at 0.
    ///
    /// # Errors
    /// ESPIPE: has none. EINVAL: to before the start, or an invalid `whence`.
    pub fn seek(&self, offset: i64, whence: u32) -> Result<u64, Errno> {
        if !self.is_seekable() {
            return Err(Errno::ESPIPE);
        }
        if let Object::Device(_) = self.object {
            return Ok(0);
        }
        let from = match whence {
            linux::SEEK_SET => 0,
            linux::SEEK_CUR => self.offset.get(),
            linux::SEEK_END => self.regular().map_or(0, |pages| pages.len()),
            _ => return Err(Errno::EINVAL),
        };
        let to = from.checked_add_signed(offset).ok_or(Errno::EINVAL)?;
        if i64::try_from(to).is_err() {
            return Err(Errno::EINVAL);
        }
        self.offset.set(to);
        Ok(to)
    }

    /// Where the offset is, for directories: the place of the next node.
    pub fn offset(&self) -> u64 {
        self.offset.get()
    }

    /// Sets the offset.
    pub fn set_offset(&self, offset: u64) {
        self.offset.set(offset);
    }

    /// Truncates the file, or extends it with zeros.
    ///
    /// # Errors
    /// EINVAL: not a file, or not open for writing. EFBIG.
    pub fn truncate(&self, len: u64) -> Result<(), Errno> {
        match (self.node(), self.regular()) {
            (Some(node), Some(pages)) if self.is_writable() => set_len(node, pages, len),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        match &self.object {
            Object::Device(device) => device
                .terminal()
                .map_or(Readiness::READ | Readiness::WRITE, |terminal| {
                    terminal.readiness()
                }),
            Object::Node(_) => Readiness::READ | Readiness::WRITE,
            Object::ReadEnd(end) => end.readiness(),
            Object::WriteEnd(end) => end.readiness(),
            Object::Input => INPUT.readiness(),
            Object::Output(_) => Readiness::WRITE,
            Object::Socket(socket) => socket.readiness(),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        COUNT.set(count() - 1);
    }
}

fn write_device(device: Device, source: &mut dyn Source) -> Result<u64, Errno> {
    match device.terminal() {
        Some(terminal) if device == Device::Errors => terminal.write_by(SerialPort::ERRORS, source),
        Some(terminal) => terminal.write(source),
        None => Ok(source.left() as u64),
    }
}

/// Truncates the file `node`, which has these pages, or extends it with zeros.
///
/// # Errors
/// EFBIG.
pub fn set_len(node: &Node, pages: &FilePages, len: u64) -> Result<(), Errno> {
    if len > file_pages::MAX_LEN {
        return Err(Errno::EFBIG);
    }
    pages.set_len(len);
    node.times().note_modification();
    Ok(())
}
