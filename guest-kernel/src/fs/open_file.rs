//! Open files: what descriptors stand for.
//!
//! An open file has one offset and one set of flags, whoever shares it: descriptors made
//! by `dup`, and those that a child has from its parent.

mod reading;
mod seeking;
mod telling;

use core::cell::Cell;

use abi::Errno;
use devices::serial::SerialPort;
use linux_raw_sys::general as linux;
use mm::Shared;
use mm::file_pages::{self, FilePages};
use mm::frames;

use crate::fs::device::Device;
use crate::fs::events::Event;
use crate::fs::events::epoll::Watches;
use crate::fs::input_stream::INPUT;
use crate::fs::locks::Owner;
use crate::fs::mount::Location;
use crate::fs::namespace::OwnNamespace;
use crate::fs::node::Node;
use crate::fs::notify;
use crate::fs::opened::{Opened, Writing};
use crate::fs::pipe::{Pipe, ReadEnd, WriteEnd};
use crate::fs::poll::{self, Readiness};
use crate::fs::seal::{self, Seals};
use crate::fs::sigio::Recipient;
use crate::fs::size_limit;
use crate::fs::socket::{self, Socket};
use crate::fs::terminal::{Master, Slave, Terminal};
use crate::proc::signal::Signal;

/// Open files that there can be at once, in all processes together: one for two frames of
/// memory.
pub fn limit() -> usize {
    usize::try_from(frames::total() / 2).unwrap_or(usize::MAX)
}

#[cfg(not(test))]
static COUNT: single_cpu::SingleCpu<Cell<usize>> = single_cpu::SingleCpu::new(Cell::new(0));

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
const CHANGEABLE: u32 = linux::O_APPEND | linux::O_NONBLOCK | linux::O_DIRECT | linux::O_NOATIME;

/// What is open.
pub enum Object {
    /// A file, directory, or something of `/proc`.
    Node(Shared<Node>),
    /// A device.
    Device(Device),
    /// A pseudo-terminal.
    Slave(Slave),
    /// Its master.
    Master(Master),
    /// The end of a pipe that bytes come out of.
    ReadEnd(ReadEnd),
    /// The other one.
    WriteEnd(WriteEnd),
    /// Both ends of a FIFO.
    BothEnds(ReadEnd, WriteEnd),
    /// A counter, timer or the like.
    Event(Event),
    /// Standard input that is no terminal.
    Input,
    /// A serial port, or the console beside it, that takes what programs write and is no
    /// terminal.
    Output(SerialPort),
    /// A socket.
    Socket(Socket),
    /// What a process shares with some others.
    Namespace(OwnNamespace),
}

/// An open file.
pub struct OpenFile {
    object: Object,
    opened: Option<Opened>,
    /// That it is a file open for writing.
    _writing: Option<Writing>,
    /// As `open` has them: access mode, [`CHANGEABLE`] flags.
    flags: Cell<u32>,
    offset: Cell<u64>,
    /// Whether it may have locks.
    has_locks: Cell<bool>,
    /// Who is told by signals what can be done, with `FASYNC` among the flags.
    recipient: Cell<Recipient>,
    /// By which signal, if not by SIGIO alone.
    signal: Cell<Option<Signal>>,
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
    /// ENFILE, ENOMEM; ETXTBSY: a program that runs.
    pub fn at(object: Object, flags: u32, opened: Opened) -> Result<Shared<Self>, Errno> {
        Self::make(object, flags, Some(opened))
    }

    fn make(object: Object, flags: u32, opened: Option<Opened>) -> Result<Shared<Self>, Errno> {
        if count() >= limit() {
            socket::collect();
        }
        if count() >= limit() {
            return Err(Errno::ENFILE);
        }
        let writes = flags & (linux::O_ACCMODE | linux::O_PATH);
        let writing = match (&object, &opened) {
            (Object::Node(_), Some(opened))
                if [linux::O_WRONLY, linux::O_RDWR].contains(&writes) =>
            {
                Writing::start(opened)?
            }
            _ => None,
        };
        COUNT.set(count() + 1);
        let kept = linux::O_ACCMODE
            | CHANGEABLE
            | linux::O_DIRECTORY
            | linux::O_NOFOLLOW
            | linux::O_SYNC
            | linux::O_LARGEFILE
            | linux::O_PATH;
        // If there is no memory the value is dropped, which decrements the count.
        Ok(Shared::new(Self {
            object,
            opened,
            _writing: writing,
            flags: Cell::new(flags & kept),
            offset: Cell::new(0),
            has_locks: Cell::new(false),
            recipient: Cell::new(Recipient::NONE),
            signal: Cell::new(None),
        })?)
    }

    /// What is open.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// What a path led to when it was opened, if one did.
    pub fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// The node that it was opened by, if there was one.
    pub fn node(&self) -> Option<&Shared<Node>> {
        self.opened.as_ref().map(|opened| &opened.node)
    }

