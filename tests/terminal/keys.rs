//! Keys are the guest's, but for the VMM's own.

use crate::session::{LONG, Session, ends_in_time};
use crate::support::Target;
use crate::support::suite::Case;

pub const CASES: &[Case] = &[
    ("key_ends_the_machine", key_ends_the_machine),
    ("key_shows_help", key_shows_help),
    ("key_passes_itself_on", key_passes_itself_on),
    ("keys_signal_the_guest", keys_signal_the_guest),
    ("keys_make_a_line", keys_make_a_line),
    ("keys_make_a_long_line", keys_make_a_long_line),
    ("keys_wait_for_a_guest_that_reads", keys_wait),
];

/// The longest line, but for what ends it.
const LONGEST: usize = 4095;
/// A text much longer than what fits between keyboard and program.
const LINES: usize = 1000;

/// Also where the guest reads nothing, with a long text typed before.
fn key_ends_the_machine(target: Target) {
    let text = "text that nobody wants\r".repeat(LINES);
    for before in ["", &text] {
        let (status, shown) = ends_in_time(
            || Session::start(target, &LONG),
            |session| {
                session.wait_for_guest();
                session.type_keys(before.as_bytes());
                session.type_keys(b"\x01x");
            },
        );
        assert_eq!(status.code(), Some(130), "{shown}");
    }
}

fn key_shows_help(target: Target) {
    let mut session = Session::start(target, &["cat"]);
    session.wait_for_guest();
    session.type_keys(b"\x01?");
    session.wait_for_text("Ctrl-A x");
    session.type_keys(b"\x04");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
}

/// Typed twice it goes to the guest once; a key that the VMM does not know is dropped.
fn key_passes_itself_on(target: Target) {
    let mut session = Session::start(target, &["cat"]);
    session.wait_for_guest();
    session.type_keys(b"a\x01\x01b\x01yc\r");
    session.wait_for_text("a^Abc\r\na\x01bc\r\n");
    session.type_keys(b"\x04");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
}

/// Ctrl-C ends a program that does not read, and not the VMM.
fn keys_signal_the_guest(target: Target) {
    let mut session = Session::start(target, &LONG);
    session.wait_for_guest();
    session.type_keys(b"\x03");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(130), "{shown}");
    assert!(shown.contains("killed by signal 2"), "{shown}");
}

/// Enter ends a line; the guest's terminal echoes it, and `cat` prints it.
fn keys_make_a_line(target: Target) {
    let mut session = Session::start(target, &["cat"]);
    session.wait_for_guest();
    session.type_keys(b"word\r");
    session.wait_for_text("word\r\nword\r\n");
    session.type_keys(b"\x04");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
}

/// The excess of the longest line is dropped, and the line still ends, as under Linux.
fn keys_make_a_long_line(target: Target) {
    for (typed, kept) in [(LONGEST, LONGEST), (LONGEST + 1, LONGEST), (6000, LONGEST)] {
        let mut session = Session::start(target, &["wc"]);
        session.wait_for_guest();
        session.type_keys("x".repeat(typed).as_bytes());
        session.wait_for_text(&"x".repeat(typed));
        session.type_keys(b"\r\x04");
        let (status, shown) = session.end();
        assert_eq!(status.code(), Some(0), "{shown}");
        let counts = shown.trim_start_matches('x');
        let counts: Vec<_> = counts.split_ascii_whitespace().collect();
        assert_eq!(counts, ["1", "1", &(kept + 1).to_string()], "{typed} typed");
    }
}

/// A long text that is typed at once comes through whole.
fn keys_wait(target: Target) {
    let mut session = Session::start(target, &["wc"]);
    session.wait_for_guest();
    let line = "a line of a text that somebody pastes\r";
    session.type_keys(line.repeat(LINES).as_bytes());
    session.type_keys(b"\x04");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    let words = line.split_ascii_whitespace().count();
    let counts: Vec<_> = shown
        .lines()
        .last()
        .expect("the counts")
        .split(' ')
        .collect();
    assert_eq!(
        counts,
        [LINES, LINES * words, LINES * line.len()].map(|count| count.to_string())
    );
}
