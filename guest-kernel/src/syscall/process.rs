//! Calls about processes: their beginnings and ends, numbers and groups.

use arch::trap::{Arguments, UserContext};
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::proc::capability::Capability;
use crate::proc::process::Process;
use crate::proc::signal::Signal;
use crate::proc::spawn::{self, CloneFlags, Request};
use crate::proc::wait::{self, ChildKind, Ended, Options, Which};
use crate::proc::wait_status::WaitStatus;
use crate::proc::{current, current_thread, exit as end, scheduler, table};
use crate::syscall::{Errno, SyscallResult, growing, pidfd, sharing, usage};

/// `exit(status)`: ends the thread.
pub fn exit(&[status, ..]: &Arguments) -> SyscallResult {
    end::end_thread(WaitStatus::exited(status as u32))
}

/// `exit_group(status)`: ends the process.
pub fn exit_group(&[status, ..]: &Arguments) -> SyscallResult {
    end::end_process(WaitStatus::exited(status as u32))
}

/// `fork()`
pub fn fork(context: &mut UserContext) -> SyscallResult {
    Ok(spawn::clone(context, &Request::FORK)?.into())
}

/// `vfork()`
pub fn vfork(context: &mut UserContext) -> SyscallResult {
    Ok(spawn::clone(context, &Request::VFORK)?.into())
}

/// `clone(flags, stack, parent_tid, child_tid, storage)`; the low byte of the flags is the signal
/// that is sent at the child's end.
pub fn clone(context: &mut UserContext) -> SyscallResult {
    let [flags, stack, parent_tid, child_tid, storage, _] = context.registers.arguments;
    let end_signal = flags & u64::from(linux::CSIGNAL);
    let request = Request {
        flags: clone_flags(flags & !u64::from(linux::CSIGNAL))?,
        stack,
        parent_tid,
        child_tid,
        storage,
        end_signal: Signal::new(end_signal),
        has_no_handlers: false,
    };
    if request
        .flags
        .contains(CloneFlags::DESCRIPTOR | CloneFlags::TELL_PARENT)
    {
        return Err(Errno::EINVAL);
    }
    clone_as(context, &request, parent_tid)
}

/// Makes a child, and if so wanted a descriptor for it, whose number goes to `descriptor`.
fn clone_as(context: &UserContext, request: &Request, descriptor: u64) -> SyscallResult {
    match request.flags.contains(CloneFlags::DESCRIPTOR) {
        true => pidfd::clone(context, request, descriptor),
        false => Ok(spawn::clone(context, request)?.into()),
    }
}

fn clone_flags(flags: u64) -> Result<CloneFlags, Errno> {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let known = CloneFlags::from_bits_truncate(flags);
    let is_known = |flags: u32| flags & !known.bits() == 0;
    if flags & sharing::OF_SUPERUSER != 0
        && is_known(flags & !sharing::OTHERS)
        && known.make_sense()
        && !current().may(Capability::SysAdmin)
    {
        return Err(Errno::EPERM);
    }
    match is_known(flags) {
        true => Ok(known),
        false => Err(Errno::EINVAL),
    }
}

