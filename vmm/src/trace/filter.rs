//! Which events are wanted.

use std::fmt;
use std::str::FromStr;

use abi::trace::wanted;

use super::event::{Event, ThreadId, What};

/// Kinds of events that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// VM exits, and the time that the vCPU is halted.
    Exits,
    /// System calls.
    Syscalls,
    /// Exceptions and interrupts, with what the CPU pushes.
    Traps,
    /// Page faults, with what the kernel does about them.
    Faults,
    /// Timer ticks.
    Ticks,
    /// Switches from thread to thread.
    Sched,
    /// Beginnings and ends of processes and threads, and new programs.
    Procs,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Exits,
        Self::Syscalls,
        Self::Traps,
        Self::Faults,
        Self::Ticks,
        Self::Sched,
        Self::Procs,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exits => "exits",
            Self::Syscalls => "syscalls",
            Self::Traps => "traps",
            Self::Faults => "faults",
            Self::Ticks => "ticks",
            Self::Sched => "sched",
            Self::Procs => "procs",
        }
    }

    /// The bit by which the kernel knows it; exits are none of the kernel's business.
    const fn wanted(self) -> u64 {
        match self {
            Self::Exits => 0,
            Self::Syscalls => wanted::SYSCALLS,
            Self::Traps => wanted::TRAPS,
            Self::Faults => wanted::FAULTS,
            Self::Ticks => wanted::TICKS,
            Self::Sched => wanted::SCHED,
            Self::Procs => wanted::PROCS,
        }
    }

    fn of(what: &What<'_>) -> Option<Self> {
        Some(match what {
            What::Exit(_) | What::Slept { .. } => Self::Exits,
            What::Call(_) | What::Return { .. } | What::Abandoned(_) => Self::Syscalls,
            What::Trap(_) => Self::Traps,
            What::Fault(_) => Self::Faults,
            What::Tick(_) => Self::Ticks,
            What::Switch { .. } | What::Idle => Self::Sched,
            What::Start(_) | What::Exec(_) | What::End { .. } => Self::Procs,
            What::Note(_) => return None,
        })
    }
}

/// No class has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownClass(String);

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no events are called {:?}; there are ", self.0)?;
        let names: Vec<_> = Class::ALL.into_iter().map(Class::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl std::error::Error for UnknownClass {}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(name: &str) -> Result<Self, UnknownClass> {
        let class = Self::ALL.into_iter().find(|class| class.name() == name);
        class.ok_or_else(|| UnknownClass(name.to_owned()))
    }
}

/// Which events are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Of these classes.
    pub classes: Vec<Class>,
    /// Of this process alone: while it has the CPU, and what concerns it.
    pub pid: Option<u32>,
}

impl Filter {
    /// Everything.
    pub fn all() -> Self {
        Self {
            classes: Class::ALL.to_vec(),
            pid: None,
        }
    }

    /// What the kernel must tell: nothing, or who runs at least.
    pub(super) fn wanted(&self) -> u64 {
        let bits = self
            .classes
            .iter()
            .fold(0, |bits, class| bits | class.wanted());
        match (bits, self.pid) {
            (0, None) => 0,
            (bits, _) => bits | wanted::SCHED,
        }
    }

    /// Whether the event is wanted. Notes are for everybody.
    pub(super) fn lets_pass(&self, event: &Event<'_>) -> bool {
        let Some(class) = Class::of(&event.what) else {
            return true;
        };
        let is_pid = |thread: ThreadId| self.pid.is_none_or(|pid| pid == thread.pid);
        let other = match event.what {
            What::Switch { thread, .. } | What::Start(thread) => Some(thread),
            _ => None,
        };
        let concerns = match (event.thread, other) {
            (None, None) => self.pid.is_none(),
            (thread, other) => thread.is_some_and(is_pid) || other.is_some_and(is_pid),
        };
        concerns && self.classes.contains(&class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_for_what_is_wanted_and_who_runs() {
        let filter = |classes: &[Class], pid| Filter {
            classes: classes.to_vec(),
            pid,
        };
        assert_eq!(filter(&[Class::Exits], None).wanted(), 0);
        assert_eq!(filter(&[Class::Exits], Some(3)).wanted(), wanted::SCHED);
        assert_eq!(
            filter(&[Class::Ticks, Class::Exits], None).wanted(),
            wanted::TICKS | wanted::SCHED
        );
    }

    #[test]
    fn a_process_is_concerned_by_what_is_done_with_it() {
        let filter = Filter {
            pid: Some(3),
            ..Filter::all()
        };
        let thread = |pid| ThreadId { pid, tid: pid + 1 };
        let passes = |thread, what| {
            filter.lets_pass(&Event {
                ns: 0,
                thread,
                what,
            })
        };
        assert!(passes(Some(thread(3)), What::Tick(1)));
        assert!(!passes(Some(thread(4)), What::Tick(1)));
        assert!(!passes(None, What::Tick(1)));
        assert!(passes(Some(thread(1)), What::Start(thread(3))));
        assert!(passes(Some(thread(3)), What::Start(thread(4))));
        assert!(!passes(None, What::Start(thread(4))));
        assert!(passes(None, What::Note("for all")));
    }

    #[test]
    fn classes_go_by_their_names() {
        for class in Class::ALL {
            assert_eq!(class.name().parse(), Ok(class));
        }
        let error = "nonsense".parse::<Class>().expect_err("no class");
        assert_eq!(
            error.to_string(),
            "no events are called \"nonsense\"; there are \
             exits, syscalls, traps, faults, ticks, sched, procs"
        );
    }
}
