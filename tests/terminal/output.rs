//! A terminal that takes no output does not keep a run from ending, in time.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::pty::{Screen, Terminal};
use crate::session::{Session, ends_in_time};
use crate::support::suite::Case;
use crate::support::{Target, shell_status};

pub const CASES: &[Case] = &[
    ("the_screen_has_its_size", the_screen_has_its_size),
    ("output_that_nobody_reads", |target| {
        ends(target, Screen::Unread)
    }),
    ("output_that_is_stopped", |target| {
        ends(target, Screen::Stopped)
    }),
];

/// The guest's terminal is as large as the host's, and its programs are told of changes.
fn the_screen_has_its_size(target: Target) {
    let terminal = Terminal::open(Screen::Seen);
    terminal.resize(101, 31);
    let mut session = Session::start_on(terminal, target, &["window", "3"]);
    session.wait_for_text("101 x 31\r\n");
    for (columns, rows) in [(77, 31), (200, 50)] {
        session.terminal.resize(columns, rows);
        session.wait_for_text(&format!("{columns} x {rows}\r\n"));
    }
}

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
