//! The end of a process that makes a call which is not on its thread's list.

use std::cell::Cell;
use std::io;
use std::sync::{Once, OnceLock};

use cpu::signals::{self, Before};
use syscalls::Sysno;

use super::Role;

/// What is done before the process ends, in a signal handler.
static BEFORE_THE_END: OnceLock<fn()> = OnceLock::new();

/// What SIGSYS did before.
static BEFORE: Before = Before::new();

/// `siginfo_t.si_code` of a signal that a filter has raised (Linux, asm-generic/siginfo.h).
const SYS_SECCOMP: libc::c_int = 1;

thread_local! {
    static THREAD: Cell<&'static str> = const { Cell::new("") };
}

/// Has `act` called before a violation ends the process: it restores what must not stay as it is,
/// such as a terminal. It runs in a signal handler, under the thread's filter.
pub fn before_the_end(act: fn()) {
    let _ = BEFORE_THE_END.set(act);
}

/// Has a violation of this thread end the process with a line that names the call.
pub fn catch(role: Role) -> io::Result<()> {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| signals::install(libc::SIGSYS, on_violation, &BEFORE));
    THREAD.set(match role {
        Role::Vcpu => "a vCPU's thread",
        Role::Events => "the thread of events",
        Role::Watcher => "a watching thread",
        Role::Maker => "the thread that makes machines",
    });
    // One that is blocked would end the process without the line.
    vmm_sys_util::signal::unblock_signal(libc::SIGSYS)
        .map_err(|error| io::Error::other(error.to_string()))
}

extern "C" fn on_violation(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes what it tells of the signal.
    let code = unsafe { (*info).si_code };
    if code != SYS_SECCOMP {
        if let Some(before) = BEFORE.get() {
            signals::pass_on(before, code <= 0, signal, info, context);
        }
        return;
    }
    if let Some(act) = BEFORE_THE_END.get() {
        act();
    }
    let number = call_number(info);
    let name = Sysno::new(number as usize).map_or("unknown", |call| call.name());
    let pieces = [
        "vmm: sandbox: ",
        THREAD.get(),
        " made the system call ",
        name,
        ", which no run makes: the guest has broken out, or this is a bug of Ringfence\n",
    ];
    let mut line = [0; 256];
    let mut len = 0;
    for piece in pieces {
        let end = (len + piece.len()).min(line.len());
        line[len..end].copy_from_slice(&piece.as_bytes()[..end - len]);
        len = end;
    }
    let mut stderr = libc::pollfd {
        fd: libc::STDERR_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: the calls read and write one `pollfd`, and the line as far as it is filled; none
    // allocates. A pipe that is ready takes so much at once; of one that is full nobody reads.
    unsafe {
        if libc::poll(&mut stderr, 1, 0) == 1 {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), len);
        }
        libc::_exit(crate::report::FAILURE_STATUS.into())
    }
}

/// The number of the call that the filter refused (`siginfo_t.si_syscall`).
fn call_number(info: *const libc::siginfo_t) -> libc::c_int {
    /// The fields of `siginfo_t` for SIGSYS (Linux, asm-generic/siginfo.h).
    #[repr(C)]
    struct OfSeccomp {
        _signal: libc::c_int,
        _errno: libc::c_int,
        _code: libc::c_int,
        _address: *const libc::c_void,
        call: libc::c_int,
        _architecture: libc::c_uint,
    }
    // SAFETY: the signal is a filter's, so these are the fields; both types are plain numbers.
    unsafe { (*info.cast::<OfSeccomp>()).call }
}
