//! The message for an invalid command line: one line, as for every other error.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use vmm::bench::UnknownMeasure;
use vmm::boot::BootError;
use vmm::compare::CompareError;
use vmm::cpu::kvm::KvmUnavailable;
use vmm::explain::UnknownName;
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
    let is_misuse =
        error.is::<Misuse>() || error.is::<UnknownMeasure>() || error.is::<UnknownName>();
    if is_misuse || by_machine || by_program {
        USAGE
    } else {
        FAILURE
    }
}

/// Prints help or version if asked for, else what is wrong with the command line.
pub fn answer(error: &clap::Error) -> ExitCode {
    match message(error) {
        Some(message) => {
            super::complain(&message);
            ExitCode::from(USAGE)
        }
        // A reader that has gone is no failure.
        None => match error.print() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                super::complain(&format_args!("help: {error}"));
                ExitCode::from(FAILURE)
            }
            _ => ExitCode::from(error.exit_code() as u8),
        },
    }
}

/// How clap's errors, and they alone, begin.
const PREFIX: &str = "error: ";
const TIP: &str = "\n\n  tip: ";
/// What follows them, and their tips.
const ENDS: [&str; 2] = ["\n\nUsage: ", "\n\nFor more information"];

/// One of `words` must be text and is none; clap does not say which.
pub fn no_text(words: &[OsString]) -> clap::Error {
    let other = words.iter().filter(|word| word.to_str().is_none());
    let other: Vec<_> = other.map(|word| format!("{word:?}")).collect();
    let why = format!("no text in UTF-8: {}\n", other.join(", "));
    clap::Error::raw(ErrorKind::InvalidUtf8, why)
}

/// What is wrong with a command line: clap's error and tips in one line, without its usage. `None`
/// if the answer is help, also for no command at all.
pub fn message(error: &clap::Error) -> Option<String> {
    let text = error.render().to_string();
    let text = text.strip_prefix(PREFIX)?;
    // The last ones: a word of the command line, which the error has in it, may have anything.
    let end = ENDS.iter().filter_map(|end| text.rfind(end)).min();
    let text = text[..end.unwrap_or(text.len())].replace(TIP, "; tip: ");
    let words: Vec<_> = text.split_whitespace().collect();
    Some(words.join(" "))
}
