//! Calls about what processes have used and what they may use.

use arch::clock;
use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::UserPtr;
use mm::frames::FRAME_SIZE;

use crate::proc::capability::Capability;
use crate::proc::limits::Limit;
use crate::proc::program::TICKS_PER_SECOND;
use crate::proc::usage::Usage;
use crate::proc::{current, current_thread, process::Process};
use crate::syscall::process::process_of;
use crate::syscall::time::{NS_PER_S, NS_PER_US, now_ns};
use crate::syscall::{Errno, SyscallResult};

/// Length of a tick of `times`, whatever the timer's is.
const NS_PER_USER_TICK: u64 = NS_PER_S / TICKS_PER_SECOND;

/// `struct rusage`, of which are known the two times (user and system, each in seconds and
/// microseconds), the most memory in KiB, and the faults that needed no disk, which all are.
type Fields = [u64; 18];

fn fields(usage: &Usage) -> Fields {
    const PEAK: usize = 4;
    const FAULTS: usize = 8;
    let mut fields = [0; 18];
    let times = [usage.time.user, usage.time.system];
    for (fields, counts) in fields.chunks_exact_mut(2).zip(times) {
        let ns = clock::ns(counts);
        fields.copy_from_slice(&[ns / NS_PER_S, ns % NS_PER_S / NS_PER_US]);
    }
    fields[PEAK] = usage.peak * FRAME_SIZE as u64 / 1024;
    fields[FAULTS] = usage.faults;
    fields
}

/// Writes a `struct rusage` unless the pointer is null.
pub(super) fn write_if_wanted(address: u64, usage: &Usage) -> Result<(), Errno> {
    if address != 0 {
        UserPtr::new(address).write(&current().space(), &fields(usage))?;
    }
    Ok(())
}

/// `getrusage(who, place)`
pub fn getrusage(&[who, place, ..]: &Arguments) -> SyscallResult {
    const CHILDREN: i32 = linux::RUSAGE_CHILDREN;
    let process = current();
    let usage = match who as i32 {
        0 => process.usage(),
        // Faults are counted for all threads together.
        1 => Usage {
            time: current_thread().cpu_time(),
            ..process.usage()
        },
        CHILDREN => process.children_usage(),
        _ => return Err(Errno::EINVAL),
    };
    UserPtr::new(place).write(&process.space(), &fields(&usage))?;
    Ok(0)
}

/// `times(buffer)`
pub fn times(&[buffer, ..]: &Arguments) -> SyscallResult {
    let ticks = |counts| clock::ns(counts) / NS_PER_USER_TICK;
    if buffer != 0 {
        let process = current();
        let (own, children) = (process.cpu_time(), process.children_cpu_time());
        let times = [own.user, own.system, children.user, children.system].map(ticks);
        UserPtr::new(buffer).write(&process.space(), &times)?;
    }
    Ok(now_ns() / NS_PER_USER_TICK)
}

/// `prlimit64(pid, resource, new, old)`
pub fn prlimit64(&[pid, resource, new, old, ..]: &Arguments) -> SyscallResult {
    let process = process_of(pid)?;
    if process.pid() != current().pid() && !process.credentials.are_of(&current().credentials) {
        current().require(Capability::SysResource)?;
    }
    change_limit(process, resource, new, old)
}

/// `getrlimit(resource, limit)`
pub fn getrlimit(&[resource, limit, ..]: &Arguments) -> SyscallResult {
    change_limit(current(), resource, 0, limit)
}

/// `setrlimit(resource, limit)`
pub fn setrlimit(&[resource, limit, ..]: &Arguments) -> SyscallResult {
    change_limit(current(), resource, limit, 0)
}

/// Writes a limit to where `old` says, and reads another one from where `new` says, each
/// unless it is null.
fn change_limit(process: &Process, resource: u64, new: u64, old: u64) -> SyscallResult {
    let resource = u32::try_from(resource).map_err(|_| Errno::EINVAL)?;
    let space = current().space();
    let limits = process.limits();
    let limit = limits.get(resource).ok_or(Errno::EINVAL)?;
    let new = match new {
        0 => None,
        new => Some(UserPtr::<[u64; 2]>::new(new).read(&space)?),
    };
    if old != 0 {
        UserPtr::new(old).write(&space, &[limit.soft, limit.hard])?;
    }
    let Some([soft, hard]) = new else {
        return Ok(0);
    };
    if soft > hard {
        return Err(Errno::EINVAL);
    }
    let limits = limits.with(
        resource,
        Limit { soft, hard },
        current().may(Capability::SysResource),
    );
    let limits = limits.ok_or(Errno::EPERM)?;
    process.set_limits(limits);
    if process.is_alive() {
        process.space().set_limits(limits.of_memory());
    }
    Ok(0)
}
