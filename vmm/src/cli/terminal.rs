//! The host's terminal while a guest uses it.
//!
//! The guest gets all keys, those that send signals too; output settings do not change. The
//! terminal and its earlier settings are globals, which signal handlers can reach: every
//! signal that ends or stops the process restores the terminal first. SIGINT, SIGTERM and
//! SIGHUP end a run in an orderly way instead (`stop_signals`).
//!
//! Two runs at one terminal must not save each other's settings as the earlier ones: only
//! the holder of a lock on the terminal changes it. A run in the background leaves the
//! terminal alone until a shell brings it to the foreground, and one that is moved to the
//! background releases the lock. A thread polls for both: a wait for the lock would have to
//! be repeated after each stop.
//!
//! A run that was stopped by SIGSTOP could not release it. So there is a lock for each
//! process group, a byte of the terminal's file: only one group is in the foreground.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use libc::c_int;
use vmm::events::is_foreground;
use vmm::sandbox::Sandbox;

use super::sandbox::start_watcher;
use super::stop_signals::is_ignored;

/// Signals that end a process by default, except those that end a run in an orderly way,
/// SIGKILL, and SIGPIPE, which is ignored.
const DEADLY: [c_int; 18] = [
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGUSR1,
    libc::SIGSEGV,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGSTKFLT,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSYS,
];

/// The interval between checks whether the terminal is available.
const LOOK: Duration = Duration::from_millis(50);

/// Standard input, if it is a terminal that the guest is to have.
struct Terminal {
    /// Opened anew: a lock belongs to an open file, which others may share with us.
    file: File,
    /// The settings that it had when the lock was got.
    before: OnceLock<libc::termios>,
}

static TERMINAL: OnceLock<Terminal> = OnceLock::new();
/// Whether it is changed now.
static CHANGED: AtomicBool = AtomicBool::new(false);
/// A lock for changes of the settings. Its holder blocks signals, so a handler waits for
/// another thread only, and not for long.
static BUSY: AtomicBool = AtomicBool::new(false);

/// What the terminal is to be: [`WANTED`], [`STOPPED`] or [`ENDED`].
static STATE: AtomicU8 = AtomicU8::new(WANTED);
/// The guest's, when it can be had.
const WANTED: u8 = 0;
/// As before, until the process goes on.
const STOPPED: u8 = 1;
/// As before for good: the process ends.
const ENDED: u8 = 2;

/// Has every signal that ends or stops the process [`restore`] the terminal first, if standard
/// input is one. A machine handles some of them for itself, and passes on what is not for it to
/// who was there before: so this is for before it is made.
///
/// # Errors
/// The host refuses a signal handler.
pub fn catch_signals() -> io::Result<()> {
    if !io::stdin().is_terminal() {
        return Ok(());
    }
    for signal in DEADLY
        .into_iter()
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
    {
        handle(signal, put_back_and_end, 0)?;
    }
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        handle(signal, put_back_and_stop, libc::SA_RESTART)?;
    }
    handle(libc::SIGCONT, take_again, libc::SA_RESTART)
}

/// Gives standard input, if it is a terminal, to the guest until [`restore`]. Signals are caught
/// by then. The thread that sees to it has `sandbox`.
///
/// # Errors
/// The host is out of descriptors or threads.
pub fn acquire(sandbox: Sandbox) -> io::Result<()> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(());
    }
    let file = open(stdin.as_raw_fd())?;
    let terminal = TERMINAL.get_or_init(|| Terminal {
        file,
        before: OnceLock::new(),
    });
    // Ends with the process. If the thread cannot be made, nothing has been changed.
    start_watcher("terminal", sandbox, move || {
        loop {
            thread::sleep(LOOK);
            terminal.look(Anew::No);
        }
    })?;
    terminal.look(Anew::Yes);
    Ok(())
}

/// Restores the terminal for good. Safe in a signal handler; no effect where nothing was
/// changed.
pub fn restore() {
    put_back(ENDED);
}

fn put_back(state: u8) {
    alone(|| {
        // The end is final.
        STATE.fetch_max(state, Ordering::Relaxed);
        if let Some(terminal) = TERMINAL.get() {
            terminal.put_back();
        }
    });
}

/// Runs `body` exclusively of other threads and signal handlers.
fn alone(act: impl FnOnce()) {
    with_signals_blocked(|| {
        while BUSY.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        act();
        BUSY.store(false, Ordering::Release);
    });
}

fn open(stdin: c_int) -> io::Result<File> {
    let anew = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{stdin}"));
    // Another user's terminal cannot be reopened; then two runs of ours share a lock.
    anew.or_else(|_| Ok(io::stdin().as_fd().try_clone_to_owned()?.into()))
}

/// Whether a terminal that is the guest's already is set once more: a shell may have had it
/// meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Anew {
    Yes,
    No,
}

impl Terminal {
    /// Changes the settings, if the terminal is wanted, this process is in its foreground
    /// and nobody else has it; in the background, releases it. Safe in a signal handler.
    fn look(&self, anew: Anew) {
        alone(|| {
            if STATE.load(Ordering::Relaxed) != WANTED {
                return;
            }
            if !is_foreground(&self.file) {
                self.put_back();
            } else if anew == Anew::Yes || !CHANGED.load(Ordering::Acquire) {
                self.take();
            }
        });
    }

    fn take(&self) {
        let Some(now) = self.settings() else {
            return;
        };
        // A stopped run has left it as we need it, and keeps the earlier settings itself.
        if (is_for_guest(&now, &now) && self.others_hold_it()) || !self.lock() {
            return;
        }
        // Nobody else sets it: see `alone`.
        let before = self.before.get_or_init(|| now);
        CHANGED.store(true, Ordering::Release);
        self.set(&for_guest(before));
    }

