//! A run that is stopped gives the terminal back, and takes it again when it goes on.

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::session::Session;
use crate::support::Target;
use crate::support::suite::Case;

pub const CASES: &[Case] = &[("terminal_while_stopped", while_stopped)];

fn while_stopped(target: Target) {
    let mut session = Session::start(target, &["--report", "none", "spin", "3600000"]);
    session.wait_for_guest();
    for _ in 0..3 {
        session.signal(Signal::SIGTSTP);
        let stopped = waitpid(session.pid(), Some(WaitPidFlag::WUNTRACED)).expect("our child");
        assert_eq!(stopped, WaitStatus::Stopped(session.pid(), Signal::SIGSTOP));
        session.wait_for_restored();
        session.signal(Signal::SIGCONT);
        session.wait_for_guest();
    }
    session.signal(Signal::SIGTERM);
    let (status, shown) = session.end_promptly();
    assert_eq!(status.code(), Some(128 + Signal::SIGTERM as i32), "{shown}");
}
