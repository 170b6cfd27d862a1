//! Facts of the x86-64 processor, each stated once: for the guest kernel, the emulator,
//! KVM's registers, the devices and the tests.
//!
//! Bits come from the crate `x86_64`, under its names. The rest is here: numbers of
//! model-specific registers, segment attributes as hypervisors keep them, states after
//! reset. Sources are the AMD64 Architecture Programmer's Manual (APM) and the Intel
//! Software Developer's Manual (SDM).

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod fx;
pub mod msr;
pub mod segment;
pub mod vector;
pub mod xsave;

pub use x86_64::registers::control::{Cr0Flags, Cr4Flags, EferFlags};
pub use x86_64::registers::debug::{Dr6Flags, Dr7Flags};
pub use x86_64::registers::model_specific::ApicBaseFlags;
pub use x86_64::registers::mxcsr::MxCsr;
pub use x86_64::registers::rflags::RFlags;
pub use x86_64::registers::xcontrol::XCr0Flags;
pub use x86_64::structures::gdt::DescriptorFlags;
pub use x86_64::structures::idt::{ExceptionVector, PageFaultErrorCode};
pub use x86_64::structures::paging::PageTableFlags;

/// The bit of RFLAGS that always reads as one (APM vol. 2 3.1.6).
pub const RFLAGS_FIXED: u64 = 1 << 1;

/// DR6 and DR7 after reset (APM vol. 2 14.1.3).
pub const DR6_RESET: u64 = 0xffff_0ff0;
/// See [`DR6_RESET`].
pub const DR7_RESET: u64 = 0x400;

/// Where a page table entry has the physical address (APM vol. 2 5.3).
pub const PAGE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