    /// Puts the settings back, if they were changed, and gives the lock to others. In the
    /// background only what nobody has changed since: a shell that stopped or resumed this
    /// process may have put it back long ago, and be at work there, or have others be.
    fn put_back(&self) {
        if let Some(before) = self.before.get()
            && CHANGED.swap(false, Ordering::AcqRel)
            && (is_foreground(&self.file) || self.is_as_left(before))
        {
            self.set(before);
        }
        self.control_lock(libc::F_OFD_SETLK, &mut lock_of(libc::F_UNLCK, 0, WHOLE));
    }

    fn is_as_left(&self, before: &libc::termios) -> bool {
        !self.others_hold_it()
            && self
                .settings()
                .is_some_and(|now| is_for_guest(&now, before))
    }

    /// Gets the lock of this process group, unless somebody else has it. A terminal that
    /// refuses locks is changed without.
    fn lock(&self) -> bool {
        // SAFETY: a plain query of this process.
        let group = unsafe { libc::getpgrp() };
        let mut lock = lock_of(libc::F_WRLCK, group.into(), 1);
        self.control_lock(libc::F_OFD_SETLK, &mut lock)
            || !matches!(
                io::Error::last_os_error().raw_os_error(),
                Some(libc::EAGAIN | libc::EACCES)
            )
    }

    /// Whether runs in other process groups have their locks.
    fn others_hold_it(&self) -> bool {
        let mut found = lock_of(libc::F_WRLCK, 0, WHOLE);
        self.control_lock(libc::F_OFD_GETLK, &mut found)
            && found.l_type != libc::F_UNLCK as libc::c_short
    }

    fn control_lock(&self, command: c_int, lock: &mut libc::flock) -> bool {
        // SAFETY: `lock` is a complete description, which the call reads and writes.
        unsafe { libc::fcntl(self.file.as_raw_fd(), command, lock) == 0 }
    }

    fn settings(&self) -> Option<libc::termios> {
        let mut settings = MaybeUninit::uninit();
        // SAFETY: `settings` has room for what tcgetattr writes.
        let got = unsafe { libc::tcgetattr(self.file.as_raw_fd(), settings.as_mut_ptr()) };
        // SAFETY: tcgetattr succeeded and so filled it in.
        (got == 0).then(|| unsafe { settings.assume_init() })
    }

    /// The terminal may be gone by now; then there is nothing to set.
    fn set(&self, settings: &libc::termios) {
        // A process in the background would be stopped for this, but `alone` blocks SIGTTOU.
        // SAFETY: `settings` is a complete termios.
        unsafe { libc::tcsetattr(self.file.as_raw_fd(), libc::TCSANOW, settings) };
    }
}

/// Settings that pass each key to the guest as it is typed.
fn for_guest(before: &libc::termios) -> libc::termios {
    let mut during = *before;
    during.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ISIG | libc::IEXTEN);
    during.c_iflag &=
        !(libc::ICRNL | libc::INLCR | libc::IGNCR | libc::IXON | libc::ISTRIP | libc::BRKINT);
    during.c_cc[libc::VMIN] = 1;
    during.c_cc[libc::VTIME] = 0;
    during
}

/// Whether a terminal that is set as `now`, and was as `before`, is set for a guest.
fn is_for_guest(now: &libc::termios, before: &libc::termios) -> bool {
    let during = for_guest(before);
    (now.c_lflag, now.c_iflag) == (during.c_lflag, during.c_iflag)
}

/// Length of a lock: all bytes.
const WHOLE: libc::off_t = 0;

fn lock_of(kind: c_int, start: libc::off_t, len: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

/// Runs `body` with all signals of this thread blocked.
fn with_signals_blocked(act: impl FnOnce()) {
    // SAFETY: the sets are filled in before they are used, and belong to this frame.
    unsafe {
        let (mut blocked, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut blocked);
        libc::pthread_sigmask(libc::SIG_BLOCK, &blocked, &mut before);
        act();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
    }
}

/// Handles `signal`, unless it is ignored, as whoever started this process may want it.
fn handle(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) -> io::Result<()> {
    if is_ignored(signal) {
        return Ok(());
    }
    // SAFETY: all zeros is a valid value of it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = flags | libc::SA_ONSTACK;
    // SAFETY: the set belongs to this frame; the handlers here call only what signal handlers may
    // call.
    let result = unsafe {
        // Else handlers of one thread nest, and each saves AVX-512 on a stack of 8 KiB.
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The signal has its usual effect after this: whichever handler it has is taken away, and it is
/// blocked until this one returns.
extern "C" fn put_back_and_end(signal: c_int) {
    restore();
    // Not before: another one would end the process meanwhile.
    // SAFETY: plain system calls, allowed in a signal handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

extern "C" fn put_back_and_stop(_: c_int) {
    put_back(STOPPED);
    // Stops the whole process, by this thread, so that it goes on here and not before.
    // SAFETY: a plain system call, allowed in a signal handler.
    unsafe { libc::raise(libc::SIGSTOP) };
    let _ = STATE.compare_exchange(STOPPED, WANTED, Ordering::Relaxed, Ordering::Relaxed);
    take_again(libc::SIGCONT);
}

extern "C" fn take_again(_: c_int) {
    if let Some(terminal) = TERMINAL.get() {
        terminal.look(Anew::Yes);
    }
}