/// `clone3(arguments, size)`
pub fn clone3(context: &mut UserContext) -> SyscallResult {
    let [address, size, ..] = context.registers.arguments;
    let [
        flags,
        descriptor,
        child_tid,
        parent_tid,
        end_signal,
        stack,
        stack_size,
        storage,
        set_tid,
        set_tid_count,
        _cgroup,
    ] = growing::read(address, size, linux::CLONE_ARGS_SIZE_VER0.into())?;
    let has_no_handlers = flags & linux::CLONE_CLEAR_SIGHAND != 0;
    let flags = clone_flags(flags & !linux::CLONE_CLEAR_SIGHAND)?;
    let is_obsolete = flags.bits() & (linux::CLONE_DETACHED | linux::CSIGNAL) != 0;
    let has_no_end_signal = flags.intersects(CloneFlags::THREAD | CloneFlags::SIBLING);
    if is_obsolete
        || has_no_handlers && flags.contains(CloneFlags::SIGNALS)
        || has_no_end_signal && end_signal != 0
        || end_signal > Signal::MAX.into()
        || flags.contains(CloneFlags::DESCRIPTOR | CloneFlags::TELL_PARENT)
            && descriptor == parent_tid
        || (stack == 0) != (stack_size == 0)
        || set_tid != 0
        || set_tid_count != 0
    {
        return Err(Errno::EINVAL);
    }
    let request = Request {
        flags,
        stack: stack.wrapping_add(stack_size),
        storage,
        parent_tid,
        child_tid,
        end_signal: Signal::new(end_signal),
        has_no_handlers,
    };
    clone_as(context, &request, descriptor)
}

/// `sched_yield()`
pub fn sched_yield(_: &Arguments) -> SyscallResult {
    scheduler::yield_now();
    Ok(0)
}

/// `wait4(pid, status, options, usage)`
pub fn wait4(&[pid, status, options, usage, ..]: &Arguments) -> SyscallResult {
    const KNOWN: u32 = linux::WNOHANG
        | linux::WUNTRACED
        | linux::WCONTINUED
        | linux::__WALL
        | linux::__WCLONE
        | linux::__WNOTHREAD;
    let options = options as u32;
    if options & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if pid as i32 == i32::MIN {
        return Err(Errno::ESRCH);
    }
    let process = current();
    let which = Which::from_pid(pid as i32, process.group());
    let how = Options {
        without_waiting: options & linux::WNOHANG != 0,
        stops: options & linux::WUNTRACED != 0,
        continues: options & linux::WCONTINUED != 0,
        kind: child_kind(options),
        ..Options::default()
    };
    let Some(ended) = wait::wait(which, how)? else {
        return Ok(0);
    };
    if status != 0 {
        UserPtr::new(status).write(&process.space(), &ended.status.word())?;
    }
    usage::write_if_wanted(usage, &ended.usage)?;
    Ok(ended.pid.into())
}

/// Which children options of a wait mean: by default those that send SIGCHLD at their end.
fn child_kind(options: u32) -> ChildKind {
    if options & linux::__WALL != 0 {
        ChildKind::Any
    } else if options & linux::__WCLONE != 0 {
        ChildKind::Other
    } else {
        ChildKind::Usual
    }
}

/// `waitid(kind, id, info, options, usage)`
pub fn waitid(&[kind, id, info, options, usage, ..]: &Arguments) -> SyscallResult {
    const KNOWN: u32 = linux::WNOHANG
        | linux::WNOWAIT
        | linux::WEXITED
        | linux::WSTOPPED
        | linux::WCONTINUED
        | linux::__WALL
        | linux::__WCLONE
        | linux::__WNOTHREAD;
    let options = options as u32;
    const EVENTS: u32 = linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED;
    if options & !KNOWN != 0 || options & EVENTS == 0 {
        return Err(Errno::EINVAL);
    }
    let process = current();
    let id = id as u32;
    let mut is_hasty = false;
    let which = match kind as u32 {
        linux::P_ALL => Which::Any,
        linux::P_PID | linux::P_PGID if (id as i32) < 0 => return Err(Errno::EINVAL),
        linux::P_PIDFD => {
            let (pid, is_nonblocking) = pidfd::pid_of(id.into())?;
            is_hasty = is_nonblocking && options & linux::WNOHANG == 0;
            Which::Pid(pid)
        }
        linux::P_PID if id != 0 => Which::Pid(id),
        linux::P_PGID if id != 0 => Which::Group(id),
        linux::P_PGID => Which::Group(process.group()),
        _ => return Err(Errno::EINVAL),
    };
    let how = Options {
        without_waiting: is_hasty || options & linux::WNOHANG != 0,
        keep: options & linux::WNOWAIT != 0,
        without_ends: options & linux::WEXITED == 0,
        stops: options & linux::WSTOPPED != 0,
        continues: options & linux::WCONTINUED != 0,
        kind: child_kind(options),
    };
    let ended = wait::wait(which, how)?;
    if is_hasty && ended.is_none() {
        return Err(Errno::EAGAIN);
    }
    if info != 0 {
        let facts = signal_info(ended.as_ref());
        UserPtr::new(info).write(&process.space(), &facts)?;
    }
    if let Some(ended) = ended {
        usage::write_if_wanted(usage, &ended.usage)?;
    }
    Ok(0)
}

