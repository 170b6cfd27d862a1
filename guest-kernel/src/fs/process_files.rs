//! The open files of each process, in a table of their own beside that of the processes.

use core::cell::RefCell;

use abi::Errno;
use mm::Shared;

use crate::fs::events;
use crate::fs::file_table::FileTable;
use crate::fs::mount::{self, Location, Namespace};
use crate::fs::open_file::OpenFile;
use crate::fs::path::{Rules, Start};
use crate::fs::surroundings::Surroundings;
use crate::fs::{process_slot, running, terminal};
use crate::proc::process::Process;
use crate::proc::resources::{self, Resources};
use crate::proc::spawn::CloneFlags;
use crate::proc::{current, table};

fn slot(process: &Process) -> &'static RefCell<Option<Shared<FileTable>>> {
    &process_slot::of(process).files
}

/// Gives the first process its files, and where its paths start; children inherit them.
pub fn start(init: &Process, files: Shared<FileTable>, surroundings: Shared<Surroundings>) {
    slot(init).replace(Some(files));
    process_slot::of(init)
        .surroundings
        .replace(Some(surroundings));
    resources::keep(&ProcessFiles);
}

/// The open files of the current process.
///
/// # Panics
/// It has ended.
pub fn files() -> Shared<FileTable> {
    of(current())
}

/// What the descriptor `fd` of the current process stands for, to be used.
///
/// # Errors
/// EBADF; also if it only stands for a node (`O_PATH`).
pub fn file(fd: u64) -> Result<Shared<OpenFile>, Errno> {
    file_inline(fd)
}

/// The same for calls that are made so often that a call of a function counts.
#[inline(always)]
pub fn file_inline(fd: u64) -> Result<Shared<OpenFile>, Errno> {
    let file = of_current(fd)?;
    match file.is_path() {
        true => Err(Errno::EBADF),
        false => Ok(file),
    }
}

/// What the descriptor `fd` of the current process stands for: as [`FileTable::get`], but
/// without a share of the table.
///
/// # Errors
/// EBADF.
pub fn any_file(fd: u64) -> Result<Shared<OpenFile>, Errno> {
    of_current(fd)
}

#[inline(always)]
fn of_current(fd: u64) -> Result<Shared<OpenFile>, Errno> {
    let files = slot(current()).borrow();
    files.as_ref().expect("a process has files").get(fd)
}

/// Where the current process's paths start.
///
/// # Errors
/// There is no memory to make the file tree.
///
/// # Panics
/// It has ended.
pub fn here() -> Result<Shared<Start>, Errno> {
    let surroundings = process_slot::of(current()).surroundings.borrow();
    let surroundings = surroundings.as_ref().expect("a process is somewhere");
    surroundings.start()
}

/// The umask of the current process.
///
/// # Panics
/// It has ended.
pub fn mask() -> u32 {
    surroundings(current()).map_or(0, |surroundings| surroundings.mask())
}

/// Where the paths of a process that has not ended start.
pub fn surroundings(process: &Process) -> Option<Shared<Surroundings>> {
    process_slot::of(process).surroundings.borrow().clone()
}

/// Owners of what a process has alone: its slot, and the borrower.
const OWN: usize = 2;

/// Gives the current process what it shares with another for itself, as these flags say: its
/// files, where its paths start, its mounts.
///
/// # Errors
/// ENOMEM; ENOSPC: too many mounts.
pub fn stop_sharing(flags: CloneFlags) -> Result<(), Errno> {
    let slot = process_slot::of(current());
    let files = slot.files.borrow().clone();
    if flags.contains(CloneFlags::FILES)
        && let Some(files) = files.filter(|files| Shared::owners(files) > OWN)
    {
        let shared = slot.files.replace(Some(files.duplicate()?));
        drop((files, shared));
    }
    let here = surroundings(current());
    if flags.intersects(CloneFlags::DIRECTORY | CloneFlags::OWN_MOUNTS)
        && let Some(here) = here.filter(|here| Shared::owners(here) > OWN)
    {
        let shared = slot.surroundings.replace(Some(here.duplicate()?));
        drop(shared);
    }
    if flags.contains(CloneFlags::OWN_MOUNTS) {
        own_mounts(current(), current())?;
    }
    Ok(())
}

