//! Calls about processes.

use super::SyscallResult;
use crate::arch::trap::Registers;
use crate::proc::current;
use crate::proc::end::WaitStatus;
use crate::proc::process;

/// `exit(status)` and, as long as a process has one thread, `exit_group(status)`.
pub fn exit(registers: &Registers) -> SyscallResult {
    process::end(WaitStatus::exited(registers.rdi as u32))
}

/// `getpid()`
pub fn getpid(_: &Registers) -> SyscallResult {
    Ok(u64::from(current().pid()))
}

/// `sched_yield()`. Init is alone as long as nothing makes processes: it yields to nobody.
pub fn sched_yield(_: &Registers) -> SyscallResult {
    Ok(0)
}
