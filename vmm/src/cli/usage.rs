//! The message for an invalid command line: one line, as for every other error.

use std::io;
use std::process::ExitCode;

use vmm::bench::UnknownMeasure;
use vmm::boot::BootError;
use vmm::compare::CompareError;
use vmm::cpu::kvm::KvmUnavailable;
use vmm::image::ImageError;
use vmm::program::ProgramError;
use vmm::vm::VmError;

use super::{CliError, FAILURE};

/// Exit status of an invalid command line.
const USAGE: u8 = 2;

/// An error in a command line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// The exit status after `error`: was it the command line, or what came after?
pub fn status(error: &CliError) -> u8 {
    let of_machine = match error.downcast_ref() {
        Some(CompareError::Vm(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    let by_machine = matches!(
        of_machine,
        Some(
            VmError::Boot(BootError::CommandLineTooLong { .. } | BootError::ZeroByte)
                | VmError::Kvm(KvmUnavailable::TooMuchMemory { .. })
        )
    );
    let by_program = match error.downcast_ref() {
        Some(
            ProgramError::Unknown { .. }
            | ProgramError::NotInRoot { .. }
            | ProgramError::NotExecutable { .. },
        ) => true,
        Some(ProgramError::Unreadable(ImageError::Unreadable { source, .. })) => {
            source.kind() == io::ErrorKind::NotFound
        }
        _ => false,
    };
    if error.is::<Misuse>() || error.is::<UnknownMeasure>() || by_machine || by_program {
        USAGE
    } else {
        FAILURE
    }
}

/// Prints help or version if asked for, else what is wrong with the command line.
pub fn answer(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !text.starts_with(PREFIX) {
        // Help, also for no command at all. A reader that has gone is no failure.
        return match error.print() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                super::complain(&format_args!("help: {error}"));
                ExitCode::from(FAILURE)
            }
            _ => ExitCode::from(error.exit_code() as u8),
        };
    }
    super::complain(&one_line(&text));
    ExitCode::from(USAGE)
}

/// How clap's errors, and they alone, begin.
const PREFIX: &str = "error: ";
const TIP: &str = "tip: ";

/// The error and clap's tips, without its usage lines.
fn one_line(text: &str) -> String {
    let text = text.strip_prefix(PREFIX).unwrap_or(text);
    let mut parts = text.split("\n\n").map(|part| {
        let words: Vec<_> = part.split_whitespace().collect();
        words.join(" ")
    });
    let mut line = parts.next().unwrap_or_default();
    for tip in parts.filter(|part| part.starts_with(TIP)) {
        line.push_str("; ");
        line.push_str(&tip);
    }
    line
}
