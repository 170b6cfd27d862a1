//! What a process does about each signal.

use core::cell::Cell;

use bitflags::bitflags;
use linux_raw_sys::general as linux;
use mm::{OutOfMemory, Owned};

use crate::proc::process::Process;
use crate::proc::signal::{DefaultAction, Signal, Signals};

bitflags! {
    /// How a handler is called (`sa_flags`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ActionFlags: u64 {
        /// A parent hears of children that end, not of those that stop.
        const NO_CHILD_STOP = linux::SA_NOCLDSTOP as u64;
        /// Children that end need not be waited for.
        const NO_CHILD_WAIT = linux::SA_NOCLDWAIT as u64;
        /// On the thread's alternate stack.
        const ON_STACK = linux::SA_ONSTACK as u64;
        /// System calls that it interrupts begin again.
        const RESTART = linux::SA_RESTART as u64;
        /// The signal itself is not blocked meanwhile.
        const NO_DEFER = linux::SA_NODEFER as u64;
        /// Only once.
        const RESET_HANDLER = linux::SA_RESETHAND as u64;
        /// It says where it returns to, as it must on this processor.
        const RESTORER = linux::SA_RESTORER as u64;
        /// Others, among them SA_SIGINFO: every handler is told everything.
        const _ = !0;
    }
}

/// A handler: `struct sigaction` of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its address.
    pub handler: u64,
    /// How it is called.
    pub flags: ActionFlags,
    /// Where it returns to.
    pub restorer: u64,
    /// What is blocked meanwhile.
    pub mask: Signals,
}

/// Why a signal was sent: `siginfo_t` after its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// `si_code`.
    pub code: i32,
    /// What depends on the code: sender's number or address, then the status of a child.
    pub words: [u64; 2],
}

impl Cause {
    /// The kernel's own doing.
    pub const KERNEL: Self = Self {
        code: linux::SI_KERNEL as i32,
        words: [0; 2],
    };

    /// A process, by `kill`, or by `tkill` if it was to one thread.
    pub fn sender(pid: u32, to_thread: bool) -> Self {
        Self {
            code: match to_thread {
                true => linux::SI_TKILL,
                false => linux::SI_USER as i32,
            },
            words: [pid.into(), 0],
        }
    }

    /// A child that has ended, stopped or gone on.
    pub fn child(pid: u32, code: u32, status: u8) -> Self {
        Self {
            code: code as i32,
            words: [pid.into(), status.into()],
        }
    }

    /// An instruction, at `address` or about it.
    pub fn fault(code: u32, address: u64) -> Self {
        Self {
            code: code as i32,
            words: [address, 0],
        }
    }
}

/// The disposition of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The default action.
    Default(DefaultAction),
    /// Nothing.
    Ignore,
    /// The handler is called.
    Call(Action),
}

const NO_ACTION: Action = Action {
    handler: 0,
    flags: ActionFlags::empty(),
    restorer: 0,
    mask: Signals::EMPTY,
};

/// The handlers of a process, and why the signals that are pending were sent. A process
/// that handles no signal has no such object; of several senders the last is reported.
pub struct Actions {
    actions: [Cell<Action>; Signal::MAX as usize],
    causes: [Cell<Cause>; Signal::MAX as usize],
}

impl Actions {
    fn new() -> Self {
        Self {
            actions: [const { Cell::new(NO_ACTION) }; Signal::MAX as usize],
            causes: [const { Cell::new(Cause::KERNEL) }; Signal::MAX as usize],
        }
    }

    fn place(signal: Signal) -> usize {
        usize::from(signal.number() - 1)
    }
}

impl Process {
    /// What it does about `signal`.
    pub fn reaction(&self, signal: Signal) -> Reaction {
        if self.caught_signals.get().contains(signal) {
            let actions = self.actions.borrow();
            let actions = actions.as_ref().expect("handlers have a place");
            return Reaction::Call(actions.actions[Actions::place(signal)].get());
        }
        match self.ignored_signals.get().contains(signal) {
            true => Reaction::Ignore,
            false => Reaction::Default(signal.default_action()),
        }
    }

    /// Changes what it does. A pending signal that is to be ignored is discarded.
    ///
    /// # Errors
    /// There is no memory for a handler.
    pub fn react(&self, signal: Signal, reaction: Reaction) -> Result<(), OutOfMemory> {
        let mut caught = self.caught_signals.get().without(signal);
        let mut ignored = self.ignored_signals.get().without(signal);
        match reaction {
            Reaction::Default(_) => {}
            Reaction::Ignore => ignored = ignored.with(signal),
            Reaction::Call(action) => {
                let mut actions = self.actions.borrow_mut();
                if actions.is_none() {
                    *actions = Some(Owned::new(Actions::new())?);
                }
                if let Some(actions) = &*actions {
                    actions.actions[Actions::place(signal)].set(action);
                }
                caught = caught.with(signal);
            }
        }
        self.caught_signals.set(caught);
        self.ignored_signals.set(ignored);
        if self.ignores(signal) {
            self.forget(signal);
        }
        Ok(())
    }

