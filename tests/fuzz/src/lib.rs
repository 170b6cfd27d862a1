//! Targets for a fuzzer: functions that take any bytes, and panic where a promise is broken.
//!
//! `main.rs` gives them to libFuzzer; `tests/found.rs` runs them on the files in `seeds/` and
//! `found/`. See the README of this folder.

#![deny(missing_docs)]

mod board;
mod calls;
mod cpio;
mod elf;
mod emulator;
mod files;
mod initramfs;
mod input;
mod kernels;
mod line;
mod machine;
mod mmu;
mod tar;
mod trace;
mod watchdog;
mod words;

use std::sync::atomic::{AtomicU64, Ordering};

use input::Input;

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its folders in `seeds/` and `found/`.
    pub name: &'static str,
    /// Runs it on an input.
    pub run: fn(&[u8]),
    /// Bytes of input that are worth trying at most.
    pub max_len: usize,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("emulator", emulator::run, 256),
    target("mmu", mmu::run, 256),
    target("kernels", kernels::run, 4096),
    target("cpio", cpio::run, 2048),
    target("tar", tar::run, 8192),
    target("board", board::run, 2048),
    target("trace", trace::run, 2048),
    target("files", files::run, 1024),
    target("words", words::run, 256),
    target("line", line::run, 512),
    target("initramfs", initramfs::run, 2048),
    target("elf", elf::run, 1024),
    target("calls", calls::run, 1024),
];

const fn target(name: &'static str, run: fn(&[u8]), max_len: usize) -> Target {
    Target { name, run, max_len }
}

/// The target of this name.
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

/// What targets have done since the process began.
pub struct Counts {
    /// Instructions that emulators have executed.
    pub instructions: AtomicU64,
    /// System calls that guest kernels have served.
    pub calls: AtomicU64,
}

/// Of all targets together.
pub static COUNTS: Counts = Counts {
    instructions: AtomicU64::new(0),
    calls: AtomicU64::new(0),
};

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
