//! The `vmm` command: parses the command line, calls the library, prints, and turns the
//! outcome into an exit status. Nothing else in the workspace prints.

use std::process::ExitCode;

#[global_allocator]
static HEAP: cli::Heap = cli::Heap;

fn main() -> ExitCode {
    cli::main(vmm::started::process_start())
}
