//! `execve` and `execveat`: from a path to a program that is ready to run.
//!
//! ```text
//! path --> file   script? --> file of its interpreter   script? --> ...   (proc::script)
//!                 dynamic? --> what loads it                           (formats::elf)
//! ```

use arch::trap::UserContext;
use core::fmt::Write;
use formats::elf::{Elf, ElfError};
use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, Shared};

use crate::fs::mount::MountFlags;
use crate::fs::opened::{Opened, Running};
use crate::fs::path::{Links, Start};
use crate::fs::{self, calls, mapped, permission, running};
use crate::proc::arguments::ProgramArguments;
use crate::proc::credentials::Rights;
use crate::proc::current;
use crate::proc::execute::{self, Loaded};
use crate::proc::process::Name;
use crate::proc::program::{self, Image};
use crate::proc::script::{Interpreters, Line};
use crate::syscall::path::{self, HERE, Path};
use crate::syscall::{Errno, SyscallResult};

/// What is to run.
pub struct Found {
    /// Where the program is, which is no script.
    pub opened: Opened,
    /// It, and what loads it.
    pub image: Image,
    /// What comes before the script's path, if a script has led here.
    pub interpreters: Interpreters,
}

/// What is to run if `opened` is: itself, or what scripts say. Relative paths in them start at
/// `here`.
///
/// # Errors
/// EACCES: it must not be run. ENOEXEC: it cannot be. ELOOP: too many scripts.
/// ETXTBSY: it is being written. ENOENT and others: there is not what it names.
pub fn find(here: &Start, mut opened: Opened) -> Result<Found, Errno> {
    let mut interpreters = Interpreters::default();
    let program = loop {
        let pages = calls::executable(&opened)?;
        opened.node.check_not_written()?;
        let error = match Elf::parse(pages.clone()) {
            Ok(program) => break program,
            Err(error) => error,
        };
        let line = Line::of(&pages)?.ok_or(error)?;
        interpreters.add(&line)?;
        opened = interpreter(here, line.path())?;
    };
    let interpreter = match program.interpreter()? {
        None => None,
        Some(place) => {
            let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
            let path = frame
                .bytes_mut()
                .get_mut(..(place.end - place.start) as usize);
            let path = path.ok_or(ElfError::Malformed)?;
            program.file.copy_at(place.start, path);
            let end = path.iter().position(|&byte| byte == 0);
            let path = &path[..end.unwrap_or(path.len())];
            let opened = interpreter(here, path)?;
            opened.node.check_not_written()?;
            let file = program::interpreter(calls::executable(&opened)?)?;
            mapped::note(&opened);
            Some(file)
        }
    };
    let rights = match opened.mount.has(MountFlags::NO_RIGHTS) {
        true => Rights::default(),
        false => permission::rights(&opened.node),
    };
    Ok(Found {
        opened,
        image: Image {
            program,
            interpreter,
            rights,
        },
        interpreters,
    })
}

/// What a file names as its interpreter. Nothing stands for the working directory, as on Linux.
fn interpreter(here: &Start, path: &[u8]) -> Result<Opened, Errno> {
    if path.is_empty() {
        return Err(Errno::EACCES);
    }
    calls::find_opened(here, path, Links::Followed)
}

/// `execve(path, arguments, environment)`
pub fn execve(context: &mut UserContext) -> SyscallResult {
    let [path, arguments, environment, ..] = context.registers.arguments;
    execute_at(context, [HERE, path], [arguments, environment], 0)
}

/// `execveat(directory, path, arguments, environment, flags)`
pub fn execveat(context: &mut UserContext) -> SyscallResult {
    let [directory, path, arguments, environment, flags, _] = context.registers.arguments;
    let arguments = [arguments, environment];
    execute_at(context, [directory, path], arguments, flags as u32)
}

fn execute_at(
    context: &mut UserContext,
    [directory, path]: [u64; 2],
    arguments: [u64; 2],
    flags: u32,
) -> SyscallResult {
    if flags & !(linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let loaded = load([directory, path], arguments, flags)?;
    // The call may not return, so nothing is left to be dropped after it.
    execute::replace_program(loaded, context).inspect_err(|_| running::keep_program())?;
    Ok(0)
}

/// Loads the program at a path, and notes its file for when it runs.
fn load([directory, path]: [u64; 2], arguments: [u64; 2], flags: u32) -> Result<Loaded, Errno> {
    let path = Path::read(path)?;
    let is_itself = path.bytes().is_empty() && flags & linux::AT_EMPTY_PATH != 0;
    let opened = match is_itself {
        true => of_descriptor(directory)?,
        false => {
            let links = match flags & linux::AT_SYMLINK_NOFOLLOW {
                0 => Links::Followed,
                _ => Links::Kept,
            };
            calls::find_opened(&*path::start(directory, path.bytes())?, path.bytes(), links)?
        }
    };
    if opened.node.mode() & linux::S_IFMT == linux::S_IFLNK {
        return Err(Errno::ELOOP);
    }
    let mut name = FileName::default();
    let is_relative = !path.bytes().starts_with(b"/") && directory as i32 != linux::AT_FDCWD;
    let file_name = match is_relative || is_itself {
        false => path.bytes(),
        true => name.below_descriptor(directory as u32, path.bytes())?,
    };
    let found = find(&*fs::here()?, opened)?;
    let is_script = !found.interpreters.is_empty();
    if is_relative && is_script && fs::files().closes_on_exec(directory)? {
        // The interpreter could not open the script.
        return Err(Errno::ENOENT);
    }
    let process = current();
    let limits = process.limits().of_memory();
    let mut strings = ProgramArguments::new(limits.stack);
    strings.push_from_user(&process.space(), arguments, &found.interpreters, file_name)?;
    let opened = Shared::new(Running::start(found.opened)?)?;
    let (space, start) = program::load(&found.image, &strings, limits)?;
    running::prepare_program(opened);
    Ok(Loaded {
        name: Name::of(file_name),
        space,
        start,
        rights: found.image.rights,
    })
}

/// The file that a descriptor stands for, whatever it has been opened for.
fn of_descriptor(fd: u64) -> Result<Opened, Errno> {
    if fd as i32 == linux::AT_FDCWD {
        return calls::find_opened(&*fs::here()?, b".", Links::Followed);
    }
    let file = fs::any_file(fd)?;
    file.opened().ok_or(Errno::EACCES)?.try_clone()
}

/// A path that leads through a descriptor.
#[derive(Default)]
struct FileName {
    frame: Option<Frame>,
    len: usize,
}

impl FileName {
    fn below_descriptor(&mut self, fd: u32, path: &[u8]) -> Result<&[u8], Errno> {
        self.frame = Some(Frame::allocate().ok_or(OutOfMemory)?);
        write!(self, "/dev/fd/{fd}").map_err(|_| Errno::ENAMETOOLONG)?;
        if !path.is_empty() {
            self.push(b"/").and_then(|()| self.push(path))?;
        }
        let bytes = self.frame.as_ref().map_or(&[][..], Frame::bytes);
        Ok(&bytes[..self.len])
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let end = self.len + bytes.len();
        let frame = self.frame.as_mut().filter(|_| end <= FRAME_SIZE);
        let frame = frame.ok_or(Errno::ENAMETOOLONG)?;
        frame.bytes_mut()[self.len..end].copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

impl Write for FileName {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}
