//! The file that each process runs, for `/proc/PID/exe`.
//!
//! The first program is found without the file tree, so its file is looked up when somebody
//! asks for it.

use core::cell::Cell;

use abi::Errno;
use abi::words::Word;
use mm::{Frame, OutOfMemory, Shared};
use single_cpu::SingleCpu;

use crate::fs::calls;
use crate::fs::opened::Running;
use crate::fs::path::{Links, Start};
use crate::fs::process_slot::{self, ProcessSlot};
use crate::proc::current;
use crate::proc::process::Process;

/// Path of the first program.
static FIRST: SingleCpu<Cell<Word<'static>>> = SingleCpu::new(Cell::new(Word::new(b"")));

/// Sets the path of the first program.
pub fn start(path: Word<'static>) {
    FIRST.set(path);
}

/// Notes the file of the program that the current process will run next.
pub fn prepare_program(opened: Shared<Running>) {
    let before = process_slot::of(current()).will_run.replace(Some(opened));
    drop(before);
}

/// The current process does not run another program after all.
pub fn keep_program() {
    let next = process_slot::of(current()).will_run.take();
    drop(next);
}

/// What the parent runs, the child does.
pub fn inherit(parent: &ProcessSlot, child: &ProcessSlot) {
    let opened = parent.runs.borrow().clone();
    child.runs.replace(opened);
}

/// The process runs the program that it was to run next.
pub fn change_program(process: &Process) {
    let next = process_slot::of(process).will_run.take();
    let before = process_slot::of(process).runs.replace(next);
    drop(before);
}

/// The process has ended.
pub fn release(slot: &ProcessSlot) {
    drop(slot.runs.take());
}

/// The file that a process runs.
///
/// # Errors
/// ENOENT: it has gone, or the process has ended. ENOMEM.
pub fn program(process: &Process) -> Result<Shared<Running>, Errno> {
    if !process.is_alive() {
        return Err(Errno::ENOENT);
    }
    if let Some(opened) = &*process_slot::of(process).runs.borrow() {
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
    process_slot::of(process).runs.replace(Some(opened.clone()));
    Ok(opened)
}
