//! The host: whether it has KVM, of which kind, and the error if it has none.

use std::path::Path;
use std::{env, io};

use kvm_bindings::{
    KVM_CAP_BINARY_STATS_FD, KVM_CAP_DIRTY_LOG_RING, KVM_CAP_EXT_CPUID, KVM_CAP_READONLY_MEM,
    KVM_CAP_SIGNAL_MSI, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_TSC_DEADLINE_TIMER, KVM_CAP_USER_MEMORY,
    KVM_CAP_USER_NMI, KVM_CAP_VCPU_EVENTS, KVM_CAP_XCRS, KVM_CAP_XSAVE,
};
use kvm_ioctls::Kvm;

use super::{cpuid, probe};
use crate::emu::Emulator;
use crate::size::Size;
use crate::{CpuError, HostKind};

/// The device that KVM is reached by.
pub const DEVICE: &str = "/dev/kvm";
/// Has a folder for each kernel module, if /sys is there.
pub(super) const MODULES: &str = "/sys/module";
/// That of the software-backed KVM (PVM).
const SOFTWARE_KVM_MODULE: &str = "/sys/module/kvm_pvm";
/// Files that exist in containers of Docker and of Podman.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];
/// A variable that Podman and systemd set there (systemd's Container Interface): Podman's file is
/// under a tmpfs where the root is read-only.
const CONTAINER_VARIABLE: &str = "container";
/// The only version of the KVM API there has been since 2007.
const API_VERSION: i32 = 12;

/// What Ringfence needs (KVM API document, KVM_CHECK_EXTENSION).
pub(super) const NEEDED: [(u32, &str); 7] = [
    (KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"),
    (KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"),
    (KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"),
    (KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"),
    (KVM_CAP_XSAVE, "KVM_CAP_XSAVE"),
    (KVM_CAP_USER_NMI, "KVM_CAP_USER_NMI"),
    (KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"),
];
/// What it or a guest uses where it is there, and what else tells hosts apart.
pub(super) const WELCOME: [(u32, &str); 5] = [
    (KVM_CAP_XCRS, "KVM_CAP_XCRS"),
    (KVM_CAP_TSC_DEADLINE_TIMER, "KVM_CAP_TSC_DEADLINE_TIMER"),
    (KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"),
    (KVM_CAP_BINARY_STATS_FD, "KVM_CAP_BINARY_STATS_FD"),
    (KVM_CAP_DIRTY_LOG_RING, "KVM_CAP_DIRTY_LOG_RING"),
];

/// Most memory of one machine: KVM takes 2 MiB of the host's for each GiB, and a
/// millisecond, before the guest runs.
const MAX_MEMORY: u64 = 256 << 30;
/// Most CPUs of one machine: as many as in the emulator.
const MOST_CPUS: u8 = Emulator::MOST;

/// Why KVM cannot be used here, and what would help.
#[derive(Debug, thiserror::Error)]
pub enum KvmUnavailable {
    /// There is no such device.
    #[error(
        "{DEVICE} does not exist: load the kvm_intel or kvm_amd module, turn on virtualization \
         in the firmware, or use --accel emu"
    )]
    Missing,
    /// There is no such device in this container.
    #[error(
        "{DEVICE} is not in this container: start it with --device {DEVICE}, or use --accel emu"
    )]
    NotInContainer,
    /// The user may not open the device.
    #[error(
        "{DEVICE}: permission denied: join the group kvm (usermod -aG kvm $USER), or use --accel emu"
    )]
    Forbidden,
    /// The user of this container may not open the device: groups outside are none inside.
    #[error(
        "{DEVICE}: permission denied: start this container with the group kvm \
         (--group-add keep-groups, or the group's number), or use --accel emu"
    )]
    ForbiddenInContainer,
    /// The device cannot be opened for another reason.
    #[error("{DEVICE}: {0}: use --accel emu")]
    Broken(io::Error),
    /// The device answers, but lacks something that Ringfence needs.
    #[error("{DEVICE} lacks {0}: use a newer Linux, or --accel emu")]
    Lacking(&'static str),
    /// Instructions must be counted.
    #[error(
        "KVM does not count instructions, as --max-instructions and --deterministic need: use --accel emu"
    )]
    DoesNotCount,
    /// A machine of this memory would cost the host too much before it runs.
    #[error(
        "a guest under KVM has at most {} here: give less with --memory, or use --accel emu",
        Size(*.limit)
    )]
    TooMuchMemory {
        /// Most that one can have, in bytes.
        limit: u64,
    },
    /// The self-test guest did not run as it should.
    #[error("{DEVICE} fails the self-test ({0}): use --accel emu")]
    SelfTest(String),
}

