//! Which number is which call.

use linux_raw_sys::general as linux;

use super::{Errno, Handler, SyscallResult};
use super::{
    alarm, descriptor, file, kill, memory, path, poll, process, select, signal, stat, system,
    terminal, thread, time, usage,
};
use crate::arch::trap::UserContext;

/// One past the highest number that is served.
const LEN: usize = linux::__NR_getrandom as usize + 1;

/// Handlers by number; no handler is ENOSYS.
pub static HANDLERS: [Option<Handler>; LEN] = {
    let mut table: [Option<Handler>; LEN] = [None; LEN];
    table[linux::__NR_read as usize] = Some(file::read);
    table[linux::__NR_write as usize] = Some(file::write);
    table[linux::__NR_open as usize] = Some(path::open);
    table[linux::__NR_close as usize] = Some(descriptor::close);
    table[linux::__NR_stat as usize] = Some(stat::stat);
    table[linux::__NR_fstat as usize] = Some(stat::fstat);
    table[linux::__NR_lstat as usize] = Some(stat::stat);
    table[linux::__NR_poll as usize] = Some(poll::poll);
    table[linux::__NR_lseek as usize] = Some(file::lseek);
    table[linux::__NR_mmap as usize] = Some(memory::mmap);
    table[linux::__NR_mprotect as usize] = Some(memory::mprotect);
    table[linux::__NR_munmap as usize] = Some(memory::munmap);
    table[linux::__NR_brk as usize] = Some(memory::brk);
    table[linux::__NR_rt_sigaction as usize] = Some(signal::rt_sigaction);
    table[linux::__NR_rt_sigprocmask as usize] = Some(signal::rt_sigprocmask);
    table[linux::__NR_ioctl as usize] = Some(terminal::ioctl);
    table[linux::__NR_pread64 as usize] = Some(file::pread64);
    table[linux::__NR_pwrite64 as usize] = Some(file::pwrite64);
    table[linux::__NR_readv as usize] = Some(file::readv);
    table[linux::__NR_writev as usize] = Some(file::writev);
    table[linux::__NR_access as usize] = Some(path::access);
    table[linux::__NR_pipe as usize] = Some(descriptor::pipe);
    table[linux::__NR_select as usize] = Some(select::select);
    table[linux::__NR_sched_yield as usize] = Some(process::sched_yield);
    table[linux::__NR_mremap as usize] = Some(memory::mremap);
    table[linux::__NR_msync as usize] = Some(memory::msync);
    table[linux::__NR_madvise as usize] = Some(memory::madvise);
    table[linux::__NR_dup as usize] = Some(descriptor::dup);
    table[linux::__NR_dup2 as usize] = Some(descriptor::dup2);
    table[linux::__NR_getitimer as usize] = Some(alarm::getitimer);
    table[linux::__NR_alarm as usize] = Some(alarm::alarm);
    table[linux::__NR_setitimer as usize] = Some(alarm::setitimer);
    table[linux::__NR_pause as usize] = Some(signal::pause);
    table[linux::__NR_nanosleep as usize] = Some(time::nanosleep);
    table[linux::__NR_getpid as usize] = Some(process::getpid);
    table[linux::__NR_sendfile as usize] = Some(file::sendfile);
    table[linux::__NR_exit as usize] = Some(process::exit);
    table[linux::__NR_wait4 as usize] = Some(process::wait4);
    table[linux::__NR_kill as usize] = Some(kill::kill);
    table[linux::__NR_uname as usize] = Some(system::uname);
    table[linux::__NR_fcntl as usize] = Some(descriptor::fcntl);
    table[linux::__NR_fsync as usize] = Some(file::fsync);
    table[linux::__NR_fdatasync as usize] = Some(file::fsync);
    table[linux::__NR_truncate as usize] = Some(path::truncate);
    table[linux::__NR_ftruncate as usize] = Some(file::ftruncate);
    table[linux::__NR_getcwd as usize] = Some(path::getcwd);
    table[linux::__NR_chdir as usize] = Some(path::chdir);
    table[linux::__NR_fchdir as usize] = Some(path::fchdir);
    table[linux::__NR_rename as usize] = Some(path::rename);
    table[linux::__NR_mkdir as usize] = Some(path::mkdir);
    table[linux::__NR_rmdir as usize] = Some(path::rmdir);
    table[linux::__NR_creat as usize] = Some(path::creat);
    table[linux::__NR_unlink as usize] = Some(path::unlink);
    table[linux::__NR_readlink as usize] = Some(path::readlink);
    table[linux::__NR_chmod as usize] = Some(path::chmod);
    table[linux::__NR_umask as usize] = Some(path::umask);
    table[linux::__NR_gettimeofday as usize] = Some(time::gettimeofday);
    table[linux::__NR_getrlimit as usize] = Some(usage::getrlimit);
    table[linux::__NR_getrusage as usize] = Some(usage::getrusage);
    table[linux::__NR_sysinfo as usize] = Some(system::sysinfo);
    table[linux::__NR_times as usize] = Some(usage::times);
    table[linux::__NR_getuid as usize] = Some(process::get_user);
    table[linux::__NR_getgid as usize] = Some(process::get_user);
    table[linux::__NR_geteuid as usize] = Some(process::get_user);
    table[linux::__NR_getegid as usize] = Some(process::get_user);
    table[linux::__NR_setpgid as usize] = Some(process::setpgid);
    table[linux::__NR_getppid as usize] = Some(process::getppid);
    table[linux::__NR_getpgrp as usize] = Some(process::getpgrp);
    table[linux::__NR_setsid as usize] = Some(process::setsid);
    table[linux::__NR_getpgid as usize] = Some(process::getpgid);
    table[linux::__NR_getsid as usize] = Some(process::getsid);
    table[linux::__NR_rt_sigpending as usize] = Some(signal::rt_sigpending);
    table[linux::__NR_rt_sigsuspend as usize] = Some(signal::rt_sigsuspend);
    table[linux::__NR_prctl as usize] = Some(thread::prctl);
    table[linux::__NR_arch_prctl as usize] = Some(thread::arch_prctl);
    table[linux::__NR_setrlimit as usize] = Some(usage::setrlimit);
    table[linux::__NR_sync as usize] = Some(file::sync);
    table[linux::__NR_gettid as usize] = Some(process::gettid);
    table[linux::__NR_tkill as usize] = Some(kill::tkill);
    table[linux::__NR_time as usize] = Some(time::time);
    table[linux::__NR_futex as usize] = Some(thread::futex);
    table[linux::__NR_sched_getaffinity as usize] = Some(thread::sched_getaffinity);
    table[linux::__NR_getdents64 as usize] = Some(stat::getdents64);
    table[linux::__NR_set_tid_address as usize] = Some(thread::set_tid_address);
    table[linux::__NR_clock_gettime as usize] = Some(time::clock_gettime);
    table[linux::__NR_clock_getres as usize] = Some(time::clock_getres);
    table[linux::__NR_clock_nanosleep as usize] = Some(time::clock_nanosleep);
    table[linux::__NR_exit_group as usize] = Some(process::exit_group);
    table[linux::__NR_tgkill as usize] = Some(kill::tgkill);
    table[linux::__NR_waitid as usize] = Some(process::waitid);
    table[linux::__NR_openat as usize] = Some(path::openat);
    table[linux::__NR_mkdirat as usize] = Some(path::mkdirat);
    table[linux::__NR_newfstatat as usize] = Some(stat::newfstatat);
    table[linux::__NR_unlinkat as usize] = Some(path::unlinkat);
    table[linux::__NR_renameat as usize] = Some(path::renameat);
    table[linux::__NR_readlinkat as usize] = Some(path::readlinkat);
    table[linux::__NR_faccessat as usize] = Some(path::faccessat);
    table[linux::__NR_pselect6 as usize] = Some(select::pselect6);
    table[linux::__NR_ppoll as usize] = Some(poll::ppoll);
    table[linux::__NR_set_robust_list as usize] = Some(thread::set_robust_list);
    table[linux::__NR_dup3 as usize] = Some(descriptor::dup3);
    table[linux::__NR_pipe2 as usize] = Some(descriptor::pipe2);
    table[linux::__NR_prlimit64 as usize] = Some(usage::prlimit64);
    table[linux::__NR_getcpu as usize] = Some(thread::getcpu);
    table[linux::__NR_renameat2 as usize] = Some(path::renameat2);
    table[linux::__NR_getrandom as usize] = Some(system::getrandom);
    table
};

/// Serves the few calls that need all of the program's state.
pub fn serve_with_context(number: u64, context: &mut UserContext) -> SyscallResult {
    match u32::try_from(number) {
        Ok(linux::__NR_clone) => process::clone(context),
        Ok(linux::__NR_fork) => process::fork(context),
        Ok(linux::__NR_vfork) => process::vfork(context),
        Ok(linux::__NR_rt_sigreturn) => signal::rt_sigreturn(context),
        Ok(linux::__NR_sigaltstack) => signal::sigaltstack(context),
        Ok(linux::__NR_execve) => process::execve(context),
        _ => Err(Errno::ENOSYS),
    }
}
