//! What the guest hands over at its end, as new files of the host.
//!
//! Everything that comes from the guest is data. A name is one in a folder that was made for
//! this guest: no path, no `..`. A folder is found beneath the first one, without following a
//! link, and whatever is made must not be there yet. What can be made is bounded, and devices,
//! sockets and pipes are left out. Owners are this process's, and so is the mask of modes.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use abi::Errno;
use abi::host_files::Attributes;

use super::folder::{open_beneath, open_folder, owned};
use super::save::{Save, SaveError};
use super::{KIND, check_name, errno};
use crate::size::Size;

/// Most files, folders and links that a run saves.
pub const MAX_SAVED: usize = 1_000_000;
/// Most bytes of files that a run saves.
pub const MAX_SAVED_BYTES: u64 = 64 << 30;
/// Most lines about what is left out.
const MAX_LINES: usize = 10;

/// Where something is saved.
struct Target {
    save: Save,
    /// The folder that it is made in, and its name there.
    parent: OwnedFd,
    name: CString,
    /// The folder that it is, once that is there.
    folder: Option<OwnedFd>,
    /// How it ended.
    end: Option<Result<(), Errno>>,
}

/// A folder that was made: its name in another one, by index; or none of either, if it is the
/// target's own.
struct Folder {
    target: usize,
    parent: Option<usize>,
    name: Box<[u8]>,
}

/// What is to be made.
struct Made {
    target: usize,
    parent: Option<usize>,
    /// From the target's folder on; empty for that itself.
    path: Vec<u8>,
}

/// The file that is written now.
struct Writing {
    file: File,
    number: u64,
    attributes: Attributes,
}

/// What is saved in a run.
pub struct Saving {
    targets: Vec<Target>,
    /// Folders, by number from 1 on.
    folders: Vec<Folder>,
    writing: Option<Writing>,
    count: usize,
    bytes: u64,
    left_out: usize,
    lines: Vec<String>,
    failure: Option<String>,
}

impl Saving {
    /// Prepares to save all of `saves`.
    ///
    /// # Errors
    /// What is to be made is there, or cannot be made.
    pub fn prepare(saves: &[Save]) -> Result<Self, SaveError> {
        for (index, save) in saves.iter().enumerate() {
            if saves[..index].iter().any(|other| other.host == save.host) {
                return Err(SaveError::Twice(save.host.clone()));
            }
        }
        Ok(Self {
            targets: saves
                .iter()
                .map(Target::prepare)
                .collect::<Result<_, _>>()?,
            folders: Vec::new(),
            writing: None,
            count: 0,
            bytes: 0,
            left_out: 0,
            lines: Vec::new(),
            failure: None,
        })
    }

    /// Makes `name`, a link to `link` if it is one, in the folder with this number; or, in
    /// folder 0, what the save number `index` begins with. Returns a number for what is made.
    ///
    /// # Errors
    /// EINVAL: there is no such folder or save; those of names and limits, and the host's.
    pub fn make(
        &mut self,
        folder: u64,
        index: u64,
        name: &[u8],
        attributes: Attributes,
        link: &[u8],
    ) -> Result<u64, Errno> {
        self.finish_file();
        let kind = attributes.mode & KIND;
        let made = match folder.checked_sub(1) {
            None => self.top(index, kind)?,
            Some(folder) => {
                check_name(name)?;
                self.child(usize::try_from(folder).map_err(|_| Errno::EINVAL)?, name)?
            }
        };
        let shown = self.shown(&made);
        if !matches!(kind, libc::S_IFDIR | libc::S_IFREG | libc::S_IFLNK) {
            self.left_out += 1;
            if self.left_out <= MAX_LINES {
                let line = format!("{shown} is left out: it is no file, folder or link");
                self.lines.push(line);
            }
            return Ok(0);
        }
        let size = if kind == libc::S_IFREG {
            attributes.size
        } else {
            0
        };
        let bytes = self.bytes.saturating_add(size);
        if self.count == MAX_SAVED || bytes > MAX_SAVED_BYTES {
            let most = Size(MAX_SAVED_BYTES);
            let why = format!("{shown}: {MAX_SAVED} files and {most} are the most that is saved");
            return Err(self.fail(Errno::EFBIG, why));
        }
        (self.count, self.bytes) = (self.count + 1, bytes);
        self.create(made, attributes, link).map_err(|error| {
            let why = format!("{shown}: {error}");
            self.fail(errno(&error), why)
        })
    }

