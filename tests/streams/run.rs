//! A run whose standard streams a test makes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use crate::support::elf::TempFile;
use crate::support::{TIMEOUT, Target, binary};

/// `vmm run` without a report.
pub fn vmm(target: Target, program: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .arg("run")
        .args(target.options())
        .args(["--timeout", TIMEOUT, "--report", "none"])
        .args(program);
    command
}

/// What a stream can be on the host.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Pipe,
    Socket,
    File,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Pipe, Self::Socket, Self::File];

    /// Standard input from which `bytes` come, and then an end.
    pub fn input(self, bytes: &[u8]) -> Stdio {
        match self {
            Self::Pipe => {
                let (reader, writer) = io::pipe().expect("descriptors");
                write_apart(writer, bytes);
                reader.into()
            }
            Self::Socket => {
                let (reader, writer) = UnixStream::pair().expect("descriptors");
                write_apart(writer, bytes);
                OwnedFd::from(reader).into()
            }
            // It stays open without its name.
            Self::File => File::open(TempFile::new("input", bytes).path())
                .expect("it is there")
                .into(),
        }
    }

    /// Standard output, and what comes out when it has ended.
    pub fn output(self) -> (Stdio, Output) {
        match self {
            Self::Pipe => {
                let (reader, writer) = io::pipe().expect("descriptors");
                (writer.into(), Output::Read(read_apart(reader)))
            }
            Self::Socket => {
                let (reader, writer) = UnixStream::pair().expect("descriptors");
                let writer = OwnedFd::from(writer).into();
                (writer, Output::Read(read_apart(reader)))
            }
            Self::File => {
                let file = TempFile::new("output", b"");
                let writer = File::create(file.path()).expect("it can be written");
                (writer.into(), Output::File(file))
            }
        }
    }
}

/// The other end of a standard output.
pub enum Output {
    Read(JoinHandle<Vec<u8>>),
    File(TempFile),
}

impl Output {
    /// All that came, once nobody has the stream any more.
    pub fn all(self) -> Vec<u8> {
        match self {
            Self::Read(thread) => thread.join().expect("it does not panic"),
            Self::File(file) => std::fs::read(file.path()).expect("it is there"),
        }
    }
}

fn write_apart(mut writer: impl Write + Send + 'static, bytes: &[u8]) {
    let bytes = bytes.to_owned();
    // Who reads may end first.
    thread::spawn(move || writer.write_all(&bytes));
}

fn read_apart(mut reader: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("it can be read");
        all
    })
}

/// Has `command` start with standard input closed.
pub fn close_stdin(command: &mut Command) {
    // SAFETY: nothing of the child's has it any more when its program starts.
    let close = || match unsafe { libc::close(0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: the child makes one system call, which a process with threads may.
    unsafe { command.pre_exec(close) };
}

/// Runs `command`, which keeps no descriptor of its streams behind.
pub fn start(mut command: Command) -> Child {
    command.spawn().expect("the binary under test starts")
}
