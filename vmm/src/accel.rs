//! Choice of the accelerator: by the user, or by the abilities of the host.

use std::sync::Arc;

use strum::EnumString;

use crate::boot;
use crate::cpu::emu::{EmuConfig, Emulator};
use crate::cpu::kvm::{KvmHost, KvmUnavailable, KvmVcpu, KvmVm};
use crate::cpu::{Accel, CpuError, HostKind, Vcpu};
use crate::devices::ApicMode;
use crate::exit::VmExit;
use crate::memory::GuestRam;

/// The user's choice.
#[derive(Clone, Copy, Debug, Default, EnumString, PartialEq, Eq)]
#[strum(
    serialize_all = "snake_case",
    parse_err_ty = UnknownAccelerator,
    parse_err_fn = unknown
)]
pub enum AccelChoice {
    /// KVM where its self-test passes, else the emulator.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// The emulator.
    Emu,
}

/// An unknown name of an accelerator.
#[derive(Debug, thiserror::Error)]
#[error("no accelerator {0:?}: there are auto, kvm and emu")]
pub struct UnknownAccelerator(String);

fn unknown(word: &str) -> UnknownAccelerator {
    UnknownAccelerator(word.to_owned())
}

/// An accelerator ready to make vCPUs.
#[derive(Debug)]
pub enum Accelerator {
    /// KVM on this host.
    Kvm(KvmHost),
    /// The emulator.
    Emu,
}

impl Accelerator {
    /// Opens the accelerator of `choice`. For [`AccelChoice::Auto`] on a host without a
    /// usable KVM, or where instructions must be counted, the emulator and why.
    ///
    /// # Errors
    /// KVM was asked for and cannot be used.
    pub fn open(
        choice: AccelChoice,
        count_instructions: bool,
    ) -> Result<(Self, Option<KvmUnavailable>), KvmUnavailable> {
        match choice {
            AccelChoice::Emu => Ok((Self::Emu, None)),
            AccelChoice::Kvm if count_instructions => Err(KvmUnavailable::DoesNotCount),
            AccelChoice::Kvm => Ok((Self::Kvm(KvmHost::open()?), None)),
            AccelChoice::Auto if count_instructions => {
                Ok((Self::Emu, Some(KvmUnavailable::DoesNotCount)))
            }
            AccelChoice::Auto => Ok(match KvmHost::open().and_then(self_test) {
                Ok(host) => (Self::Kvm(host), None),
                Err(why) => (Self::Emu, Some(why)),
            }),
        }
    }

    /// Its name.
    pub fn accel(&self) -> Accel {
        match self {
            Self::Kvm(_) => Accel::Kvm,
            Self::Emu => Accel::Emu,
        }
    }

    /// What executes the guest's ring 0.
    pub fn host_kind(&self) -> HostKind {
        match self {
            Self::Kvm(host) => host.kind(),
            Self::Emu => HostKind::Emulator,
        }
    }

    /// Checks that it can make a machine of `memory` bytes at a bounded cost.
    ///
    /// # Errors
    /// KVM would need too much of the host's memory and time for it.
    pub fn check_memory(&self, memory: u64) -> Result<(), KvmUnavailable> {
        match self {
            Self::Kvm(host) if memory > host.max_memory() => Err(KvmUnavailable::TooMuchMemory {
                limit: host.max_memory(),
            }),
            Self::Kvm(_) | Self::Emu => Ok(()),
        }
    }

    /// Bits of a guest-physical address.
    ///
    /// # Errors
    /// An ioctl that the host refuses.
    pub fn address_bits(&self) -> Result<u32, CpuError> {
        match self {
            Self::Kvm(host) => host.address_bits(),
            Self::Emu => Ok(Emulator::ADDRESS_BITS),
        }
    }

    /// Where the local APIC is when the user asks for `wanted`: the emulator's is always
    /// the VMM's.
    pub fn apic_mode(&self, wanted: ApicMode) -> ApicMode {
        match self {
            Self::Kvm(_) => wanted,
            Self::Emu => ApicMode::User,
        }
    }

