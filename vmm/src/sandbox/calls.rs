//! The system calls that each kind of thread makes in a run, by seccomp.
//!
//! The lists are what `strace` shows of runs, and what the C library does in their place on other
//! hosts; `tests/cli/traced.rs` holds them against each other. An argument is checked where the
//! same call could do what a run does not.

use cpu::HostKind;
use cpu::emu::CODE_MEMORY_LEN;
use cpu::kvm::{MAKE_REQUESTS, RUN_REQUESTS};
use libc::{c_int, c_long};
use seccompiler::SeccompAction;

use vmm_sys_util::ioctl::{_IOC_READ, ioctl_expr};

use super::list::{Allowed, Condition, List, flags, int, not, word};
use super::{Needs, Role};

/// Of every thread: memory, time, waiting, streams, signals of its own, its end.
const EVERYWHERE: [c_long; 28] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getpgrp,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_restart_syscall,
    libc::SYS_sigaltstack,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_madvise,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_timerfd_settime,
    libc::SYS_pread64,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Of the event loop.
const EVENTS: [c_long; 3] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_ctl,
];

/// To read files beneath folders that are open; Landlock says which.
const READS: [c_long; 7] = [
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
];

/// To make files in such.
const MAKES: [c_long; 5] = [
    libc::SYS_mkdirat,
    libc::SYS_symlinkat,
    libc::SYS_ftruncate,
    libc::SYS_pwrite64,
    libc::SYS_utimensat,
];

/// Of what makes machines and starts the threads of their runs, beside what these do.
const MACHINES: [c_long; 14] = [
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_timerfd_create,
    libc::SYS_sysinfo,
    libc::SYS_perf_event_open,
    // How a thread starts, and confines itself.
    libc::SYS_clone3,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_getaffinity,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
];

/// What C libraries start a thread with (`clone`); some add one that does nothing.
const THREAD: c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;

/// The number of a performance counter (`PERF_EVENT_IOC_ID`, linux/perf_event.h).
const COUNTER_ID: u64 = ioctl_expr(_IOC_READ, b'$' as u32, 7, size_of::<*mut u64>() as u32);

/// What is asked of a terminal, and of a descriptor.
const TERMINAL: [u64; 4] = [
    libc::TCGETS,
    libc::TCSETS,
    libc::TIOCGPGRP,
    libc::TIOCGWINSZ,
];
const DESCRIPTOR: [c_int; 3] = [
    // The standard library of a build with debug assertions looks before it closes.
    libc::F_GETFD,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
];

/// Whether the host can filter system calls.
pub fn are_available() -> bool {
    // SAFETY: it asks for a number.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 }
}

/// Leaves the calling thread what `role` does in a run.
pub fn confine(role: Role, needs: &Needs) -> Result<(), seccompiler::Error> {
    let allowed = list(role, needs).filter(SeccompAction::Allow, SeccompAction::Trap)?;
    if needs.heaps {
        let setting = [reads_a_setting()];
        refuse(libc::SYS_openat, setting, libc::EACCES)?;
    }
    if role == Role::Maker {
        // Its flags are out of a filter's sight: the C library takes `clone` then.
        refuse(libc::SYS_clone3, [], libc::ENOSYS)?;
    }
    seccompiler::apply_filter(&allowed)
}

/// The system calls that a thread of `role` may make once it is confined; what is called on it
/// (the writer of an [`Output`](crate::Output), for example) has these.
pub fn allowed(role: Role, needs: &Needs) -> Vec<Allowed> {
    list(role, needs).into_rows()
}

/// What the C library does to read a setting: `openat` with these flags.
fn reads_a_setting() -> Condition {
    int(2, libc::O_RDONLY | libc::O_CLOEXEC)
}

/// Has a call that is listed fail with an error: of two filters, the stricter decides.
fn refuse<const N: usize>(
    call: c_long,
    conditions: [Condition; N],
    error: c_int,
) -> Result<(), seccompiler::Error> {
    let mut list = List::default();
    list.when(call, conditions);
    let fails = SeccompAction::Errno(error as u32);
    seccompiler::apply_filter(&list.filter(fails, SeccompAction::Allow)?)
}

