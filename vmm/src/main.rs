//! The `vmm` command: parses the command line, calls the library, prints, and turns the
//! outcome into an exit status. Nothing else in the workspace prints.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(vmm::started::process_start())
}
