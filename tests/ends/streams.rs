//! Standard output that takes nothing, and a guest that writes to it for ever.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use assembly::code;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{FlowArg, Termios, tcflow, tcgetattr};

use crate::support::Target;
use crate::support::kernel::{FREE, Kernel, exit};
use crate::{Case, ends, ends_in_time};

/// The time for a guest to reach its loop where nothing shows that it has.
const SETTLED: Duration = Duration::from_millis(300);

pub const CASES: &[Case] = &[
    ("flood_of_a_pipe", |target| {
        ends(target, &flood(), Output::Pipe);
    }),
    ("flood_of_a_terminal", |target| {
        ends(target, &flood(), Output::Terminal);
    }),
    ("flood_of_a_stopped_terminal", |target| {
        ends(target, &flood(), Output::StoppedTerminal);
    }),
    ("last_word_into_a_full_pipe", last_word),
    ("flood_of_a_full_disk", |target| {
        ends_in_time(target, &flood(), Output::FullDisk);
    }),
];

/// The guest has exited with 0, but its last output is not written.
fn last_word(target: Target) {
    // No line feed, at which the console would be flushed before.
    let print = code!(
        "mov edx, {serial}",
        "mov al, 'x'",
        "out dx, al",
        serial = const abi::ports::SERIAL,
    );
    let kernel = Kernel::long_mode(&[print, &exit(0)].concat());
    ends(target, &kernel, Output::FullPipe);
}

/// Writes the same mebibyte to the console for ever.
pub fn flood() -> Kernel {
    Kernel::long_mode(code!(
        "mov edx, {serial}",
        "2: mov esi, {free}",
        "mov ecx, 1 << 20",
        "rep outsb",
        "jmp 2b",
        serial = const abi::ports::SERIAL,
        free = const FREE,
    ))
}

/// What a run's standard streams are. Nobody reads more of its output than a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Pipe,
    /// A terminal, which is standard input and error as well.
    Terminal,
    /// The same after Ctrl-S.
    StoppedTerminal,
    FullDisk,
    /// A pipe that is full.
    FullPipe,
    /// Nothing is written there.
    Null,
    /// A pipe that is standard error.
    ErrorPipe,
    /// The same, when it is full.
    FullErrorPipe,
}

/// The test's side of it.
#[derive(Debug)]
pub struct Stream {
    /// Where what comes through can be read.
    reader: Option<File>,
    /// A terminal, and its settings before the run.
    terminal: Option<(OwnedFd, Termios)>,
    comes_through: bool,
}

impl Output {
    /// Opens it; returns what standard input and output are to be, and perhaps error.
    pub fn open(self) -> (Stream, Stdio, Stdio, Option<Stdio>) {
        let mut errors = None;
        let (reader, stdin, stdout, terminal) = match self {
            Self::Pipe | Self::FullPipe => {
                let (reader, writer) = pipe();
                if self == Self::FullPipe {
                    fill(&writer);
                }
                (Some(reader), Stdio::null(), writer.into(), None)
            }
            Self::Null => (None, Stdio::null(), Stdio::null(), None),
            Self::ErrorPipe | Self::FullErrorPipe => {
                let (reader, writer) = pipe();
                if self == Self::FullErrorPipe {
                    fill(&writer);
                }
                errors = Some(writer.into());
                (Some(reader), Stdio::null(), Stdio::null(), None)
            }
            Self::FullDisk => {
                let full = OpenOptions::new().write(true).open("/dev/full");
                (
                    None,
                    Stdio::null(),
                    full.expect("Linux has it").into(),
                    None,
                )
            }
            Self::Terminal | Self::StoppedTerminal => {
                let pty = openpty(None, None).expect("the host has pseudo-terminals");
                let slave = || pty.slave.try_clone().expect("a descriptor").into();
                let (stdin, stdout) = (slave(), slave());
                if self == Self::StoppedTerminal {
                    tcflow(&pty.slave, FlowArg::TCOOFF).expect("it is a terminal");
                }
                let before = tcgetattr(&pty.slave).expect("it is a terminal");
                let terminal = (pty.slave, before);
                (Some(pty.master.into()), stdin, stdout, Some(terminal))
            }
        };
        let stream = Stream {
            reader,
            terminal,
            comes_through: matches!(self, Self::Pipe | Self::Terminal | Self::ErrorPipe),
        };
        (stream, stdin, stdout, errors)
    }
}

fn pipe() -> (File, File) {
    let (reader, writer) = std::io::pipe().expect("descriptors");
    (OwnedFd::from(reader).into(), OwnedFd::from(writer).into())
}

/// Writes until the pipe takes no more.
fn fill(pipe: &File) {
    let set = |flags| fcntl(pipe, FcntlArg::F_SETFL(flags)).expect("it is open");
    set(OFlag::O_NONBLOCK);
    let mut writer = pipe;
    while writer.write(&[0; 4096]).is_ok() {}
    set(OFlag::empty());
}

impl Stream {
    /// Waits until the guest has written something, if that can be seen.
    pub fn wait_until_ready(&mut self) {
        match &mut self.reader {
            Some(reader) if self.comes_through => {
                reader.read_exact(&mut [0]).expect("the guest writes");
            }
            _ => thread::sleep(SETTLED),
        }
    }

    /// Asserts that a terminal is as it was.
    pub fn assert_unchanged(&self) {
        if let Some((terminal, before)) = &self.terminal {
            let after = tcgetattr(terminal).expect("it is a terminal");
            assert_eq!(after, *before, "the terminal was changed");
        }
    }
}
