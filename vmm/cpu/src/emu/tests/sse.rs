//! Every SSE and MMX form against the host.

use super::lockstep::Lockstep;
use super::machine::CODE;
use super::native::host_is_amd;
use super::random::{Random, encode};
use crate::emu::cpu::cpuid::host_has;
use crate::emu::engine::form::Form;
use crate::emu::ops;

/// Cases for each form.
const CASES: u64 = 8;
const DEFAULT_MXCSR: u32 = 0x1f80;

/// Runs random instructions of all `forms` with an MXCSR from `mxcsr`, and reports
/// differences.
fn check(forms: &[Form], mut mxcsr: impl FnMut(&mut Random) -> u32) {
    let mut lockstep = Lockstep::new();
    let mut random = Random::new(forms.len() as u64);
    let mut failures = 0;
    let data = random.data();
    for form in forms {
        if !form.code.cpuid_features().iter().all(|&f| host_has(f)) {
            println!("{:?}: not on this host", form.code);
            continue;
        }
        for _ in 0..CASES {
            let insn = random.instruction(form.code);
            let code = encode(&insn, CODE);
            let control = mxcsr(&mut random);
            let state = random.state(control);
            if let Some(text) = lockstep.difference(&code, &state, &data) {
                println!("{:?} {code:02x?}, mxcsr {control:#x}: {text}", form.code);
                failures += 1;
                break;
            }
        }
    }
    assert_eq!(failures, 0, "forms that differ from the host");
}

/// SSE and MMX, which share instructions.
fn families() -> impl Iterator<Item = &'static [Form]> {
    ops::sse_families().into_iter().chain(ops::mmx_families())
}

#[test]
fn all_forms_with_default_mxcsr() {
    for family in families() {
        check(family, |_| DEFAULT_MXCSR);
    }
}

#[test]
fn all_forms_with_any_rounding_and_flags() {
    for family in families() {
        check(family, |random| {
            DEFAULT_MXCSR | random.next() as u32 & 0xe07f
        });
    }
}

#[test]
fn all_forms_with_any_exceptions_unmasked() {
    let mut count = usize::MAX;
    if !host_is_amd() {
        println!("MMX skipped: the host changes to MMX state at another time");
        count = ops::sse_families().len();
    }
    for family in families().take(count) {
        check(family, |random| random.next() as u32 & 0xffff);
    }
}
