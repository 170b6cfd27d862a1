//! Small kernels that try what only ring 0 can: each has what it prints by the manuals, and
//! runs on every machine.
//!
//! The processor is AMD's, as in the emulator (AMD APM). A machine that is known to do
//! otherwise is named beside the case, with the reason; there the case shows as ignored.
//! Rejected: one machine as the reference of the others, for each of them is wrong somewhere.

#[path = "../support/mod.rs"]
mod support;

mod debug;
mod fetch;
mod gates;
mod interrupts;
mod linux;
mod modes;
mod monitor;
mod processors;
mod registers;

use std::arch::x86_64::__cpuid;

use libtest_mimic::{Failed, Trial};

use support::kernel::Kernel;
use support::{Target, output_with_input, qemu, required, software_kvm, suite};

/// A kernel that exits with status 0, and what it prints.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    kernel: fn() -> Kernel,
    prints: &'static str,
    /// CPUs of the machine.
    cpus: u8,
    /// The machines that are known to be wrong, and how.
    wrong: &'static [(Wrong, &'static str)],
}

impl Case {
    /// One that is right everywhere.
    const fn new(name: &'static str, kernel: fn() -> Kernel, prints: &'static str) -> Self {
        Self {
            name,
            kernel,
            prints,
            cpus: 1,
            wrong: &[],
        }
    }

    /// The same with several CPUs.
    const fn cpus(mut self, cpus: u8) -> Self {
        self.cpus = cpus;
        self
    }

    /// The same but for some machines.
    const fn but(mut self, wrong: &'static [(Wrong, &'static str)]) -> Self {
        self.wrong = wrong;
        self
    }
}

/// Machines that do something else than the manual.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// QEMU's emulated processor, also where KVM runs on it.
    Qemu,
    /// A processor of Intel's under KVM.
    Intel,
    /// KVM that emulates ring 0.
    SoftwareKvm,
    /// Any KVM.
    Kvm,
}

/// What runs a kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    Vmm(Target),
    Qemu,
}

impl Machine {
    const ALL: [Self; 4] = {
        let [emulator, kvm, user_apic] = Target::ALL;
        [
            Self::Vmm(emulator),
            Self::Vmm(kvm),
            Self::Vmm(user_apic),
            Self::Qemu,
        ]
    };

    fn name(self) -> String {
        match self {
            Self::Vmm(target) => target.to_string(),
            Self::Qemu => "qemu".to_owned(),
        }
    }

    /// Why it is not on this host, if it is not.
    fn missing(self) -> Option<&'static str> {
        match self {
            Self::Vmm(target) => target.missing(),
            Self::Qemu => qemu::missing(),
        }
    }

    fn required(self) -> bool {
        match self {
            Self::Vmm(target) => target.required(),
            Self::Qemu => required("qemu"),
        }
    }

    /// Whether it is one of those that are `wrong`.
    fn is(self, wrong: Wrong) -> bool {
        let kvm = matches!(self, Self::Vmm(target) if target != Target::Emu);
        match wrong {
            Wrong::Qemu => self == Self::Qemu || kvm && on_qemu(),
            Wrong::Intel => kvm && is_intel(),
            Wrong::SoftwareKvm => kvm && software_kvm(),
            Wrong::Kvm => kvm,
        }
    }

    fn run(self, case: Case) {
        let kernel = (case.kernel)().write();
        let path = kernel.path().to_str().expect("its name is text");
        let cpus = case.cpus.to_string();
        match self {
            Self::Vmm(target) => {
                let run = target.kernel(path).options(&["--cpus", &cpus]);
                run.run().status(0).prints(case.prints);
            }
            Self::Qemu => {
                let mut qemu = qemu::machine(&["-M", "pc", "-cpu", "max"]);
                let output = output_with_input(qemu.args(["-smp", &cpus, "-kernel", path]), None);
                assert_eq!(String::from_utf8_lossy(&output.stdout), case.prints);
                assert_eq!(output.status.code(), Some(qemu::exit_status(0)));
            }
        }
    }
}

/// Whether this host's processor is Intel's.
fn is_intel() -> bool {
    __cpuid(0).ebx == u32::from_le_bytes(*b"Genu")
}

/// Whether this host is a machine of QEMU's translator.
fn on_qemu() -> bool {
    const HYPERVISOR: u32 = 0x4000_0000;
    __cpuid(HYPERVISOR).ebx == u32::from_le_bytes(*b"TCGT")
}

fn main() {
    for machine in Machine::ALL {
        match machine.missing() {
            None => eprintln!("{}: runs here", machine.name()),
            Some(why) => eprintln!("{}: does not run here: {why}", machine.name()),
        }
    }
    let cases = [
        debug::CASES,
        interrupts::CASES,
        fetch::CASES,
        gates::CASES,
        registers::CASES,
        modes::CASES,
        processors::CASES,
    ]
    .concat();
    let machines = Machine::ALL.into_iter();
    let trials = machines.flat_map(|machine| cases.iter().map(move |&case| trial(machine, case)));
    suite::main(trials.chain(linux::trials()).collect());
}

/// The test of `case` on `machine`.
fn trial(machine: Machine, case: Case) -> Trial {
    let name = format!("{}::{}", case.name, machine.name());
    let missing = machine.missing();
    let wrong = case.wrong.iter().find(|(wrong, _)| machine.is(*wrong));
    if let (None, Some((_, why))) = (missing, wrong) {
        eprintln!("{name}: ignored: {why}");
    }
    let ignored = missing.is_some() && !machine.required() || wrong.is_some();
    let trial = Trial::test(name, move || match missing {
        Some(why) => Err(Failed::from(why)),
        None => {
            machine.run(case);
            Ok(())
        }
    });
    trial.with_ignored_flag(ignored)
}
