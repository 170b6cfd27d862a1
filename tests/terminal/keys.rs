//! Keys are the guest's, but for the VMM's own.

use crate::session::Session;
use crate::support::Target;
use crate::support::suite::Case;

pub const CASES: &[Case] = &[
    ("key_ends_the_machine", key_ends_the_machine),
    ("key_shows_help", key_shows_help),
    ("keys_signal_the_guest", keys_signal_the_guest),
    ("keys_make_a_line", keys_make_a_line),
];

/// Also where the guest reads nothing.
fn key_ends_the_machine(target: Target) {
    let mut session = Session::start(target, &["--report", "none", "spin", "3600000"]);
    session.wait_for_guest();
    session.type_keys(b"\x01x");
    let (status, shown) = session.end_promptly();
    assert_eq!(status.code(), Some(130), "{shown}");
}

fn key_shows_help(target: Target) {
    let mut session = Session::start(target, &["--report", "none", "cat"]);
    session.wait_for_guest();
    session.type_keys(b"\x01?");
    session.wait_for_text("Ctrl-A x");
    session.type_keys(b"\x04");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
}

/// Ctrl-C ends a program that does not read, and not the VMM.
fn keys_signal_the_guest(target: Target) {
    let mut session = Session::start(target, &["--report", "none", "spin", "3600000"]);
    session.wait_for_guest();
    session.type_keys(b"\x03");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(130), "{shown}");
    assert!(shown.contains("killed by signal 2"), "{shown}");
}

/// Enter ends a line; the guest's terminal echoes it, and `cat` prints it.
fn keys_make_a_line(target: Target) {
    let mut session = Session::start(target, &["--report", "none", "cat"]);
    session.wait_for_guest();
    session.type_keys(b"word\r");
    session.wait_for_text("word\r\nword\r\n");
    session.type_keys(b"\x04");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
}
