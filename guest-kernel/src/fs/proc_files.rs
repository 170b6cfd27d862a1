//! `/proc`: the state of processes and of the kernel, as text generated when it is read
//! (Linux, proc(5)).
//!
//! Nothing of it is stored: a look-up makes a node that lives while it is used, and a read
//! generates the whole text again and takes the part at its offset.

mod text;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::directory::Directory;
use crate::fs::node::{Kind, Node};
use crate::fs::proc_files::text::{ProcessText, SystemText};
use crate::fs::transfer::Target;
use crate::proc::process::Process;
use crate::proc::{current, table};

/// What a node of `/proc` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcFile {
    /// A directory of these.
    Directory(&'static [Entry]),
    /// `/proc` itself: also a directory for each process.
    Root(&'static [Entry]),
    /// The directory of the process with this number.
    Process(u32),
    /// Text about the process with this number.
    OfProcess(ProcessText, u32),
    /// Text about the system.
    System(SystemText),
}

/// A name in a directory of `/proc`.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry(&'static [u8], ProcFile);

const ROOT: &[Entry] = &[
    Entry(b"meminfo", ProcFile::System(SystemText::Memory)),
    Entry(b"sys", ProcFile::Directory(SYS)),
    Entry(b"uptime", ProcFile::System(SystemText::Uptime)),
];
const SYS: &[Entry] = &[Entry(b"fs", ProcFile::Directory(SYS_FS))];
const SYS_FS: &[Entry] = &[Entry(b"file-nr", ProcFile::System(SystemText::OpenFiles))];

/// What there is of each process.
const PROCESS: [(&[u8], ProcessText); 2] =
    [(b"comm", ProcessText::Comm), (b"stat", ProcessText::Stat)];

/// The number of all nodes of `/proc`.
const NUMBER: u64 = u32::MAX as u64;

/// A generated name: those of processes are numbers.
pub struct ProcName {
    bytes: [u8; Self::LEN],
    start: usize,
}

impl ProcName {
    const LEN: usize = 10;

    fn fixed(name: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN];
        let start = Self::LEN.saturating_sub(name.len());
        bytes[start..].copy_from_slice(&name[..Self::LEN - start]);
        Self { bytes, start }
    }

    fn number(mut number: u32) -> Self {
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
        matches!(self, Self::Directory(_) | Self::Root(_) | Self::Process(_))
    }

    /// Number of its node: none is kept, so none has its own.
    pub fn number(self) -> u64 {
        NUMBER
    }

    /// Type and permissions, as `stat` has them.
    pub fn mode(self) -> u32 {
        if self.is_directory() {
            linux::S_IFDIR | 0o555
        } else {
            linux::S_IFREG | 0o444
        }
    }

    /// What is at place `from` of this directory or first after it, with its place and
    /// name: processes come last and by their numbers.
    pub fn next(self, from: usize) -> Option<(usize, Self, ProcName)> {
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
            Self::Process(pid) => {
                let (name, text) = PROCESS.get(from)?;
                Some((from, Self::OfProcess(*text, pid), ProcName::fixed(name)))
            }
            _ => None,
        }
    }

    /// What is called `name` in this directory.
    fn named(self, name: &[u8]) -> Option<Self> {
        match self {
            Self::Directory(entries) => fixed(entries, name),
            Self::Root(entries) => fixed(entries, name).or_else(|| {
                let pid = match name {
                    b"self" => current().pid(),
                    _ => number(name)?,
                };
                table::process(pid).map(|_| Self::Process(pid))
            }),
            Self::Process(pid) => {
                let found = PROCESS.iter().find(|(known, _)| *known == name);
                found.map(|(_, text)| Self::OfProcess(*text, pid))
            }
            _ => None,
        }
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

/// `/proc` itself.
///
/// # Errors
/// There is no memory.
pub fn top() -> Result<Shared<Node>, Errno> {
    node(ProcFile::Root(ROOT), None)
}

/// The node called `name` in `directory`, which shows `file`.
///
/// # Errors
/// ENOENT, ENOMEM.
pub fn find(directory: &Shared<Node>, file: ProcFile, name: &[u8]) -> Result<Shared<Node>, Errno> {
    let file = file.named(name).ok_or(Errno::ENOENT)?;
    let node = node(file, Some((directory, name)))?;
    if !node.is_directory() {
        node.add_link();
    }
    Ok(node)
}

fn node(file: ProcFile, place: Option<(&Shared<Node>, &[u8])>) -> Result<Shared<Node>, Errno> {
    let kind = match file.is_directory() {
        true => Kind::Directory(Directory::of_proc(file, place)?),
        false => Kind::Proc(file),
    };
    Ok(Node::with_number(kind, file.mode(), file.number())?)
}

/// Reads a text from `offset` on.
///
/// # Errors
/// EISDIR; ESRCH: the process has gone; ENOMEM, EFAULT.
pub fn read(file: ProcFile, offset: u64, target: &mut dyn Target) -> Result<u64, Errno> {
    match file {
        ProcFile::System(text) => text::read(offset, target, |to| Ok(text.write(to))),
        ProcFile::OfProcess(text, pid) => text::read(offset, target, |to| {
            let process = table::process(pid).ok_or(Errno::ESRCH)?;
            Ok(text.write(process, to))
        }),
        _ => Err(Errno::EISDIR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_one_way() {
        assert_eq!(ProcName::number(0).bytes(), b"0");
        assert_eq!(ProcName::number(u32::MAX).bytes(), b"4294967295");
        assert_eq!(number(b"120"), Some(120));
        for name in [&b""[..], b"012", b"+1", b"-1", b"4294967296", b"1a"] {
            assert_eq!(number(name), None);
        }
    }

    #[test]
    fn directories_list_what_they_find() {
        for directory in [
            ProcFile::Directory(ROOT),
            ProcFile::Directory(SYS),
            ProcFile::Directory(SYS_FS),
            ProcFile::Process(7),
        ] {
            let mut place = 0;
            let mut count = 0;
            while let Some((at, file, name)) = directory.next(place) {
                assert_eq!(directory.named(name.bytes()), Some(file));
                (place, count) = (at + 1, count + 1);
            }
            assert!(count > 0);
            assert_eq!(directory.named(b"none"), None);
        }
    }
}
