//! System calls: their names, and what their arguments are.

use super::names::{self, Names};

/// What an argument is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A number with a sign, of 32 bits.
    Int,
    /// A number with a sign, of 64 bits.
    Long,
    /// A size or count.
    Size,
    /// A pointer, or whatever reads best so.
    Hex,
    /// A file's permissions.
    Octal,
    /// A descriptor of a folder.
    Folder,
    /// A string that ends with a zero.
    Text,
    /// Bytes.
    Bytes,
    /// Strings.
    Texts,
    /// Parts of a `writev`.
    Parts,
    /// Seconds and nanoseconds.
    Time,
    /// A number that has a name.
    Choice(Names),
    /// Flags.
    Bits(Names),
    /// Flags of `open`.
    Open,
    /// Permissions of a file, if the argument before makes one.
    OpenMode,
    /// Operation of `futex`.
    Futex,
    /// Flags of `clone`, and a signal.
    Clone,
    /// Bytes that the call writes.
    BytesOut,
    /// Two descriptors that it writes.
    PairOut,
    /// A status of `wait4` that it writes.
    StatusOut,
    /// Seconds and nanoseconds that it writes.
    TimeOut,
}

impl Kind {
    /// Whether it is known only when the call has returned.
    pub(super) fn is_output(self) -> bool {
        matches!(
            self,
            Self::BytesOut | Self::PairOut | Self::StatusOut | Self::TimeOut
        )
    }
}

/// What a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    Number,
    Address,
}

/// One system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Kind],
    pub(super) returns: Returns,
}

macro_rules! signatures {
    ($($number:ident ($($kind:expr),*) $(-> $returns:ident)?;)*) => {
        /// All that have a name.
        #[cfg(test)]
        const NUMBERS: &[libc::c_long] = &[$(libc::$number),*];

        /// The call with this number.
        pub(super) fn signature(number: u64) -> Option<Signature> {
            use Kind::*;
            #[allow(unused_imports)]
            use Returns::*;
            let number = libc::c_long::try_from(number).ok()?;
            Some(match number {
                $(libc::$number => Signature {
                    name: stringify!($number).trim_start_matches("SYS_"),
                    arguments: &[$($kind),*],
                    returns: returns!($($returns)?),
                },)*
                _ => return None,
            })
        }
    };
}

macro_rules! returns {
    () => {
        Number
    };
    ($returns:ident) => {
        $returns
    };
}

