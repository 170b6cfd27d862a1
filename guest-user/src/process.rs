//! Processes: `fork`, `exec`, `wait` and what belongs to them (R15, R16).

use core::ffi::{CStr, c_char};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr;

use linux_raw_sys::general as linux;
pub use linux_raw_sys::general::{RLIMIT_AS, RLIMIT_NOFILE, RLIMIT_NPROC, rlimit64 as Limit};
pub use linux_raw_sys::general::{SIGFPE, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGSEGV, SIGTERM};
pub use linux_raw_sys::system::sysinfo as SystemInfo;

use crate::syscall::{Entry, Errno, Result, call, exit, getpid};

/// A process's number.
pub type Pid = u32;

/// Which of the two that return from `fork` this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, which learns its child's number.
    Parent(Pid),
}

/// Makes a copy of this process.
pub fn fork() -> Result<Fork> {
    // SAFETY: the child has memory of its own, and programs have no state that a copy
    // of the calling thread alone would break.
    match unsafe { call::<0>(linux::__NR_fork, []) }? {
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent(child as Pid)),
    }
}

/// Runs `body` in a child; what it returns is the child's exit status.
pub fn spawn(body: impl FnOnce() -> u8) -> Result<Pid> {
    match fork()? {
        Fork::Child => exit(body()),
        Fork::Parent(child) => Ok(child),
    }
}

/// Runs a program in a child.
pub fn run(path: &CStr, arguments: &[&CStr]) -> Result<Pid> {
    /// As a shell has it for a program that cannot be executed.
    const NOT_EXECUTED: u8 = 127;
    spawn(|| {
        let Err(error) = exec(path, arguments);
        crate::io::print(crate::io::STDERR, format_args!("{path:?}: {error:?}\n"));
        NOT_EXECUTED
    })
}

/// Never.
pub enum Never {}

/// Replaces the program of this process; returns only if that fails.
pub fn exec(path: &CStr, arguments: &[&CStr]) -> Result<Never> {
    const MAX: usize = 31;
    let mut pointers: [*const c_char; MAX + 1] = [ptr::null(); MAX + 1];
    if arguments.len() > MAX {
        return Err(Errno::E2BIG);
    }
    for (pointer, argument) in pointers.iter_mut().zip(arguments) {
        *pointer = argument.as_ptr();
    }
    let environment: [*const c_char; 2] = [c"PATH=/bin".as_ptr(), ptr::null()];
    let arguments = [
        path.as_ptr() as u64,
        pointers.as_ptr() as u64,
        environment.as_ptr() as u64,
    ];
    // SAFETY: the kernel reads strings that end with a zero, and lists that end with a
    // null pointer; it never writes.
    let result = unsafe { call(linux::__NR_execve, arguments) };
    Err(result.expect_err("only failure returns"))
}

/// How a process ended, or that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this status.
    Exited(u8),
    /// By this signal.
    Killed(u32),
    /// Not at all: this signal has stopped it.
    Stopped(u32),
    /// Not at all: it goes on after a stop.
    Continued,
}

impl Status {
    /// As `wait4` encodes it.
    fn decode(status: u32) -> Self {
        match (status & 0x7f, status) {
            (_, 0xffff) => Self::Continued,
            (0, _) => Self::Exited((status >> 8) as u8),
            (0x7f, _) => Self::Stopped(status >> 8),
            (signal, _) => Self::Killed(signal),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with {status}"),
            Self::Killed(signal) => write!(f, "killed by {}", signal_name(*signal)),
            Self::Stopped(signal) => write!(f, "stopped by {}", signal_name(*signal)),
            Self::Continued => f.write_str("goes on"),
        }
    }
}

/// A signal's name.
pub fn signal_name(signal: u32) -> &'static str {
    match signal {
        linux::SIGHUP => "SIGHUP",
        linux::SIGINT => "SIGINT",
        linux::SIGQUIT => "SIGQUIT",
        linux::SIGILL => "SIGILL",
        linux::SIGTRAP => "SIGTRAP",
        linux::SIGBUS => "SIGBUS",
        linux::SIGFPE => "SIGFPE",
        linux::SIGKILL => "SIGKILL",
        linux::SIGSEGV => "SIGSEGV",
        linux::SIGPIPE => "SIGPIPE",
        linux::SIGTERM => "SIGTERM",
        linux::SIGALRM => "SIGALRM",
        linux::SIGCHLD => "SIGCHLD",
        linux::SIGSTOP => "SIGSTOP",
        linux::SIGTSTP => "SIGTSTP",
        linux::SIGTTIN => "SIGTTIN",
        linux::SIGTTOU => "SIGTTOU",
        linux::SIGCONT => "SIGCONT",
        linux::SIGUSR1 => "SIGUSR1",
        linux::SIGUSR2 => "SIGUSR2",
        _ => "another signal",
    }
}

