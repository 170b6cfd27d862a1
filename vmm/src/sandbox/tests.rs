//! Each role in a process of its own, which does what the role does not.

mod files;

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::thread;

use libc::{c_int, c_long};
use syscalls::Sysno;

use super::{InForce, Level, Needs, Role, Sandbox, calls};
use crate::cpu::HostKind;
use crate::report::FAILURE_STATUS;

/// Runs `body` in a child process; its status, and what it has written to standard error.
fn in_a_child(body: impl FnOnce() -> c_int) -> (c_int, String) {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    // SAFETY: the child runs `body` and ends, and shares nothing with the parent but files.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a process");
    if child == 0 {
        // SAFETY: plain calls; the process ends here.
        unsafe {
            libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO);
            libc::_exit(body());
        }
    }
    drop(writer);
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("text");
    let mut status = 0;
    // SAFETY: waits for the child, and writes a status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "{status:#x}: {said}");
    (libc::WEXITSTATUS(status), said)
}

fn in_force(level: Level) -> InForce {
    let sandbox = Sandbox {
        level,
        caller: true,
    };
    sandbox.in_force()
}

fn needs(host: HostKind) -> Needs {
    Needs {
        host,
        ..Needs::NONE
    }
}

/// Whether the list of `role` has the call.
fn is_listed(role: Role, needs: &Needs, call: c_long, arguments: &[u64; 6]) -> bool {
    let name = Sysno::new(call as usize).expect("it has a number").name();
    let rows = calls::allowed(role, needs);
    rows.iter().any(|row| row.allows(name, arguments))
}

/// Confines the child and makes a call; zero if that returns, whatever it says.
fn tries(role: Role, needs: &Needs, call: c_long, arguments: [u64; 6]) -> (c_int, String) {
    in_a_child(|| {
        if in_force(Level::Full).confine(role, needs).is_err() {
            return 1;
        }
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: what returns has had arguments that point nowhere.
        unsafe { libc::syscall(call, a, b, c, d, e, f) };
        0
    })
}

/// The status of a process that has made a call which is not on its list.
const FAILED: c_int = FAILURE_STATUS as c_int;
const ROLES: [Role; 4] = [Role::Vcpu, Role::Events, Role::Watcher, Role::Maker];

#[test]
fn what_no_run_does_ends_the_process_with_its_name() {
    if !calls::are_available() {
        panic!("this host has no seccomp, which these tests need");
    }
    let code = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let init = 1;
    let new = (libc::O_CREAT | libc::O_WRONLY) as u64;
    let forbidden: [(&str, c_long, [u64; 6]); 21] = [
        ("socket", libc::SYS_socket, [1, 1, 0, 0, 0, 0]),
        ("connect", libc::SYS_connect, [0; 6]),
        ("open", libc::SYS_open, [0; 6]),
        ("openat", libc::SYS_openat, [0, 0, new, 0, 0, 0]),
        ("openat2", libc::SYS_openat2, [0; 6]),
        ("execve", libc::SYS_execve, [0; 6]),
        ("execveat", libc::SYS_execveat, [0; 6]),
        ("fork", libc::SYS_fork, [0; 6]),
        (
            "clone",
            libc::SYS_clone,
            [libc::SIGCHLD as u64, 0, 0, 0, 0, 0],
        ),
        ("clone3", libc::SYS_clone3, [0; 6]),
        ("ptrace", libc::SYS_ptrace, [0; 6]),
        ("process_vm_writev", libc::SYS_process_vm_writev, [0; 6]),
        ("kill", libc::SYS_kill, [init, 0, 0, 0, 0, 0]),
        ("tgkill", libc::SYS_tgkill, [init, init, 0, 0, 0, 0]),
        (
            "mmap",
            libc::SYS_mmap,
            [0, 4096, code, anonymous, u64::MAX, 0],
        ),
        ("mprotect", libc::SYS_mprotect, [0, 4096, code, 0, 0, 0]),
        ("ioctl", libc::SYS_ioctl, [0, libc::TIOCSTI, 0, 0, 0, 0]),
        (
            "prctl",
            libc::SYS_prctl,
            [libc::PR_GET_DUMPABLE as u64, 0, 0, 0, 0, 0],
        ),
        (
            "rt_sigaction",
            libc::SYS_rt_sigaction,
            [libc::SIGSYS as u64, 0, 0, 8, 0, 0],
        ),
        ("sendto", libc::SYS_sendto, [0, 0, 0, 0, 1, 16]),
        ("unlinkat", libc::SYS_unlinkat, [0; 6]),
    ];
    for role in ROLES {
        for host in [HostKind::Emulator, HostKind::Software, HostKind::Hardware] {
            for (name, call, arguments) in forbidden {
                if role == Role::Maker && matches!(name, "openat2" | "clone3") {
                    // It opens what the guest reads, and learns that there is no such call.
                    continue;
                }
                let needs = needs(host);
                assert!(
                    !is_listed(role, &needs, call, &arguments),
                    "{role:?}: {name}"
                );
                let (status, said) = tries(role, &needs, call, arguments);
                assert_eq!(status, FAILED, "{role:?} on {host}: {name}: {said}");
                assert!(said.contains(&format!("system call {name},")), "{said}");
                assert_eq!(said.lines().count(), 1, "{said}");
            }
        }
    }
}

