//! A terminal of the host: the guest's while it runs, and afterwards as it was, however
//! the run ended.

#[path = "../support/mod.rs"]
mod support;

mod background;
mod busybox;
mod ends;
mod guest_jobs;
mod keys;
mod output;
mod pty;
mod session;
mod shell;
mod stops;
mod two_runs;

use support::{Target, suite};

fn main() {
    let cases = [
        ends::CASES,
        stops::CASES,
        background::CASES,
        two_runs::CASES,
        keys::CASES,
        guest_jobs::CASES,
        output::CASES,
    ];
    let mut trials = suite::on(&Target::ALL, &cases.concat());
    let missing = support::busybox::missing();
    trials.extend(suite::on_unless(missing, &Target::ALL, busybox::CASES));
    suite::main(trials);
}
