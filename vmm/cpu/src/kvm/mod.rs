//! The `kvm` accelerator: the processor runs the guest, KVM traps what needs a hypervisor.
//!
//! ```text
//! KvmHost (host.rs: /dev/kvm, what kind of host it is)
//!  ├─ KvmFacts (facts.rs: what it says of itself)
//!  └─ KvmVm (here: memory slots, interrupt controller)
//!      └─ KvmVcpu (vcpu.rs)  ── kick.rs      makes it return
//!                            ── kick_signal.rs  by a signal that only KVM_RUN lets in
//!                            ── registers.rs KVM's register structs and ours
//!                            ── cpuid.rs     what the guest's CPUID says
//!                            ── topology.rs which of the CPUs it is
//!                            ── stats.rs     KVM's own counters
//!                            ── run_requests.rs  what is asked of KVM
//!                            ── remedy.rs    instructions that software-backed KVM lacks
//!                            ── tsc_offset.rs  how far the guest's counter is ahead
//!                            ── probe.rs     whether this is such a KVM
//! ```

mod copies;
mod cpuid;
mod facts;
mod host;
mod kick;
mod kick_signal;
mod probe;
mod raw_exit;
mod registers;
mod remedy;
mod run_requests;
mod stats;
mod topology;
mod tsc_offset;
mod vcpu;
mod xsave;

pub use facts::KvmFacts;
pub use host::{DEVICE, KvmHost, KvmUnavailable};
pub use run_requests::{MAKE_REQUESTS, RUN_REQUESTS};
pub use vcpu::KvmVcpu;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kvm_bindings::{
    KVM_CAP_SPLIT_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_MEM_READONLY, KvmIrqRouting, kvm_enable_cap,
    kvm_irq_routing_entry, kvm_irq_routing_entry__bindgen_ty_1, kvm_irq_routing_msi, kvm_msi,
    kvm_userspace_memory_region,
};
use kvm_ioctls::VmFd;

use super::{CpuError, GuestClock};
use crate::memory::{FileWindow, GuestRam, RamRegion};

/// Three pages in the hole that KVM on Intel takes for a task state segment of its own, to
/// run a guest without paging on processors that lack "unrestricted guest"; the page below
/// is what it takes, unasked, for an identity mapping (KVM API document, KVM_SET_TSS_ADDR
/// and KVM_SET_IDENTITY_MAP_ADDR).
const KVM_TSS: usize = 0xfeff_d000;

/// Pins of the I/O APIC that the VMM keeps beside KVM's local APIC.
const IO_APIC_PINS: u64 = 24;

const NO_LOCAL_APIC: CpuError = CpuError::Unsupported("the local APIC is not inside KVM");

/// Most bytes of a memory slot: the host is not to be in one ioctl for long.
const SLOT: u64 = 4 << 30;
/// Bytes of a memory slot for files. They are made as they are needed: KVM takes memory for
/// each page of a slot.
const FILE_SLOT: u64 = 512 << 20;

/// Turns a failed ioctl into an error that names it.
fn failed(call: &'static str) -> impl Fn(kvm_ioctls::Error) -> CpuError {
    move |source| CpuError::Kvm {
        call,
        source: source.into(),
    }
}

/// Repeats a call that a signal may interrupt, until none does.
fn retried<T>(
    mut call: impl FnMut() -> Result<T, kvm_ioctls::Error>,
) -> Result<T, kvm_ioctls::Error> {
    loop {
        match call() {
            Err(error) if error.errno() == libc::EINTR => {}
            result => return result,
        }
    }
}

/// One virtual machine inside KVM: its memory and, if asked for, its local APICs.
#[derive(Debug)]
pub struct KvmVm {
    fd: VmFd,
    /// Backs the memory slots; must outlive `fd`'s use of them.
    ram: GuestRam,
    /// How many are of RAM; those of files follow.
    ram_slots: u32,
    /// Bytes of files that have memory slots; who adds some has `backing`.
    files_backed: AtomicU64,
    backing: Mutex<()>,
    /// Whose vCPU completes an instruction by the remedy: it may read and write memory as one
    /// (`lock`).
    completing: Mutex<()>,
    has_local_apic: bool,
    /// The vCPUs' common clock.
    clock: GuestClock,
}

