//! The gate that all threads pass before the first instruction of the guest.

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use loom::thread;

use super::{Case, check, join};
use crate::gate::Gate;
use crate::sync::Arc;

pub const CASES: &[Case] = &[
    ("gate_is_passed_by_all_together", passed_by_all_together),
    ("gate_opens_for_those_left", opens_for_those_left),
];

/// What was done before it is seen behind it: the counter itself orders nothing.
fn passed_by_all_together() {
    check(3, || {
        let shared = Arc::new((Gate::new(3), AtomicUsize::new(0)));
        let pass = |shared: Arc<(Gate, AtomicUsize)>| {
            let (gate, confined) = &*shared;
            confined.fetch_add(1, Relaxed);
            gate.pass();
            assert_eq!(confined.load(Relaxed), 3, "confined threads");
        };
        let others = [Arc::clone(&shared), Arc::clone(&shared)];
        let others = others.map(|shared| thread::spawn(move || pass(shared)));
        pass(shared);
        join(others);
    });
}

/// One of three never comes, as it panics, and opens the gate: whoever passes sees why.
fn opens_for_those_left() {
    check(3, || {
        let shared = Arc::new((Gate::new(3), AtomicBool::new(false)));
        let others = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.0.pass();
                assert!(shared.1.load(Relaxed), "the run has ended");
            })
        });
        shared.1.store(true, Relaxed);
        shared.0.open();
        join(others);
        // Nobody waits behind an open gate.
        shared.0.pass();
    });
}