    /// Where the first thing of a save is made.
    fn top(&self, index: u64, kind: u32) -> Result<Made, Errno> {
        let target = usize::try_from(index).map_err(|_| Errno::EINVAL)?;
        let found = self.targets.get(target).ok_or(Errno::EINVAL)?;
        let mut path = Vec::new();
        if found.folder.is_some() && kind != libc::S_IFDIR {
            // Into the folder that was there.
            let name = found.save.guest.file_name().ok_or(Errno::EINVAL)?;
            path = name.as_bytes().to_vec();
        }
        let parent = None;
        Ok(Made {
            target,
            parent,
            path,
        })
    }

    /// A name in a folder.
    fn child(&self, parent: usize, name: &[u8]) -> Result<Made, Errno> {
        let found = self.folders.get(parent).ok_or(Errno::EINVAL)?;
        let target = found.target;
        let (mut names, mut len, mut at) = (vec![name], name.len(), found);
        while let Some(parent) = at.parent {
            names.push(&at.name);
            len += 1 + at.name.len();
            if len > libc::PATH_MAX as usize {
                return Err(Errno::ENAMETOOLONG);
            }
            at = &self.folders[parent];
        }
        names.reverse();
        Ok(Made {
            target,
            parent: Some(parent),
            path: names.join(&b'/'),
        })
    }

    /// The path on the host, for messages.
    fn shown(&self, made: &Made) -> String {
        let mut path = self.targets[made.target].save.host.clone();
        path.push(OsStr::from_bytes(&made.path));
        path.display().to_string().trim_end_matches('/').to_owned()
    }

