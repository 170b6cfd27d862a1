//! How a run ended, and the exit status that says so.

use std::fmt;

use abi::debug_exit::{GuestExit, SIGNAL_STATUS_BASE};
use serde::Serialize;

use crate::devices::MachineEnd;

/// Exit status of a run that a limit ended (as `timeout(1)` has it).
pub const LIMIT_STATUS: u8 = 124;
/// Exit status of a run that failed: VMM error, kernel panic, triple fault, dead halt.
pub const FAILURE_STATUS: u8 = abi::debug_exit::FAILURE_STATUS;

/// The kinds of end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// The guest's init exited.
    Exited,
    /// A signal ended init.
    Killed,
    /// The guest switched its machine off.
    PoweredOff,
    /// The guest reset its machine.
    Reset,
    /// The guest kernel panicked.
    Panic,
    /// The guest CPU shut down: a triple fault.
    TripleFault,
    /// The guest CPU halted with interrupts off, for ever.
    Halted,
    /// `--timeout` was reached.
    Timeout,
    /// `--max-instructions` was reached.
    TooManyInstructions,
    /// The VMM or its host failed.
    Error,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The kind of end.
    pub kind: OutcomeKind,
    /// Init's exit status, if it exited.
    pub code: Option<u8>,
    /// The signal's number, if one ended init.
    pub signal: Option<u8>,
    /// What else a person should know, in one line.
    pub message: Option<String>,
}

impl Outcome {
    /// Init exited with `code`.
    pub fn exited(code: u8) -> Self {
        Self {
            code: Some(code),
            ..Self::bare(OutcomeKind::Exited)
        }
    }

    /// A signal (1 to 64) ended init.
    pub fn killed(signal: u8) -> Self {
        Self {
            signal: Some(signal),
            ..Self::bare(OutcomeKind::Killed)
        }
    }

    /// The VMM was told to stop by `signal` (1 to 64) of the host.
    pub fn stopped(signal: u8) -> Self {
        Self::killed(signal).with_message("the VMM was told to stop")
    }

    /// The host's signal that stopped the run, if one did.
    pub fn stop_signal(&self) -> Option<u8> {
        self.signal.filter(|&signal| *self == Self::stopped(signal))
    }

    /// Nobody takes what the guest writes to `stream`: the end that a process of the host
    /// has then.
    pub fn broken_pipe(stream: &str) -> Self {
        Self::killed(libc::SIGPIPE as u8).with_message(format!("nobody reads {stream}"))
    }

    /// The guest switched its machine off.
    pub fn powered_off() -> Self {
        Self::bare(OutcomeKind::PoweredOff)
    }

    /// The guest reset its machine, which does not start again.
    pub fn reset() -> Self {
        Self::bare(OutcomeKind::Reset)
    }

    /// The guest kernel panicked; its console has the message.
    pub fn panicked() -> Self {
        Self::bare(OutcomeKind::Panic)
    }

    /// The guest CPU met an exception while it delivered a double fault.
    pub fn triple_fault() -> Self {
        Self::bare(OutcomeKind::TripleFault)
    }

    /// The guest CPU has halted, and nothing can wake it.
    pub fn halted() -> Self {
        Self::bare(OutcomeKind::Halted).with_message("hlt with interrupts off, and no NMI can come")
    }

    /// The run took longer than it was given.
    pub fn timeout() -> Self {
        Self::bare(OutcomeKind::Timeout)
    }

    /// The run executed as many instructions as it was given.
    pub fn too_many_instructions() -> Self {
        Self::bare(OutcomeKind::TooManyInstructions)
    }

    /// The VMM or its host failed, as `message` says.
    pub fn error(message: impl Into<String>) -> Self {
        Self::bare(OutcomeKind::Error).with_message(message)
    }

    /// The same with `message` for a person.
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Whether the guest ended the run, as it wanted to.
    pub fn is_orderly(&self) -> bool {
        use OutcomeKind::{Exited, PoweredOff, Reset};
        matches!(self.kind, Exited | PoweredOff | Reset)
    }

    /// Whether the run came to an end that its guest did not ask for: then it is worth
    /// knowing where the guest was.
    pub fn is_unexpected(&self) -> bool {
        match self.kind {
            _ if self.is_orderly() => false,
            OutcomeKind::Killed => self.stop_signal().is_some(),
            _ => true,
        }
    }

