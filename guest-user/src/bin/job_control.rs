//! What job control does to processes that use the terminal from the background, to orphaned
//! groups, and to a session whose leader ends (R22).
//!
//! It leads the session that standard input controls. Linux prints the same, to root.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use guest_user::file::{self, Fd, STDIN};
use guest_user::io::STDOUT;
use guest_user::process::{self, Pid, SIGKILL, Status};
use guest_user::signal::{self, Context, Info, SIGHUP, SIGSTOP, SIGTTIN, SIGTTOU};
use guest_user::syscall::Result;
use guest_user::terminal::{self, ECHO, TCIFLUSH, TCIOFLUSH, TCOFLUSH, TOSTOP};
use guest_user::{Arguments, Errno, jobs, println};

guest_user::entry!(main);

/// Microseconds after which what should have happened has not.
const PATIENCE_US: u64 = 60_000_000;
/// No process has this number, and no group.
const NOBODY: Pid = 4_000_000;

type Act = fn() -> Result<()>;

fn read() -> Result<()> {
    file::read(STDIN, &mut [0]).map(drop)
}

fn write() -> Result<()> {
    file::write_all(STDOUT, b"(written) ")
}

fn change() -> Result<()> {
    let mut settings = terminal::settings(STDIN)?;
    settings.c_lflag ^= ECHO;
    terminal::set(STDIN, &settings)
}

fn look() -> Result<()> {
    terminal::settings(STDIN).map(drop)
}

fn flush() -> Result<()> {
    terminal::flush(STDIN, TCIFLUSH)
}

fn take() -> Result<()> {
    terminal::set_foreground(STDIN, process::id())
}

fn with_ignored(number: u32, act: Act) -> Result<()> {
    signal::ignore(number)?;
    act()
}

fn with_blocked(number: u32, act: Act) -> Result<()> {
    signal::block(signal::set_of(number))?;
    act()
}

const BACKGROUND: [(&str, Act); 15] = [
    ("read", read),
    ("write", write),
    ("look", look),
    ("change", change),
    ("flush", flush),
    ("come to the foreground", take),
    ("read, ignored", || with_ignored(SIGTTIN, read)),
    ("read, blocked", || with_blocked(SIGTTIN, read)),
    ("change, ignored", || with_ignored(SIGTTOU, change)),
    ("change back, blocked", || with_blocked(SIGTTOU, change)),
    ("flush, ignored", || with_ignored(SIGTTOU, flush)),
    ("flush, blocked", || with_blocked(SIGTTOU, flush)),
    ("flush of nothing that there is", || {
        with_ignored(SIGTTOU, || terminal::flush(STDIN, TCIOFLUSH + 1))
    }),
    ("flush of output", || {
        with_ignored(SIGTTOU, || terminal::flush(STDIN, TCOFLUSH))
    }),
    ("claim, and leads no session", || {
        terminal::claim(STDIN, false)
    }),
];

const WITH_TOSTOP: [(&str, Act); 3] = [
    ("write", write),
    ("write, ignored", || with_ignored(SIGTTOU, write)),
    ("write, blocked", || with_blocked(SIGTTOU, write)),
];

const ORPHANED: [(&str, Act); 5] = [
    ("read", read),
    ("write", write),
    ("change", change),
    ("flush", flush),
    ("come to the foreground", take),
];

/// An exit status, or a byte, for what an attempt comes to.
fn code(result: Result<()>) -> u8 {
    result.err().map_or(0, |errno| errno.number() as u8)
}

fn result(code: u8) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(Errno::new(code.into())),
    }
}

/// Tries something in a group of its own, and says what comes of it.
fn in_background(what: &str, act: Act) {
    let child = process::spawn(|| code(jobs::set_group(0, 0).and_then(|()| act())));
    let child = child.expect("a child");
    match process::wait_for_change(child) {
        Ok(Status::Exited(code)) => println!("{what}: {:?}", result(code)),
        Ok(status @ Status::Stopped(_)) => {
            println!("{what}: {status}");
            let ended = process::kill(child, SIGKILL).and_then(|()| process::wait(child));
            ended.expect("it can be killed");
        }
        other => println!("{what}: {other:?}"),
    }
}

fn set_stopping(stops: bool) {
    let mut settings = terminal::settings(STDIN).expect("a terminal");
    match stops {
        true => settings.c_lflag |= TOSTOP,
        false => settings.c_lflag &= !TOSTOP,
    }
    terminal::set(STDIN, &settings).expect("it is in the foreground");
}

fn tell(fd: Fd, byte: u8) {
    file::write_all(fd, &[byte]).expect("somebody reads");
}

/// What somebody tells, who may be another's child.
fn told(fd: Fd) -> Option<u8> {
    let mut byte = [0];
    (file::read(fd, &mut byte) == Ok(1)).then_some(byte[0])
}

static HANG_UPS: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_hang_up(_: u32, _: &Info, _: &mut Context) {
    HANG_UPS.fetch_add(1, Relaxed);
}

