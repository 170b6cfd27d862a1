//! The exit of `KVM_RUN`, parsed once.

use kvm_bindings::kvm_run;
use kvm_ioctls::VcpuExit;
use vmm_sys_util::errno;

use super::failed;
use crate::CpuError;
use crate::exit::VmExit;

/// The exit of `KVM_RUN`, with borrows of the vCPU turned into pointers, so that the vCPU
/// can be used before the exit is handed out. Its messages are made when it is, so that it
/// can be copied, which every exit is.
#[derive(Clone, Copy)]
pub enum RawExit {
    In(u16, *mut [u8]),
    Out(u16, *const [u8]),
    MmioRead(u64, *mut [u8]),
    MmioWrite(u64, *const [u8]),
    ReadMsr {
        index: u32,
        value: *mut u64,
        error: *mut u8,
    },
    WriteMsr {
        index: u32,
        value: u64,
        error: *mut u8,
    },
    Eoi(u8),
    Hlt,
    Window,
    SetTpr,
    Kicked,
    Shutdown,
    CannotEmulate,
    /// The processor refuses the state: the reason that it gives.
    FailEntry(u64),
    /// The host cannot back guest memory at this address.
    MemoryFault(u64),
    /// The same, at an address that it does not say.
    BadAddress,
    Unknown,
}

// SAFETY: the pointers are to the mapping of a vCPU, which any thread may use that has the
// vCPU.
unsafe impl Send for RawExit {}

impl RawExit {
    /// # Errors
    /// `KVM_RUN` failed, and not for a kick.
    pub fn classify(result: Result<VcpuExit<'_>, errno::Error>) -> Result<Self, CpuError> {
        Ok(match result {
            Ok(VcpuExit::IoIn(port, data)) => Self::In(port, data),
            Ok(VcpuExit::IoOut(port, data)) => Self::Out(port, data),
            Ok(VcpuExit::MmioRead(gpa, data)) => Self::MmioRead(gpa, data),
            Ok(VcpuExit::MmioWrite(gpa, data)) => Self::MmioWrite(gpa, data),
            Ok(VcpuExit::X86Rdmsr(msr)) => Self::ReadMsr {
                index: msr.index,
                value: msr.data,
                error: msr.error,
            },
            Ok(VcpuExit::X86Wrmsr(msr)) => Self::WriteMsr {
                index: msr.index,
                value: msr.data,
                error: msr.error,
            },
            Ok(VcpuExit::IoapicEoi(vector)) => Self::Eoi(vector),
            Ok(VcpuExit::Hlt) => Self::Hlt,
            Ok(VcpuExit::IrqWindowOpen) => Self::Window,
            Ok(VcpuExit::SetTpr) => Self::SetTpr,
            Ok(VcpuExit::Intr) => Self::Kicked,
            Ok(VcpuExit::Shutdown) => Self::Shutdown,
            Ok(VcpuExit::InternalError) => Self::CannotEmulate,
            Ok(VcpuExit::FailEntry(reason, _)) => Self::FailEntry(reason),
            Ok(VcpuExit::MemoryFault { gpa, .. }) => Self::MemoryFault(gpa),
            Ok(_) => Self::Unknown,
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => Self::Kicked,
            Err(error) if error.errno() == libc::EFAULT => Self::BadAddress,
            Err(error) => return Err(failed("KVM_RUN")(error)),
        })
    }

    /// The exit with its borrows again.
    ///
    /// # Safety
    /// The exit is the last one of the vCPU with the mapping `run`, which has not run since
    /// and is mutably borrowed for `'a`.
    pub unsafe fn with_payload<'a>(self, run: &kvm_run) -> VmExit<'a> {
        // SAFETY: `io` is what KVM filled in if the exit is one of port I/O; any bytes are
        // a valid value of it, and else it is not used.
        let size = unsafe { run.__bindgen_anon_1.io.size };
        // SAFETY: the pointers were references into the vCPU's mapping, which lives, and
        // which nobody but the caller uses, for `'a`; they name bytes that do not overlap.
        unsafe {
            match self {
                Self::In(port, data) => VmExit::PioIn {
                    port,
                    size,
                    data: &mut *data,
                },
                Self::Out(port, data) => VmExit::PioOut {
                    port,
                    size,
                    data: &*data,
                },
                Self::MmioRead(gpa, data) => VmExit::MmioRead {
                    gpa,
                    data: &mut *data,
                },
                Self::MmioWrite(gpa, data) => VmExit::MmioWrite { gpa, data: &*data },
                Self::ReadMsr {
                    index,
                    value,
                    error,
                } => VmExit::MsrRead {
                    index,
                    value: &mut *value,
                    error: &mut *error,
                },
                Self::WriteMsr {
                    index,
                    value,
                    error,
                } => VmExit::MsrWrite {
                    index,
                    value,
                    error: &mut *error,
                },
                Self::Eoi(vector) => VmExit::Eoi { vector },
                Self::Hlt => VmExit::Hlt,
                Self::Window => VmExit::InterruptWindow,
                Self::SetTpr => VmExit::Cr8Write {
                    value: run.cr8 as u8,
                },
                Self::Kicked => VmExit::Interrupted,
                Self::Shutdown => VmExit::TripleFault,
                Self::CannotEmulate => VmExit::Emulated,
                Self::FailEntry(reason) => VmExit::Failed {
                    message: format!("the processor refuses the guest's state ({reason:#x})"),
                },
                Self::MemoryFault(gpa) => VmExit::Failed {
                    message: format!("the host cannot back guest memory at {gpa:#x}"),
                },
                Self::BadAddress => VmExit::Failed {
                    message: "the host cannot back guest memory".to_owned(),
                },
                Self::Unknown => VmExit::Failed {
                    message: format!(
                        "KVM stopped the guest for a reason that the VMM does not know \
                         (KVM exit {}): use --accel emu",
                        run.exit_reason
                    ),
                },
            }
        }
    }
}
