//! Signals: their names and sets. What a process does about one is in `action`, how one
//! is sent in `sending`, what becomes of it in `attention`, and how a handler is called
//! and comes back in `frame`.

mod action;
mod alternate_stack;
mod attention;
mod cause;
mod float_state;
mod frame;
mod queue;
mod sending;
pub mod watchers;

use linux_raw_sys::general as linux;

pub use action::{Action, ActionFlags, Actions, Reaction};
pub use alternate_stack::AlternateStack;
pub use attention::{InterruptedCall, attend, will_end};
pub use cause::{Cause, Info};
pub use frame::{handle_fault, max_frame_size, return_from_handler};
pub use queue::Pending;
pub use sending::{
    all_pending, send, send_for, send_to_group, send_to_thread, set_blocked, take_any,
};

/// A signal by its number, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident),* $(,)?) => {
        // Named for those who send them; the kernel itself sends few.
        #[allow(dead_code, missing_docs)]
        impl Signal {
            $(pub const $name: Self = Self(linux::$name as u8);)*

            /// The name, as `SIGSEGV`; real-time signals have none of their own.
            pub fn name(self) -> &'static str {
                match u32::from(self.0) {
                    $(linux::$name => stringify!($name),)*
                    _ => "a real-time signal",
                }
            }
        }
    };
}

signals!(
    SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV,
    SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS,
);

/// The default action of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// The process ends.
    End,
    /// Nothing.
    Ignore,
    /// The process stops, until it is told to continue.
    Stop,
}

impl Signal {
    /// Highest number.
    pub const MAX: u8 = 64;

    /// The signal with this number, if there is one.
    pub fn new(number: u64) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether each one that is sent comes.
    pub fn is_real_time(self) -> bool {
        u32::from(self.0) >= linux::SIGRTMIN
    }

    /// As signal(7) has it.
    pub fn default_action(self) -> DefaultAction {
        match self {
            Self::SIGCHLD | Self::SIGURG | Self::SIGWINCH | Self::SIGCONT => DefaultAction::Ignore,
            Self::SIGSTOP | Self::SIGTSTP | Self::SIGTTIN | Self::SIGTTOU => DefaultAction::Stop,
            _ => DefaultAction::End,
        }
    }
}

/// A set of signals, as `sigset_t` has it: bit `n - 1` for signal `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(pub u64);

impl Signals {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// Those that programs can neither block nor ignore.
    const MIGHTY: Self = Self(1 << (linux::SIGKILL - 1) | 1 << (linux::SIGSTOP - 1));

    /// What an instruction causes.
    const OF_INSTRUCTIONS: Self = Self(
        1 << (linux::SIGSEGV - 1)
            | 1 << (linux::SIGBUS - 1)
            | 1 << (linux::SIGILL - 1)
            | 1 << (linux::SIGTRAP - 1)
            | 1 << (linux::SIGFPE - 1)
            | 1 << (linux::SIGSYS - 1),
    );

    fn bit(signal: Signal) -> u64 {
        1 << (signal.0 - 1)
    }

    /// Whether `signal` is in the set.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// The set with `signal`.
    pub fn with(self, signal: Signal) -> Self {
        Self(self.0 | Self::bit(signal))
    }

    /// The set without `signal`.
    pub fn without(self, signal: Signal) -> Self {
        Self(self.0 & !Self::bit(signal))
    }

    /// The set without the signals that cannot be blocked.
    pub fn blockable(self) -> Self {
        Self(self.0 & !Self::MIGHTY.0)
    }

    /// The first signal to attend to that is in this set and not in `blocked`: those of
    /// instructions come first, then the others, by their numbers.
    pub fn first_but(self, blocked: Self) -> Option<Signal> {
        let open = self.0 & !blocked.0;
        let first = match open & Self::OF_INSTRUCTIONS.0 {
            0 => open,
            of_instructions => of_instructions,
        };
        Signal::new(u64::from(first.trailing_zeros()) + 1)
    }

    /// The signals, by their numbers.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let all = (1..=u64::from(Signal::MAX)).filter_map(Signal::new);
        all.filter(move |signal| self.contains(*signal))
    }
}

#[cfg(test)]
mod tests {
    use super::{DefaultAction, Signal, Signals};

    #[test]
    fn signals_have_numbers_and_names() {
        assert_eq!(Signal::new(9), Some(Signal::SIGKILL));
        assert_eq!([0, 65, u64::MAX].map(Signal::new), [None; 3]);
        assert_eq!(Signal::SIGSEGV.name(), "SIGSEGV");
        assert_eq!(Signal::SIGCHLD.default_action(), DefaultAction::Ignore);
        assert_eq!(Signal::SIGTSTP.default_action(), DefaultAction::Stop);
        assert_eq!(Signal::SIGTERM.default_action(), DefaultAction::End);
    }

    #[test]
    fn sets_are_linux_s() {
        let both = Signals::EMPTY.with(Signal::SIGTERM).with(Signal::SIGKILL);
        assert_eq!(both, Signals(1 << 14 | 1 << 8));
        assert_eq!(both.blockable(), Signals(1 << 14));
        assert_eq!(both.first_but(Signals::EMPTY), Some(Signal::SIGKILL));
        let but = both.without(Signal::SIGTERM);
        assert_eq!(both.first_but(but), Some(Signal::SIGTERM));
        assert_eq!(both.first_but(both), None);
        assert_eq!(Signals(1 << 63).first_but(both), Signal::new(64));
    }
}
