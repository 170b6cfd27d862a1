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

use std::collections::BTreeMap;

use support::Target;
use support::suite::{self, Case};

const ONE_CPU: &[Target] = &Target::ALL;
const SEVERAL_CPUS: &[Target] = &[Target::Emu2Cpus, Target::Emu4Cpus, Target::Kvm2Cpus];
const SEVERAL_OF_EMU: &[Target] = &[Target::Emu2Cpus, Target::Emu4Cpus];

/// Modules of cases, and the targets of each.
const MODULES: [(&[Case], &[&[Target]]); 15] = [
    (boot::CASES, &[ONE_CPU]),
    (calls::CASES, &[ONE_CPU, SEVERAL_CPUS]),
    (costs::CASES, &[ONE_CPU]),
    (deterministic::CASES, &[&[Target::Emu]]),
    (deterministic::SEVERAL_CASES, &[SEVERAL_OF_EMU]),
    (endurance::CASES, &[ONE_CPU, SEVERAL_CPUS]),
    (
        endurance::AT_ONCE,
        &[&[Target::KvmUserApic2Cpus, Target::Kvm4Cpus]],
    ),
    (ends::CASES, &[ONE_CPU, SEVERAL_OF_EMU]),
    (faults::CASES, &[ONE_CPU, SEVERAL_OF_EMU]),
    (host_files::CASES, &[ONE_CPU]),
    (memory_order::CASES, &[&memory_order::TARGETS]),
    (processors::CASES, &[SEVERAL_CPUS]),
    (processors::DETERMINISTIC, &[SEVERAL_OF_EMU]),
    (programs::CASES, &[ONE_CPU, SEVERAL_CPUS]),
    (signals::CASES, &[ONE_CPU, SEVERAL_CPUS]),
];

fn main() {
    let mut trials = Vec::new();
    for target in Target::EVERY {
        let runs_on = |targets: &[&[Target]]| target.is_among(&targets.concat());
        let modules = MODULES.into_iter().filter(|(_, targets)| runs_on(targets));
        // A case that two of them have runs once.
        let cases: BTreeMap<_, _> = modules.flat_map(|(cases, _)| cases).copied().collect();
        trials.extend(suite::on(&[target], &Vec::from_iter(cases)));
    }
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