    /// Makes the `cpus` vCPUs, at least one, of a machine with this RAM; `emu` is for the emulator.
    ///
    /// # Errors
    /// As of [`create_vcpu`](Self::create_vcpu).
    pub fn create_vcpus(
        &self,
        ram: &GuestRam,
        apic: ApicMode,
        emu: EmuConfig,
        cpus: u8,
    ) -> Result<Vec<Box<dyn Vcpu>>, CpuError> {
        Ok(match self {
            Self::Emu if cpus > 1 => {
                let vcpus = Emulator::several(ram, emu, cpus).into_iter();
                vcpus.map(|vcpu| Box::new(vcpu) as Box<dyn Vcpu>).collect()
            }
            Self::Kvm(host) if cpus > host.max_cpus() => {
                return Err(CpuError::Unsupported(
                    "a guest under this host's KVM cannot have so many CPUs: give less with \
                     --cpus, or use --accel emu",
                ));
            }
            Self::Kvm(host) if cpus > 1 => {
                let vm = KvmVm::new(host, ram.clone(), apic == ApicMode::Kernel)?;
                let vcpus = KvmVcpu::several(host, &vm, cpus)?.into_iter();
                vcpus.map(|vcpu| Box::new(vcpu) as Box<dyn Vcpu>).collect()
            }
            Self::Kvm(_) | Self::Emu => vec![self.create_vcpu(ram, apic, emu)?],
        })
    }

    /// Makes the only vCPU of a machine with this RAM; `emu` is for the emulator.
    ///
    /// # Errors
    /// An ioctl that the host refuses.
    pub fn create_vcpu(
        &self,
        ram: &GuestRam,
        apic: ApicMode,
        emu: EmuConfig,
    ) -> Result<Box<dyn Vcpu>, CpuError> {
        Ok(match self {
            Self::Kvm(host) => {
                let vm: Arc<KvmVm> = KvmVm::new(host, ram.clone(), apic == ApicMode::Kernel)?;
                Box::new(KvmVcpu::new(host, &vm)?)
            }
            Self::Emu => Box::new(Emulator::new(ram.clone(), emu)),
        })
    }
}

/// Why KVM is not to be used on this host, if it is not.
pub fn kvm_error() -> Option<KvmUnavailable> {
    match Accelerator::open(AccelChoice::Auto, false) {
        Ok((_, why)) => why,
        Err(why) => Some(why),
    }
}

/// The self-test guest: multiplies, writes the product to a port and halts.
///
/// ```text
/// mov eax, 6 ; mov ecx, 7 ; imul eax, ecx ; mov dx, PORT ; out dx, al ; hlt
/// ```
const SELF_TEST: [u8; 20] = [
    0xb8, 6, 0, 0, 0, 0xb9, 7, 0, 0, 0, 0x0f, 0xaf, 0xc1, 0x66, 0xba, 0xf4, 0x00, 0xee, 0xf4, 0xf4,
];
const SELF_TEST_AT: u32 = 0x1000;
const SELF_TEST_RAM: u64 = 0x4000;
/// What the guest is to write, and where.
const SELF_TEST_EXIT: (u16, &[u8]) = (abi::ports::DEBUG_EXIT, &[42]);

/// Runs the self-test guest on `host` and returns the host if it behaved.
fn self_test(host: KvmHost) -> Result<KvmHost, KvmUnavailable> {
    match run_self_test(&host) {
        Ok(None) => Ok(host),
        Ok(Some(surprise)) => Err(KvmUnavailable::SelfTest(surprise)),
        Err(error) => Err(KvmUnavailable::SelfTest(error.to_string())),
    }
}

/// The deviation from the expected exits, if any.
fn run_self_test(host: &KvmHost) -> Result<Option<String>, CpuError> {
    let no_memory = |_| CpuError::Unsupported("no memory for the self-test");
    let ram = GuestRam::new(SELF_TEST_RAM).map_err(no_memory)?;
    ram.write(u64::from(SELF_TEST_AT), &SELF_TEST)
        .map_err(|_| CpuError::Unsupported("the self-test does not fit into its memory"))?;
    let vm = KvmVm::new(host, ram, false)?;
    let mut vcpu = KvmVcpu::new(host, &vm)?;
    vcpu.set_state(&boot::start_state(SELF_TEST_AT))?;
    let exit = vcpu.run()?;
    Ok(match exit {
        VmExit::PioOut { port, data, .. } if (port, data) == SELF_TEST_EXIT => None,
        other => Some(format!("its guest ends by {}", other.key().0.name())),
    })
}
