//! Calls about priorities, policies and CPUs.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{UserPtr, UserSlice};

use crate::proc::capability::Capability;
use crate::proc::process::Process;
use crate::proc::scheduler::CpuMask;
use crate::proc::scheduling::Scheduling;
use crate::proc::thread::Thread;
use crate::proc::{current, current_thread, scheduler, table};
use crate::syscall::time::NS_PER_S;
use crate::syscall::{Errno, SyscallResult};

/// Bytes of a mask of CPUs.
const MASK_SIZE: u64 = size_of::<u64>() as u64;
/// Turns of SCHED_RR, as Linux has them.
const ROUND_ROBIN_NS: u64 = 100_000_000;
/// `getpriority` tells nice values from 40 down, as results have no sign.
const NICE_BASE: i64 = 20;

/// The thread with this number; 0 means the current one.
fn thread_of(tid: u64) -> Result<&'static Thread, Errno> {
    match tid as i32 {
        0 => Ok(current_thread()),
        1.. => table::thread(tid as u32).ok_or(Errno::ESRCH),
        _ => Err(Errno::EINVAL),
    }
}

/// Fails unless the current process may say how much of the CPU a thread gets.
fn check_owner(thread: &Thread) -> Result<(), Errno> {
    let own = &current().credentials;
    let users = thread.process().credentials.users();
    match [users.real, users.effective].contains(&own.users().effective) {
        true => Ok(()),
        false => current().require(Capability::SysNice),
    }
}

