//! What a process does about each signal.

use core::cell::Cell;

use bitflags::bitflags;
use linux_raw_sys::general as linux;
use mm::{OutOfMemory, Shared};

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

/// `struct sigaction` of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// The handler's address, or [`Self::DEFAULT_HANDLER`] or [`Self::IGNORE`].
    pub handler: u64,
    /// How it is called.
    pub flags: ActionFlags,
    /// Where it returns to.
    pub restorer: u64,
    /// What is blocked meanwhile.
    pub mask: Signals,
}

impl Action {
    /// `SIG_DFL`: the default action.
    pub const DEFAULT_HANDLER: u64 = 0;
    /// `SIG_IGN`: nothing.
    pub const IGNORE: u64 = 1;

    /// What holds if nothing was said.
    pub const DEFAULT: Self = Self {
        handler: Self::DEFAULT_HANDLER,
        flags: ActionFlags::empty(),
        restorer: 0,
        mask: Signals::EMPTY,
    };
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

/// What processes that share it do about each signal. A process that has never said anything
/// about a signal has no such object.
pub struct Actions {
    ignored: Cell<Signals>,
    /// Those with a handler.
    caught: Cell<Signals>,
    actions: [Cell<Action>; Signal::MAX as usize],
}

impl Actions {
    fn new() -> Self {
        Self {
            ignored: Cell::new(Signals::EMPTY),
            caught: Cell::new(Signals::EMPTY),
            actions: [const { Cell::new(Action::DEFAULT) }; Signal::MAX as usize],
        }
    }

    fn of(&self, signal: Signal) -> &Cell<Action> {
        &self.actions[usize::from(signal.number() - 1)]
    }

    fn set(&self, signal: Signal, action: Action) {
        let (ignored, caught) = (self.ignored.get(), self.caught.get());
        let (mut ignored, mut caught) = (ignored.without(signal), caught.without(signal));
        match action.handler {
            Action::DEFAULT_HANDLER => {}
            Action::IGNORE => ignored = ignored.with(signal),
            _ => caught = caught.with(signal),
        }
        self.ignored.set(ignored);
        self.caught.set(caught);
        self.of(signal).set(action);
    }
}

impl Process {
    /// What it does about `signal`.
    pub fn reaction(&self, signal: Signal) -> Reaction {
        match &*self.actions.borrow() {
            Some(own) if own.caught.get().contains(signal) => Reaction::Call(own.of(signal).get()),
            Some(own) if own.ignored.get().contains(signal) => Reaction::Ignore,
            _ => Reaction::Default(signal.default_action()),
        }
    }

    /// The same in the words of `sigaction`.
    pub fn action(&self, signal: Signal) -> Action {
        let actions = self.actions.borrow();
        actions
            .as_ref()
            .map_or(Action::DEFAULT, |own| own.of(signal).get())
    }

    /// Changes what it does. A pending signal that is to be ignored is discarded.
    ///
    /// # Errors
    /// There is no memory.
    pub fn set_action(&self, signal: Signal, action: Action) -> Result<(), OutOfMemory> {
        if action != Action::DEFAULT || self.actions.borrow().is_some() {
            self.own_actions()?.set(signal, action);
        }
        if self.ignores(signal) {
            self.forget(signal);
        }
        Ok(())
    }

    fn own_actions(&self) -> Result<Shared<Actions>, OutOfMemory> {
        let mut actions = self.actions.borrow_mut();
        let own = match actions.take() {
            Some(own) => own,
            None => Shared::new(Actions::new())?,
        };
        Ok(actions.insert(own).clone())
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
        matches!(self.reaction(signal), Reaction::Call(_))
    }

    /// Whether its children that end are to be left to be waited for.
    pub fn wants_zombies(&self) -> bool {
        let action = self.action(Signal::SIGCHLD);
        action.handler != Action::IGNORE && !action.flags.contains(ActionFlags::NO_CHILD_WAIT)
    }

    /// Takes a pending signal back.
    pub fn forget(&self, signal: Signal) {
        self.pending_signals.forget(signal);
        for thread in self.threads() {
            thread.pending_signals.forget(signal);
        }
    }

