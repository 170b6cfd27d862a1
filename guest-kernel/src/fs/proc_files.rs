//! `/proc`: the state of processes and of the kernel, as text generated when it is read
//! (Linux, proc(5)).
//!
//! Nothing of it is stored: a look-up makes a node that lives while it is used, and a read
//! generates the whole text again and takes the part at its offset.

mod access;
mod areas_text;
mod ipc_text;
mod links;
mod mounts_text;
mod process_text;
mod rows;
mod text;
mod window;
mod writing;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::bytes::Bytes;
use crate::fs::directory::Directory;
use crate::fs::link_target::LinkTarget;
use crate::fs::node::{Kind, Node};
use crate::fs::proc_files::process_text::ProcessText;
use crate::fs::proc_files::rows::{Entry, NAMESPACES, PROCESS, ROOT, Row, THREAD};
use crate::fs::proc_files::text::SystemText;
use crate::fs::transfer::Target;
use crate::fs::{process_files, terminal};
use crate::proc::process::Process;
use crate::proc::thread::Thread;
use crate::proc::{current, current_thread, table};

pub use links::ProcLink;
pub use rows::file_systems;
pub use writing::write;

/// Permissions of directories that all may read.
const OPEN_DIRECTORY: u32 = 0o555;

/// What a node of `/proc` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcFile {
    /// A directory of these.
    Directory(&'static [Entry]),
    /// `/proc` itself: also a directory for each process.
    Root(&'static [Entry]),
    /// The directory of the process with this number.
    Process(u32),
    /// That of its threads.
    Threads(u32),
    /// That of one of them.
    Thread(u32),
    /// The directory of the descriptors of a process, each a link.
    Descriptors(u32),
    /// That of what there is to say of them.
    DescriptorTexts(u32),
    /// What there is to say of one.
    Descriptor(u32, u32),
    /// That of the namespaces that a process is in, each a link.
    Namespaces(u32),
    /// Text about the process or thread with this number.
    OfProcess(ProcessText, u32),
    /// The memory of a process.
    Memory(u32),
    /// Text about the system.
    System(SystemText),
    /// `/dev/pts`: the directory of pseudo-terminals.
    Pseudos,
    /// One of them.
    Pseudo(u32),
    /// A link to what a process has.
    Link(ProcLink),
    /// A link to a path.
    Path(&'static [u8]),
    /// A link to the directory of the current process.
    Current,
    /// A link to that of the current thread.
    CurrentThread,
}

/// A generated name: those of processes are numbers.
pub struct ProcName {
    bytes: [u8; Self::LEN],
    start: usize,
}

impl ProcName {
    /// Longest name.
    pub const LEN: usize = 24;

    fn fixed(name: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN];
        let start = Self::LEN.saturating_sub(name.len());
        bytes[start..].copy_from_slice(&name[..Self::LEN - start]);
        Self { bytes, start }
    }

    /// A number.
    pub fn number(mut number: u32) -> Self {
        let mut bytes = [0; Self::LEN];
        let mut start = Self::LEN;
        loop {
            start -= 1;
            bytes[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { bytes, start };
            }
        }
    }

    /// The name.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl ProcFile {
    /// Whether it is a directory.
    pub fn is_directory(self) -> bool {
        use ProcFile::{
            DescriptorTexts, Descriptors, Directory, Namespaces, Process, Pseudos, Root, Thread,
            Threads,
        };
        matches!(
            self,
            Directory(_)
                | Root(_)
                | Process(_)
                | Threads(_)
                | Pseudos
                | Thread(_)
                | Descriptors(_)
                | DescriptorTexts(_)
                | Namespaces(_)
        )
    }

    /// Whether it is a link.
    fn is_link(self) -> bool {
        matches!(
            self,
            Self::Link(_) | Self::Path(_) | Self::Current | Self::CurrentThread
        )
    }

    /// The process or thread that it is about.
    fn id(self) -> Option<u32> {
        match self {
            Self::Process(id) | Self::Threads(id) | Self::Thread(id) | Self::Memory(id) => Some(id),
            Self::Descriptors(id) | Self::DescriptorTexts(id) | Self::Namespaces(id) => Some(id),
            Self::Descriptor(id, _) | Self::OfProcess(_, id) => Some(id),
            Self::Link(link) => Some(link.pid()),
            _ => None,
        }
    }

    /// Whether it can be written.
    pub fn is_writable(self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::System(text) => text.is_writable(),
            Self::OfProcess(text, _) => {
                matches!(text, ProcessText::Comm | ProcessText::OomAdjustment)
            }
            _ => false,
        }
    }

    /// Number of its node: different at least from those of the directories that it is in.
    pub fn number(self) -> u64 {
        const SHIFT: u32 = 32;
        let (owner, kind) = match self {
            Self::Root(_) => (0, 1),
            Self::Directory(entries) => (0, entries.as_ptr().addr() as u64 & u64::from(u32::MAX)),
            Self::Process(pid) => (pid, 1),
            Self::Threads(pid) => (pid, 2),
            Self::Thread(tid) => (tid, 3),
            Self::Descriptors(pid) => (pid, 4),
            Self::DescriptorTexts(pid) => (pid, 5),
            Self::Pseudos => (0, 6),
            Self::Pseudo(number) => (number, 7),
            Self::Namespaces(pid) => (pid, 8),
            _ => (0, 2),
        };
        u64::from(owner) << SHIFT | kind
    }

    /// Type and permissions, as `stat` has them.
    pub fn mode(self) -> u32 {
        match self {
            Self::Descriptors(_) => linux::S_IFDIR | 0o500,
            Self::Namespaces(_) => linux::S_IFDIR | 0o511,
            _ if self.is_directory() => linux::S_IFDIR | OPEN_DIRECTORY,
            _ if self.is_link() => linux::S_IFLNK | 0o777,
            Self::Pseudo(_) => linux::S_IFCHR,
            Self::Memory(_) => linux::S_IFREG | 0o600,
            Self::OfProcess(text, _) if text.is_owners() => linux::S_IFREG | 0o400,
            _ if self.is_writable() => linux::S_IFREG | 0o644,
            _ => linux::S_IFREG | 0o444,
        }
    }

    /// What is at place `from` of this directory or first after it, with its place and
    /// name: those with numbers for names come last and in their order.
    pub fn next(self, from: usize) -> Option<(usize, Self, ProcName)> {
        let row = |rows: &'static [Row], id| {
            let (name, make) = rows.get(from)?;
            Some((from, make(id), ProcName::fixed(name)))
        };
        let number = u32::try_from(from).ok();
        let numbered = |number: u32, file| Some((number as usize, file, ProcName::number(number)));
        match self {
            Self::Directory(entries) | Self::Root(entries) if from < entries.len() => {
                let Entry(name, file) = &entries[from];
                Some((from, *file, ProcName::fixed(name)))
            }
            Self::Root(entries) => {
                let least = u32::try_from(from - entries.len()).ok()?;
                let pids = table::processes().map(Process::pid);
                let pid = pids.filter(|&pid| pid >= least).min()?;
                let place = entries.len() + pid as usize;
                Some((place, Self::Process(pid), ProcName::number(pid)))
            }
            Self::Pseudos => {
                let next = terminal::next_pseudo(number?)?;
                numbered(next, Self::Pseudo(next))
            }
            Self::Process(pid) => row(PROCESS, pid),
            Self::Thread(tid) => row(THREAD, tid),
            Self::Namespaces(pid) => row(NAMESPACES, pid),
            Self::Threads(pid) => {
                let tids = table::process(pid)?.threads().map(Thread::tid);
                let tid = tids.filter(|&tid| Some(tid) >= number).min()?;
                numbered(tid, Self::Thread(tid))
            }
            Self::Descriptors(pid) => {
                let fd = process_files::of_pid(pid)?.first_open(from)?;
                numbered(fd, Self::Link(ProcLink::Descriptor(pid, fd)))
            }
            Self::DescriptorTexts(pid) => {
                let fd = process_files::of_pid(pid)?.first_open(from)?;
                numbered(fd, Self::Descriptor(pid, fd))
            }
            _ => None,
        }
    }

    /// What is called `name` in this directory.
    fn named(self, name: &[u8]) -> Option<Self> {
        let row = |rows: &'static [Row], id| {
            let found = rows.iter().find(|(known, _)| *known == name);
            found.map(|(_, make)| make(id))
        };
        let open = |pid| {
            let fd = number(name)?;
            let is_open = process_files::of_pid(pid)?.get(fd.into()).is_ok();
            is_open.then_some(fd)
        };
        match self {
            Self::Directory(entries) => fixed(entries, name),
            Self::Root(entries) => fixed(entries, name).or_else(|| {
                let id = number(name)?;
                match table::process(id) {
                    Some(_) => Some(Self::Process(id)),
                    // It is here by name, although no listing has it.
                    None => table::thread(id).map(|_| Self::Thread(id)),
                }
            }),
            Self::Pseudos => Some(Self::Pseudo(number(name)?)),
            Self::Process(pid) => row(PROCESS, pid),
            Self::Thread(tid) => row(THREAD, tid),
            Self::Namespaces(pid) => row(NAMESPACES, pid),
            Self::Threads(pid) => {
                let tid = number(name)?;
                let mut threads = table::process(pid)?.threads();
                let is_there = threads.any(|thread| thread.tid() == tid);
                is_there.then_some(Self::Thread(tid))
            }
            Self::Descriptors(pid) => Some(Self::Link(ProcLink::Descriptor(pid, open(pid)?))),
            Self::DescriptorTexts(pid) => Some(Self::Descriptor(pid, open(pid)?)),
            _ => None,
        }
    }

    /// Where it leads if it is a link to a path.
    fn target(self) -> Result<Option<Bytes>, Errno> {
        let pid = current().pid();
        Ok(Some(match self {
            Self::Path(path) => Bytes::InPlace(path),
            Self::Current => Bytes::new(ProcName::number(pid).bytes())?,
            Self::CurrentThread => {
                let mut path = [0; 64];
                let mut len = 0;
                let tid = ProcName::number(current_thread().tid());
                for part in [ProcName::number(pid).bytes(), b"/task/", tid.bytes()] {
                    path[len..][..part.len()].copy_from_slice(part);
                    len += part.len();
                }
                Bytes::new(&path[..len])?
            }
            _ => return Ok(None),
        }))
    }
}

