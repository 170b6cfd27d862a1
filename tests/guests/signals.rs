//! Signals: what programs see of them, to the letter as under Linux.

use crate::Case;
use crate::support::Target;
use crate::support::busybox;

pub const CASES: &[Case] = &[
    ("signals", signals),
    ("hostile_signal_frames", hostile_signal_frames),
    ("init_cannot_be_stopped", init_cannot_be_stopped),
    ("job_control", job_control),
];
/// What runs a program of the host's, built for Linux with glibc.
pub const BUSYBOX_CASES: &[Case] = &[("busybox_shell", busybox_shell)];

fn signals(target: Target) {
    let run = target.vmm("signals").run();
    run.status(0);
    assert!(run.stdout.lines().eq(SIGNALS.iter().copied()), "{run}");
}

fn hostile_signal_frames(target: Target) {
    // QEMU's CPU, on which the nested host runs, has it as a general protection fault.
    const STACK_FAULT: &str = "rsp non-canonical: killed by SIGBUS";
    let run = target.vmm("signal_frames").run();
    run.status(0);
    assert_eq!(run.stdout.lines().count(), FRAMES.len(), "{run}");
    for (line, expected) in run.stdout.lines().zip(FRAMES) {
        let is_other_fault = target.accel() != "emu"
            && *expected == STACK_FAULT
            && line == "rsp non-canonical: killed by SIGSEGV";
        assert!(line == *expected || is_other_fault, "{line}\n{run}");
    }
}

fn init_cannot_be_stopped(target: Target) {
    let run = target.vmm("stop_init").run();
    run.status(0).prints("not stopped\n");
}

/// The console has no user, but it is the terminal that init's session has.
fn job_control(target: Target) {
    let run = target.vmm("job_control");
    let run = run
        .options(&["--append", "stdin=terminal stdout=console"])
        .run();
    run.status(0);
    assert!(run.stdout.lines().eq(JOB_CONTROL.iter().copied()), "{run}");
}

/// A shell that handles signals, waits for children and is told how they ended.
fn busybox_shell(target: Target) {
    const SCRIPT: &str = "trap 'echo got USR1' USR1; kill -USR1 $$; (exit 4) & wait $!; echo $?; \
        echo a b c | cat | wc; x=$(echo sub); echo $x; while :; do :; done & \
        kill $!; wait $!; echo $?; spin 100000 & kill -STOP $!; kill -CONT $!; kill -9 $!; \
        wait $!; echo $?; trap 'echo bye' EXIT; exit 3";
    let path = busybox::path().expect("there is one, or this test is ignored");
    let run = target.vmm(path).args(&["sh", "-c", SCRIPT]).run();
    run.status(3);
    let words: Vec<_> = run.stdout.split_whitespace().collect();
    let expected = "got USR1 4 1 3 6 sub 143 137 bye";
    assert_eq!(words.join(" "), expected, "{run}");
}

const SIGNALS: &[&str] = &[
    "handler called 1 time, registers kept: true",
    "told who: true",
    "blocked: 0 calls, pending true",
    "suspend: Err(EINTR) after 1 call",
    "blocked again: true",
    "second signal inside the first: 21",
    "second signal after the first: 12",
    "handled once, then: killed by SIGUSR1",
    "read not restarted: Err(EINTR)",
    "read restarted: Ok(1)",
    "pause: Err(EINTR)",
    "sleep: Err(EINTR)",
    "fault told right: true, written: 7",
    "stack overflow, handled on another: exited with 9",
    "without another: killed by SIGSEGV",
    "3 alarms while spinning",
    "alarm without a handler: killed by SIGALRM",
    "SIGCHLD: Err(EINTR), told right: true",
    "and waited for: exited with 5",
    "child: stopped by SIGSTOP",
    "child: goes on",
    "child: exited with 6",
    "another: stopped by SIGSTOP",
    "ended only after it went on: true, killed by SIGTERM",
    "stopped in its sleep: exited with 6",
    "write to nobody: Err(EPIPE)",
];

const JOB_CONTROL: &[&str] = &[
    "claim, and has it: Ok(())",
    "own session: true",
    "read: stopped by SIGTTIN",
    "(written) write: Ok(())",
    "look: Ok(())",
    "change: stopped by SIGTTOU",
    "flush: stopped by SIGTTOU",
    "come to the foreground: stopped by SIGTTOU",
    "read, ignored: Err(EIO)",
    "read, blocked: Err(EIO)",
    "change, ignored: Ok(())",
    "change back, blocked: Ok(())",
    "flush, ignored: Ok(())",
    "flush, blocked: Ok(())",
    "flush of nothing that there is: Err(EINVAL)",
    "flush of output: Ok(())",
    "claim, and leads no session: Err(EPERM)",
    "write: stopped by SIGTTOU",
    "(written) write, ignored: Ok(())",
    "(written) write, blocked: Ok(())",
    "claim, and another session has it: Some(Err(EPERM))",
    "group negative: Err(EINVAL)",
    "group of nobody: Err(ESRCH)",
    "group of another session: Err(EPERM)",
    "steal: Ok(())",
    "orphaned, read: Some(Err(EIO))",
    "orphaned, write: Some(Err(EIO))",
    "orphaned, change: Some(Err(EIO))",
    "orphaned, flush: Some(Err(EIO))",
    "orphaned, come to the foreground: Some(Err(ENOTTY))",
    "stopped in its parent's group: goes on, hung up: Some(1)",
    "stopped in a group of its own: goes on, hung up: Some(1)",
    "leader ended, hung up: Some(1)",
    "foreground: Err(ENOTTY)",
    "claim: Ok(())",
    "foreground: Ok(true)",
    "give up: Ok(())",
    "foreground: Err(ENOTTY)",
];

const FRAMES: &[&str] = &[
    "nothing: exited with 0",
    "kernel code segment: killed by SIGSEGV",
    "null code segment: killed by SIGSEGV",
    "kernel stack segment: killed by SIGSEGV",
    "rip in the kernel: killed by SIGSEGV",
    "rip non-canonical: killed by SIGSEGV",
    "rip at nothing: killed by SIGSEGV",
    "rsp in the kernel: killed by SIGSEGV",
    "rsp non-canonical: killed by SIGBUS",
    "interrupts off, all I/O allowed: exited with 0",
    "reserved bits in mxcsr: killed by SIGSEGV",
    "x87 and SSE of noise: exited with 0",
    "x87 and SSE in the kernel: killed by SIGSEGV",
    "x87 and SSE at nothing: killed by SIGSEGV",
    "x87 and SSE anew: exited with 0",
    "no frame at all: killed by SIGSEGV",
    "a frame in the kernel: killed by SIGSEGV",
    "a non-canonical frame: killed by SIGSEGV",
    "a frame of zeros: killed by SIGSEGV",
    "port after all I/O was allowed: killed by SIGSEGV",
    "the parent goes on",
];
