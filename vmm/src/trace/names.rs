//! Numbers of Linux's interface by name: errors, signals, flags.

/// Bits of a word, and values of a field, by name.
pub(super) type Names = &'static [(u64, &'static str)];

macro_rules! names {
    ($($constant:ident),* $(,)?) => {
        &[$((libc::$constant as u64, stringify!($constant))),*]
    };
}

/// Errors.
pub(super) const ERRORS: Names = names![
    EPERM,
    ENOENT,
    ESRCH,
    EINTR,
    EIO,
    ENXIO,
    E2BIG,
    ENOEXEC,
    EBADF,
    ECHILD,
    EAGAIN,
    ENOMEM,
    EACCES,
    EFAULT,
    EBUSY,
    EEXIST,
    EXDEV,
    ENODEV,
    ENOTDIR,
    EISDIR,
    EINVAL,
    ENFILE,
    EMFILE,
    ENOTTY,
    ETXTBSY,
    EFBIG,
    ENOSPC,
    ESPIPE,
    EROFS,
    EMLINK,
    EPIPE,
    EDOM,
    ERANGE,
    EDEADLK,
    ENAMETOOLONG,
    ENOLCK,
    ENOSYS,
    ENOTEMPTY,
    ELOOP,
    ENODATA,
    EOVERFLOW,
    EILSEQ,
    ENOTSOCK,
    EDESTADDRREQ,
    EMSGSIZE,
    EPROTONOSUPPORT,
    EOPNOTSUPP,
    EAFNOSUPPORT,
    EADDRINUSE,
    EADDRNOTAVAIL,
    ENETUNREACH,
    ECONNRESET,
    ENOBUFS,
    EISCONN,
    ENOTCONN,
    ETIMEDOUT,
    ECONNREFUSED,
    EALREADY,
    EINPROGRESS,
];

/// Signals.
pub(super) const SIGNALS: Names = names![
    SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV,
    SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS,
];

