//! Two runs at one terminal: the earlier settings are restored, whichever ends first.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::session::{LONG, send, wait_until_ended};
use crate::shell::{Shell, wait_until_looked_after};
use crate::support::Target;
use crate::support::suite::Case;

pub const CASES: &[Case] = &[
    ("two_runs_by_turns", by_turns),
    ("two_runs_of_one_job", of_one_job),
    (
        "two_runs_one_stopped_without_notice",
        one_stopped_without_notice,
    ),
];

const ENDED: i32 = 128 + Signal::SIGTERM as i32;
const STOPPED: i32 = 128 + Signal::SIGSTOP as i32;

/// Starts two jobs; returns the shell, and the processes in the order given by `swapped`
/// with their jobs.
fn two_jobs(target: Target, swapped: bool) -> (Shell, [(Pid, &'static str); 2]) {
    let mut shell = Shell::start(target);
    let mut runs = ["%1", "%2"].map(|job| (shell.start_run(&LONG), job));
    if swapped {
        runs.reverse();
    }
    (shell, runs)
}

/// Each is in the foreground once, and the one that was there first ends first or last.
fn by_turns(target: Target) {
    for swapped in [false, true] {
        let (mut shell, [one, other]) = two_jobs(target, swapped);
        for (pid, job) in [one, other] {
            shell.foreground(job);
            shell.wait_for_guest();
            send(pid, Signal::SIGTSTP as i32);
            assert_eq!(shell.status(), STOPPED);
            shell.terminal.assert_restored();
        }
        for (pid, job) in [one, other] {
            shell.foreground(job);
            shell.wait_for_guest();
            send(pid, Signal::SIGTERM as i32);
            assert_eq!(shell.status(), ENDED);
            shell.terminal.assert_restored();
        }
        shell.end();
    }
}

/// Both in the foreground: when one ends the other has the terminal.
fn of_one_job(target: Target) {
    for first_ends_first in [true, false] {
        let mut shell = Shell::start(target);
        let run = shell.run_of(&LONG);
        shell.command(&format!("{run} | {run} &"));
        let second = shell.pid("$!");
        let first = shell.answer("jobs -p %1").parse().expect("a process id");
        let first = Pid::from_raw(first);
        wait_until_looked_after(first);
        wait_until_looked_after(second);
        let (one, other) = match first_ends_first {
            true => (first, second),
            false => (second, first),
        };
        shell.foreground("%1");
        shell.wait_for_guest();
        send(one, Signal::SIGTERM as i32);
        wait_until_ended(one);
        shell.wait_for_guest();
        send(other, Signal::SIGTERM as i32);
        assert_eq!(shell.status(), ENDED);
        shell.end();
    }
}

/// One could not restore the terminal; the other still gets it, whether the shell has
/// restored it or not.
fn one_stopped_without_notice(target: Target) {
    for (put_back, stopped_ends_first) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let (mut shell, [(stopped, stopped_job), (other, other_job)]) = two_jobs(target, false);
        shell.foreground(stopped_job);
        shell.wait_for_guest();
        send(stopped, Signal::SIGSTOP as i32);
        assert_eq!(shell.status(), STOPPED);
        if put_back {
            shell.terminal.put_back();
        }
        shell.foreground(other_job);
        // It may have been for a guest before.
        shell.wait(|terminal| terminal.foreground() == other);
        shell.wait_for_guest();
        if stopped_ends_first {
            send(stopped, Signal::SIGTERM as i32);
            send(stopped, Signal::SIGCONT as i32);
            wait_until_ended(stopped);
            shell.wait_for_guest();
            send(other, Signal::SIGTERM as i32);
            assert_eq!(shell.status(), ENDED);
        } else {
            send(other, Signal::SIGTERM as i32);
            assert_eq!(shell.status(), ENDED);
            shell.foreground(stopped_job);
            shell.wait_for_guest();
            send(stopped, Signal::SIGTERM as i32);
            assert_eq!(shell.status(), ENDED);
        }
        shell.end();
    }
}