/// Gives a process a copy of the mounts of another, whose place it has.
fn own_mounts(from: &Process, to: &Process) -> Result<(), Errno> {
    let surroundings = surroundings(to).ok_or(Errno::ESRCH)?;
    let (mounts, start) = Namespace::copy(mounts_number(from), &*surroundings.start()?)?;
    surroundings.set(start)?;
    let before = process_slot::of(to).mounts.replace(Some(mounts));
    drop(before);
    Ok(())
}

/// The mounts that a process sees; `None` for those of the first namespace.
pub fn mounts(process: &Process) -> Option<Shared<Namespace>> {
    process_slot::of(process).mounts.borrow().clone()
}

/// Number of the namespace of the mounts that a process sees.
pub fn mounts_number(process: &Process) -> u64 {
    mounts(process).map_or(mount::FIRST, |mounts| mounts.number())
}

/// The current process sees these mounts from now on, and its paths start at their root.
///
/// # Errors
/// EINVAL: others share where they start.
pub fn enter_mounts(mounts: &Option<Shared<Namespace>>) -> Result<(), Errno> {
    let surroundings = surroundings(current()).ok_or(Errno::ESRCH)?;
    if Shared::owners(&surroundings) > OWN {
        return Err(Errno::EINVAL);
    }
    let number = mounts
        .as_ref()
        .map_or(mount::FIRST, |mounts| mounts.number());
    let top = mount::top(number).ok_or(Errno::EINVAL)?.seen();
    surroundings.set(Start {
        root: top.clone(),
        directory: top,
        rules: Rules::empty(),
    })?;
    let before = process_slot::of(current()).mounts.replace(mounts.clone());
    drop(before);
    Ok(())
}

/// Moves all whose paths start at `from` to `to`; for whom there is no memory, stays.
pub fn move_all(from: &Location, to: &Location) {
    for surroundings in table::processes().filter_map(surroundings) {
        let Ok(start) = surroundings.start() else {
            continue;
        };
        let moved = |location: &Location| match location.is_same(from) {
            true => to.clone(),
            false => location.clone(),
        };
        if start.root.is_same(from) || start.directory.is_same(from) {
            let _ = surroundings.set(Start {
                root: moved(&start.root),
                directory: moved(&start.directory),
                rules: start.rules,
            });
        }
    }
}

/// The files of a process that has not ended.
pub fn of_process(process: &Process) -> Option<Shared<FileTable>> {
    slot(process).borrow().clone()
}

/// The open files of the process with this number, if it has some.
pub fn of_pid(pid: u32) -> Option<Shared<FileTable>> {
    of_process(table::process(pid)?)
}

fn of(process: &Process) -> Shared<FileTable> {
    let files = slot(process).borrow().clone();
    files.expect("a process has files")
}

struct ProcessFiles;

impl Resources for ProcessFiles {
    fn inherit(&self, parent: &Process, child: &Process, flags: CloneFlags) -> Result<(), Errno> {
        process_slot::make(child)?;
        let (from, to) = (process_slot::of(parent), process_slot::of(child));
        let (files, here) = (from.files.borrow(), from.surroundings.borrow());
        let (files, here) = (files.as_ref(), here.as_ref());
        let files = match flags.contains(CloneFlags::FILES) {
            true => files.cloned(),
            false => files.map(|files| files.duplicate()).transpose()?,
        };
        let here = match flags.contains(CloneFlags::DIRECTORY) {
            true => here.cloned(),
            false => here.map(|here| here.duplicate()).transpose()?,
        };
        to.files.replace(files);
        to.surroundings.replace(here);
        if let Some(mounts) = &*from.mounts.borrow() {
            to.mounts.replace(Some(mounts.clone()));
        }
        if flags.contains(CloneFlags::OWN_MOUNTS) {
            own_mounts(parent, child).inspect_err(|_| self.release(child))?;
        }
        running::inherit(from, to);
        Ok(())
    }

    fn change_program(&self, process: &Process) {
        of(process).close_on_exec();
        running::change_program(process);
    }

    fn release(&self, process: &Process) {
        // Closing may wake others and must find nothing borrowed.
        let slot = process_slot::of(process);
        drop(slot.files.take());
        drop(slot.surroundings.take());
        drop(slot.mounts.take());
        running::release(slot);
    }

    fn leader_ended(&self, session: u32) {
        terminal::leader_ended(session);
    }

    fn process_ended(&self) {
        events::process::ended();
    }

    fn signal_came(&self) {
        events::signals::came();
    }

    fn timers_are_due(&self) {
        events::timer::ring();
    }
}