/// What may be done with a file that is opened: the two lowest bits.
pub(super) const OPEN_MODES: Names = names![O_RDONLY, O_WRONLY, O_RDWR];
/// The rest of the flags of `open`.
pub(super) const OPEN_FLAGS: Names = names![
    O_CREAT,
    O_EXCL,
    O_NOCTTY,
    O_TRUNC,
    O_APPEND,
    O_NONBLOCK,
    O_SYNC,
    O_DSYNC,
    O_ASYNC,
    O_DIRECT,
    O_TMPFILE,
    O_DIRECTORY,
    O_NOFOLLOW,
    O_NOATIME,
    O_CLOEXEC,
    O_PATH,
];
/// Flags of `pipe2` and `dup3`.
pub(super) const PIPE_FLAGS: Names = names![O_CLOEXEC, O_NONBLOCK, O_DIRECT];
/// Where `lseek` counts from.
pub(super) const WHENCE: Names = names![SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE];
/// Access to memory.
pub(super) const PROTECTION: Names = names![PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC];
/// Flags of `mmap`.
pub(super) const MAPPING: Names = names![
    MAP_SHARED,
    MAP_PRIVATE,
    MAP_FIXED,
    MAP_ANONYMOUS,
    MAP_32BIT,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_NONBLOCK,
    MAP_STACK,
    MAP_HUGETLB,
    MAP_SYNC,
    MAP_FIXED_NOREPLACE,
];
/// Flags of `mremap`.
pub(super) const REMAPPING: Names = names![MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP];
/// Flags of `clone`, above the signal.
pub(super) const CLONING: Names = names![
    CLONE_VM,
    CLONE_FS,
    CLONE_FILES,
    CLONE_SIGHAND,
    CLONE_PIDFD,
    CLONE_PTRACE,
    CLONE_VFORK,
    CLONE_PARENT,
    CLONE_THREAD,
    CLONE_NEWNS,
    CLONE_SYSVSEM,
    CLONE_SETTLS,
    CLONE_PARENT_SETTID,
    CLONE_CHILD_CLEARTID,
    CLONE_DETACHED,
    CLONE_UNTRACED,
    CLONE_CHILD_SETTID,
    CLONE_NEWCGROUP,
    CLONE_NEWUTS,
    CLONE_NEWIPC,
    CLONE_NEWUSER,
    CLONE_NEWPID,
    CLONE_NEWNET,
    CLONE_IO,
];
/// Options of `wait4` and `waitid`.
pub(super) const WAITING: Names = names![WNOHANG, WUNTRACED, WEXITED, WCONTINUED, WNOWAIT];
/// Whom `waitid` waits for.
pub(super) const WAIT_KINDS: Names = names![P_ALL, P_PID, P_PGID, P_PIDFD];
/// Clocks.
pub(super) const CLOCKS: Names = names![
    CLOCK_REALTIME,
    CLOCK_MONOTONIC,
    CLOCK_PROCESS_CPUTIME_ID,
    CLOCK_THREAD_CPUTIME_ID,
    CLOCK_MONOTONIC_RAW,
    CLOCK_REALTIME_COARSE,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_BOOTTIME,
    CLOCK_REALTIME_ALARM,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_TAI,
];
/// The flag of `clock_nanosleep`.
pub(super) const TIMER: Names = names![TIMER_ABSTIME];
/// What `access` asks for.
pub(super) const ACCESS: Names = names![F_OK, X_OK, W_OK, R_OK];
/// Flags of the calls that end in `at`.
pub(super) const AT_FLAGS: Names = names![
    AT_SYMLINK_NOFOLLOW,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_NO_AUTOMOUNT,
    AT_EMPTY_PATH
];
/// Flags of `renameat2`.
pub(super) const RENAMING: Names = names![RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT];
/// What `fcntl` does.
pub(super) const CONTROL: Names = names![
    F_DUPFD,
    F_GETFD,
    F_SETFD,
    F_GETFL,
    F_SETFL,
    F_GETLK,
    F_SETLK,
    F_SETLKW,
    F_SETOWN,
    F_GETOWN,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_SETLEASE,
    F_GETLEASE,
    F_NOTIFY,
    F_DUPFD_CLOEXEC,
    F_SETPIPE_SZ,
    F_GETPIPE_SZ,
    F_ADD_SEALS,
    F_GET_SEALS,
];
/// What `ioctl` does, with terminals above all.
pub(super) const TERMINAL: Names = names![
    TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETA, TCSBRK, TCXONC, TCFLSH, TIOCEXCL, TIOCNXCL,
    TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCOUTQ, TIOCSTI, TIOCGWINSZ, TIOCSWINSZ,
    TIOCMGET, FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, TIOCGSID, TIOCGPTN, TIOCSPTLCK,
];
/// What `futex` does, below its flags.
pub(super) const FUTEX: Names = names![
    FUTEX_WAIT,
    FUTEX_WAKE,
    FUTEX_FD,
    FUTEX_REQUEUE,
    FUTEX_CMP_REQUEUE,
    FUTEX_WAKE_OP,
    FUTEX_LOCK_PI,
    FUTEX_UNLOCK_PI,
    FUTEX_TRYLOCK_PI,
    FUTEX_WAIT_BITSET,
    FUTEX_WAKE_BITSET,
    FUTEX_WAIT_REQUEUE_PI,
    FUTEX_CMP_REQUEUE_PI,
    FUTEX_LOCK_PI2,
];
/// The flags of `futex`.
pub(super) const FUTEX_FLAGS: Names = names![FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME];
/// What `rt_sigprocmask` does.
pub(super) const MASKING: Names = names![SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK];
/// What `arch_prctl` does.
pub(super) const BASES: Names = &[
    (0x1001, "ARCH_SET_GS"),
    (0x1002, "ARCH_SET_FS"),
    (0x1003, "ARCH_GET_FS"),
    (0x1004, "ARCH_GET_GS"),
];
/// What limits are for.
pub(super) const LIMITS: Names = names![
    RLIMIT_CPU,
    RLIMIT_FSIZE,
    RLIMIT_DATA,
    RLIMIT_STACK,
    RLIMIT_CORE,
    RLIMIT_RSS,
    RLIMIT_NPROC,
    RLIMIT_NOFILE,
    RLIMIT_MEMLOCK,
    RLIMIT_AS,
    RLIMIT_LOCKS,
    RLIMIT_SIGPENDING,
    RLIMIT_MSGQUEUE,
    RLIMIT_NICE,
    RLIMIT_RTPRIO,
    RLIMIT_RTTIME,
];
/// What `madvise` advises.
pub(super) const ADVICE: Names = names![
    MADV_NORMAL,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_DONTNEED,
    MADV_FREE,
    MADV_REMOVE,
    MADV_DONTFORK,
    MADV_DOFORK,
    MADV_MERGEABLE,
    MADV_UNMERGEABLE,
    MADV_HUGEPAGE,
    MADV_NOHUGEPAGE,
    MADV_DONTDUMP,
    MADV_DODUMP,
    MADV_COLD,
    MADV_PAGEOUT,
];
/// How `msync` writes.
pub(super) const SYNCING: Names = names![MS_ASYNC, MS_INVALIDATE, MS_SYNC];
/// Families of sockets.
pub(super) const FAMILIES: Names = names![AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK];
/// Flags of `eventfd2` and `epoll_create1`.
pub(super) const EVENT_FLAGS: Names = names![EFD_SEMAPHORE, EFD_NONBLOCK, EFD_CLOEXEC];
/// What `epoll_ctl` does.
pub(super) const EPOLL: Names = names![EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD];
/// Timers of `setitimer`.
pub(super) const INTERVALS: Names = names![ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF];
/// Whose use `getrusage` tells.
pub(super) const USERS: Names = &[
    (0, "RUSAGE_SELF"),
    (0xffff_ffff, "RUSAGE_CHILDREN"),
    (u64::MAX, "RUSAGE_CHILDREN"),
    (1, "RUSAGE_THREAD"),
];
/// What `flock` does.
pub(super) const LOCKING: Names = names![LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN];
/// Flags of `getrandom`.
pub(super) const RANDOM: Names = names![GRND_NONBLOCK, GRND_RANDOM];
/// Flags of `memfd_create`.
pub(super) const MEMORY_FILE: Names = names![
    MFD_CLOEXEC,
    MFD_ALLOW_SEALING,
    MFD_HUGETLB,
    MFD_NOEXEC_SEAL,
    MFD_EXEC,
];
/// Flags of `mlockall`.
pub(super) const LOCKING_ALL: Names = names![MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT];
/// Flags of `close_range`.
pub(super) const CLOSING: Names = names![CLOSE_RANGE_UNSHARE, CLOSE_RANGE_CLOEXEC];
/// What `prctl` does.
pub(super) const PROCESS: Names = names![
    PR_SET_PDEATHSIG,
    PR_GET_PDEATHSIG,
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
    PR_SET_NAME,
    PR_GET_NAME,
    PR_GET_SECCOMP,
    PR_SET_SECCOMP,
    PR_CAPBSET_READ,
    PR_SET_TIMERSLACK,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_GET_NO_NEW_PRIVS,
    PR_SET_VMA,
];

