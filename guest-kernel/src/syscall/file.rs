//! Calls about files.

use super::{Errno, SyscallResult};
use crate::arch::trap::Registers;
use crate::fs::{OpenFile, console};
use crate::mm::UserSlice;
use crate::proc::current;

/// `write(fd, buffer, count)`
pub fn write(registers: &Registers) -> SyscallResult {
    let process = current();
    let file = process.files().get(registers.rdi).ok_or(Errno::EBADF)?;
    let source = UserSlice::new(registers.rsi, registers.rdx);
    match file {
        OpenFile::Console => Ok(console::write(&mut process.space(), source)?),
    }
}
