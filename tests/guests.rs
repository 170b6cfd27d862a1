//! Guest programs and what they must print, return and cost, on every accelerator.
//!
//! Each case is a function of a [`support::Target`]; it becomes one test per target, named
//! `case::target`. A target that this host does not have shows as ignored, and a line
//! says why; `RINGFENCE_REQUIRE=kvm` makes that a failure. The programs that a foreign VMM
//! runs as well are listed in `foreign/mod.rs`.

#[path = "foreign/mod.rs"]
mod foreign;
mod support;

#[path = "guests/boot.rs"]
mod boot;
#[path = "guests/calls.rs"]
mod calls;
#[path = "guests/costs.rs"]
mod costs;
#[path = "guests/deterministic.rs"]
mod deterministic;
#[path = "guests/ends.rs"]
mod ends;
#[path = "guests/endurance.rs"]
mod endurance;
#[path = "guests/faults.rs"]
mod faults;
#[path = "guests/footprint.rs"]
mod footprint;
#[path = "guests/programs.rs"]
mod programs;
#[path = "guests/signals.rs"]
mod signals;

use support::Target;
use support::suite::{self, Case};

fn main() {
    let cases: Vec<Case> = [
        boot::CASES,
        calls::CASES,
        costs::CASES,
        endurance::CASES,
        ends::CASES,
        faults::CASES,
        programs::CASES,
        signals::CASES,
    ]
    .concat();
    let mut trials = suite::on(&Target::ALL, &cases);
    trials.extend(suite::on(&[Target::Emu], deterministic::CASES));
    let lean = support::checked_guest();
    trials.extend(suite::on_unless(lean, &[Target::Emu], costs::LEAN_CASES));
    trials.extend(suite::on_unless(lean, &Target::ALL, footprint::CASES));
    trials.extend(suite::on_unless(
        support::busybox::missing(),
        &Target::ALL,
        signals::BUSYBOX_CASES,
    ));
    trials.extend(foreign::trials());
    suite::main(trials);
}
