//! How far a guest's time-stamp counter is ahead of the host's (KVM, vCPU device attributes,
//! since Linux 5.16).

use std::os::fd::AsRawFd;

use kvm_bindings::{KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, kvm_device_attr};
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

ioctl_iow_nr!(
    KVM_GET_DEVICE_ATTR,
    kvm_bindings::KVMIO,
    0xe2,
    kvm_device_attr
);

/// The offset, modulo 2^64, if this KVM tells.
pub fn read(vcpu: &impl AsRawFd) -> Option<u64> {
    let mut offset = 0_u64;
    let attribute = kvm_device_attr {
        flags: 0,
        group: KVM_VCPU_TSC_CTRL,
        attr: KVM_VCPU_TSC_OFFSET.into(),
        addr: &raw mut offset as u64,
    };
    // SAFETY: KVM reads the structure and writes 64 bits to its address, which are there.
    let result = unsafe { ioctl_with_ref(vcpu, KVM_GET_DEVICE_ATTR(), &attribute) };
    (result == 0).then_some(offset)
}
