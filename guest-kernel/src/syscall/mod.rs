//! System calls: Linux's numbers, arguments, structures and errors, by either entry.

mod advice;
mod alarm;
mod ancillary;
mod attributes;
mod clock_setting;
mod compare;
mod copying;
mod credentials;
mod descriptor;
mod epoll;
mod event;
pub mod execute;
mod file;
mod futex;
mod futex2;
mod growing;
mod inotify;
mod interface;
mod ipc;
mod kill;
mod link;
mod listing;
mod locks;
mod memory;
mod memory_file;
mod message;
mod message_queue;
mod mount;
mod opening;
mod path;
mod pidfd;
mod poll;
mod prctl;
mod process;
mod process_memory;
mod pseudo_terminal;
mod scheduling;
mod select;
mod semaphore;
mod sharing;
mod sigio;
mod signal;
mod socket;
mod socket_option;
mod space;
mod special;
mod stat;
mod statfs;
mod system;
mod table;
mod terminal;
mod thread;
pub mod time;
mod timer;
mod trace;
mod usage;
mod vector;
mod xattr;

pub use abi::Errno;

use arch::shared;
use arch::trap::{Arguments, UserContext};

use crate::proc::current_thread;

/// The result of a system call: the value in rax, or minus an errno there.
type SyscallResult = Result<u64, Errno>;

/// Serves a call with these arguments, for the current thread.
type Handler = fn(&Arguments) -> SyscallResult;

/// Serves the system call in `context` and leaves its result there.
pub fn serve(context: &mut UserContext) {
    if trace::is_wanted() {
        trace::around(context, serve_call);
    } else {
        serve_call(context);
    }
}

#[inline(always)]
fn serve_call(context: &mut UserContext) {
    shared::count(&shared::PAGE.syscalls);
    let number = context.registers.rax;
    let handler = usize::try_from(number)
        .ok()
        .and_then(|number| *table::HANDLERS.get(number)?);
    let result = match handler {
        Some(handler) => handler(&context.registers.arguments),
        None => table::serve_with_context(number, context),
    };
    context.registers.rax = match result {
        Ok(value) => value,
        Err(errno) => {
            current_thread().note_failed_call(context.registers.rax, errno);
            errno.to_rax()
        }
    };
}
