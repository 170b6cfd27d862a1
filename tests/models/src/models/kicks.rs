//! A kick at any moment makes a vCPU's thread look at what was asked for before it.

use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

use super::{Case, check, join};
use crate::Kick;
use crate::kicked::Kicked;
use crate::kvm::kick::KickTarget;
use crate::kvm::kick_signal;
use crate::sync::Arc;

pub const CASES: &[Case] = &[
    ("kicks_of_the_emulator_are_seen", emulator),
    ("kicks_of_kvm_are_seen", kvm),
    ("kicks_of_kvm_stay_while_no_thread_runs_it", between_threads),
];

/// Has each of `wishes` come true, by what a thread sees after `run`, which returns if it is
/// kicked.
fn served(wishes: &[AtomicBool], mut run: impl FnMut()) {
    while !wishes.iter().all(|wish| wish.load(Relaxed)) {
        run();
    }
}

/// Two threads want something, which orders nothing by itself, and kick; a third, that knows only
/// of kicks, serves all of it.
fn all_are_seen<K: Kick + Default + 'static>(serve: fn(&K, &[AtomicBool])) {
    check(3, move || {
        let kick = Arc::new(K::default());
        let wishes = Arc::new([(); 2].map(|()| AtomicBool::new(false)));
        let kickers = [0, 1].map(|number| {
            let (kick, wishes) = (Arc::clone(&kick), Arc::clone(&wishes));
            thread::spawn(move || {
                wishes[number].store(true, Relaxed);
                kick.kick();
            })
        });
        serve(&kick, &*wishes);
        join(kickers);
    });
}

/// The guest spins, and between two instructions there is a look.
fn emulator() {
    all_are_seen::<Kicked>(|kick, wishes| {
        served(wishes, || {
            while !kick.take() {
                thread::yield_now();
            }
        });
    });
}

fn enter(kick: &KickTarget) {
    kick_signal::run();
    kick.acknowledge();
}

fn kvm() {
    all_are_seen::<KickTarget>(|kick, wishes| {
        let mut is_kicked = kick.attach(kick_signal::admit());
        served(wishes, || {
            if !std::mem::take(&mut is_kicked) {
                enter(kick);
            }
        });
        kick.detach();
    });
}

/// A thread leaves the vCPU, and another one runs it.
fn between_threads() {
    all_are_seen::<KickTarget>(|kick, wishes| {
        let by_first = kick.attach(kick_signal::admit());
        kick.detach();
        // What was sent to the first thread is not sent to the second.
        let mut is_kicked = kick.attach(kick_signal::admit()) || by_first;
        served(wishes, || {
            if !std::mem::take(&mut is_kicked) {
                enter(kick);
            }
        });
        kick.detach();
    });
}