/// `siginfo_t` for what has become of a child: signal, errno and code, a gap, then pid, uid
/// and status. All zeros if there is none.
fn signal_info(ended: Option<&Ended>) -> [u32; 32] {
    let mut info = [0; 32];
    if let Some(ended) = ended {
        let (code, status) = ended.status.code_and_status();
        info[0] = Signal::SIGCHLD.number().into();
        info[2] = code;
        info[4] = ended.pid;
        info[5] = ended.user;
        info[6] = status.into();
    }
    info
}

/// `getpid()`
pub fn getpid(_: &Arguments) -> SyscallResult {
    Ok(current().pid().into())
}

/// `getppid()`
pub fn getppid(_: &Arguments) -> SyscallResult {
    Ok(current().parent_pid().into())
}

/// `gettid()`
pub fn gettid(_: &Arguments) -> SyscallResult {
    Ok(current_thread().tid().into())
}

/// The process with this number; 0 means the current one.
pub(super) fn process_of(pid: u64) -> Result<&'static Process, Errno> {
    match u32::try_from(pid) {
        Ok(0) => Ok(current()),
        Ok(pid) => table::process(pid).ok_or(Errno::ESRCH),
        Err(_) => Err(Errno::ESRCH),
    }
}

/// `getpgid(pid)`
pub fn getpgid(&[pid, ..]: &Arguments) -> SyscallResult {
    Ok(process_of(pid)?.group().into())
}

/// `getpgrp()`
pub fn getpgrp(_: &Arguments) -> SyscallResult {
    Ok(current().group().into())
}

/// `getsid(pid)`
pub fn getsid(&[pid, ..]: &Arguments) -> SyscallResult {
    Ok(process_of(pid)?.session().into())
}

/// `setpgid(pid, group)`: moves the process itself or a child, until that runs another program, to
/// a group of the same session, or to a new one of its own.
pub fn setpgid(&[pid, group, ..]: &Arguments) -> SyscallResult {
    let group = u32::try_from(group as i32).map_err(|_| Errno::EINVAL)?;
    let process = process_of(pid)?;
    let group = if group == 0 { process.pid() } else { group };
    let own = current();
    if process.pid() != own.pid() && process.parent_pid() != own.pid() {
        return Err(Errno::ESRCH);
    }
    let leads_session = process.session() == process.pid();
    if process.session() != own.session() {
        return Err(Errno::EPERM);
    }
    if process.pid() != own.pid() && process.attributes().has_executed {
        return Err(Errno::EACCES);
    }
    if leads_session {
        return Err(Errno::EPERM);
    }
    let is_new = group == process.pid();
    if !is_new && !is_group(group, own.session()) {
        return Err(Errno::EPERM);
    }
    process.set_group(group);
    Ok(0)
}

fn is_group(group: u32, session: u32) -> bool {
    table::processes().any(|process| process.group() == group && process.session() == session)
}

/// `setsid()`: a new session and a group in it, which the process leads.
pub fn setsid(_: &Arguments) -> SyscallResult {
    let process = current();
    let pid = process.pid();
    if table::processes().any(|process| process.group() == pid) {
        return Err(Errno::EPERM);
    }
    process.set_session(pid);
    process.set_group(pid);
    Ok(pid.into())
}
