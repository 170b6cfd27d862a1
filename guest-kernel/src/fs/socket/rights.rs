//! Open files on their way through a Unix socket (SCM_RIGHTS).
//!
//! A socket may be on its way to itself, or two to each other, and then nobody can ever
//! receive them. So a [collection](collect) finds sockets that only other messages refer to,
//! as Linux does:
//!
//! ```text
//! process --> socket A --inbox--> B --inbox--> C      all are reachable
//!             socket D --inbox--> E --inbox--> D      neither is: their inboxes are emptied
//! ```
//!
//! Files that are dropped may be sockets that hold files: they go one after the other, not
//! within each other, since the kernel's stack is short.

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::{Owned, Shared};

use crate::fs::open_file::{self, Object, OpenFile};
use crate::fs::socket::chain::Chain;
use crate::fs::socket::endpoint::{Carriers, Endpoint};

/// Files that one message can have (Linux, SCM_MAX_FD).
pub const MAX: usize = 253;

/// Files that can be on their way at once.
fn limit() -> usize {
    2 * open_file::limit()
}

/// Sockets on their way from which on there may be some that nobody can receive.
const SUSPECT: usize = 16;

struct State {
    count: Cell<usize>,
    sockets: Cell<usize>,
    /// Unix sockets with files in their inboxes.
    carriers: RefCell<Chain<Endpoint, Carriers>>,
    /// Files that are to be dropped.
    doomed: Cell<Option<Owned<Right>>>,
    is_dropping: Cell<bool>,
}

impl State {
    const fn new() -> Self {
        Self {
            count: Cell::new(0),
            sockets: Cell::new(0),
            carriers: RefCell::new(Chain::new()),
            doomed: Cell::new(None),
            is_dropping: Cell::new(false),
        }
    }
}

#[cfg(not(test))]
fn with<R>(use_state: impl FnOnce(&State) -> R) -> R {
    static STATE: single_cpu::SingleCpu<State> = single_cpu::SingleCpu::new(State::new());
    use_state(&STATE)
}

// Tests run at the same time and each has its own.
#[cfg(test)]
fn with<R>(use_state: impl FnOnce(&State) -> R) -> R {
    std::thread_local! {
        static STATE: State = const { State::new() };
    }
    STATE.with(use_state)
}

struct Right {
    file: Shared<OpenFile>,
    next: Option<Owned<Right>>,
}

/// Files on their way.
pub struct Rights {
    first: Option<Owned<Right>>,
    /// They are in an inbox, not in the hands of who sends or receives them.
    is_in_inbox: Cell<bool>,
}

fn endpoint(file: &OpenFile) -> Option<&Shared<Endpoint>> {
    match file.object() {
        Object::Socket(socket) => Some(socket.endpoint()),
        _ => None,
    }
}

fn change(count: &Cell<usize>, more: bool) {
    match more {
        true => count.set(count.get() + 1),
        false => count.set(count.get() - 1),
    }
}

impl Rights {
    /// No files.
    pub const fn new() -> Self {
        Self {
            first: None,
            is_in_inbox: Cell::new(false),
        }
    }

    /// Puts one more in front.
    ///
    /// # Errors
    /// ETOOMANYREFS: too many are on their way. ENOMEM.
    pub fn push(&mut self, file: Shared<OpenFile>) -> Result<(), Errno> {
        let [count, sockets] = with(|state| [state.count.get(), state.sockets.get()]);
        if count >= limit() || (sockets >= SUSPECT && endpoint(&file).is_some()) {
            collect();
        }
        if with(|state| state.count.get()) >= limit() {
            return Err(Errno::ETOOMANYREFS);
        }
        let right = Owned::new(Right { file, next: None })?;
        with(|state| change(&state.count, true));
        self.put(right);
        Ok(())
    }

    fn put(&mut self, mut right: Owned<Right>) {
        right.next = self.first.take();
        self.first = Some(right);
    }

    fn take(&mut self) -> Option<Owned<Right>> {
        let mut right = self.first.take()?;
        self.first = right.next.take();
        Some(right)
    }

    /// The same files, the last one first; they are in no inbox.
    pub fn reversed(mut self) -> Self {
        let mut reversed = Self::new();
        while let Some(right) = self.take() {
            reversed.put(right);
        }
        reversed
    }

