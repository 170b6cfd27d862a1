//! The command line: what it says to bad input and to a host without KVM.
//! And what holds of the sources: the README keeps up, the kernel's layers stay layers.

mod support;

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/kvm_access.rs"]
mod kvm_access;
#[path = "cli/layers.rs"]
mod layers;
#[path = "cli/readme.rs"]
mod readme;

use support::suite;

fn main() {
    let mut trials = bad_input::trials();
    trials.extend(kvm_access::trials());
    trials.extend(layers::trials());
    trials.extend(readme::trials());
    suite::main(trials);
}