    fn create(&mut self, made: Made, attributes: Attributes, link: &[u8]) -> io::Result<u64> {
        let target = &mut self.targets[made.target];
        let number = self.folders.len() as u64 + 1;
        let is_folder = attributes.mode & KIND == libc::S_IFDIR;
        let place;
        let (parent, name) = match (&target.folder, made.path.is_empty()) {
            (Some(_), true) if is_folder => {
                self.folders.push(made.into());
                return Ok(number);
            }
            (Some(_), true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(folder), false) => {
                let slash = made.path.iter().rposition(|&byte| byte == b'/');
                let (parent, name) = made.path.split_at(slash.map_or(0, |slash| slash + 1));
                let parent = CString::new([b"./", parent].concat())?;
                place = open_beneath(folder, &parent, libc::O_PATH | libc::O_DIRECTORY)?;
                (&place, CString::new(name)?)
            }
            (None, _) => (&target.parent, target.name.clone()),
        };
        let mode = attributes.mode & 0o777;
        if is_folder {
            let mode = mode | 0o700;
            // SAFETY: the name ends with a zero.
            done(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), mode) })?;
            if target.folder.is_none() {
                let flags = libc::O_PATH | libc::O_DIRECTORY;
                target.folder = Some(open_beneath(parent, &name, flags)?);
            }
            self.folders.push(made.into());
            return Ok(number);
        }
        if attributes.mode & KIND == libc::S_IFLNK {
            let link = CString::new(link)?;
            let (parent, name) = (parent.as_raw_fd(), name.as_ptr());
            // SAFETY: both strings end with a zero.
            done(unsafe { libc::symlinkat(link.as_ptr(), parent, name) })?;
            return Ok(0);
        }
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let flags = flags | libc::O_CLOEXEC;
        // SAFETY: the name ends with a zero.
        let file = unsafe { libc::openat(parent.as_raw_fd(), name.as_ptr(), flags, mode) };
        let file = File::from(owned(file)?);
        file.set_len(attributes.size)?;
        let number = self.count as u64;
        self.writing = Some(Writing {
            file,
            number,
            attributes,
        });
        Ok(number)
    }

    /// Writes bytes of the file that was made last.
    ///
    /// # Errors
    /// EINVAL: it has another number, or a smaller size; those of the host.
    pub fn write(&mut self, number: u64, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let writing = self.writing.as_ref().filter(|it| it.number == number);
        let writing = writing.ok_or(Errno::EINVAL)?;
        let end = at.checked_add(bytes.len() as u64).ok_or(Errno::EINVAL)?;
        if end > writing.attributes.size {
            return Err(Errno::EINVAL);
        }
        writing.file.write_all_at(bytes, at).map_err(|error| {
            let why = format!("a file to be saved cannot be written: {error}");
            self.fail(errno(&error), why)
        })
    }

    /// The save number `index` has ended.
    ///
    /// # Errors
    /// EINVAL: there is none.
    pub fn end(&mut self, index: u64, result: Result<(), Errno>) -> Result<(), Errno> {
        self.finish_file();
        let target = usize::try_from(index).ok();
        let target = target.and_then(|target| self.targets.get_mut(target));
        target.ok_or(Errno::EINVAL)?.end = Some(result);
        Ok(())
    }

    /// What a person should know of it at the end of a run, whose program has succeeded or
    /// not: lines, and the first failure.
    pub fn finish(&mut self, succeeded: bool) -> (Vec<String>, Option<String>) {
        self.finish_file();
        let mut lines = std::mem::take(&mut self.lines);
        if let more @ 1.. = self.left_out.saturating_sub(MAX_LINES) {
            lines.push(format!("{more} more are left out"));
        }
        let wanted = |target: &&Target| succeeded || target.save.always;
        let mut failures = self.targets.iter().filter(wanted).filter_map(|target| {
            let guest = target.save.guest.display();
            match target.end {
                Some(Ok(())) => None,
                Some(Err(error)) => {
                    let error = io::Error::from_raw_os_error(error.number() as i32);
                    Some(format!("{guest} of the guest is not saved: {error}"))
                }
                None => Some(format!(
                    "{guest} of the guest is not saved: its run ended before"
                )),
            }
        });
        let failure = self.failure.take().or_else(|| failures.next());
        (lines, failure)
    }

    /// Keeps the first failure.
    fn fail(&mut self, error: Errno, why: String) -> Errno {
        self.failure.get_or_insert(why);
        error
    }

    /// Gives the file that was written its time. That is for show, so a failure is none.
    fn finish_file(&mut self) {
        if let Some(Writing {
            file, attributes, ..
        }) = self.writing.take()
        {
            let ns = attributes.modified_ns;
            let time = libc::timespec {
                tv_sec: ns.div_euclid(1_000_000_000),
                tv_nsec: ns.rem_euclid(1_000_000_000),
            };
            // SAFETY: the call reads two times.
            unsafe { libc::futimens(file.as_raw_fd(), [time, time].as_ptr()) };
        }
    }
}

impl From<Made> for Folder {
    fn from(made: Made) -> Self {
        let names = made.path.rsplit(|&byte| byte == b'/');
        Self {
            target: made.target,
            parent: made.parent,
            name: names.take(1).flatten().copied().collect(),
        }
    }
}

impl Target {
    fn prepare(save: &Save) -> Result<Self, SaveError> {
        let of_host = |source| SaveError::Host {
            host: save.host.clone(),
            source,
        };
        let path = std::path::absolute(&save.host).map_err(of_host)?;
        let exists = || SaveError::Exists(save.host.clone());
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(exists());
        };
        let parent = open_folder(parent).map_err(|source| {
            let host = parent.to_owned();
            SaveError::Host { host, source }
        })?;
        let name = CString::new(name.as_bytes()).map_err(|error| of_host(error.into()))?;
        let folder = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(of_host(error)),
            Ok(found) if found.is_dir() => {
                if fs::read_dir(&path).map_err(of_host)?.next().is_some() {
                    return Err(exists());
                }
                let flags = libc::O_PATH | libc::O_DIRECTORY;
                Some(open_beneath(&parent, &name, flags).map_err(of_host)?)
            }
            Ok(_) => return Err(exists()),
        };
        Ok(Self {
            save: save.clone(),
            parent,
            name,
            folder,
            end: None,
        })
    }
}

/// Whether a call has succeeded.
fn done(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
