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
pub mod context;
mod cpu;
mod descriptors;
pub mod doorbell;
pub mod exit;
pub mod extended_state;
mod idt;
pub mod input;
pub mod io_apic;
pub mod kernel_stack;
mod kvm_software;
pub mod local_apic;
pub mod paging;
mod port;
pub mod pvh;
pub mod random;
pub mod serial;
mod single_cpu;
pub mod trap;
pub mod user_copy;

pub use single_cpu::SingleCpu;

#[cfg(not(test))]
core::arch::global_asm!(include_str!("core_support.S"));

/// What the assembly files define. Tests are linked with code that leads to it, but none
/// gets there.
#[cfg(test)]
mod without_hardware {
    macro_rules! unreachable {
        ($($name:ident),*) => {
            $(
                // SAFETY: the only definition, since no assembly file is part of a test.
                #[unsafe(no_mangle)]
                extern "C" fn $name() {
                    panic!("tests have no hardware")
                }
            )*
        };
    }

    unreachable!(wait_for_interrupt, switch_stacks);
}
