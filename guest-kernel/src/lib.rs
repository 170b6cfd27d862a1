//! The Ringfence guest kernel: runs processes in ring 3 and serves their traps.
//!
//! In layers, each of which uses only those below it:
//!
//! ```text
//! start, saving  from the boot code to init; what the host gets after its end
//! ring3          the loop of every thread
//! syscall        system calls, by Linux's numbers and structures
//! fs             k2: open files, console, the tree
//! proc           k1: processes, programs, who runs when
//! ---------------- the crates below
//! formats        what it reads: command line, initramfs, executables
//! ---------------- the ground
//! mm             k0: frames, address spaces, user memory
//! arch           k0: the processor and the board
//! abi, x86       what the VMM and programs share; facts of the processor
//! ```
//!
//! The compiler keeps all unsafe code in the ground; `tests/cli/layers.rs` checks that no
//! layer of this crate uses one above it.
//!
//! What is not hardware is tested on the host; the image is linked by `main.rs`, built by
//! `vmm/build.rs`.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod fs;
mod proc;
mod ring3;
mod saving;
mod start;
mod syscall;

pub use start::start;
