//! A process that starts others which are to be measured, so that the one whose guests run need
//! not have the right to start any.
//!
//! It is the program `vmm` again (`vmm bench --starter`). Each request is a line of JSON on its
//! standard input, each answer one on its standard output; it ends where the requests do. All that
//! it starts are two bundled programs, and `vmm` with `hello`: whoever asks, no more is to be had.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

use super::native::{self, Work, Worker};
use super::{BenchError, Sample, cold};
use crate::compare::Machine;

/// What is to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Request {
    /// A bundled program with these arguments, on the host.
    Native { worker: Worker, args: Vec<String> },
    /// `vmm`, which runs `hello` on a machine.
    Cold {
        machine: Machine,
        until: cold::Until,
    },
}

type Answer<T> = Result<T, String>;

/// The process, from this side.
#[derive(Debug)]
pub struct Starter {
    /// Ends with the requests.
    _child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Starter {
    /// Starts it, by the program `vmm`.
    ///
    /// # Errors
    /// The host cannot start that.
    pub fn start(vmm: &Path) -> io::Result<Self> {
        let mut child = Command::new(vmm)
            .args(["bench", "--starter"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let streams = child.stdin.take().zip(child.stdout.take());
        let (requests, answers) = streams.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            _child: child,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// What a bundled program prints that works on the host.
    pub(super) fn native(&mut self, worker: Worker, args: &[&str]) -> Result<Work, BenchError> {
        self.ask(&Request::Native {
            worker,
            args: args.iter().map(ToString::to_string).collect(),
        })
    }

    /// A sample of a process of the VMM.
    pub(super) fn cold(
        &mut self,
        machine: Machine,
        until: cold::Until,
    ) -> Result<Sample, BenchError> {
        self.ask(&Request::Cold { machine, until })
    }

    fn ask<T: for<'a> Deserialize<'a>>(&mut self, request: &Request) -> Result<T, BenchError> {
        let answer = self.answer(request);
        let gone = |error| BenchError::Absent(format!("the process that starts others: {error}"));
        answer.map_err(gone)?.map_err(BenchError::Absent)
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self, request: &Request) -> io::Result<Answer<T>> {
        let request = serde_json::to_string(request)?;
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// Serves requests until there are no more, by the program `vmm`: what `vmm bench --starter` does.
///
/// # Errors
/// The requests are none, or nobody takes the answers.
pub fn serve(vmm: &Path, requests: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for request in requests.lines() {
        let answer = match serde_json::from_str(&request?)? {
            Request::Native { worker, args } => line(native::run(worker, &args))?,
            Request::Cold { machine, until } => line(cold::sample(vmm, machine, until))?,
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

fn line<T: Serialize>(result: Result<T, BenchError>) -> serde_json::Result<String> {
    serde_json::to_string(&result.map_err(|error| error.to_string()))
}
