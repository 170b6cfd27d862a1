//! A run in the background of a shell leaves the terminal to others.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::session::{LONG, send, wait_until_ended};
use crate::shell::Shell;
use crate::support::Target;
use crate::support::suite::Case;

pub const CASES: &[Case] = &[
    ("background_run_leaves_the_terminal", leaves_the_terminal),
    ("background_run_is_resumed", is_resumed),
    ("background_run_lets_go", lets_go),
    ("background_run_comes_to_the_foreground", comes_forward),
    ("background_run_ends", ends),
];

/// Several times as long as a run needs to look at the terminal.
const WHILE: Duration = Duration::from_millis(300);

fn state(pid: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("the name is in brackets");
    rest.chars().next().expect("a state")
}

/// Asserts that for a while nobody changes the terminal, and this run is not stopped.
#[track_caller]
fn is_left_alone(shell: &Shell, pid: Pid) {
    let step = WHILE / 30;
    for _ in 0..30 {
        shell.terminal.assert_restored();
        assert_ne!(state(pid), 'T', "it is stopped");
        thread::sleep(step);
    }
}

/// Ends the shell's only run, which is in the background.
#[track_caller]
fn ends_when_told(mut shell: Shell) {
    shell.command("kill %1; wait %1; echo $?");
    assert_eq!(shell.status(), 128 + Signal::SIGTERM as i32);
    shell.end();
}

/// Also where the guest wants input, and while others are typed to.
fn leaves_the_terminal(target: Target) {
    for words in [&LONG[..], &["cat"]] {
        let mut shell = Shell::start(target);
        let pid = shell.start_run(words);
        is_left_alone(&shell, pid);
        shell.terminal.type_keys(b"for others\r");
        is_left_alone(&shell, pid);
        let line = shell.answer(r#"read -r line <"$TTY"; echo "$line""#);
        assert_eq!(line, "for others");
        ends_when_told(shell);
    }
}

/// SIGCONT alone does not give it the terminal.
fn is_resumed(target: Target) {
    let mut shell = Shell::start(target);
    let pid = shell.start_run(&LONG);
    for stop in [Signal::SIGSTOP, Signal::SIGTSTP] {
        send(pid, stop as i32);
        while state(pid) != 'T' {
            thread::sleep(WHILE / 30);
        }
        shell.command("bg %1 >/dev/null");
        shell.command("kill -CONT %1; echo $?");
        assert_eq!(shell.status(), 0);
        is_left_alone(&shell, pid);
    }
    shell.foreground("%1");
    shell.wait_for_guest();
    send(pid, Signal::SIGTERM as i32);
    assert_eq!(shell.status(), 128 + Signal::SIGTERM as i32);
    shell.end();
}

/// Stopped without notice and then resumed in the background, it gives the terminal back
/// if the shell has not.
fn lets_go(target: Target) {
    let mut shell = Shell::start(target);
    let pid = shell.start_run(&LONG);
    for _ in 0..3 {
        shell.foreground("%1");
        shell.wait_for_guest();
        send(pid, Signal::SIGSTOP as i32);
        assert_eq!(shell.status(), 128 + Signal::SIGSTOP as i32);
        shell.command("bg %1 >/dev/null; echo $?");
        assert_eq!(shell.status(), 0);
        shell.wait_for_restored();
        is_left_alone(&shell, pid);
    }
    ends_when_told(shell);
}

/// Then it has the keys.
fn comes_forward(target: Target) {
    let mut shell = Shell::start(target);
    let pid = shell.start_run(&["cat"]);
    shell.foreground("%1");
    shell.wait_for_guest();
    assert_eq!(shell.terminal.foreground(), pid);
    shell.terminal.type_keys(b"word\r");
    shell.wait(|terminal| terminal.shown().contains("word\r\nword\r\n"));
    send(pid, Signal::SIGTSTP as i32);
    assert_eq!(shell.status(), 128 + Signal::SIGSTOP as i32);
    shell.terminal.assert_restored();
    shell.foreground("%1");
    shell.wait_for_guest();
    shell.terminal.type_keys(b"again\r");
    shell.wait(|terminal| terminal.shown().contains("again\r\nagain\r\n"));
    shell.terminal.type_keys(b"\x04");
    assert_eq!(shell.status(), 0);
    shell.end();
}

/// By a signal, by itself, and by a signal after it had the terminal.
fn ends(target: Target) {
    let mut shell = Shell::start(target);
    shell.start_run(&LONG);
    shell.command("kill -QUIT %1; wait %1; echo $?");
    assert_eq!(shell.status(), 128 + Signal::SIGQUIT as i32);
    shell.terminal.assert_restored();

    shell.command(&format!("{} & wait $!; echo $?", shell.run_of(&["hello"])));
    assert_eq!(shell.status(), 0);
    shell.terminal.assert_restored();

    let pid = shell.start_run(&LONG);
    shell.foreground("%%");
    shell.wait_for_guest();
    send(pid, Signal::SIGSTOP as i32);
    assert_eq!(shell.status(), 128 + Signal::SIGSTOP as i32);
    // It had no time to put the terminal back before.
    shell.command("kill -TERM $!; bg %% >/dev/null; echo $?");
    assert_eq!(shell.status(), 0);
    wait_until_ended(pid);
    let shown = shell.end();
    assert!(shown.contains("Hello from ring 3!"), "{shown}");
    assert!(shown.contains("killed by signal 15"), "{shown}");
}