/// Does something to all threads that `which` and `who` name: a thread, a group, or those of a
/// user.
///
/// # Errors
/// ESRCH: there are none.
fn each(which: Whose, who: u64, mut act: impl FnMut(&'static Thread)) -> Result<(), Errno> {
    let mut found = false;
    let mut act = |thread| {
        found = true;
        act(thread);
    };
    let mut of = |is_meant: &dyn Fn(&Process) -> bool| {
        table::processes()
            .filter(|process| process.is_alive() && is_meant(process))
            .for_each(|process| process.threads().for_each(&mut act));
    };
    let own = current();
    let or = |own: u32| if who as u32 == 0 { own } else { who as u32 };
    match which {
        Whose::Thread => match who as u32 {
            0 => act(current_thread()),
            tid => table::thread(tid).into_iter().for_each(act),
        },
        Whose::Group => {
            let group = or(own.group());
            of(&|process| process.group() == group);
        }
        Whose::User => {
            let user = or(own.credentials.users().real);
            of(&|process| process.credentials.users().real == user);
        }
    }
    if found { Ok(()) } else { Err(Errno::ESRCH) }
}

#[derive(Clone, Copy)]
enum Whose {
    Thread,
    Group,
    User,
}

impl Whose {
    /// As numbered from `first`.
    fn from_number(number: u64, first: u32) -> Result<Self, Errno> {
        match (number as u32).checked_sub(first) {
            Some(0) => Ok(Self::Thread),
            Some(1) => Ok(Self::Group),
            Some(2) => Ok(Self::User),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// `getpriority(which, who)`: that of the thread that gets most.
pub fn getpriority(&[which, who, ..]: &Arguments) -> SyscallResult {
    let mut least = i8::MAX;
    each(
        Whose::from_number(which, linux::PRIO_PROCESS)?,
        who,
        |thread| {
            least = least.min(thread.scheduling().nice);
        },
    )?;
    Ok((NICE_BASE - i64::from(least)) as u64)
}

/// Whether a thread may get this nice value, lower than its own: by its limit, or by a right of the
/// current process.
fn may_lower_to(thread: &Thread, nice: i8) -> bool {
    let limit = thread.process().limits().soft(linux::RLIMIT_NICE);
    (NICE_BASE - i64::from(nice)) as u64 <= limit || current().may(Capability::SysNice)
}

/// `setpriority(which, who, nice)`
pub fn setpriority(&[which, who, nice, ..]: &Arguments) -> SyscallResult {
    let nice = (nice as i32).clamp(-20, 19) as i8;
    let mut result = Ok(0);
    let which = Whose::from_number(which, linux::PRIO_PROCESS)?;
    each(which, who, |thread| {
        let own = thread.scheduling();
        if let Err(refused) = check_owner(thread) {
            result = Err(refused);
        } else if nice < own.nice && !may_lower_to(thread, nice) {
            result = Err(Errno::EACCES);
        } else {
            thread.set_scheduling(Scheduling { nice, ..own });
        }
    })?;
    result
}

/// `ioprio_get(which, who)`: there is no disk whose accesses could have an order.
pub fn ioprio_get(&[which, who, ..]: &Arguments) -> SyscallResult {
    let mut best = 0;
    each(Whose::from_number(which, 1)?, who, |thread| {
        best = best.max(thread.scheduling().io_priority);
    })?;
    Ok(best.into())
}

/// `ioprio_set(which, who, priority)`: a class and a level in it.
pub fn ioprio_set(&[which, who, priority, ..]: &Arguments) -> SyscallResult {
    const CLASS_SHIFT: u32 = 13;
    const REAL_TIME: u32 = 1;
    let priority = priority as u32;
    let level = priority & ((1 << CLASS_SHIFT) - 1);
    let is_valid = match priority >> CLASS_SHIFT {
        0 => level == 0,
        1 | 2 => level & 7 == level,
        3 => true,
        _ => false,
    };
    if !is_valid {
        return Err(Errno::EINVAL);
    }
    let which = Whose::from_number(which, 1)?;
    if priority >> CLASS_SHIFT == REAL_TIME && !current().may(Capability::SysAdmin) {
        current().require(Capability::SysNice)?;
    }
    let mut result = Ok(0);
    each(which, who, |thread| match check_owner(thread) {
        Err(refused) => result = Err(refused),
        Ok(()) => thread.set_scheduling(Scheduling {
            io_priority: priority as u16,
            ..thread.scheduling()
        }),
    })?;
    result
}

/// The least and the highest priority of a policy.
fn priorities(policy: u32) -> Result<[u32; 2], Errno> {
    match policy {
        linux::SCHED_FIFO | linux::SCHED_RR => Ok([1, 99]),
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE | linux::SCHED_DEADLINE => {
            Ok([0, 0])
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Gives a thread a policy, a priority that goes with it, and a nice value.
fn set_policy(thread: &Thread, policy: u32, priority: u32, nice: i8) -> SyscallResult {
    let resets_at_fork = policy & linux::SCHED_RESET_ON_FORK != 0;
    let policy = policy & !linux::SCHED_RESET_ON_FORK;
    let [least, highest] = priorities(policy)?;
    // Deadlines are promises that nobody here could keep.
    if policy == linux::SCHED_DEADLINE || !(least..=highest).contains(&priority) {
        return Err(Errno::EINVAL);
    }
    check_owner(thread)?;
    let own = thread.scheduling();
    let before = u32::from(own.policy);
    let is_more_urgent = match policy == before {
        true => priority > own.priority.into(),
        false => priority != 0,
    };
    if is_more_urgent || own.resets_at_fork && !resets_at_fork {
        current().require(Capability::SysNice)?;
    }
    // Who runs when nothing else does is nicer than all.
    let is_idle = |policy| policy == linux::SCHED_IDLE;
    let is_less_nice = nice < own.nice || is_idle(before) && !is_idle(policy);
    if is_less_nice && !may_lower_to(thread, nice) {
        return Err(Errno::EPERM);
    }
    thread.set_scheduling(Scheduling {
        policy: policy as u8,
        priority: priority as u8,
        nice,
        resets_at_fork,
        ..own
    });
    Ok(0)
}

fn read_priority(address: u64) -> Result<u32, Errno> {
    if address == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(UserPtr::<u32>::new(address).read(&current().space())?)
}

/// `sched_setscheduler(pid, policy, parameters)`
pub fn sched_setscheduler(&[pid, policy, parameters, ..]: &Arguments) -> SyscallResult {
    if (policy as i32) < 0 || (pid as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = read_priority(parameters)?;
    let thread = thread_of(pid)?;
    set_policy(thread, policy as u32, priority, thread.scheduling().nice)
}

/// `sched_getscheduler(pid)`
pub fn sched_getscheduler(&[pid, ..]: &Arguments) -> SyscallResult {
    let own = thread_of(pid)?.scheduling();
    let flag = u64::from(own.resets_at_fork) * u64::from(linux::SCHED_RESET_ON_FORK);
    Ok(u64::from(own.policy) | flag)
}

/// `sched_setparam(pid, parameters)`
pub fn sched_setparam(&[pid, parameters, ..]: &Arguments) -> SyscallResult {
    if (pid as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = read_priority(parameters)?;
    let thread = thread_of(pid)?;
    let own = thread.scheduling();
    let flag = u32::from(own.resets_at_fork) * linux::SCHED_RESET_ON_FORK;
    set_policy(thread, u32::from(own.policy) | flag, priority, own.nice)
}

/// `sched_getparam(pid, parameters)`
pub fn sched_getparam(&[pid, parameters, ..]: &Arguments) -> SyscallResult {
    if parameters == 0 {
        return Err(Errno::EINVAL);
    }
    let priority = u32::from(thread_of(pid)?.scheduling().priority);
    UserPtr::new(parameters).write(&current().space(), &priority)?;
    Ok(0)
}

/// `sched_get_priority_max(policy)`
pub fn sched_get_priority_max(&[policy, ..]: &Arguments) -> SyscallResult {
    Ok(priorities(policy as u32)?[1].into())
}

/// `sched_get_priority_min(policy)`
pub fn sched_get_priority_min(&[policy, ..]: &Arguments) -> SyscallResult {
    Ok(priorities(policy as u32)?[0].into())
}

/// `sched_rr_get_interval(pid, interval)`
pub fn sched_rr_get_interval(&[pid, interval, ..]: &Arguments) -> SyscallResult {
    let ns = match u32::from(thread_of(pid)?.scheduling().policy) {
        linux::SCHED_FIFO => 0,
        linux::SCHED_RR => ROUND_ROBIN_NS,
        _ => scheduler::turn_ns(),
    };
    UserPtr::new(interval).write(&current().space(), &[ns / NS_PER_S, ns % NS_PER_S])?;
    Ok(0)
}

/// `sched_getaffinity(pid, size, mask)`
pub fn sched_getaffinity(&[pid, size, mask, ..]: &Arguments) -> SyscallResult {
    let size = u64::from(size as u32);
    if size < MASK_SIZE || !size.is_multiple_of(MASK_SIZE) {
        return Err(Errno::EINVAL);
    }
    if (pid as i32) < 0 {
        return Err(Errno::ESRCH);
    }
    let cpus = thread_of(pid)?.cpus() & scheduler::all_cpus();
    UserPtr::new(mask).write(&current().space(), &[u64::from(cpus)])?;
    Ok(MASK_SIZE)
}

/// `sched_setaffinity(pid, size, mask)`: of the CPUs that are meant, there must be one.
pub fn sched_setaffinity(&[pid, size, mask, ..]: &Arguments) -> SyscallResult {
    let mut bytes = [0; size_of::<CpuMask>()];
    let len = (size as u32 as usize).min(bytes.len());
    UserSlice::new(mask, len as u64).copy_in(&current().space(), &mut bytes[..len])?;
    let cpus = CpuMask::from_le_bytes(bytes) & scheduler::all_cpus();
    if (pid as i32) < 0 {
        return Err(Errno::ESRCH);
    }
    let thread = thread_of(pid)?;
    check_owner(thread)?;
    if cpus == 0 {
        return Err(Errno::EINVAL);
    }
    scheduler::set_cpus(thread, cpus);
    Ok(0)
}

/// `struct sched_attr` in words: size and policy, flags, nice and priority, three times of
/// deadlines.
type Attributes = [u64; 6];
const ATTRIBUTES_SIZE: u32 = size_of::<Attributes>() as u32;

/// `sched_getattr(pid, attributes, size, flags)`
pub fn sched_getattr(&[pid, attributes, size, flags, ..]: &Arguments) -> SyscallResult {
    const MAX_SIZE: u32 = 4096;
    let is_valid = (ATTRIBUTES_SIZE..=MAX_SIZE).contains(&(size as u32));
    if attributes == 0 || !is_valid || flags as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    let own = thread_of(pid)?.scheduling();
    let words: Attributes = [
        u64::from(ATTRIBUTES_SIZE) | u64::from(own.policy) << 32,
        own.resets_at_fork.into(),
        u64::from(i32::from(own.nice) as u32) | u64::from(own.priority) << 32,
        0,
        0,
        0,
    ];
    UserPtr::new(attributes).write(&current().space(), &words)?;
    Ok(0)
}

/// `sched_setattr(pid, attributes, flags)`
pub fn sched_setattr(&[pid, attributes, flags, ..]: &Arguments) -> SyscallResult {
    if attributes == 0 || (pid as i32) < 0 || flags as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    let space = current().space();
    let size = UserPtr::<u32>::new(attributes).read(&space)?;
    if size != 0 && size < ATTRIBUTES_SIZE {
        UserPtr::new(attributes).write(&space, &ATTRIBUTES_SIZE)?;
        return Err(Errno::E2BIG);
    }
    let words = UserPtr::<Attributes>::new(attributes).read(&space)?;
    let (policy, priority) = ((words[0] >> 32) as u32, (words[2] >> 32) as u32);
    let resets = (words[1] & 1) as u32 * linux::SCHED_RESET_ON_FORK;
    if (policy as i32) < 0 || words[1] & !1 != 0 {
        return Err(Errno::EINVAL);
    }
    let thread = thread_of(pid)?;
    let nice = match policy {
        linux::SCHED_NORMAL | linux::SCHED_BATCH => (words[2] as i32).clamp(-20, 19) as i8,
        _ => thread.scheduling().nice,
    };
    set_policy(thread, policy | resets, priority, nice)
}
