//! What must hold in all orders.

use loom::thread::JoinHandle;

mod gate;
mod handshake;
mod kernel_lock;
mod kicks;
mod run_loop;

/// A model by its name.
pub type Case = (&'static str, fn());

/// All of them.
pub const CASES: &[&[Case]] = &[
    gate::CASES,
    handshake::CASES,
    kicks::CASES,
    run_loop::CASES,
    kernel_lock::CASES,
];

/// Tries `model` in all orders in which a thread is interrupted at most `preemptions` times.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

/// Waits until all of `threads` have ended as they should.
fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}
