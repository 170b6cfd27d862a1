//! The parts of Ringfence that several threads or CPUs run at once, in all orders that they may
//! run in, and with all that the memory of a processor may show them.
//!
//! The code is the VMM's and the kernel's own: its files are modules of this crate too. What they
//! take from `crate::sync` is loom's here, and where they ask something of the host or the
//! processor there is a model of that. So nothing is built twice but these files, which need no
//! features and no flags.
//!
//! Loom, not shuttle: shuttle tries orders at random and has every atomic be sequentially
//! consistent, while the kernel's lock rests on weaker orders, for which loom tries each value that
//! a load may see.

pub use cpu::Kick;
pub use vmm::{cpu, devices, exit, output, report, trace};

#[path = "../../../vmm/src/control.rs"]
pub mod control;
#[path = "../../../vmm/src/vm/gate.rs"]
pub mod gate;
#[path = "../../../guest-kernel/arch/src/handshake.rs"]
pub mod handshake;
#[path = "../../../guest-kernel/arch/src/kernel_lock.rs"]
pub mod kernel_lock;
#[path = "../../../vmm/cpu/src/emu/outside/kicked.rs"]
pub mod kicked;
pub mod kvm;
#[path = "../../../vmm/src/run_loop/mod.rs"]
pub mod run_loop;
pub mod sync;
mod vcpu;

mod models;

pub use models::CASES;
