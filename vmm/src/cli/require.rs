//! `--require`: machines whose absence is a failure, for CI.

use clap::ValueEnum;
use vmm::compare::Machine;

use super::CliError;

/// What must have run.
#[derive(Debug, clap::Args)]
pub struct RequireArgs {
    /// Fail (status 125) where this does not run
    #[arg(long, value_enum, value_name = "ACCEL")]
    require: Option<Required>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Required {
    Kvm,
}

impl RequireArgs {
    /// Checks that what is required is among the machines that ran.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, ran: &[Machine]) -> Result<(), CliError> {
        match self.require {
            Some(Required::Kvm) if !ran.iter().any(|machine| machine.is_kvm()) => {
                Err("KVM does not run here, and --require kvm asks for it".into())
            }
            _ => Ok(()),
        }
    }
}