/// A group uses the terminal that nobody looks after since its first member ended.
fn orphan_uses_terminal() {
    let (answers, telling) = file::pipe(0).expect("a pipe");
    in_group_that_ends(|parent| {
        let orphan = process::spawn(|| {
            while process::parent_id() == parent {
                process::yield_now();
            }
            for (_, act) in ORPHANED {
                tell(telling, code(act()));
            }
            0
        });
        orphan.expect("a child");
    });
    for (what, _) in ORPHANED {
        println!("orphaned, {what}: {:?}", told(answers).map(result));
    }
}

/// A process is stopped as its group becomes one that nobody looks after. It is in its
/// parent's, or has one of its own.
fn orphan_is_stopped(what: &str, has_own_group: bool) {
    let (answers, telling) = file::pipe(0).expect("a pipe");
    in_group_that_ends(|_| {
        let orphan = process::spawn(|| {
            if has_own_group {
                jobs::set_group(0, 0).expect("it leads no session");
            }
            signal::handle(SIGHUP, on_hang_up, 0, 0).expect("it can be handled");
            process::kill(process::id(), SIGSTOP).expect("it is there");
            tell(telling, HANG_UPS.load(Relaxed) as u8);
            0
        });
        let stopped = orphan.and_then(process::wait_for_change);
        assert_eq!(stopped, Ok(Status::Stopped(SIGSTOP)));
    });
    println!("stopped in {what}: goes on, hung up: {:?}", told(answers));
}

/// Does something in a child that is alone in its group, and has ended then.
fn in_group_that_ends(body: impl FnOnce(Pid)) {
    let child = process::spawn(|| {
        jobs::set_group(0, 0).expect("it leads no session");
        body(process::id());
        0
    });
    let ended = child.and_then(process::wait);
    assert_eq!(ended, Ok(Status::Exited(0)));
}

/// What the leader of another session does, and ends with a group in the foreground that
/// tells how often it was hung up.
fn lead_session(telling: Fd) -> u8 {
    jobs::begin_session().expect("it leads no group");
    println!("steal: {:?}", terminal::claim(STDIN, true));
    set_stopping(true);
    orphan_uses_terminal();
    set_stopping(false);
    orphan_is_stopped("its parent's group", false);
    orphan_is_stopped("a group of its own", true);
    let (readiness, ready) = file::pipe(0).expect("a pipe");
    let child = process::spawn(|| {
        signal::block(signal::set_of(SIGHUP)).expect("a set");
        signal::handle(SIGHUP, on_hang_up, 0, 0).expect("it can be handled");
        tell(ready, 0);
        let _ = signal::suspend(0);
        tell(telling, HANG_UPS.load(Relaxed) as u8);
        0
    });
    let child = child.expect("a child");
    jobs::set_group(child, child).expect("a child");
    told(readiness).expect("it is ready");
    terminal::set_foreground(STDIN, child).expect("a group of the session");
    0
}

fn try_groups() {
    let (readiness, ready) = file::pipe(0).expect("a pipe");
    let other = process::spawn(|| {
        jobs::begin_session().expect("it leads no group");
        tell(ready, code(terminal::claim(STDIN, false)));
        // Until it is killed.
        let _ = signal::pause();
        0
    });
    let other = other.expect("a child");
    let claimed = told(readiness).map(result);
    println!("claim, and another session has it: {claimed:?}");
    for (what, group) in [
        ("negative", Pid::MAX),
        ("of nobody", NOBODY),
        ("of another session", other),
    ] {
        println!("group {what}: {:?}", terminal::set_foreground(STDIN, group));
    }
    let ended = process::kill(other, SIGKILL).and_then(|()| process::wait(other));
    ended.expect("it can be killed");
}

fn main(_: Arguments) -> u8 {
    // What should have happened has not if this ends it.
    signal::set_alarm(PATIENCE_US, 0).expect("a time");
    let own = process::id();
    println!("claim, and has it: {:?}", terminal::claim(STDIN, false));
    println!("own session: {}", terminal::session(STDIN) == Ok(own));
    for (what, act) in BACKGROUND {
        in_background(what, act);
    }
    set_stopping(true);
    for (what, act) in WITH_TOSTOP {
        in_background(what, act);
    }
    set_stopping(false);
    try_groups();
    let (answers, telling) = file::pipe(0).expect("a pipe");
    let leader = process::spawn(|| lead_session(telling)).and_then(process::wait);
    assert_eq!(leader, Ok(Status::Exited(0)));
    println!("leader ended, hung up: {:?}", told(answers));
    let foreground = || terminal::foreground(STDIN).map(|group| group == own);
    println!("foreground: {:?}", foreground());
    println!("claim: {:?}", terminal::claim(STDIN, false));
    println!("foreground: {:?}", foreground());
    signal::ignore(SIGHUP).expect("it can be ignored");
    println!("give up: {:?}", terminal::give_up(STDIN));
    println!("foreground: {:?}", foreground());
    0
}
