//! A vCPU of KVM's as far as kicks go: the VMM's code, on a model of the host's signals.

#[path = "../../../vmm/cpu/src/kvm/kick.rs"]
pub mod kick;
pub mod kick_signal;
