//! Standard input, output and error of `vmm run` are the program's: every byte goes through
//! unchanged, whatever they are on the host, and the program sees whether they are
//! terminals.

#[path = "../support/mod.rs"]
mod support;

mod input;
mod output;
mod run;

use support::{Target, suite};

fn main() {
    let cases = [input::CASES, output::CASES].concat();
    suite::main(suite::on(&Target::ALL, &cases));
}
