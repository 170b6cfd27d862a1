//! Getting a guest into memory: the kernel, its command line, and an initramfs with the
//! programs.
//!
//! Our kernel boots by PVH (Xen's x86/HVM direct boot ABI), because the same image then boots
//! under QEMU, cloud-hypervisor and Firecracker. Rejected for it: Linux's bzImage protocol,
//! which needs a real-mode setup header, and a private protocol, which no foreign VMM could
//! check. Other kernels may be either.

mod acpi;
mod archive;
mod bzimage;
mod command_line;
pub mod elf;
mod info;
mod initramfs;
mod kernel;
mod pvh;

pub use archive::{Archive, ArchiveError, Flaw};
pub use command_line::CommandLine;
pub use info::{BootInfo, write_boot_info};
pub use initramfs::Initramfs;
pub use kernel::{Entry, KernelImage, load_kernel};
pub use pvh::start_state;

use crate::layout::COMMAND_LINE_MAX;
use crate::size::Size;

/// Why a guest cannot be put into memory.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The kernel image is not one.
    #[error("kernel: {0}")]
    Kernel(#[from] elf::ElfError),
    /// The image has no PVH entry point.
    #[error(
        "kernel: no PVH entry point (ELF note 18 by Xen), nor the 64-bit one of a bzImage: \
         build it for one of them"
    )]
    NotPvh,
    /// The loader refused the image.
    #[error("kernel: {0}")]
    Loader(String),
    /// RAM cannot hold what must be in it.
    #[error(
        "{what} needs {needed}, guest memory has {available} for it: give more with --memory",
        needed = Size(*.needed),
        available = Size(*.available)
    )]
    TooLarge {
        /// What does not fit.
        what: &'static str,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that there are.
        available: u64,
    },
    /// The command line is too long.
    #[error("the kernel command line has {length} bytes, at most {} fit", COMMAND_LINE_MAX - 1)]
    CommandLineTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The command line has a zero byte, which would end it.
    #[error("an argument has a zero byte")]
    ZeroByte,
    /// Guest memory could not be written.
    #[error("guest memory: {0}")]
    Memory(#[from] vm_memory::GuestMemoryError),
}
