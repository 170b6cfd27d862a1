//! Every way out of a run leaves the terminal as it was.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use assembly::code;
use nix::sys::signal::Signal;

use crate::pty::{Screen, Terminal};
use crate::session::{LONG, Session, ends_in_time, send};
use crate::support::elf::{self, PROGRAM_CODE, TempFile};
use crate::support::kernel::program;
use crate::support::suite::Case;
use crate::support::{Target, shell_status};

pub const CASES: &[Case] = &[
    ("terminal_after_an_exit", after_an_exit),
    ("terminal_after_bad_input", after_bad_input),
    ("terminal_after_a_triple_fault", after_a_triple_fault),
    ("terminal_after_a_kernel_panic", after_a_kernel_panic),
    ("terminal_after_a_timeout", after_a_timeout),
    ("terminal_after_max_instructions", after_max_instructions),
    ("terminal_after_signals_that_end", after_signals_that_end),
    ("terminal_after_signals_that_kill", after_signals_that_kill),
    ("terminal_after_early_signals", after_early_signals),
    ("terminal_after_signals_of_faults", after_signals_of_faults),
    ("terminal_after_a_cut_file", after_a_cut_file),
    (
        "terminal_after_a_signal_to_a_thread",
        after_signals_to_threads,
    ),
    ("run_ends_when_its_terminal_does", ends_with_its_terminal),
];

/// Runs to the end.
fn end(target: Target, args: &[&str]) -> (ExitStatus, String) {
    Session::start(target, args).end()
}

fn after_an_exit(target: Target) {
    let (status, shown) = end(target, &["--report", "text", "hello"]);
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("Outcome  exited with status 0"), "{shown}");
}

fn after_bad_input(target: Target) {
    let (status, shown) = end(target, &["no such program"]);
    assert_eq!(status.code(), Some(2), "{shown}");
    assert_eq!(shown.lines().count(), 1, "{shown}");
    let (status, shown) = end(target, &["--no-such-option"]);
    assert_eq!(status.code(), Some(2), "{shown}");
}

fn after_a_triple_fault(target: Target) {
    // Without an IDT ud2 is one.
    let kernel = TempFile::new("triple", &elf::kernel(&[0x0f, 0x0b]));
    let path = kernel.path().to_str().expect("a path of ours");
    let (status, shown) = end(target, &["--kernel", path, "hello"]);
    assert_eq!(status.code(), Some(125), "{shown}");
}

fn after_a_kernel_panic(target: Target) {
    let (status, shown) = end(target, &["--append", "init=/bin/nothing", "hello"]);
    assert_eq!(status.code(), Some(125), "{shown}");
    assert!(shown.contains("/bin/nothing"), "{shown}");
}

fn after_a_timeout(target: Target) {
    let (status, shown) = end(target, &[&["--timeout", "300ms"], &LONG[..]].concat());
    assert_eq!(status.code(), Some(124), "{shown}");
    assert!(shown.contains("vmm: timeout"), "{shown}");
}

/// An option of the emulator's alone.
fn after_max_instructions(target: Target) {
    let limit = ["--max-instructions", "1000000"];
    let (status, shown) = end(target, &[&limit, &LONG[..]].concat());
    let expected = if target == Target::Emu { 124 } else { 2 };
    assert_eq!(status.code(), Some(expected), "{shown}");
}

fn after_signals_that_end(target: Target) {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        let (status, shown) = signalled(target, signal as i32);
        assert_eq!(status.code(), Some(128 + signal as i32), "{shown}");
    }
}

/// Those of real time too.
fn after_signals_that_kill(target: Target) {
    use Signal::{SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGIO, SIGPROF, SIGPWR, SIGQUIT};
    use Signal::{SIGSEGV, SIGSTKFLT, SIGSYS, SIGTRAP, SIGUSR1, SIGUSR2, SIGVTALRM};
    use Signal::{SIGXCPU, SIGXFSZ};
    let named = [
        SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGUSR1, SIGSEGV, SIGUSR2, SIGALRM,
        SIGSTKFLT, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSYS,
    ];
    let named = named.into_iter().map(|signal| signal as i32);
    for signal in named.chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
        let (status, shown) = signalled(target, signal);
        assert_eq!(status.signal(), Some(signal), "{shown}");
    }
}

