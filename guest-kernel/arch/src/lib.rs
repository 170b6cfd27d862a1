//! The processor (k0): everything that needs a particular instruction or register, and most of
//! the kernel's unsafe code. The rest is in the crates above: `devices` and `mm`, with the rest
//! of the unsafe code, and `guest-kernel`, which has none.
//!
//! One CPU at a time is in the kernel (`processors`), and interrupts are off whenever it runs, but
//! for the one instruction that waits for them. So no two pieces of the code above ever run at
//! once, which is what its globals rest on (crate `single-cpu`). Here some run without the lock,
//! and globals are atomic, a CPU's own, or set at boot (`at_boot`). Kernel code may use the SSE
//! registers that the precompiled `core` uses: entry saves the program's.

#![cfg_attr(feature = "image", no_std)]
// The kernel is not started on the host.
#![cfg_attr(not(feature = "image"), allow(dead_code))]
#![deny(missing_docs)]

mod acpi;
mod at_boot;
pub mod boot;
mod calibrate;
pub mod clock;
pub mod context;
pub mod copies;
mod cpu;
mod descriptors;
mod doorbell;
pub mod exit;
pub mod extended_state;
mod handshake;
pub mod identity;
mod idt;
mod kernel_lock;
pub mod kernel_stack;
mod kvm_software;
pub mod local_apic;
pub mod log;
pub mod paging;
#[cfg(feature = "image")]
mod panic;
pub mod port;
pub mod processors;
pub mod pvh;
pub mod random;
pub mod shared;
pub mod startup;
mod sync;
pub mod trace;
pub mod trap;
pub mod user_copy;
pub mod vdso;

pub use cpu::hardware_capabilities;

#[cfg(feature = "image")]
core::arch::global_asm!(include_str!("core_support.S"));

/// Stand-ins for the symbols of the assembly files, with which tests are linked but which
/// they never reach.
#[cfg(not(feature = "image"))]
mod without_hardware {
    macro_rules! unreachable {
        ($($name:ident),*) => {
            $(
                // SAFETY: the only definition: on the host there are no assembly files.
                #[unsafe(no_mangle)]
                extern "C" fn $name() {
                    panic!("tests have no hardware")
                }
            )*
        };
    }

    unreachable!(
        enter_user,
        wait_for_interrupt, switch_stacks, copy_qwords, copy_bytes, exchange_word
    );
}

/// Prints a line of the kernel's own.
#[macro_export]
macro_rules! log_line {
    ($($argument:tt)*) => {{
        use core::fmt::Write as _;
        // A serial port never fails.
        let _ = writeln!($crate::log::Log, "kernel: {}", format_args!($($argument)*));
    }};
}