impl KvmVm {
    /// Makes a machine whose RAM is `ram`. With `local_apic`, KVM keeps a local APIC for
    /// each vCPU (split irqchip); the I/O APIC is the VMM's in every case.
    ///
    /// # Errors
    /// An ioctl that the host refuses.
    pub fn new(host: &KvmHost, ram: GuestRam, local_apic: bool) -> Result<Arc<Self>, CpuError> {
        let fd = retried(|| host.kvm.create_vm()).map_err(failed("KVM_CREATE_VM"))?;
        fd.set_tss_address(KVM_TSS)
            .map_err(failed("KVM_SET_TSS_ADDR"))?;
        if local_apic {
            let cap = kvm_enable_cap {
                cap: KVM_CAP_SPLIT_IRQCHIP,
                args: [IO_APIC_PINS, 0, 0, 0],
                ..Default::default()
            };
            fd.enable_cap(&cap)
                .map_err(failed("KVM_ENABLE_CAP(SPLIT_IRQCHIP)"))?;
        }
        let vm = Self {
            fd,
            has_local_apic: local_apic,
            clock: GuestClock::host(),
            files_backed: AtomicU64::new(0),
            backing: Mutex::default(),
            completing: Mutex::default(),
            ram_slots: slots(&ram).count() as u32,
            ram,
        };
        for (slot, region) in (0..).zip(slots(&vm.ram)) {
            vm.set_slot(slot, region, 0)?;
        }
        Ok(Arc::new(vm))
    }

    /// Makes `region`, which is a part of `self.ram`, a memory slot.
    fn set_slot(&self, slot: u32, region: RamRegion, flags: u32) -> Result<(), CpuError> {
        let slot = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: region.gpa,
            memory_size: region.len,
            userspace_addr: region.hva as u64,
        };
        // SAFETY: the region is a part of a live mapping, used as nothing but guest memory;
        // `self.ram` keeps it mapped as long as the VM's descriptor.
        let set = unsafe { self.fd.set_user_memory_region(slot) };
        set.map_err(failed("KVM_SET_USER_MEMORY_REGION"))
    }

    /// Adds memory slots for contents of files, read-only, if some have none yet.
    #[inline]
    fn back_files(&self, files: &FileWindow) -> Result<(), CpuError> {
        if self.files_backed.load(Ordering::Acquire) >= files.used() {
            return Ok(());
        }
        self.add_file_slots(files)
    }

    #[cold]
    fn add_file_slots(&self, files: &FileWindow) -> Result<(), CpuError> {
        let _backing = self.backing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut backed = self.files_backed.load(Ordering::Relaxed);
        while backed < files.used() {
            let region = RamRegion {
                gpa: files.gpa() + backed,
                len: FILE_SLOT.min(files.size() - backed),
                hva: files.host_base().wrapping_add(backed as usize),
            };
            let slot = self.ram_slots + (backed / FILE_SLOT) as u32;
            self.set_slot(slot, region, KVM_MEM_READONLY)?;
            backed += region.len;
            self.files_backed.store(backed, Ordering::Release);
        }
        Ok(())
    }

    /// Fills the routing table with `messages`. KVM takes its first entries, as many as
    /// KVM_CAP_SPLIT_IRQCHIP has reserved, for an I/O APIC's, and exits at the EOI of those
    /// that are level-triggered. No interrupt is sent by the table: see
    /// [`signal_msi`](Self::signal_msi).
    fn report_eoi(&self, messages: &[(u64, u32)]) -> Result<(), CpuError> {
        if !self.has_local_apic {
            return Err(NO_LOCAL_APIC);
        }
        let entry = |(gsi, &(address, data)): (u32, &(u64, u32))| kvm_irq_routing_entry {
            gsi,
            type_: KVM_IRQ_ROUTING_MSI,
            u: kvm_irq_routing_entry__bindgen_ty_1 {
                msi: kvm_irq_routing_msi {
                    address_lo: address as u32,
                    address_hi: (address >> 32) as u32,
                    data,
                    ..Default::default()
                },
            },
            ..Default::default()
        };
        let entries: Vec<_> = (0..).zip(messages).map(entry).collect();
        let table = KvmIrqRouting::from_entries(&entries)
            .map_err(|_| CpuError::Unsupported("too many level-triggered interrupts"))?;
        self.fd
            .set_gsi_routing(&table)
            .map_err(failed("KVM_SET_GSI_ROUTING"))
    }

    fn signal_msi(&self, address: u64, data: u32) -> Result<(), CpuError> {
        if !self.has_local_apic {
            return Err(NO_LOCAL_APIC);
        }
        let msi = kvm_msi {
            address_lo: address as u32,
            address_hi: (address >> 32) as u32,
            data,
            ..Default::default()
        };
        match self.fd.signal_msi(msi) {
            // Zero means that no local APIC accepted it: the guest has disabled its APIC or
            // masked the vector.
            Ok(_) => Ok(()),
            // Likewise a destination that is no local APIC's: KVM returns its "nobody", -1,
            // which is this error.
            Err(error) if error.errno() == libc::EPERM => Ok(()),
            Err(error) => Err(failed("KVM_SIGNAL_MSI")(error)),
        }
    }
}

/// The pieces of `ram` that become memory slots, in order of address.
fn slots(ram: &GuestRam) -> impl Iterator<Item = RamRegion> {
    ram.regions().into_iter().flat_map(|region| {
        (0..region.len)
            .step_by(SLOT as usize)
            .map(move |offset| RamRegion {
                gpa: region.gpa + offset,
                len: SLOT.min(region.len - offset),
                hva: region.hva.wrapping_add(offset as usize),
            })
    })
}
