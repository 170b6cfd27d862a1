//! libFuzzer, on the target that the variable FUZZ_TARGET names.

#![no_main]

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use fuzz::{COUNTS, TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let Some(target) = fuzz::find(&name) else {
            for target in TARGETS {
                println!("{} {}", target.name, target.max_len);
            }
            std::process::exit(0);
        };
        let _ = TARGET.set(target);
        // SAFETY: the function may be called when the process ends.
        unsafe { libc::atexit(tell_counts) };
    },
    |data: &[u8]| {
        if let Some(target) = TARGET.get() {
            (target.run)(data);
        }
    }
);

extern "C" fn tell_counts() {
    eprintln!(
        "counted: {} instructions, {} system calls",
        COUNTS.instructions.load(Ordering::Relaxed),
        COUNTS.calls.load(Ordering::Relaxed)
    );
}
