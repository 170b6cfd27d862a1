//! busybox's shell at the terminal, which uses all features of terminals.

use crate::session::Session;
use crate::support::suite::Case;
use crate::support::{Target, busybox};

pub const CASES: &[Case] = &[
    ("busybox_controls_jobs", controls_jobs),
    ("busybox_drops_what_was_typed", drops_what_was_typed),
    (
        "busybox_reads_what_was_typed_before",
        reads_what_was_typed_before,
    ),
];

fn start(target: Target, args: &[&str]) -> Session {
    let path = busybox::path().expect("there is one, or this test is ignored");
    Session::start(target, &[&[path, "sh"], args].concat())
}

/// It must find itself in the terminal's foreground.
fn controls_jobs(target: Target) {
    let mut session = start(target, &[]);
    session.wait_for_guest();
    session.type_keys(b"echo $((6 * 7)) | cat\rspin 100000 &\rkill %1\rexit 5\r");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(5), "{shown}");
    assert!(shown.lines().any(|line| line == "42"), "{shown}");
}

/// More is typed than the terminal keeps while nobody reads, then a program that asks for
/// a password drops that: the rest must still come.
fn drops_what_was_typed(target: Target) {
    let mut session = start(target, &[]);
    session.wait_for_guest();
    let typed = "x".repeat(39) + "\r";
    let keys = format!(
        "sleep 0.3; busybox mkpasswd -S ab; wc\r{}\x04exit 5\r",
        typed.repeat(150)
    );
    session.type_keys(keys.as_bytes());
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(5), "{shown}");
}

/// As much as the terminal keeps is typed before a program reads, and the end of input
/// behind it.
fn reads_what_was_typed_before(target: Target) {
    let mut session = start(target, &["-c", "sleep 1; wc"]);
    session.wait_for_guest();
    session.type_keys("x".repeat(6000).as_bytes());
    session.type_keys(b"\r\x04");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    let counts = shown.trim_start_matches('x');
    let counts: Vec<_> = counts.split_ascii_whitespace().collect();
    assert_eq!(counts, ["1", "1", "4096"]);
}
