//! The command line: one file per subcommand.
//!
//! A library for `vmm/src/main.rs`, and for what tests the reading of a command line by itself.

mod allocator;
mod bench;
mod check;
mod compare;
mod explain;
mod files;
mod images;
mod info;
mod inherited;
mod list;
mod machine;
mod progress;
mod report_sink;
mod require;
mod run;
mod sandbox;
mod stop_signals;
mod terminal;
mod trace;
mod units;
mod urgent;
mod usage;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use abi::debug_exit::SIGNAL_STATUS_BASE;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use vmm::printable::printable;

pub use allocator::Heap;
pub use usage::message;

/// Exit status of a failure of the VMM itself.
const FAILURE: u8 = abi::debug_exit::FAILURE_STATUS;

const EXAMPLES: &str = "\
Examples:
  vmm run hello                      a bundled program, and every VM exit that it caused
  vmm run --accel emu hello          the same in the emulator: needs no KVM and no rights
  vmm run ./program one two          a static x86-64 ELF file of the host
  vmm run --root / /bin/ls -l /      any program of this machine, with its files
  vmm run --report json --report-file hello.json hello
  vmm compare --runs 5 sleep 100     KVM and the emulator, side by side
  vmm bench --quick lat_syscall_null exit_pio_out
  vmm check guests.toml              does what guests cost still hold? for CI
  vmm trace --only syscalls fork     each system call of a program and its children
  vmm explain pio_out                what a name in a report means, and what it costs

What the guest prints goes to standard output, reports and errors to standard error.
Exit status: the program's, or see `vmm run --help` and `vmm compare --help`.";

/// Run guests under KVM or a built-in x86-64 emulator, and see every VM exit.
///
/// A guest is a small kernel of our own and one program that it runs in ring 3.
#[derive(Debug, Parser)]
#[command(
    name = "vmm",
    version,
    max_term_width = vmm::printable::WIDTH,
    args_override_self = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Compare(compare::Args),
    Check(check::Args),
    Bench(bench::Args),
    Trace(trace::Args),
    Explain(explain::Args),
    Info(info::Args),
    List(list::Args),
    Images(images::Args),
}

/// Prints one line for the user to standard error, if anyone reads it.
fn complain(message: &dyn std::fmt::Display) {
    let line = printable(&message.to_string());
    // A closed standard error is no failure, so `eprintln!`, which panics then, will not
    // do.
    let _ = writeln!(std::io::stderr(), "vmm: {line}");
}

/// The same of what ends the process: one line, also where several threads find at once that they
/// lack something. When it returns, that line is out, and its thread may end the process.
fn complain_at_the_end(message: &dyn std::fmt::Display) {
    static IS_SAID: Mutex<bool> = Mutex::new(false);
    let mut is_said = IS_SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_said {
        complain(message);
    }
    *is_said = true;
}

/// Prints what a command was asked for to standard output.
fn print(text: &str) -> Result<(), CliError> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| write_error("standard output", error))
}

/// A failure of the host to take what is written to `name`. That nobody reads it is told
/// apart: see [`main`].
fn write_error(name: &str, error: io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => format!("{name}: {error}").into(),
    }
}

/// The command line's definition, of which manual pages and completions are made.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the words of a command line, of which the first is the command's name. Paths and programs
/// are not looked at.
///
/// # Errors
/// They are no command, or ask for help: see [`message`].
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let words: Vec<_> = words.into_iter().collect();
    Cli::try_parse_from(&words).map_err(|error| match error.kind() {
        ErrorKind::InvalidUtf8 => usage::no_text(&words),
        _ => error,
    })
}

/// Parses the command line and does what it says.
pub fn main(started: Instant) -> ExitCode {
    Heap::share();
    if let Err(error) = inherited::give_up(std::env::args_os()) {
        complain(&format_args!("cannot give up what was inherited: {error}"));
        return ExitCode::from(FAILURE);
    }
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage::answer(&error),
    };
    let result = match cli.command {
        Command::Run(args) => run::run(args, started),
        Command::Compare(args) => compare::run(args, started),
        Command::Check(args) => check::run(args),
        Command::Bench(args) => bench::run(args, started),
        Command::Trace(args) => trace::run(args, started),
        Command::Explain(args) => explain::run(&args),
        Command::Info(args) => info::run(&args),
        Command::List(args) => list::run(&args),
        Command::Images(args) => images::run(&args),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        // The reader of standard output has gone: ends as by SIGPIPE.
        Err(error) if is_broken_pipe(error.as_ref()) => {
            ExitCode::from(SIGNAL_STATUS_BASE | libc::SIGPIPE as u8)
        }
        Err(error) => {
            complain_at_the_end(&format_args!("{error}{}", advice(error.as_ref())));
            ExitCode::from(usage::status(&error))
        }
    }
}

/// What helps where the host's limits were met.
fn advice(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut of_host = causes.filter_map(|error| error.downcast_ref::<io::Error>());
    match of_host.find_map(io::Error::raw_os_error) {
        Some(libc::EMFILE) => ": allow more open files (ulimit -n)",
        Some(libc::EAGAIN) => ": allow more threads and memory (ulimit -u, -v)",
        Some(libc::ENOMEM) => ": allow more memory (ulimit -v)",
        _ => "",
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error to print after the program's name; one line.
type CliError = Box<dyn std::error::Error>;

/// The exit status of the process, if all went well.
type CliResult = Result<u8, CliError>;