    /// Takes the first one out; they are in no inbox.
    pub fn pop(&mut self) -> Option<Shared<OpenFile>> {
        let right = self.take()?;
        with(|state| change(&state.count, false));
        Some(right.into_inner().file)
    }

    /// All of them, the first one first.
    fn iter(&self) -> impl Iterator<Item = &Shared<OpenFile>> {
        core::iter::successors(self.first.as_deref(), |right| right.next.as_deref())
            .map(|right| &right.file)
    }

    /// The same files once more; none if there is no memory.
    pub fn copy(&self) -> Option<Self> {
        let mut reversed = Self::new();
        for file in self.iter() {
            reversed.push(file.clone()).ok()?;
        }
        let mut copy = Self::new();
        while let Some(right) = reversed.take() {
            copy.put(right);
        }
        Some(copy)
    }

    /// Says whether they are in an inbox.
    pub fn set_in_inbox(&self, is_in_inbox: bool) {
        if self.is_in_inbox.replace(is_in_inbox) == is_in_inbox {
            return;
        }
        for endpoint in self.iter().filter_map(|file| endpoint(file)) {
            change(&endpoint.on_its_way, is_in_inbox);
            with(|state| change(&state.sockets, is_in_inbox));
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        self.set_in_inbox(false);
        while let Some(mut right) = self.take() {
            with(|state| {
                change(&state.count, false);
                right.next = state.doomed.take();
                state.doomed.set(Some(right));
            });
        }
        if with(|state| state.is_dropping.replace(true)) {
            return;
        }
        while let Some(mut right) = with(|state| state.doomed.take()) {
            with(|state| state.doomed.set(right.next.take()));
            drop(right);
        }
        with(|state| state.is_dropping.set(false));
    }
}

/// Notes that files have come to `endpoint`, so that a collection finds them.
pub fn note(endpoint: &Shared<Endpoint>) {
    if !endpoint.carries.replace(true) {
        with(|state| state.carriers.borrow_mut().push(endpoint.clone()));
    }
}

/// Forgets what [`note`] noted, as the socket ends.
pub fn forget(endpoint: &Endpoint) {
    if endpoint.carries.take() {
        let noted = with(|state| state.carriers.borrow_mut().remove(endpoint));
        drop(noted);
    }
}

/// Drops the files that nobody can ever receive.
pub fn collect() {
    let carriers = || with(|state| state.carriers.borrow().iter());
    carriers().for_each(|carrier| carrier.is_reachable.set(true));
    for carrier in carriers() {
        each_file(&carrier, |file| {
            let on_its_way = endpoint(file).map_or(0, |endpoint| endpoint.on_its_way.get());
            let is_open = Shared::owners(file) > on_its_way;
            each_inbox(file, |inbox| inbox.is_reachable.set(is_open));
        });
    }
    let mut changed = true;
    while core::mem::take(&mut changed) {
        for carrier in carriers().filter(|carrier| carrier.is_reachable.get()) {
            each_file(&carrier, |file| {
                each_inbox(file, |inbox| {
                    changed |= inbox.carries.get() && !inbox.is_reachable.replace(true);
                });
            });
        }
    }
    // Whatever is dropped may change the chain and the inboxes, so all is taken out before.
    let mut garbage = Rights::new();
    for carrier in carriers().filter(|carrier| !carrier.is_reachable.get()) {
        for record in carrier.inbox.borrow().records() {
            let mut rights = record.rights(false);
            while let Some(right) = rights.as_mut().and_then(Rights::take) {
                garbage.put(right);
            }
        }
    }
    drop(garbage);
}

/// Calls `act` with all files in an inbox.
fn each_file(carrier: &Endpoint, mut act: impl FnMut(&Shared<OpenFile>)) {
    for record in carrier.inbox.borrow().records() {
        record.with_rights(|rights| rights.iter().for_each(&mut act));
    }
}

/// Calls `act` with the sockets whose inboxes whoever has `file` can read: its own, and
/// those of connections that it has not accepted.
fn each_inbox(file: &OpenFile, mut act: impl FnMut(&Endpoint)) {
    let Some(endpoint) = endpoint(file) else {
        return;
    };
    act(endpoint);
    let pending = endpoint.pending.borrow().connections.iter();
    pending.for_each(|connection| act(&connection));
}
