//! The open files of each process, in a table of their own beside that of the processes.

use core::cell::RefCell;

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::events;
use crate::fs::file_table::FileTable;
use crate::fs::open_file::OpenFile;
use crate::fs::path::Start;
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
pub fn here() -> Result<Start, Errno> {
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

/// Gives the current process what it shares with another, of its files and of where its paths
/// start, for itself, as these flags say.
///
/// # Errors
/// There is no memory; nothing has changed.
pub fn stop_sharing(flags: CloneFlags) -> Result<(), OutOfMemory> {
    let slot = process_slot::of(current());
    let (files, surroundings) = (slot.files.borrow().clone(), surroundings(current()));
    let is_shared = |owners, flag| owners > OWN && flags.contains(flag);
    let files = files.filter(|files| is_shared(Shared::owners(files), CloneFlags::FILES));
    let surroundings =
        surroundings.filter(|here| is_shared(Shared::owners(here), CloneFlags::DIRECTORY));
    let files = files.map(|files| files.duplicate()).transpose()?;
    let surroundings = surroundings.map(|here| here.duplicate()).transpose()?;
    if let Some(files) = files {
        let shared = slot.files.replace(Some(files));
        drop(shared);
    }
    if let Some(surroundings) = surroundings {
        let shared = slot.surroundings.replace(Some(surroundings));
        drop(shared);
    }
    Ok(())
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
    fn inherit(
        &self,
        parent: &Process,
        child: &Process,
        flags: CloneFlags,
    ) -> Result<(), OutOfMemory> {
        process_slot::make(child)?;
        let (from, to) = (process_slot::of(parent), process_slot::of(child));
        let files = match flags.contains(CloneFlags::FILES) {
            true => from.files.borrow().clone(),
            false => from
                .files
                .borrow()
                .as_ref()
                .map(|files| files.duplicate())
                .transpose()?,
        };
        let here = from.surroundings.borrow();
        let surroundings = match flags.contains(CloneFlags::DIRECTORY) {
            true => here.clone(),
            false => here.as_ref().map(|here| here.duplicate()).transpose()?,
        };
        to.files.replace(files);
        to.surroundings.replace(surroundings);
        running::inherit(parent, child);
        Ok(())
    }

    fn change_program(&self, process: &Process) {
        of(process).close_on_exec();
        running::change_program(process);
    }

    fn release(&self, process: &Process) {
        // Closing may wake others and must find nothing borrowed.
        let files = slot(process).take();
        drop(files);
        let surroundings = process_slot::of(process).surroundings.take();
        drop(surroundings);
        running::release(process);
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