    /// Where a path found it.
    ///
    /// # Errors
    /// ENOTDIR: nowhere, so it is no directory.
    pub fn location(&self) -> Result<Location, Errno> {
        let opened = self.opened.as_ref();
        opened.map(Opened::location).ok_or(Errno::ENOTDIR)
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

    /// Whether it gives random numbers.
    pub fn is_random(&self) -> bool {
        matches!(
            self.object,
            Object::Device(Device::Random | Device::Urandom)
        )
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

    /// Whether it can be read.
    pub fn is_readable(&self) -> bool {
        !self.is_path() && self.flags.get() & linux::O_ACCMODE != linux::O_WRONLY
    }

    /// Whether it can be written to.
    pub fn is_writable(&self) -> bool {
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

    /// Its bytes, if it is a file.
    pub fn regular(&self) -> Option<&Shared<FilePages>> {
        match &self.object {
            Object::Node(node) => node.pages(),
            _ => None,
        }
    }

    /// Truncates the file, or extends it with zeros.
    ///
    /// # Errors
    /// EINVAL: not a file, or not open for writing. EFBIG.
    pub fn truncate(&self, len: u64) -> Result<(), Errno> {
        match (self.node(), self.regular()) {
            (Some(node), Some(pages)) if self.is_writable() => {
                set_len(node, pages, len)?;
                notify::file(self, notify::MODIFY);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether it is an end of a pipe.
    pub fn is_pipe(&self) -> bool {
        self.pipe().is_ok()
    }

    /// The pipe that it is an end of.
    ///
    /// # Errors
    /// EBADF: none.
    pub fn pipe(&self) -> Result<&Pipe, Errno> {
        match &self.object {
            Object::ReadEnd(end) | Object::BothEnds(end, _) => Ok(end.pipe()),
            Object::WriteEnd(end) => Ok(end.pipe()),
            _ => Err(Errno::EBADF),
        }
    }

    /// The end that bytes go into, if it is one.
    pub fn write_end(&self) -> Option<&WriteEnd> {
        match &self.object {
            Object::WriteEnd(end) | Object::BothEnds(_, end) => Some(end),
            _ => None,
        }
    }

    /// The terminal that it is, or the master of.
    ///
    /// # Errors
    /// ENOTTY: none.
    pub fn terminal(&self) -> Result<&Terminal, Errno> {
        match &self.object {
            Object::Device(device) => device.terminal().ok_or(Errno::ENOTTY),
            Object::Slave(slave) => Ok(slave.terminal()),
            Object::Master(master) => Ok(master.terminal()),
            _ => Err(Errno::ENOTTY),
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
            Object::Slave(slave) => slave.terminal().readiness(),
            Object::Master(master) => master.readiness(),
            Object::Node(_) | Object::Namespace(_) => Readiness::READ | Readiness::WRITE,
            Object::ReadEnd(end) => end.readiness(),
            Object::WriteEnd(end) => end.readiness(),
            Object::BothEnds(read_end, write_end) => read_end.readiness() | write_end.readiness(),
            Object::Event(event) => event.readiness(),
            Object::Input => INPUT.readiness(),
            Object::Output(_) => Readiness::WRITE,
            Object::Socket(socket) => socket.readiness(),
        }
    }
}

impl OpenFile {
    /// Notes that it may have locks, which go with it.
    pub fn note_locks(&self) {
        self.has_locks.set(true);
    }

    /// Bytes in a file; 0 in what is none.
    pub fn len(&self) -> u64 {
        self.regular().map_or(0, |pages| pages.len())
    }

    /// Whoever wants to hear that it becomes ready; `None` if it always is.
    pub fn watches(&self) -> Option<&Watches> {
        match &self.object {
            Object::Node(_) | Object::Namespace(_) => None,
            Object::Device(device) => device.terminal().map(|_| &*poll::ANY),
            Object::Slave(slave) => Some(slave.watches()),
            Object::Master(master) => Some(master.watches()),
            Object::ReadEnd(end) | Object::BothEnds(end, _) => Some(end.watches()),
            Object::WriteEnd(end) => Some(end.watches()),
            Object::Event(event) => Some(event.watches()),
            Object::Socket(socket) => Some(socket.watches()),
            Object::Input | Object::Output(_) => Some(&poll::ANY),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(watches) = self.watches() {
            watches.file_ends(self);
        }
        notify::closed(self);
        if self.has_locks.get()
            && let Some(node) = self.node()
        {
            node.locks().release_all(Owner::file(self));
        }
        COUNT.set(count() - 1);
    }
}

/// Truncates the file `node`, which has these pages, or extends it with zeros.
///
/// # Errors
/// EFBIG. EPERM: sealed. ENOMEM.
pub fn set_len(node: &Node, pages: &FilePages, len: u64) -> Result<(), Errno> {
    if len > file_pages::MAX_LEN {
        return Err(Errno::EFBIG);
    }
    let old = pages.len();
    if (len < old && seal::has(pages, Seals::SHRINK))
        || (len > old && seal::has(pages, Seals::GROW))
    {
        return Err(Errno::EPERM);
    }
    if len > old {
        size_limit::check(len)?;
    }
    pages.set_len(len)?;
    node.times().note_modification();
    Ok(())
}
