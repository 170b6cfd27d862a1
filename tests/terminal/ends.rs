//! Every way out of a run leaves the terminal as it was.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::session::{Session, shell_status};
use crate::support::Target;
use crate::support::elf::{self, TempFile};
use crate::support::suite::Case;

pub const CASES: &[Case] = &[
    ("terminal_after_an_exit", after_an_exit),
    ("terminal_after_bad_input", after_bad_input),
    ("terminal_after_a_triple_fault", after_a_triple_fault),
    ("terminal_after_a_timeout", after_a_timeout),
    ("terminal_after_signals_that_end", after_signals_that_end),
    ("terminal_after_signals_that_kill", after_signals_that_kill),
    ("terminal_after_early_signals", after_early_signals),
];

/// A run that would take an hour.
const LONG: [&str; 4] = ["--report", "none", "spin", "3600000"];

fn after_an_exit(target: Target) {
    let (status, shown) = Session::start(target, &["hello"]).end();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("Outcome  exited with status 0"), "{shown}");
}

fn after_bad_input(target: Target) {
    let (status, shown) = Session::start(target, &["no such program"]).end();
    assert_eq!(status.code(), Some(2), "{shown}");
    assert_eq!(shown.lines().count(), 1, "{shown}");
    let (status, shown) = Session::start(target, &["--no-such-option"]).end();
    assert_eq!(status.code(), Some(2), "{shown}");
}

fn after_a_triple_fault(target: Target) {
    // Without an IDT ud2 is one.
    let kernel = TempFile::new("triple", &elf::kernel(&[0x0f, 0x0b]));
    let path = kernel.path().to_str().expect("a path of ours");
    let args = ["--report", "none", "--kernel", path, "hello"];
    let (status, shown) = Session::start(target, &args).end();
    assert_eq!(status.code(), Some(125), "{shown}");
}

fn after_a_timeout(target: Target) {
    let args = [&["--timeout", "300ms"], &LONG[..]].concat();
    let (status, shown) = Session::start(target, &args).end();
    assert_eq!(status.code(), Some(124), "{shown}");
    assert!(shown.contains("vmm: timeout"), "{shown}");
}

fn after_signals_that_end(target: Target) {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        let mut session = Session::start(target, &LONG);
        session.wait_for_guest();
        session.signal(signal);
        let (status, shown) = session.end_promptly();
        assert_eq!(status.code(), Some(128 + signal as i32), "{shown}");
    }
}

/// But for those of real time and of faults, which have the same handler.
fn after_signals_that_kill(target: Target) {
    use Signal::{SIGALRM, SIGIO, SIGPROF, SIGPWR, SIGQUIT, SIGSEGV, SIGSYS};
    use Signal::{SIGSTKFLT, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ};
    let all = [
        SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGIO, SIGPWR,
        SIGSTKFLT, SIGSYS, SIGSEGV,
    ];
    for signal in all {
        let mut session = Session::start(target, &LONG);
        session.wait_for_guest();
        session.signal(signal);
        let (status, shown) = session.end_promptly();
        assert_eq!(status.signal(), Some(signal as i32), "{shown}");
    }
}

/// Whatever the VMM is at when the signal comes: there may be no handler yet.
fn after_early_signals(target: Target) {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
        for ms in [0, 1, 2, 5, 10, 20, 40] {
            let session = Session::start(target, &LONG);
            thread::sleep(Duration::from_millis(ms));
            session.signal(signal);
            let (status, shown) = session.end_promptly();
            assert_eq!(
                shell_status(status),
                128 + signal as i32,
                "{ms} ms: {shown}"
            );
        }
    }
}
