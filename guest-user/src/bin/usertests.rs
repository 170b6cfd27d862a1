//! Runs the programs as tests; frames, processes and open files are as many as before (R14 to R24).

#![no_std]
#![no_main]

use guest_user::file::{self, O_WRONLY};
use guest_user::path::Path;
use guest_user::process::{self, Status};
use guest_user::resources::Resources;
use guest_user::{Arguments, io, println};

guest_user::entry!(main);

/// Programs, the argument of some, and how they must end. Each looks at its own
/// results; the letter of what it prints is tested from outside.
const TESTS: [(&str, &str, Status); 32] = [
    ("args", "", Status::Exited(0)),
    ("exit_status", "7", Status::Exited(7)),
    ("write_error", "", Status::Exited(0)),
    ("time", "", Status::Exited(0)),
    ("fork", "", Status::Exited(0)),
    ("fork_offsets", "", Status::Exited(0)),
    ("interleave", "3", Status::Exited(0)),
    ("exec", "", Status::Exited(0)),
    ("wait", "", Status::Exited(0)),
    ("threads", "", Status::Exited(0)),
    ("bounded_buffer", "", Status::Exited(0)),
    ("mmap", "", Status::Exited(0)),
    ("cow", "2", Status::Exited(0)),
    ("brk", "", Status::Exited(0)),
    ("stack_growth", "", Status::Exited(0)),
    ("pipes", "", Status::Exited(0)),
    ("files", "", Status::Exited(0)),
    ("dup", "", Status::Exited(0)),
    ("dirs", "", Status::Exited(0)),
    ("poll", "", Status::Exited(0)),
    ("select", "", Status::Exited(0)),
    ("fork_bomb", "50", Status::Exited(0)),
    ("fd_leak", "", Status::Exited(0)),
    ("many", "50", Status::Exited(0)),
    ("storage_server", "", Status::Exited(0)),
    ("factorial", "", Status::Exited(0)),
    ("signals", "", Status::Exited(0)),
    ("signal_frames", "", Status::Exited(0)),
    ("divide", "", Status::Killed(process::SIGFPE)),
    ("segv", "kernel", Status::Killed(process::SIGSEGV)),
    ("undefined", "", Status::Killed(process::SIGILL)),
    ("stack_overflow", "", Status::Killed(process::SIGSEGV)),
];

fn main(arguments: Arguments) -> u8 {
    let own = arguments.iter().next().unwrap_or("");
    // No test: this program has touched all memory of its own when the first one starts.
    let _ = run(own, "not-there", "");
    let mut failed = 0;
    for (name, argument, expected) in TESTS {
        let before = Resources::now();
        let status = run(own, name, argument);
        let after = Resources::now();
        if status != Ok(expected) {
            println!("{name}: FAILED: {status:?}");
            failed += 1;
        } else if before != after {
            println!("{name}: LEAKED: {before:?} became {after:?}");
            failed += 1;
        } else {
            println!("{name}: ok");
        }
    }
    println!("{} tests, {failed} failed", TESTS.len());
    u8::from(failed != 0)
}

/// Runs a program with its output lost.
fn run(own: &str, name: &str, argument: &str) -> guest_user::syscall::Result<Status> {
    let path = Path::of_program(own, name);
    let argument = Path::new(format_args!("{argument}"));
    let arguments = [path.as_c_str(), argument.as_c_str()];
    let count = if argument.as_c_str().is_empty() { 1 } else { 2 };
    let child = process::spawn(|| {
        let silenced = file::open(c"/dev/null", O_WRONLY).and_then(|null| {
            file::dup2(null, io::STDOUT)?;
            file::dup2(null, io::STDERR)?;
            file::close(null)
        });
        match silenced {
            Ok(()) => u8::from(process::exec(path.as_c_str(), &arguments[..count]).is_err()),
            Err(_) => 1,
        }
    })?;
    let status = process::wait(child);
    // Init is left with the orphans of others.
    while process::wait_any().is_ok() {}
    status
}