    /// What a child does about signals: the same, for ever if they `share` it.
    ///
    /// # Errors
    /// There is no memory.
    pub(in crate::proc) fn actions_of_child(
        &self,
        share: bool,
    ) -> Result<Option<Shared<Actions>>, OutOfMemory> {
        if share {
            return self.own_actions().map(Some);
        }
        let own = self.actions.borrow();
        let Some(own) = &*own else {
            return Ok(None);
        };
        let copy = Shared::new(Actions::new())?;
        copy.ignored.set(own.ignored.get());
        copy.caught.set(own.caught.get());
        for (new, old) in copy.actions.iter().zip(&own.actions) {
            new.set(old.get());
        }
        Ok(Some(copy))
    }

    /// What another program in the process does: there are no handlers; what is ignored stays
    /// so.
    ///
    /// # Errors
    /// There is no memory.
    pub(in crate::proc) fn actions_of_program(
        &self,
    ) -> Result<Option<Shared<Actions>>, OutOfMemory> {
        let own = self.actions.borrow();
        let ignored = own.as_ref().map_or(Signals::EMPTY, |own| own.ignored.get());
        if ignored == Signals::EMPTY {
            return Ok(None);
        }
        let new = Shared::new(Actions::new())?;
        let ignore = Action {
            handler: Action::IGNORE,
            ..Action::DEFAULT
        };
        for signal in ignored.iter() {
            new.set(signal, ignore);
        }
        Ok(Some(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::signal::Cause;

    fn handler(handler: u64) -> Action {
        Action {
            handler,
            ..Action::DEFAULT
        }
    }

    #[test]
    fn reactions_are_what_was_set_last() {
        let process = Process::unused();
        let signal = Signal::SIGTERM;
        let default = Reaction::Default(DefaultAction::End);
        assert_eq!(process.reaction(signal), default);
        assert_eq!(process.set_action(signal, handler(5)), Ok(()));
        assert_eq!(process.reaction(signal), Reaction::Call(handler(5)));
        assert!(process.catches(signal) && !process.ignores(signal));
        assert_eq!(process.set_action(signal, handler(Action::IGNORE)), Ok(()));
        assert!(process.ignores(signal));
        let reset = Action {
            flags: ActionFlags::RESTART,
            ..Action::DEFAULT
        };
        assert_eq!(process.set_action(signal, reset), Ok(()));
        assert_eq!(process.reaction(signal), default);
        assert_eq!(process.action(signal), reset);
    }

    #[test]
    fn ignoring_forgets_what_is_pending() {
        let process = Process::unused();
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            assert_eq!(
                process.pending_signals.add(signal, Cause::KERNEL, 9),
                Ok(())
            );
        }
        let ignore = handler(Action::IGNORE);
        assert_eq!(process.set_action(Signal::SIGTERM, ignore), Ok(()));
        let left = Signals::EMPTY.with(Signal::SIGINT);
        assert_eq!(process.pending_signals.set(), left);
    }

    #[test]
    fn children_have_the_same_handlers_and_other_programs_none() {
        let process = Process::unused();
        assert!(
            process
                .actions_of_child(false)
                .is_ok_and(|copy| copy.is_none())
        );
        let (caught, ignored) = (Signal::SIGUSR1, Signal::SIGUSR2);
        assert_eq!(process.set_action(caught, handler(7)), Ok(()));
        assert_eq!(process.set_action(ignored, handler(Action::IGNORE)), Ok(()));
        let copy = process
            .actions_of_child(false)
            .ok()
            .flatten()
            .expect("memory");
        assert_eq!(copy.of(caught).get().handler, 7);
        let new = process.actions_of_program().ok().flatten().expect("memory");
        process.actions.replace(Some(new));
        assert!(!process.catches(caught) && process.ignores(ignored));
    }

    #[test]
    fn who_shares_actions_has_the_changes_of_the_other() {
        let (parent, child) = (Process::unused(), Process::unused());
        child
            .actions
            .replace(parent.actions_of_child(true).expect("memory"));
        assert_eq!(child.set_action(Signal::SIGUSR1, handler(7)), Ok(()));
        assert!(parent.catches(Signal::SIGUSR1));
    }
}