/// A mapping that is the emulator's but for its length, the upper half of which is not zero.
#[test]
fn lengths_are_compared_whole() {
    let len = cpu::emu::CODE_MEMORY_LEN;
    let code = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let shared = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
    let needs = needs(HostKind::Emulator);
    for (len, expected) in [(len, 0), (len | 1 << 32, FAILED), (2 * len, FAILED)] {
        let arguments = [0, len, code, shared, u64::MAX, 0];
        let listed = is_listed(Role::Vcpu, &needs, libc::SYS_mmap, &arguments);
        assert_eq!(listed, expected == 0, "{len:#x}");
        let (status, said) = tries(Role::Vcpu, &needs, libc::SYS_mmap, arguments);
        assert_eq!(status, expected, "{len:#x}: {said}");
    }
}

#[test]
fn each_role_has_what_it_needs() {
    let kvm_run = cpu::kvm::RUN_REQUESTS[0];
    let run = (libc::SYS_ioctl, [u64::MAX, kvm_run, 0, 0, 0, 0]);
    let memfd = (libc::SYS_memfd_create, [0; 6]);
    let wait = (libc::SYS_epoll_wait, [u64::MAX, 0, 0, 0, 0, 0]);
    let look = (libc::SYS_fcntl, [0, libc::F_GETFD as u64, 0, 0, 0, 0]);
    let turn = (libc::SYS_fcntl, [0, libc::F_SETFL as u64, 0, 0, 0, 0]);
    let start = (libc::SYS_clone3, [0; 6]);
    let (soft, hard, emulator) = (HostKind::Software, HostKind::Hardware, HostKind::Emulator);
    for (role, host, (call, arguments), allowed) in [
        (Role::Vcpu, hard, run, true),
        (Role::Vcpu, emulator, run, false),
        (Role::Watcher, hard, run, false),
        (Role::Vcpu, emulator, memfd, true),
        (Role::Vcpu, soft, memfd, true),
        (Role::Vcpu, hard, memfd, false),
        (Role::Events, emulator, memfd, false),
        (Role::Events, emulator, wait, true),
        (Role::Vcpu, emulator, wait, false),
        (Role::Vcpu, emulator, look, true),
        (Role::Events, hard, look, true),
        (Role::Watcher, emulator, look, true),
        (Role::Watcher, emulator, turn, false),
        (Role::Maker, emulator, run, true),
        (Role::Maker, hard, memfd, true),
        (Role::Maker, emulator, wait, true),
        (Role::Maker, emulator, turn, false),
        (Role::Maker, emulator, start, true),
        (Role::Events, emulator, start, false),
    ] {
        let needs = needs(host);
        assert_eq!(
            is_listed(role, &needs, call, &arguments),
            allowed,
            "{role:?}: {call}"
        );
        let (status, said) = tries(role, &needs, call, arguments);
        let expected = if allowed { 0 } else { FAILED };
        assert_eq!(status, expected, "{role:?} on {host}, call {call}: {said}");
    }
}

/// More often than walls of Landlock can stand around each other (16).
#[test]
fn a_maker_starts_threads_that_have_less() {
    let found = in_a_child(|| {
        let sandbox = in_force(Level::Full);
        if sandbox.confine(Role::Maker, &Needs::NONE).is_err() {
            return 1;
        }
        for _ in 0..40 {
            let run = thread::spawn(move || sandbox.confine(Role::Vcpu, &Needs::NONE).is_ok());
            if !run.join().unwrap_or(false) {
                return 2;
            }
        }
        // SAFETY: what it points to is nowhere, and it does nothing.
        unsafe { libc::syscall(libc::SYS_clone3, 0, 0) };
        io::Error::last_os_error().raw_os_error().unwrap_or(3)
    });
    assert_eq!(found, (libc::ENOSYS, String::new()));
}

