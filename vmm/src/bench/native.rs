//! Bundled programs as processes of the host.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::BenchError;
use crate::program::Program;
use crate::vm::VmError;

/// A bundled program that works, on the host as in a guest. There are no others here: what a
/// process whose guest has broken out can have run must be of no use to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Worker {
    /// Loops, each busy with one kind of work.
    Loops,
    /// Work that is divided among CPUs.
    Scale,
}

impl Worker {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loops => "loops",
            Self::Scale => "scale",
        }
    }
}

/// What such a program prints: `NAME SUM NANOSECONDS`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// What it came to, which depends on nothing but the work.
    pub sum: String,
    /// How long it took.
    pub ns: f64,
}

impl Work {
    /// Out of the last line of `worker`.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(worker: Worker, line: &str) -> Result<Self, BenchError> {
        let mut words = line.split_whitespace().skip(1);
        let parsed = words
            .next()
            .zip(words.next().and_then(|ns| ns.parse().ok()));
        parsed
            .map(|(sum, ns)| Self {
                sum: sum.to_owned(),
                ns,
            })
            .ok_or_else(|| BenchError::Absent(format!("{} printed {line:?}", worker.name())))
    }
}

/// Runs `worker` on the host.
///
/// # Errors
/// The host cannot run it, or it prints something else.
pub fn run(worker: Worker, args: &[String]) -> Result<Work, BenchError> {
    let name = worker.name();
    let absent = |error: io::Error| BenchError::Absent(format!("{name} on the host: {error}"));
    let program = Program::find(name).map_err(VmError::from)?;
    let file = in_memory(program.file().unwrap_or_default()).map_err(absent)?;
    let output = Command::new(path(&file)).args(args).output();
    let output = output.map_err(absent)?;
    Work::parse(worker, &String::from_utf8_lossy(&output.stdout))
}

/// A file without a name, which ends with this process.
fn in_memory(elf: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a C string, and the descriptor is new.
    let fd = unsafe { libc::memfd_create(c"program".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just opened and nobody else has it.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(elf)?;
    // A file that is open for writing cannot be executed.
    File::open(path(&file))
}

fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
