//! What is asked of KVM to make a machine and to run it, for those who forbid the rest.

use kvm_bindings::{
    KVMIO, kvm_cpuid2, kvm_debugregs, kvm_device_attr, kvm_enable_cap, kvm_interrupt,
    kvm_irq_routing, kvm_mp_state, kvm_msi, kvm_msrs, kvm_regs, kvm_signal_mask, kvm_sregs,
    kvm_userspace_memory_region, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use vmm_sys_util::ioctl::{_IOC_NONE, _IOC_READ, _IOC_WRITE, ioctl_expr};

const fn none(number: u32) -> u64 {
    ioctl_expr(_IOC_NONE, KVMIO, number, 0)
}

const fn reads<T>(number: u32) -> u64 {
    ioctl_expr(_IOC_READ, KVMIO, number, size_of::<T>() as u32)
}

const fn writes<T>(number: u32) -> u64 {
    ioctl_expr(_IOC_WRITE, KVMIO, number, size_of::<T>() as u32)
}

const fn both<T>(number: u32) -> u64 {
    let direction = _IOC_READ | _IOC_WRITE;
    ioctl_expr(direction, KVMIO, number, size_of::<T>() as u32)
}

/// The numbers of the ioctls by which a vCPU of a machine that is made runs, the most frequent
/// first (Linux's KVM API document).
pub const RUN_REQUESTS: [u64; 22] = [
    none(0x80),                                  // KVM_RUN
    writes::<kvm_msi>(0xa5),                     // KVM_SIGNAL_MSI
    writes::<kvm_interrupt>(0x86),               // KVM_INTERRUPT
    reads::<kvm_regs>(0x81),                     // KVM_GET_REGS
    writes::<kvm_regs>(0x82),                    // KVM_SET_REGS
    reads::<kvm_sregs>(0x83),                    // KVM_GET_SREGS
    writes::<kvm_sregs>(0x84),                   // KVM_SET_SREGS
    both::<kvm_msrs>(0x88),                      // KVM_GET_MSRS
    writes::<kvm_msrs>(0x89),                    // KVM_SET_MSRS
    writes::<kvm_signal_mask>(0x8b),             // KVM_SET_SIGNAL_MASK
    reads::<kvm_mp_state>(0x98),                 // KVM_GET_MP_STATE
    none(0x9a),                                  // KVM_NMI
    reads::<kvm_vcpu_events>(0x9f),              // KVM_GET_VCPU_EVENTS
    writes::<kvm_vcpu_events>(0xa0),             // KVM_SET_VCPU_EVENTS
    reads::<kvm_debugregs>(0xa1),                // KVM_GET_DEBUGREGS
    writes::<kvm_debugregs>(0xa2),               // KVM_SET_DEBUGREGS
    reads::<kvm_xsave>(0xa4),                    // KVM_GET_XSAVE
    writes::<kvm_xsave>(0xa5),                   // KVM_SET_XSAVE
    reads::<kvm_xcrs>(0xa6),                     // KVM_GET_XCRS
    writes::<kvm_xcrs>(0xa7),                    // KVM_SET_XCRS
    writes::<kvm_irq_routing>(0x6a),             // KVM_SET_GSI_ROUTING
    writes::<kvm_userspace_memory_region>(0x46), // KVM_SET_USER_MEMORY_REGION
];

/// Those by which a machine is made, beside these.
pub const MAKE_REQUESTS: [u64; 12] = [
    none(0x00),                      // KVM_GET_API_VERSION
    none(0x01),                      // KVM_CREATE_VM
    none(0x03),                      // KVM_CHECK_EXTENSION
    none(0x04),                      // KVM_GET_VCPU_MMAP_SIZE
    both::<kvm_cpuid2>(0x05),        // KVM_GET_SUPPORTED_CPUID
    none(0x41),                      // KVM_CREATE_VCPU
    none(0x47),                      // KVM_SET_TSS_ADDR
    writes::<kvm_cpuid2>(0x90),      // KVM_SET_CPUID2
    none(0xa3),                      // KVM_GET_TSC_KHZ
    writes::<kvm_enable_cap>(0xa3),  // KVM_ENABLE_CAP
    none(0xce),                      // KVM_GET_STATS_FD
    writes::<kvm_device_attr>(0xe2), // KVM_GET_DEVICE_ATTR
];
