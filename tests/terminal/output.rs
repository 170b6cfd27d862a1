//! A terminal that takes no output does not keep a run from ending, in time.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::pty::{Screen, Terminal};
use crate::session::{Session, ends_in_time};
use crate::support::suite::Case;
use crate::support::{Target, shell_status};

pub const CASES: &[Case] = &[
    ("output_that_nobody_reads", |target| {
        ends(target, Screen::Unread)
    }),
    ("output_that_is_stopped", |target| {
        ends(target, Screen::Stopped)
    }),
];

/// Writes for ever.
const FLOOD: [&str; 2] = ["cat", "/dev/zero"];
/// Long enough for the guest to come to where its output is not taken.
const SETTLED: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(1);

fn ends(target: Target, screen: Screen) {
    let flood = |options: &[&str]| {
        Session::start_on(Terminal::open(screen), target, &[options, &FLOOD].concat())
    };
    let settled = |session: &mut Session| {
        session.wait_for_guest();
        thread::sleep(SETTLED);
    };
    let (status, _) = ends_in_time(|| flood(&["--timeout", "1s"]), |_| thread::sleep(LIMIT));
    assert_eq!(status.code(), Some(124));
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let (status, _) = ends_in_time(
            || flood(&[]),
            |session| {
                settled(session);
                session.signal(signal);
            },
        );
        assert_eq!(shell_status(status), 128 + signal as i32);
    }
    let (status, _) = ends_in_time(
        || flood(&[]),
        |session| {
            settled(session);
            session.type_keys(b"\x01x");
        },
    );
    assert_eq!(status.code(), Some(130));
}