/// The name of `value`.
pub(super) fn name(names: Names, value: u64) -> Option<&'static str> {
    let mut names = names.iter();
    names
        .find(|&&(number, _)| number == value)
        .map(|&(_, name)| name)
}

/// `value` as the sum of the names, and what is left as a number. A name of zero is for
/// a value of zero.
pub(super) fn bits(names: Names, value: u64) -> String {
    let mut left = value;
    let mut parts = Vec::new();
    for &(bits, name) in names {
        if bits != 0 && left & bits == bits {
            parts.push(name.to_owned());
            left &= !bits;
        }
    }
    if left != 0 {
        parts.push(format!("{left:#x}"));
    }
    match name(names, 0) {
        Some(zero) if value == 0 => zero.to_owned(),
        _ if parts.is_empty() => "0".to_owned(),
        _ => parts.join("|"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_named_and_the_rest_is_a_number() {
        assert_eq!(bits(PROTECTION, 0), "PROT_NONE");
        assert_eq!(bits(PROTECTION, 3), "PROT_READ|PROT_WRITE");
        assert_eq!(bits(PROTECTION, 0x101), "PROT_READ|0x100");
        assert_eq!(bits(OPEN_FLAGS, 0), "0");
        assert_eq!(bits(OPEN_FLAGS, 0o1101), "O_CREAT|O_TRUNC|0x1");
        assert_eq!(name(ERRORS, 38), Some("ENOSYS"));
        assert_eq!(name(SIGNALS, 99), None);
    }
}
