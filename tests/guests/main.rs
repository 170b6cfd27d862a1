//! Guest programs and what they must print, return and cost, on every accelerator.
//!
//! Each case is a function of a [`support::Target`]; it becomes one test per target, named
//! `case::target`. A target that this host does not have shows as ignored, and a line
//! says why; `RINGFENCE_REQUIRE=kvm` makes that a failure. The programs that a foreign VMM
//! runs as well are listed in `foreign`.

#[path = "../support/mod.rs"]
mod support;

mod boot;
mod calls;
mod compiled;
mod costs;
mod deterministic;
mod ends;
mod endurance;
mod faults;
mod footprint;
mod foreign;
mod host_files;
mod memory_order;
mod processors;
mod programs;
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
        host_files::CASES,
        programs::CASES,
        signals::CASES,
    ]
    .concat();
    let mut trials = suite::on(&Target::ALL, &cases);
    let on_several = [
        calls::CASES,
        endurance::CASES,
        ends::CASES,
        faults::CASES,
        programs::CASES,
        signals::CASES,
    ];
    trials.extend(suite::on(&[Target::EmuSeveral], &on_several.concat()));
    let several = [Target::EmuSeveral, Target::KvmSeveral];
    trials.extend(suite::on(&several, processors::CASES));
    trials.extend(suite::on(&several[..1], processors::DETERMINISTIC));
    let on_several_of_kvm = [
        calls::CASES,
        endurance::CASES,
        programs::CASES,
        signals::CASES,
    ];
    trials.extend(suite::on(
        &[Target::KvmSeveral],
        &on_several_of_kvm.concat(),
    ));
    trials.extend(suite::on(&Target::MORE_OF_KVM, endurance::AT_ONCE));
    trials.extend(suite::on(&[Target::Emu], deterministic::CASES));
    trials.extend(suite::on(&memory_order::TARGETS, memory_order::CASES));
    trials.extend(suite::on(
        &[Target::EmuSeveral],
        deterministic::SEVERAL_CASES,
    ));
    let weak = faults::weak_processor();
    trials.extend(suite::on(&[Target::Emu], faults::STATE_CASES));
    let kvm = [Target::Kvm, Target::KvmUserApic];
    trials.extend(suite::on_unless(weak, &kvm, faults::STATE_CASES));
    let lean = support::checked_guest();
    trials.extend(suite::on_unless(lean, &[Target::Emu], costs::LEAN_CASES));
    trials.extend(suite::on_unless(lean, &Target::ALL, footprint::CASES));
    trials.extend(suite::on_unless(
        support::busybox::missing(),
        &Target::ALL,
        signals::BUSYBOX_CASES,
    ));
    trials.extend(compiled::trials());
    trials.extend(foreign::trials());
    suite::main(trials);
}
