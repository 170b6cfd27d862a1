//! A run that is stopped gives the terminal back, and takes it again when it goes on.

use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::session::{LONG, PATIENCE, POLL, Session, ends_in_time};
use crate::support::Target;
use crate::support::suite::Case;

pub const CASES: &[Case] = &[
    ("terminal_while_stopped", while_stopped),
    ("terminal_after_stops_at_once", stops_at_once),
    ("terminal_after_a_stop_without_notice", after_sigstop),
];

fn wait_until_stopped(session: &Session) {
    let (start, flags) = (
        Instant::now(),
        WaitPidFlag::WUNTRACED | WaitPidFlag::WNOHANG,
    );
    let changed = loop {
        match waitpid(session.pid(), Some(flags)).expect("our child") {
            WaitStatus::StillAlive if start.elapsed() < PATIENCE => thread::sleep(POLL),
            changed => break changed,
        }
    };
    assert_eq!(changed, WaitStatus::Stopped(session.pid(), Signal::SIGSTOP));
}

fn while_stopped(target: Target) {
    let (status, shown) = ends_in_time(
        || Session::start(target, &LONG),
        |session| {
            session.wait_for_guest();
            for signal in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
                session.signal(signal);
                wait_until_stopped(session);
                session.wait_for_restored();
                session.signal(Signal::SIGCONT);
                session.wait_for_guest();
            }
            session.signal(Signal::SIGTERM);
        },
    );
    assert_eq!(status.code(), Some(128 + Signal::SIGTERM as i32), "{shown}");
}

/// However many signals come while the first is handled.
fn stops_at_once(target: Target) {
    let (status, shown) = ends_in_time(
        || Session::start(target, &LONG),
        |session| {
            session.wait_for_guest();
            for _ in 0..100 {
                for signal in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
                    session.signal(signal);
                    session.signal(Signal::SIGCONT);
                }
            }
            // What came last may be a stop.
            for _ in 0..20 {
                thread::sleep(POLL);
                session.signal(Signal::SIGCONT);
            }
            session.wait_for_guest();
            session.signal(Signal::SIGTERM);
        },
    );
    assert_eq!(status.code(), Some(128 + Signal::SIGTERM as i32), "{shown}");
}

/// A shell puts the terminal back then, and the run must not take that for the guest's.
fn after_sigstop(target: Target) {
    let (status, shown) = ends_in_time(
        || Session::start(target, &LONG),
        |session| {
            session.wait_for_guest();
            for _ in 0..3 {
                session.signal(Signal::SIGSTOP);
                wait_until_stopped(session);
                session.terminal.put_back();
                session.signal(Signal::SIGCONT);
                session.wait_for_guest();
            }
            session.type_keys(b"\x01x");
        },
    );
    assert_eq!(status.code(), Some(130), "{shown}");
}