    /// Whether the run came to an end that no one CPU has caused.
    pub fn is_of_all_cpus(&self) -> bool {
        use OutcomeKind::{Halted, Timeout};
        matches!(self.kind, Halted | Timeout) || self.stop_signal().is_some()
    }

    /// The exit status of `vmm run`: init's own; 0 for a machine that its guest switched off
    /// or reset; 128 and the signal's number; [`LIMIT_STATUS`]; [`FAILURE_STATUS`].
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            OutcomeKind::Exited => self.code.unwrap_or(FAILURE_STATUS),
            OutcomeKind::PoweredOff | OutcomeKind::Reset => 0,
            OutcomeKind::Killed => SIGNAL_STATUS_BASE | self.signal.unwrap_or(0),
            OutcomeKind::Timeout | OutcomeKind::TooManyInstructions => LIMIT_STATUS,
            OutcomeKind::Panic
            | OutcomeKind::TripleFault
            | OutcomeKind::Halted
            | OutcomeKind::Error => FAILURE_STATUS,
        }
    }

    fn bare(kind: OutcomeKind) -> Self {
        Self {
            kind,
            code: None,
            signal: None,
            message: None,
        }
    }
}

impl From<MachineEnd> for Outcome {
    fn from(end: MachineEnd) -> Self {
        match end {
            MachineEnd::Guest(GuestExit::Exited(code)) => Self::exited(code),
            MachineEnd::Guest(GuestExit::Killed(signal)) => Self::killed(signal),
            MachineEnd::Guest(GuestExit::Panicked) => Self::panicked(),
            MachineEnd::PoweredOff => Self::powered_off(),
            MachineEnd::Reset => Self::reset(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            OutcomeKind::Exited => write!(f, "exited with status {}", self.exit_status())?,
            OutcomeKind::Killed => write!(f, "killed by signal {}", self.signal.unwrap_or(0))?,
            OutcomeKind::PoweredOff => f.write_str("powered off")?,
            OutcomeKind::Reset => f.write_str("reset")?,
            OutcomeKind::Panic => f.write_str("kernel panic")?,
            OutcomeKind::TripleFault => f.write_str("triple fault")?,
            OutcomeKind::Halted => f.write_str("halted")?,
            OutcomeKind::Timeout => f.write_str("timeout")?,
            OutcomeKind::TooManyInstructions => f.write_str("too many instructions")?,
            OutcomeKind::Error => f.write_str("error")?,
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use abi::debug_exit::GuestExit;

    use super::Outcome;
    use crate::devices::MachineEnd;

    #[test]
    fn every_end_has_its_status_and_words() {
        for (outcome, status, words) in [
            (Outcome::exited(7), 7, "exited with status 7"),
            (Outcome::killed(11), 139, "killed by signal 11"),
            (
                Outcome::killed(11).with_message("stack overflow"),
                139,
                "killed by signal 11: stack overflow",
            ),
            (
                Outcome::stopped(2),
                130,
                "killed by signal 2: the VMM was told to stop",
            ),
            (
                Outcome::broken_pipe("standard output"),
                141,
                "killed by signal 13: nobody reads standard output",
            ),
            (Outcome::powered_off(), 0, "powered off"),
            (Outcome::reset(), 0, "reset"),
            (Outcome::panicked(), 125, "kernel panic"),
            (Outcome::triple_fault(), 125, "triple fault"),
            (
                Outcome::halted(),
                125,
                "halted: hlt with interrupts off, and no NMI can come",
            ),
            (Outcome::timeout(), 124, "timeout"),
            (
                Outcome::too_many_instructions(),
                124,
                "too many instructions",
            ),
            (Outcome::error("no memory"), 125, "error: no memory"),
        ] {
            assert_eq!(outcome.exit_status(), status);
            assert_eq!(outcome.to_string(), words);
        }
    }

    #[test]
    fn a_stop_by_the_host_is_told_from_a_kill_in_the_guest() {
        assert_eq!(Outcome::stopped(15).stop_signal(), Some(15));
        assert_eq!(Outcome::killed(15).stop_signal(), None);
        assert_eq!(Outcome::timeout().stop_signal(), None);
    }

    #[test]
    fn what_the_guest_wrote_is_what_is_reported() {
        let outcome = |end| Outcome::from(MachineEnd::Guest(end));
        assert_eq!(outcome(GuestExit::Exited(3)), Outcome::exited(3));
        assert_eq!(outcome(GuestExit::Killed(9)), Outcome::killed(9));
        assert_eq!(outcome(GuestExit::Panicked), Outcome::panicked());
    }
}
