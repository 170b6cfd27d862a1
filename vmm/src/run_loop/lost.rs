//! Ends of runs whose output or trace the host does not take any more.

use std::io;

use super::{Board, RunLoop};
use crate::control::StopReason;
use crate::devices::{Line, StreamError};
use crate::output::is_given_up;
use crate::report::Outcome;

impl RunLoop {
    /// The end that the run has because the host takes no more of what the guest writes. The
    /// kernel's own lines are no reason to end a program.
    pub(super) fn lost_output(&self, board: &mut Board) -> Option<Outcome> {
        let StreamError { line, error } = board.devices.take_output_error()?;
        match error.kind() {
            io::ErrorKind::BrokenPipe if line == Line::Log => None,
            io::ErrorKind::BrokenPipe => Some(Outcome::broken_pipe(line.name())),
            _ if is_given_up(&error) => self.control.stop_reason().map(StopReason::outcome),
            _ => Some(Outcome::error(format!("{}: {error}", line.name()))),
        }
    }

    /// The same of the trace. A reader that went away (as `head` does) has seen what it
    /// wanted.
    pub(super) fn lost_trace(&self, error: io::Error) -> Option<Outcome> {
        match error.kind() {
            io::ErrorKind::BrokenPipe => None,
            _ if is_given_up(&error) => self.control.stop_reason().map(StopReason::outcome),
            _ => Some(Outcome::error(format!("trace: {error}"))),
        }
    }
}
