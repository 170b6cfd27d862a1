//! The links of `/proc` that lead to what a process has, whatever its name is now: its program,
//! working directory, root and open files. What they say of it is for people: following them
//! needs no path, so that they lead to files that have been removed too.

use core::fmt::{self, Write};

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{Frame, Shared};

use crate::fs::namespace::{NamespaceKind, OwnNamespace};
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::opened::Opened;
use crate::fs::path::{self, Start};
use crate::fs::proc_files::access::check_inspectable;
use crate::fs::{process_files, running};
use crate::proc::process::Process;
use crate::proc::table;

/// A link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcLink {
    /// To the program of a process.
    Program(u32),
    /// To its working directory.
    Directory(u32),
    /// To its root.
    Root(u32),
    /// To a namespace that it is in.
    Namespace(u32, NamespaceKind),
    /// To what one of its descriptors stands for.
    Descriptor(u32, u32),
}

/// What an open file is that no path leads to: no two kinds have the same text.
fn describe(file: &OpenFile) -> [&'static [u8]; 2] {
    match file.object() {
        Object::Device(device) => [b"/dev/", device.name()],
        Object::ReadEnd(_) | Object::WriteEnd(_) => [b"pipe:", b"[0]"],
        Object::Input | Object::Output(_) => [b"pipe:", b"[1]"],
        Object::Slave(_) | Object::Master(_) => [b"/dev/", b"ptmx"],
        Object::Socket(_) => [b"socket:", b"[2]"],
        _ => [b"anon_inode:", b"[file]"],
    }
}

impl ProcLink {
    /// Number of the process that has what it leads to.
    pub fn pid(self) -> u32 {
        let (Self::Program(pid)
        | Self::Directory(pid)
        | Self::Root(pid)
        | Self::Namespace(pid, _)
        | Self::Descriptor(pid, _)) = self;
        pid
    }

    fn process(self) -> Result<&'static Process, Errno> {
        let process = table::process(self.pid()).ok_or(Errno::ENOENT)?;
        check_inspectable(process)?;
        Ok(process)
    }

    fn start(self) -> Result<Shared<Start>, Errno> {
        let surroundings = process_files::surroundings(self.process()?);
        surroundings.ok_or(Errno::ENOENT)?.start()
    }

    /// What a path leads to that goes on here; `None` if that is no node.
    ///
    /// # Errors
    /// ENOENT: the process has ended, or the descriptor is closed. EACCES: the current process may
    /// not look into it. ENOMEM.
    pub fn follow(self) -> Result<Option<Opened>, Errno> {
        Ok(Some(match self {
            Self::Program(_) => running::program(self.process()?)?.try_clone()?,
            Self::Directory(_) => Opened::directory(self.start()?.directory.clone()),
            Self::Root(_) => Opened::directory(self.start()?.root.clone()),
            Self::Namespace(..) => return Ok(None),
            Self::Descriptor(..) => match self.open_file()?.opened() {
                Some(opened) => opened.try_clone()?,
                None => return Ok(None),
            },
        }))
    }

    /// What it says, at the end of a buffer.
    ///
    /// # Errors
    /// As of [`follow`](Self::follow); ENAMETOOLONG.
    pub fn text(self, frame: &mut Frame) -> Result<&[u8], Errno> {
        let here = process_files::here()?;
        if let Some(opened) = self.follow()? {
            let written = path::write_opened(&here.root, &opened, frame.bytes_mut());
            return written.map_err(|errno| match errno {
                Errno::ERANGE => Errno::ENAMETOOLONG,
                errno => errno,
            });
        }
        let file = self.open_file()?;
        if let Object::Namespace(namespace) = file.object() {
            let mut text = Text { frame, len: 0 };
            namespace
                .write(&mut text)
                .map_err(|_| Errno::ENAMETOOLONG)?;
            let Text { frame, len } = text;
            return Ok(&frame.bytes()[..len]);
        }
        let [kind, name] = describe(&file);
        let (_, place) = frame
            .bytes_mut()
            .split_at_mut(FRAME_SIZE - kind.len() - name.len());
        place[..kind.len()].copy_from_slice(kind);
        place[kind.len()..].copy_from_slice(name);
        Ok(place)
    }

    /// The open file that the descriptor stands for, or one of the namespace.
    ///
    /// # Errors
    /// ENOENT: it is none, or closed. EACCES, as of [`follow`](Self::follow). ENFILE, ENOMEM.
    pub fn open_file(self) -> Result<Shared<OpenFile>, Errno> {
        let process = self.process()?;
        match self {
            Self::Namespace(_, kind) => {
                let object = Object::Namespace(OwnNamespace::of(process, kind)?);
                OpenFile::new(object, linux::O_RDONLY)
            }
            Self::Descriptor(_, fd) => {
                let files = process_files::of_process(process).ok_or(Errno::ENOENT)?;
                files.get(fd.into()).map_err(|_| Errno::ENOENT)
            }
            _ => Err(Errno::ENOENT),
        }
    }

    /// Opens what the descriptor stands for anew, if no path leads to it.
    ///
    /// # Errors
    /// As of [`open_file`](Self::open_file); ENXIO: it is of a kind that cannot be.
    pub fn reopen(self, flags: u32) -> Result<Shared<OpenFile>, Errno> {
        let file = self.open_file()?;
        let writes = flags & linux::O_ACCMODE != linux::O_RDONLY;
        if let Self::Namespace(..) = self {
            return if writes { Err(Errno::EPERM) } else { Ok(file) };
        }
        let object = match file.object() {
            Object::Device(device) => Object::Device(*device),
            Object::Input if !writes => Object::Input,
            Object::Output(port) if writes => Object::Output(*port),
            Object::ReadEnd(end) if !writes => Object::ReadEnd(end.reopen()),
            Object::WriteEnd(end) if writes => Object::WriteEnd(end.reopen()),
            _ => return Err(Errno::ENXIO),
        };
        OpenFile::new(object, flags)
    }
}

/// Text in a frame.
struct Text<'f> {
    frame: &'f mut Frame,
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self
            .frame
            .bytes_mut()
            .get_mut(self.len..self.len + text.len());
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
