//! The processor and the board (k0): everything that needs a particular instruction or
//! register, and nearly all of the kernel's unsafe code.
//!
//! One CPU, and interrupts are off whenever the kernel runs, but for the one instruction
//! that waits for them. So no two pieces of kernel code ever run at once, which is what
//! [`SingleCpu`] rests on, and kernel code may use the SSE registers that the
//! precompiled `core` uses: entry saves the program's.

#![allow(unsafe_code)]

pub mod boot;
mod calibrate;
pub mod clock;
mod cpu;
mod descriptors;
pub mod exit;
mod idt;
pub mod kernel_stack;
mod kvm_software;
pub mod local_apic;
pub mod paging;
mod port;
pub mod pvh;
pub mod serial;
mod single_cpu;
pub mod trap;
pub mod user_copy;

pub use single_cpu::SingleCpu;

#[cfg(not(test))]
core::arch::global_asm!(include_str!("core_support.S"));
