//! System calls: Linux's numbers, arguments, structures and errors, by either entry.

mod errno;
mod file;
mod process;
mod table;
pub mod time;

pub use errno::Errno;

use crate::arch::trap::Registers;
use crate::proc::current;
use crate::shared;

/// What a system call comes to: the value in rax, or minus an errno there.
type SyscallResult = Result<u64, Errno>;

/// Reads its arguments from rdi, rsi, rdx, r10, r8 and r9, in this order.
type Handler = fn(&Registers) -> SyscallResult;

/// Serves the system call in `registers` and leaves its result there.
pub fn serve(registers: &mut Registers) {
    shared::count(&shared::PAGE.syscalls);
    current().account(|used| used.syscalls += 1);
    let handler = usize::try_from(registers.rax)
        .ok()
        .and_then(|number| *table::HANDLERS.get(number)?);
    let result = match handler {
        Some(handler) => handler(registers),
        None => Err(Errno::ENOSYS),
    };
    registers.rax = match result {
        Ok(value) => value,
        Err(errno) => errno.to_rax(),
    };
}
