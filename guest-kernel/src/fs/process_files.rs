//! The open files of each process, in a table of their own beside that of the processes.

use core::cell::RefCell;

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::events;
use crate::fs::file_table::FileTable;
use crate::fs::open_file::OpenFile;
use crate::fs::{process_slot, running, terminal};
use crate::proc::process::Process;
use crate::proc::resources::{self, Resources};
use crate::proc::{current, table};

fn slot(process: &Process) -> &'static RefCell<Option<Shared<FileTable>>> {
    &process_slot::of(process).files
}

/// Gives the first process its files; children inherit them.
pub fn start(init: &Process, files: Shared<FileTable>) {
    slot(init).replace(Some(files));
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

/// Gives the current process a table of its own, if it shares one with another.
///
/// # Errors
/// There is no memory.
pub fn stop_sharing() -> Result<(), OutOfMemory> {
    /// The process's own, and the one here.
    const SHARES: usize = 2;
    let files = files();
    if Shared::owners(&files) <= SHARES {
        return Ok(());
    }
    let files = files.duplicate()?;
    let shared = slot(current()).replace(Some(files));
    drop(shared);
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
    fn inherit(&self, parent: &Process, child: &Process, share: bool) -> Result<(), OutOfMemory> {
        let files = of(parent);
        let files = if share { files } else { files.duplicate()? };
        process_slot::make(child)?;
        slot(child).replace(Some(files));
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
