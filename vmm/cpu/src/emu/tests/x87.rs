//! Every x87 form against the host, and the state that it leaves.

use super::lockstep::Lockstep;
use super::machine::{CODE, assemble};
use super::native::host_is_amd;
use super::random::{Random, encode};
use crate::emu::ops;
use iced_x86::code_asm::*;

/// Cases for each form.
const CASES: u64 = 10;

/// Runs each form followed by `after`, and compares.
fn check(after: impl Fn(u64) -> Vec<u8>) {
    let mut lockstep = Lockstep::new();
    let mut random = Random::new(3);
    let mut failures = 0;
    let data = random.data();
    for form in ops::x87_families().into_iter().flatten() {
        for _ in 0..CASES {
            let insn = random.instruction(form.code);
            let mut code = encode(&insn, CODE);
            code.extend(after(CODE + code.len() as u64));
            let state = random.state(0x1f80);
            if let Some(text) = lockstep.difference(&code, &state, &data) {
                println!(
                    "{:?} {code:02x?}: {text}; from {:02x?}",
                    form.code,
                    &state.fx.0[..8]
                );
                failures += 1;
                break;
            }
        }
    }
    assert_eq!(failures, 0, "forms that differ from the host");
}

#[test]
fn all_forms() {
    check(|_| Vec::new());
}

#[test]
fn all_forms_and_the_environment_after_them() {
    if !host_is_amd() {
        println!("skipped: the host keeps other x87 pointers");
        return;
    }
    check(|at| assemble(at, |a| a.fnstenv(ptr(rbx + 0x100))));
}

#[test]
fn all_forms_and_what_waits_after_them() {
    check(|at| assemble(at, |a| a.fld1()));
}
