//! The Ringfence virtual machine monitor as a library: a guest kernel that runs programs
//! in ring 3, under KVM or in a built-in x86-64 emulator, and every VM exit counted.
//!
//! ```
//! use vmm::exit::ExitReason;
//! use vmm::{Output, Program, Vm, VmConfig};
//!
//! let config = VmConfig::new(Program::find("hello")?);
//! let (output, recorder) = Output::recorded();
//! let report = Vm::new(config, output)?.run()?;
//!
//! assert_eq!(recorder.transcript().text(), "Hello from ring 3!\n");
//! // One exit for each byte to the serial port, and one to end the machine.
//! assert_eq!(report.exits.count(ExitReason::PioOut), 19 + 1);
//! println!("{report}");
//! # Ok::<(), vmm::VmError>(())
//! ```
//!
//! From a configuration to a report:
//!
//! ```text
//!   VmConfig ─► vm ──► boot      kernel, command line and programs into guest memory
//!                │ └─► accel     KVM or emulator: cpu::Vcpu
//!                ▼
//!             run_loop ─► cpu ─► exit ─► devices        on the vCPU's thread
//!                │  ▲
//!                │  └── control ◄─ events               input, timers, stops: the caller's
//!                ▼
//!        trace, report         each event; outcome, exits, times, counters: text or JSON
//! ```
//!
//! [`compare`] runs one configuration on every machine of the host, [`mod@bench`] measures what
//! operations cost there. Examples are in the folder `examples` of the repository.
//!
//! Invariants: what a guest does never panics, hangs or exhausts the process (guest input
//! is data everywhere); nothing but `cpu` knows which accelerator runs; `cpu` and `devices`
//! do not know each other; the library prints nothing.

#![deny(missing_docs)]

pub mod accel;
pub mod bare;
pub mod bench;
mod binary;
pub mod boot;
pub mod bundled;
pub mod check;
pub mod compare;
mod control;
pub mod devices;
pub mod events;
pub mod explain;
mod guest_counters;
pub mod host_files;
mod host_instructions;
pub mod html;
pub mod image;
pub mod layout;
mod near;
pub mod output;
pub mod perf_map;
mod poll;
pub mod printable;
pub mod process_config;
pub mod program;
pub mod report;
pub mod run_loop;
pub mod sandbox;
pub mod self_tests;
pub mod started;
mod symbols;
mod sync;
pub mod trace;
pub mod vm;

pub use cpu::{self, exit, memory, size};
pub use output::Output;
pub use program::Program;
pub use report::Report;
pub use vm::{Vm, VmConfig, VmError};