fn wait4(pid: i64, options: u32) -> Result<Option<(Pid, Status)>> {
    let mut status = 0_u32;
    let arguments = [pid as u64, &raw mut status as u64, options.into(), 0];
    // SAFETY: the kernel writes an integer to where there is one.
    let pid = unsafe { call(linux::__NR_wait4, arguments) }?;
    Ok((pid != 0).then(|| (pid as Pid, Status::decode(status))))
}

/// Waits for any child to end.
pub fn wait_any() -> Result<(Pid, Status)> {
    wait4(-1, 0).map(|ended| ended.expect("there is one if it has waited"))
}

/// Waits for any child to end or, if `stops`, to stop.
pub fn wait_any_change(stops: bool) -> Result<(Pid, Status)> {
    let options = if stops { linux::WUNTRACED } else { 0 };
    wait4(-1, options).map(|change| change.expect("there is one if it has waited"))
}

/// Any child that has ended or stopped, without waiting.
pub fn try_wait_any_change() -> Result<Option<(Pid, Status)>> {
    wait4(-1, linux::WNOHANG | linux::WUNTRACED)
}

/// Waits for this child to end.
pub fn wait(child: Pid) -> Result<Status> {
    wait4(child.into(), 0).map(|ended| ended.expect("there is one if it has waited").1)
}

/// Waits for this child to end, stop or go on.
pub fn wait_for_change(child: Pid) -> Result<Status> {
    let options = linux::WUNTRACED | linux::WCONTINUED;
    wait4(child.into(), options).map(|change| change.expect("there is one if it has waited").1)
}

/// How this child ended, if it has, without waiting.
pub fn try_wait(child: Pid) -> Result<Option<Status>> {
    Ok(wait4(child.into(), linux::WNOHANG)?.map(|(_, status)| status))
}

/// Any child that has ended, without waiting.
pub fn try_wait_any() -> Result<Option<(Pid, Status)>> {
    wait4(-1, linux::WNOHANG)
}

/// This process's number.
pub fn id() -> Pid {
    getpid(Entry::Syscall).expect("cannot fail") as Pid
}

/// The parent's number.
pub fn parent_id() -> Pid {
    // SAFETY: touches no memory.
    unsafe { call::<0>(linux::__NR_getppid, []) }.expect("cannot fail") as Pid
}

/// Sends a signal to a process.
pub fn kill(pid: Pid, signal: u32) -> Result<()> {
    // SAFETY: touches no memory of this process.
    unsafe { call(linux::__NR_kill, [pid.into(), signal.into()]) }.map(drop)
}

/// Yields the CPU.
pub fn yield_now() {
    crate::syscall::sched_yield(Entry::Syscall).expect("cannot fail");
}

/// Sleeps for so many milliseconds, or until a handler of a signal has been called.
pub fn sleep_ms(milliseconds: u64) {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000 * 1_000_000);
    // It fails for no other reason than a signal.
    let _ = crate::syscall::nanosleep(Entry::Syscall, seconds as i64, rest as i64);
}

/// Sets a limit of this process, soft and hard.
pub fn set_limit(resource: u32, limit: u64) -> Result<()> {
    let limit = Limit {
        rlim_cur: limit,
        rlim_max: limit,
    };
    let arguments = [0, resource.into(), &raw const limit as u64, 0];
    // SAFETY: the kernel reads a limit from where there is one.
    unsafe { call(linux::__NR_prlimit64, arguments) }.map(drop)
}

/// Memory and processes of the whole machine.
pub fn system_info() -> Result<SystemInfo> {
    let mut info = MaybeUninit::uninit();
    // SAFETY: the kernel writes a `SystemInfo` to where there is room for one, or fails.
    unsafe {
        call(linux::__NR_sysinfo, [info.as_mut_ptr() as u64])?;
        Ok(info.assume_init())
    }
}

/// Nanoseconds of CPU time that this process has used.
pub fn cpu_time_ns() -> u64 {
    crate::syscall::clock_gettime(Entry::Syscall, linux::CLOCK_PROCESS_CPUTIME_ID)
        .expect("there is such a clock")
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn statuses_are_read_as_wait_encodes_them() {
        assert_eq!(Status::decode(0x0700), Status::Exited(7));
        assert_eq!(Status::decode(0xff00), Status::Exited(255));
        assert_eq!(Status::decode(11), Status::Killed(11));
        assert_eq!(Status::decode(0x8b), Status::Killed(11));
        assert_eq!(Status::decode(0x137f), Status::Stopped(19));
        assert_eq!(Status::decode(0xffff), Status::Continued);
        assert_eq!(Status::Killed(11).to_string(), "killed by SIGSEGV");
    }
}