/// A host whose KVM can be used.
#[derive(Debug)]
pub struct KvmHost {
    pub(super) kvm: Kvm,
    kind: HostKind,
}

impl KvmHost {
    /// Opens `/dev/kvm` and checks that it has what Ringfence needs.
    ///
    /// # Errors
    /// What is missing and the remedy.
    pub fn open() -> Result<Self, KvmUnavailable> {
        let kvm = Kvm::new().map_err(|error| match error.errno() {
            libc::ENOENT if in_container() => KvmUnavailable::NotInContainer,
            libc::ENOENT | libc::ENXIO | libc::ENODEV => KvmUnavailable::Missing,
            libc::EACCES | libc::EPERM if in_container() => KvmUnavailable::ForbiddenInContainer,
            libc::EACCES | libc::EPERM => KvmUnavailable::Forbidden,
            _ => KvmUnavailable::Broken(error.into()),
        })?;
        if kvm.get_api_version() != API_VERSION {
            return Err(KvmUnavailable::Lacking("KVM API version 12"));
        }
        let mut host = Self {
            kvm,
            kind: HostKind::Hardware,
        };
        if let Some((_, name)) = NEEDED.iter().find(|(number, _)| !host.has(*number)) {
            return Err(KvmUnavailable::Lacking(name));
        }
        let software = match Path::new(MODULES).is_dir() {
            true => Path::new(SOFTWARE_KVM_MODULE).exists(),
            false => probe::runs_ring_0_in_software(&host).unwrap_or(false),
        };
        if software {
            host.kind = HostKind::Software;
        }
        Ok(host)
    }

    /// Whether it has capability `number` (`KVM_CAP_*`).
    pub(super) fn has(&self, number: u32) -> bool {
        self.kvm.check_extension_raw(number.into()) > 0
    }

    /// [`HostKind::Hardware`] or [`HostKind::Software`].
    pub fn kind(&self) -> HostKind {
        self.kind
    }

    /// Bits of a guest-physical address.
    ///
    /// # Errors
    /// An ioctl that the host refuses.
    pub fn address_bits(&self) -> Result<u32, CpuError> {
        cpuid::address_bits(self)
    }

    /// CPUs that one machine can have at most.
    pub fn max_cpus(&self) -> u8 {
        let most = self.kvm.get_max_vcpus();
        u8::try_from(most).map_or(MOST_CPUS, |most| most.clamp(1, MOST_CPUS))
    }

    /// Bytes that one machine can have at most: as many as the host has, up to 256 GiB.
    pub fn max_memory(&self) -> u64 {
        host_memory().map_or(MAX_MEMORY, |bytes| bytes.min(MAX_MEMORY))
    }
}

/// Whether this process is in a container.
fn in_container() -> bool {
    env::var_os(CONTAINER_VARIABLE).is_some()
        || CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists())
}

/// Bytes of RAM that the host has.
fn host_memory() -> Option<u64> {
    // SAFETY: sysinfo writes one such structure, whose fields are all numbers, to where it
    // is told; zeros are a valid one.
    let info = unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        (libc::sysinfo(&mut info) == 0).then_some(info)
    }?;
    Some(info.totalram * u64::from(info.mem_unit))
}
