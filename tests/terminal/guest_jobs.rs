//! Keys that send signals go to the job in the foreground of the guest's own shell.

use crate::session::Session;
use crate::support::Target;
use crate::support::suite::Case;

pub const CASES: &[Case] = &[("keys_signal_jobs_of_the_guest", keys_signal_jobs)];

const CTRL_C: u8 = 3;
const CTRL_Z: u8 = 26;
const CTRL_BACKSLASH: u8 = 28;

/// Types a line; the terminal shows it and then `answer`.
#[track_caller]
fn line(session: &mut Session, text: &str, answer: &str) {
    let shown = session.terminal.shown();
    session.type_keys(format!("{text}\r").as_bytes());
    session.wait_for_text(&format!("{shown}{text}\r\n{answer}"));
}

/// The same with a command that says nothing. Keys that send signals also discard what is
/// typed and not read yet, so the shell itself says something when it has read the line.
#[track_caller]
fn run(session: &mut Session, command: &str) {
    line(
        session,
        &format!("cd nowhere; {command}"),
        "sh: cd: ENOENT\r\n",
    );
}

fn keys_signal_jobs(target: Target) {
    let mut session = Session::start(target, &["sh"]);
    session.wait_for_text("$ ");
    run(&mut session, "spin 3600000");
    session.type_until(CTRL_Z, "^Z[1] stopped spin\r\n$ ");
    line(&mut session, "bg", "$ ");
    line(&mut session, "jobs", "[1] running spin\r\n$ ");
    run(&mut session, "fg");
    session.type_until(CTRL_C, "^Csh: SIGINT\r\n$ ");
    // One in the background that reads is stopped by SIGTTIN.
    line(&mut session, "cat &", "$ ");
    line(
        &mut session,
        "sleep 200; jobs",
        "slept for 200 ms\r\n[1] stopped cat\r\n$ ",
    );
    run(&mut session, "cat");
    session.type_until(CTRL_BACKSLASH, "^\\sh: SIGQUIT\r\n$ ");
    line(&mut session, "fg", "");
    session.type_keys(b"word\r\x04");
    session.wait_for_text("fg\r\nword\r\nword\r\n$ ");
    session.type_keys(b"exit 7\r");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(7), "{shown}");
}