    /// Whether a signal does nothing to it.
    pub fn ignores(&self, signal: Signal) -> bool {
        matches!(
            self.reaction(signal),
            Reaction::Ignore | Reaction::Default(DefaultAction::Ignore)
        )
    }

    /// Whether it has a handler for a signal.
    pub fn catches(&self, signal: Signal) -> bool {
        self.caught_signals.get().contains(signal)
    }

    /// Whether its children that end are to be left to be waited for.
    pub fn wants_zombies(&self) -> bool {
        match self.reaction(Signal::SIGCHLD) {
            Reaction::Ignore => false,
            Reaction::Default(_) => true,
            Reaction::Call(action) => !action.flags.contains(ActionFlags::NO_CHILD_WAIT),
        }
    }

    /// Takes a pending signal back.
    pub fn forget(&self, signal: Signal) {
        self.pending_signals
            .set(self.pending_signals.get().without(signal));
        for thread in self.threads() {
            let pending = thread.pending_signals.get();
            thread.pending_signals.set(pending.without(signal));
        }
    }

    /// What a child by `fork` does about signals is the same.
    ///
    /// # Errors
    /// There is no memory for its handlers.
    pub(in crate::proc) fn copy_actions(&self) -> Result<Option<Owned<Actions>>, OutOfMemory> {
        if self.caught_signals.get() == Signals::EMPTY {
            return Ok(None);
        }
        let copy = Owned::new(Actions::new())?;
        if let Some(own) = &*self.actions.borrow() {
            for (new, old) in copy.actions.iter().zip(&own.actions) {
                new.set(old.get());
            }
        }
        Ok(Some(copy))
    }

    /// Another program has no handlers; what is ignored stays so.
    pub(in crate::proc) fn drop_actions(&self) {
        self.caught_signals.set(Signals::EMPTY);
        drop(self.actions.take());
    }

    pub(super) fn note_cause(&self, signal: Signal, cause: Cause) {
        if let Some(actions) = &*self.actions.borrow() {
            actions.causes[Actions::place(signal)].set(cause);
        }
    }

    pub(super) fn cause(&self, signal: Signal) -> Cause {
        match &*self.actions.borrow() {
            Some(actions) => actions.causes[Actions::place(signal)].get(),
            None => Cause::KERNEL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(handler: u64) -> Reaction {
        Reaction::Call(Action {
            handler,
            ..NO_ACTION
        })
    }

    #[test]
    fn reactions_are_what_was_set_last() {
        let process = Process::unused();
        let signal = Signal::SIGTERM;
        assert_eq!(
            process.reaction(signal),
            Reaction::Default(DefaultAction::End)
        );
        assert_eq!(process.react(signal, handler(5)), Ok(()));
        assert_eq!(process.reaction(signal), handler(5));
        assert!(process.catches(signal) && !process.ignores(signal));
        assert_eq!(process.react(signal, Reaction::Ignore), Ok(()));
        assert!(process.ignores(signal));
        let default = Reaction::Default(DefaultAction::End);
        assert_eq!(process.react(signal, default), Ok(()));
        assert_eq!(process.reaction(signal), default);
        process.drop_actions();
    }

    #[test]
    fn ignoring_forgets_what_is_pending() {
        let process = Process::unused();
        let both = Signals::EMPTY.with(Signal::SIGTERM).with(Signal::SIGINT);
        process.pending_signals.set(both);
        assert_eq!(process.react(Signal::SIGTERM, Reaction::Ignore), Ok(()));
        let left = Signals::EMPTY.with(Signal::SIGINT);
        assert_eq!(process.pending_signals.get(), left);
    }

    #[test]
    fn children_have_the_same_handlers_and_other_programs_none() {
        let process = Process::unused();
        assert!(process.copy_actions().is_ok_and(|copy| copy.is_none()));
        assert_eq!(process.react(Signal::SIGUSR1, handler(7)), Ok(()));
        let copy = process.copy_actions().ok().flatten().expect("memory");
        let place = Actions::place(Signal::SIGUSR1);
        assert_eq!(copy.actions[place].get().handler, 7);
        process.drop_actions();
        assert!(!process.catches(Signal::SIGUSR1));
    }
}
