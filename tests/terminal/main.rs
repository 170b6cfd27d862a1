//! A terminal of the host: the guest's while it runs, and afterwards as it was, however
//! the run ended.

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod jobs;
mod keys;
mod session;

use support::{Target, suite};

fn main() {
    let cases = [ends::CASES, jobs::CASES, keys::CASES].concat();
    suite::main(suite::on(&Target::ALL, &cases));
}