/// How a run ends by a signal that comes while the guest has the terminal.
fn signalled(target: Target, signal: i32) -> (ExitStatus, String) {
    ends_in_time(
        || Session::start(target, &LONG),
        |session| {
            session.wait_for_guest();
            send(session.pid(), signal);
        },
    )
}

/// The signal by which the VMM kicks its own vCPU's thread, whichever thread gets it.
fn after_signals_to_threads(target: Target) {
    let signal = libc::SIGRTMIN();
    for name in ["vmm", "vcpu0", "ending", "terminal"] {
        let (status, shown) = ends_in_time(
            || Session::start(target, &LONG),
            |session| {
                session.wait_for_guest();
                session.signal_thread(name, signal);
            },
        );
        assert_eq!(status.signal(), Some(signal), "{name}: {shown}");
    }
}

/// At any time of the signal: there may be no handler yet.
fn after_early_signals(target: Target) {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
        for ms in [0, 1, 2, 5, 10, 20, 40] {
            let (status, shown) = ends_in_time(
                || Session::start(target, &LONG),
                |session| {
                    thread::sleep(Duration::from_millis(ms));
                    session.signal(signal);
                },
            );
            assert_eq!(
                shell_status(status),
                128 + signal as i32,
                "{ms} ms: {shown}"
            );
        }
    }
}

/// Writes the name that an ELF file begins with.
fn say_elf() -> &'static [u8] {
    code!(
        "mov eax, 1",
        "mov edi, 1",
        "lea rsi, [{file} + 1]",
        "mov edx, 3",
        "syscall",
        file = const FILE,
    )
}

/// Where a program's file begins in its memory.
const FILE: u64 = PROGRAM_CODE & !0xfff;

/// Those that the emulator handles for itself, once the guest has unmasked an exception of SSE.
fn after_signals_of_faults(target: Target) {
    let unmask = code!(
        "push 0",
        "ldmxcsr [rsp]",
        "xorps xmm0, xmm0",
        "addps xmm0, xmm0",
    );
    let add = code!("2: addps xmm0, xmm0", "jmp 2b");
    let program = program(&[unmask, say_elf(), add].concat());
    let path = program.path().to_str().expect("a path of ours");
    for signal in [Signal::SIGFPE, Signal::SIGBUS] {
        let (status, shown) = ends_in_time(
            || Session::start(target, &[path]),
            |session| {
                session.wait_for_guest();
                session.wait_for_text("ELF");
                session.signal(signal);
            },
        );
        assert_eq!(status.signal(), Some(signal as i32), "{shown}");
    }
}

/// The host raises SIGBUS for what the guest reads there: the run says why it ends.
fn after_a_cut_file(target: Target) {
    let read = code!("2: mov al, [{page}]", "jmp 2b", page = const FILE + 0x8_0000);
    let mut code = [say_elf(), read].concat();
    code.resize(0x10_0000, 0);
    let bytes = elf::executable(&code);
    let file = TempFile::new("cut", &bytes);
    fs::set_permissions(file.path(), Permissions::from_mode(0o755)).expect("a file of ours");
    let path = file.path().to_str().expect("a path of ours");
    let (status, shown) = ends_in_time(
        || {
            fs::write(path, &bytes).expect("a file of ours");
            Session::start(target, &["--root", "/", path])
        },
        |session| {
            session.wait_for_guest();
            session.wait_for_text("ELF");
            File::create(path).expect("a file of ours");
        },
    );
    assert_eq!(status.code(), Some(125), "{shown}");
    assert!(shown.contains("the host cut the file"), "{shown}");
}

/// SIGHUP says so; there are no settings left to look at.
fn ends_with_its_terminal(target: Target) {
    for program in [&LONG[..], &["cat"]] {
        let mut session = Session::start_on(Terminal::open(Screen::Unread), target, program);
        session.wait_for_guest();
        let status = session.hang_up();
        assert_eq!(status.code(), Some(128 + Signal::SIGHUP as i32));
    }
}
