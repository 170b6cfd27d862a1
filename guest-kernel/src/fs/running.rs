//! The file that each process runs, for `/proc/PID/exe`, beside the table of processes.
//!
//! The first program is found without the file tree, so its file is looked up when somebody
//! asks for it.

use core::cell::{Cell, RefCell};

use abi::Errno;
use abi::words::Word;
use arch::SingleCpu;
use mm::{Frame, OutOfMemory, Shared};

use crate::fs::calls;
use crate::fs::opened::Running;
use crate::fs::path::{Links, Start};
use crate::proc::process::Process;
use crate::proc::{current, table};

struct Slot {
    /// `None` if it is the first program's.
    opened: RefCell<Option<Shared<Running>>>,
    /// That of the program that the process is about to run.
    next: RefCell<Option<Shared<Running>>>,
}

static SLOTS: SingleCpu<[Slot; table::LEN]> = SingleCpu::new(
    [const {
        Slot {
            opened: RefCell::new(None),
            next: RefCell::new(None),
        }
    }; table::LEN],
);

/// Path of the first program.
static FIRST: SingleCpu<Cell<Word<'static>>> = SingleCpu::new(Cell::new(Word::new(b"")));

fn slot(process: &Process) -> &'static Slot {
    &SLOTS[table::slot(process.pid())]
}

/// Sets the path of the first program.
pub fn start(path: Word<'static>) {
    FIRST.set(path);
}

/// Notes the file of the program that the current process will run next.
pub fn prepare_program(opened: Shared<Running>) {
    let before = slot(current()).next.replace(Some(opened));
    drop(before);
}

/// The current process does not run another program after all.
pub fn keep_program() {
    let next = slot(current()).next.take();
    drop(next);
}

/// What the parent runs, the child does.
pub fn inherit(parent: &Process, child: &Process) {
    let opened = slot(parent).opened.borrow().clone();
    slot(child).opened.replace(opened);
}

/// The process runs the program that it was to run next.
pub fn change_program(process: &Process) {
    let next = slot(process).next.take();
    let before = slot(process).opened.replace(next);
    drop(before);
}

/// The process has ended.
pub fn release(process: &Process) {
    let before = slot(process).opened.take();
    drop(before);
}

/// The file that a process runs.
///
/// # Errors
/// ENOENT: it has gone, or the process has ended. ENOMEM.
pub fn program(process: &Process) -> Result<Shared<Running>, Errno> {
    if !process.is_alive() {
        return Err(Errno::ENOENT);
    }
    if let Some(opened) = &*slot(process).opened.borrow() {
        return Ok(opened.clone());
    }
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let mut len = 0;
    for (place, byte) in frame.bytes_mut().iter_mut().zip(FIRST.get().bytes()) {
        *place = byte;
        len += 1;
    }
    let opened = calls::find_opened(&Start::of_tree()?, &frame.bytes()[..len], Links::Followed)?;
    let opened = Shared::new(Running::start(opened)?)?;
    slot(process).opened.replace(Some(opened.clone()));
    Ok(opened)
}
