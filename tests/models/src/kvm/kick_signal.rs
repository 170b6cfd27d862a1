//! A model of a real-time signal that threads block but while `KVM_RUN` runs, with the functions
//! of the VMM's module of this name.

use std::cell::RefCell;

use loom::sync::{Condvar, Mutex};

use crate::sync::Arc;

/// Signals that wait for a thread.
#[derive(Debug, Default)]
struct Inbox {
    count: Mutex<u32>,
    came: Condvar,
}

/// A thread that takes the signal.
#[derive(Clone, Debug)]
pub struct Receiver(Arc<Inbox>);

/// Who has sent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Kick,
    Foreign,
}

loom::thread_local! {
    static OWN: RefCell<Option<Receiver>> = RefCell::new(None);
}

fn own<R>(use_it: impl FnOnce(&Inbox) -> R) -> R {
    OWN.with(|own| use_it(&own.borrow().as_ref().expect("the thread admits signals").0))
}

/// Has this thread block the signal.
pub fn admit() -> Receiver {
    let receiver = Receiver(Arc::default());
    OWN.with(|own| *own.borrow_mut() = Some(receiver.clone()));
    receiver
}

/// Sends one.
///
/// # Panics
/// Another waits already: the host would keep both.
pub fn send(to: &Receiver) -> bool {
    let mut count = to.0.count.lock().expect("not poisoned");
    *count += 1;
    assert_eq!(*count, 1, "signals under way");
    to.0.came.notify_all();
    true
}

/// Takes one that waits for this thread.
pub fn take() -> Option<Origin> {
    own(|inbox| {
        let mut count = inbox.count.lock().expect("not poisoned");
        *count = count.checked_sub(1)?;
        Some(Origin::Kick)
    })
}

/// Nothing else sends signals here.
pub fn deliver() {
    unreachable!("all signals are kicks");
}

/// `KVM_RUN` of a guest that has no exits of its own: returns for a signal, which stays.
pub fn run() {
    own(|inbox| {
        let mut count = inbox.count.lock().expect("not poisoned");
        while *count == 0 {
            count = inbox.came.wait(count).expect("not poisoned");
        }
    });
}

/// Whether `KVM_RUN` would return before the guest's next instruction.
pub fn is_pending() -> bool {
    own(|inbox| *inbox.count.lock().expect("not poisoned") > 0)
}