fn list(role: Role, needs: &Needs) -> List {
    let mut list = List::default();
    list.everywhere();
    if needs.heaps {
        list.when(libc::SYS_openat, [reads_a_setting()]);
    }
    if role == Role::Maker {
        list.machines();
    }
    if role == Role::Events {
        list.plain(&EVENTS);
    }
    if role != Role::Watcher && needs.host != HostKind::Emulator {
        for request in RUN_REQUESTS {
            list.when(libc::SYS_ioctl, [int(1, request as c_int)]);
        }
    }
    if role == Role::Events && !needs.makes.is_empty() {
        // The file that is made last may get its time after the run.
        list.plain(&[libc::SYS_utimensat]);
    }
    if role == Role::Vcpu {
        list.files_of_a_guest(needs);
        list.memory_of_a_guest(needs);
    }
    list
}

impl List {
    /// What makes a machine of any kind and starts its threads, which have this list beside
    /// their own.
    fn machines(&mut self) {
        self.plain(&MACHINES);
        self.plain(&EVENTS);
        self.plain(&READS);
        // Nothing that is not there yet.
        let new = libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY;
        self.when(libc::SYS_openat, [flags(2, new, 0)]);
        self.when(libc::SYS_clone, [flags(0, !libc::CLONE_DETACHED, THREAD)]);
        let seccomp = libc::SECCOMP_SET_MODE_FILTER as c_int;
        self.when(libc::SYS_seccomp, [int(0, seccomp)]);
        for option in [
            libc::PR_SET_NAME,
            libc::PR_GET_SECCOMP,
            libc::PR_SET_NO_NEW_PRIVS,
        ] {
            self.when(libc::SYS_prctl, [int(0, option)]);
        }
        for command in [libc::F_GETFL, libc::F_DUPFD_CLOEXEC] {
            self.when(libc::SYS_fcntl, [int(1, command)]);
        }
        for request in MAKE_REQUESTS
            .into_iter()
            .chain(RUN_REQUESTS)
            .chain([COUNTER_ID])
        {
            self.when(libc::SYS_ioctl, [int(1, request as c_int)]);
        }
        // Pages of vCPUs and of files.
        self.when(libc::SYS_mmap, [flags(2, libc::PROT_EXEC, 0)]);
        self.memory_of_a_guest(&Needs::NONE);
    }

    fn everywhere(&mut self) {
        self.plain(&EVERYWHERE);
        for request in TERMINAL {
            self.when(libc::SYS_ioctl, [int(1, request as c_int)]);
        }
        for command in DESCRIPTOR {
            self.when(libc::SYS_fcntl, [int(1, command)]);
        }
        // Signals to threads of this process.
        self.when(libc::SYS_tgkill, [int(0, std::process::id() as c_int)]);
        // What a violation does stays as it is.
        self.when(libc::SYS_rt_sigaction, [not(0, libc::SIGSYS)]);
        // To whom the socket is connected: the length of an address is none.
        self.when(libc::SYS_sendto, [int(5, 0)]);
        // Memory that cannot be executed.
        let anonymous = flags(3, libc::MAP_ANONYMOUS, libc::MAP_ANONYMOUS);
        self.when(libc::SYS_mmap, [flags(2, libc::PROT_EXEC, 0), anonymous]);
        self.when(libc::SYS_mprotect, [flags(2, libc::PROT_EXEC, 0)]);
        self.when(libc::SYS_mremap, [int(3, libc::MREMAP_MAYMOVE)]);
    }

    fn files_of_a_guest(&mut self, needs: &Needs) {
        if needs.files || !needs.makes.is_empty() {
            self.plain(&READS);
        }
        if !needs.makes.is_empty() {
            let new = libc::O_CREAT | libc::O_EXCL;
            self.when(libc::SYS_openat, [flags(2, new, new)]);
            self.plain(&MAKES);
        }
    }

    /// Files to read, and the emulator's code memory, which it makes when it first needs some.
    fn memory_of_a_guest(&mut self, needs: &Needs) {
        if needs.files {
            let kind = int(3, libc::MAP_PRIVATE | libc::MAP_FIXED);
            self.when(libc::SYS_mmap, [int(2, libc::PROT_READ), kind]);
        }
        if needs.host == HostKind::Hardware {
            return;
        }
        self.plain(&[libc::SYS_memfd_create, libc::SYS_ftruncate]);
        for more in [libc::PROT_WRITE, libc::PROT_EXEC] {
            let rights = int(2, libc::PROT_READ | more);
            let kind = int(3, libc::MAP_SHARED | libc::MAP_FIXED);
            self.when(libc::SYS_mmap, [word(1, CODE_MEMORY_LEN), rights, kind]);
        }
    }
}