#[test]
fn a_heap_of_others_is_refused_its_setting() {
    for heaps in [false, true] {
        let needs = Needs {
            heaps,
            ..Needs::NONE
        };
        for (flags, allowed) in [
            (libc::O_CLOEXEC, heaps),
            (libc::O_CLOEXEC | libc::O_RDWR, false),
        ] {
            let (status, said) = in_a_child(|| {
                if in_force(Level::Seccomp)
                    .confine(Role::Vcpu, &needs)
                    .is_err()
                {
                    return 1;
                }
                // SAFETY: the name ends with a zero.
                unsafe { libc::open(c"/dev/null".as_ptr(), flags) };
                io::Error::last_os_error().raw_os_error().unwrap_or(1)
            });
            let expected = if allowed { libc::EACCES } else { FAILED };
            assert_eq!(status, expected, "{heaps} {flags:#x}: {said}");
        }
    }
}

#[test]
fn a_signal_of_others_is_no_violation() {
    let (status, said) = in_a_child(|| {
        extern "C" fn ends(_: c_int) {
            // SAFETY: ends the process.
            unsafe { libc::_exit(7) };
        }
        // SAFETY: installs a handler that only ends the process, and sends it the signal.
        unsafe {
            libc::signal(
                libc::SIGSYS,
                ends as extern "C" fn(c_int) as libc::sighandler_t,
            );
            let confined = in_force(Level::Seccomp).confine(Role::Watcher, &Needs::NONE);
            if confined.is_err() {
                return 1;
            }
            libc::raise(libc::SIGSYS);
        }
        0
    });
    assert_eq!((status, said.as_str()), (7, ""));
}

#[test]
fn nothing_is_in_force_where_nothing_is_wanted() {
    let found = in_force(Level::None);
    assert_eq!(found, InForce::NONE);
    assert_eq!(found.lacks(), None);
    let (status, said) = in_a_child(|| {
        let confined = found.confine(Role::Vcpu, &Needs::NONE);
        // SAFETY: a call that no run makes, with nothing to do.
        let made = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_DUMPABLE, 0, 0, 0, 0) };
        c_int::from(confined.is_err() || made < 0)
    });
    assert_eq!((status, said.as_str()), (0, ""));
}

/// Nobody reads standard error, and there is no room in it.
#[test]
fn a_violation_waits_for_nobody() {
    let (status, _) = in_a_child(|| {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        // SAFETY: plain calls on descriptors of this process.
        unsafe {
            libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
            while io::Write::write(&mut writer, &[0; 4096]).is_ok() {}
            libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, 0);
            libc::dup2(writer.as_raw_fd(), libc::STDERR_FILENO);
        }
        if in_force(Level::Seccomp)
            .confine(Role::Watcher, &Needs::NONE)
            .is_err()
        {
            return 1;
        }
        // SAFETY: a call that no run makes, with nothing to do.
        unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_DUMPABLE, 0, 0, 0, 0) };
        drop(reader);
        0
    });
    assert_eq!(status, FAILED);
}

#[test]
fn dumps_can_be_forbidden() {
    let (dumpable, said) = in_a_child(|| {
        if super::forbid_dumps().is_err() {
            return -1;
        }
        // SAFETY: it asks for a number.
        unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }
    });
    assert_eq!((dumpable, said.as_str()), (0, ""));
}

#[test]
fn what_the_host_lacks_is_named() {
    let found = |level, seccomp, landlock| InForce {
        level,
        seccomp,
        landlock,
    };
    assert_eq!(found(Level::Full, true, Some(7)).lacks(), None);
    assert_eq!(found(Level::Seccomp, true, None).lacks(), None);
    let of = |found: InForce| found.lacks().expect("something is missing");
    assert!(of(found(Level::Full, true, None)).contains("Landlock"));
    assert!(of(found(Level::Full, false, Some(7))).contains("seccomp"));
    assert!(of(found(Level::Full, false, None)).contains("seccomp and Landlock"));
    assert!(of(found(Level::Seccomp, false, None)).contains("seccomp"));
}