fn fixed(entries: &[Entry], name: &[u8]) -> Option<ProcFile> {
    let found = entries.iter().find(|Entry(known, _)| *known == name);
    found.map(|Entry(_, file)| *file)
}

/// A number as this directory spells it.
fn number(name: &[u8]) -> Option<u32> {
    let value = core::str::from_utf8(name).ok()?.parse().ok()?;
    (ProcName::number(value).bytes() == name).then_some(value)
}

/// The process with this number, or that of the thread with it.
fn process_of(id: u32) -> Option<&'static Process> {
    table::process(id).or_else(|| Some(table::thread(id)?.process()))
}

/// `/proc` itself.
///
/// # Errors
/// There is no memory.
pub fn top() -> Result<Shared<Node>, Errno> {
    node(ProcFile::Root(ROOT), None)
}

/// `/dev/pts`.
///
/// # Errors
/// There is no memory.
pub fn pseudo_terminals() -> Result<Shared<Node>, Errno> {
    node(ProcFile::Pseudos, None)
}

/// The node called `name` in `directory`, which shows `file`.
///
/// # Errors
/// ENOENT, ENOMEM.
pub fn find(directory: &Shared<Node>, file: ProcFile, name: &[u8]) -> Result<Shared<Node>, Errno> {
    let file = file.named(name).ok_or(Errno::ENOENT)?;
    if let ProcFile::Pseudo(number) = file {
        return terminal::pseudo_node(number).ok_or(Errno::ENOENT);
    }
    let node = node(file, Some((directory, name)))?;
    let is_open = file.mode() == linux::S_IFDIR | OPEN_DIRECTORY;
    if let Some(process) = file.id().and_then(process_of)
        && (is_open || process.attributes().is_dumpable)
    {
        let credentials = &process.credentials;
        node.set_owner(
            credentials.users().effective,
            credentials.groups().effective,
        );
    }
    if !node.is_directory() {
        node.add_link();
    }
    Ok(node)
}