signatures! {
    SYS_read(Int, BytesOut, Size);
    SYS_write(Int, Bytes, Size);
    SYS_open(Text, Open, OpenMode);
    SYS_close(Int);
    SYS_stat(Text, Hex);
    SYS_fstat(Int, Hex);
    SYS_lstat(Text, Hex);
    SYS_poll(Hex, Size, Int);
    SYS_lseek(Int, Long, Choice(names::WHENCE));
    SYS_mmap(Hex, Size, Bits(names::PROTECTION), Bits(names::MAPPING), Int, Size) -> Address;
    SYS_mprotect(Hex, Size, Bits(names::PROTECTION));
    SYS_munmap(Hex, Size);
    SYS_brk(Hex) -> Address;
    SYS_rt_sigaction(Choice(names::SIGNALS), Hex, Hex, Size);
    SYS_rt_sigprocmask(Choice(names::MASKING), Hex, Hex, Size);
    SYS_rt_sigreturn();
    SYS_ioctl(Int, Choice(names::TERMINAL), Hex);
    SYS_pread64(Int, BytesOut, Size, Long);
    SYS_pwrite64(Int, Bytes, Size, Long);
    SYS_readv(Int, Hex, Size);
    SYS_writev(Int, Parts, Size);
    SYS_access(Text, Bits(names::ACCESS));
    SYS_pipe(PairOut);
    SYS_select(Int, Hex, Hex, Hex, Hex);
    SYS_sched_yield();
    SYS_mremap(Hex, Size, Size, Bits(names::REMAPPING), Hex) -> Address;
    SYS_msync(Hex, Size, Bits(names::SYNCING));
    SYS_madvise(Hex, Size, Choice(names::ADVICE));
    SYS_dup(Int);
    SYS_dup2(Int, Int);
    SYS_pause();
    SYS_nanosleep(Time, Hex);
    SYS_getitimer(Choice(names::INTERVALS), Hex);
    SYS_alarm(Size);
    SYS_setitimer(Choice(names::INTERVALS), Hex, Hex);
    SYS_getpid();
    SYS_sendfile(Int, Int, Hex, Size);
    SYS_socket(Choice(names::FAMILIES), Hex, Int);
    SYS_connect(Int, Hex, Size);
    SYS_clone(Clone, Hex, Hex, Hex, Hex);
    SYS_fork();
    SYS_vfork();
    SYS_execve(Text, Texts, Hex);
    SYS_exit(Int);
    SYS_wait4(Int, StatusOut, Bits(names::WAITING), Hex);
    SYS_kill(Int, Choice(names::SIGNALS));
    SYS_uname(Hex);
    SYS_fcntl(Int, Choice(names::CONTROL), Hex);
    SYS_flock(Int, Bits(names::LOCKING));
    SYS_fsync(Int);
    SYS_fdatasync(Int);
    SYS_truncate(Text, Long);
    SYS_ftruncate(Int, Long);
    SYS_getcwd(BytesOut, Size);
    SYS_chdir(Text);
    SYS_fchdir(Int);
    SYS_rename(Text, Text);
    SYS_mkdir(Text, Octal);
    SYS_rmdir(Text);
    SYS_creat(Text, Octal);
    SYS_link(Hex, Hex);
    SYS_unlink(Text);
    SYS_symlink(Hex, Hex);
    SYS_readlink(Text, BytesOut, Size);
    SYS_chmod(Text, Octal);
    SYS_fchmod(Int, Octal);
    SYS_chown(Hex, Int, Int);
    SYS_umask(Octal);
    SYS_gettimeofday(Hex, Hex);
    SYS_getrlimit(Choice(names::LIMITS), Hex);
    SYS_getrusage(Choice(names::USERS), Hex);
    SYS_sysinfo(Hex);
    SYS_times(Hex);
    SYS_getuid();
    SYS_getgid();
    SYS_setuid(Int);
    SYS_setgid(Int);
    SYS_geteuid();
    SYS_getegid();
    SYS_setpgid(Int, Int);
    SYS_getppid();
    SYS_getpgrp();
    SYS_setsid();
    SYS_getpgid(Int);
    SYS_getsid(Int);
    SYS_rt_sigpending(Hex, Size);
    SYS_rt_sigtimedwait(Hex, Hex, Hex, Size);
    SYS_rt_sigqueueinfo(Int, Choice(names::SIGNALS), Hex);
    SYS_rt_sigsuspend(Hex, Size);
    SYS_sigaltstack(Hex, Hex);
    SYS_statfs(Hex, Hex);
    SYS_prctl(Choice(names::PROCESS), Hex, Hex, Hex, Hex);
    SYS_arch_prctl(Choice(names::BASES), Hex);
    SYS_setrlimit(Choice(names::LIMITS), Hex);
    SYS_sync();
    SYS_gettid();
    SYS_tkill(Int, Choice(names::SIGNALS));
    SYS_time(Hex);
    SYS_futex(Hex, Futex, Int, Hex, Hex, Hex);
    SYS_sched_setaffinity(Int, Size, Hex);
    SYS_sched_getaffinity(Int, Size, Hex);
    SYS_getdents64(Int, Hex, Size);
    SYS_set_tid_address(Hex);
    SYS_timer_create(Choice(names::CLOCKS), Hex, Hex);
    SYS_timer_settime(Int, Int, Hex, Hex);
    SYS_timer_gettime(Int, Hex);
    SYS_timer_delete(Int);
    SYS_clock_settime(Choice(names::CLOCKS), Time);
    SYS_clock_gettime(Choice(names::CLOCKS), TimeOut);
    SYS_clock_getres(Choice(names::CLOCKS), TimeOut);
    SYS_clock_nanosleep(Choice(names::CLOCKS), Bits(names::TIMER), Time, Hex);
    SYS_exit_group(Int);
    SYS_tgkill(Int, Int, Choice(names::SIGNALS));
    SYS_waitid(Choice(names::WAIT_KINDS), Int, Hex, Bits(names::WAITING), Hex);
    SYS_openat(Folder, Text, Open, OpenMode);
    SYS_mkdirat(Folder, Text, Octal);
    SYS_newfstatat(Folder, Text, Hex, Bits(names::AT_FLAGS));
    SYS_unlinkat(Folder, Text, Bits(names::AT_FLAGS));
    SYS_renameat(Folder, Text, Folder, Text);
    SYS_readlinkat(Folder, Text, BytesOut, Size);
    SYS_faccessat(Folder, Text, Bits(names::ACCESS));
    SYS_ppoll(Hex, Size, Hex, Hex, Size);
    SYS_pselect6(Int, Hex, Hex, Hex, Hex, Hex);
    SYS_set_robust_list(Hex, Size);
    SYS_dup3(Int, Int, Bits(names::PIPE_FLAGS));
    SYS_pipe2(PairOut, Bits(names::PIPE_FLAGS));
    SYS_eventfd2(Int, Bits(names::EVENT_FLAGS));
    SYS_epoll_create1(Bits(names::EVENT_FLAGS));
    SYS_prlimit64(Int, Choice(names::LIMITS), Hex, Hex);
    SYS_getcpu(Hex, Hex, Hex);
    SYS_renameat2(Folder, Text, Folder, Text, Bits(names::RENAMING));
    SYS_getrandom(BytesOut, Size, Bits(names::RANDOM));
    SYS_memfd_create(Hex, Bits(names::MEMORY_FILE));
    SYS_statx(Folder, Hex, Hex, Hex, Hex);
    SYS_rseq(Hex, Size, Hex, Hex);
    SYS_clone3(Hex, Size);
    SYS_close_range(Size, Size, Bits(names::CLOSING));
    SYS_faccessat2(Folder, Hex, Bits(names::ACCESS), Bits(names::AT_FLAGS));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own table.
    const SERVED: &str = include_str!("../../../guest-kernel/src/syscall/table.rs");

    #[test]
    fn every_call_that_the_kernel_serves_has_a_name() {
        let names: Vec<_> = NUMBERS
            .iter()
            .filter_map(|&number| Some(signature(number as u64)?.name))
            .collect();
        let served = SERVED.split("linux::__NR_").skip(1);
        let mut count = 0;
        for name in served {
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &name[..end.unwrap_or(name.len())];
            assert!(names.contains(&name), "{name} has no name here");
            count += 1;
        }
        assert!(count > 80, "the table is not read");
    }

    #[test]
    fn no_call_has_more_than_six_arguments() {
        for &number in NUMBERS {
            let signature = signature(number as u64).expect("it is in the table");
            assert!(signature.arguments.len() <= 6, "{signature:?}");
        }
        assert!(signature(u64::MAX).is_none());
    }
}