fn node(file: ProcFile, place: Option<(&Shared<Node>, &[u8])>) -> Result<Shared<Node>, Errno> {
    let kind = match file.target()? {
        Some(target) => Kind::Link(LinkTarget::known(target)),
        None if file.is_directory() => Kind::Directory(Directory::of_proc(file, place)?),
        None => Kind::Proc(file),
    };
    Ok(Node::with_number(kind, file.mode(), file.number())?)
}

/// Reads a text from `offset` on.
///
/// # Errors
/// EISDIR; ESRCH: the process has gone; EACCES: the current one may not look into it; ENOMEM,
/// EFAULT.
pub fn read(file: ProcFile, offset: u64, target: &mut dyn Target) -> Result<u64, Errno> {
    match file {
        ProcFile::Memory(pid) => writing::read_memory(pid, offset, target),
        ProcFile::System(text) => window::read(offset, target, |to| Ok(text.write(to))),
        ProcFile::OfProcess(text, id) => window::read(offset, target, |to| {
            file.check_access()?;
            text.write(process_of(id).ok_or(Errno::ESRCH)?, id, to)
        }),
        ProcFile::Descriptor(pid, fd) => window::read(offset, target, |to| {
            file.check_access()?;
            let files = process_files::of_pid(pid).ok_or(Errno::ENOENT)?;
            let file = files.get(fd.into()).map_err(|_| Errno::ENOENT)?;
            Ok(process_text::write_descriptor(&file, to))
        }),
        _ => Err(Errno::EISDIR),
    }
}

#[cfg(test)]
mod tests;
