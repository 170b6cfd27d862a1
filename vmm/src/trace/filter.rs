//! Selection of events.

use abi::trace::wanted;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::event::{Event, ThreadId, What};

/// Classes of events that can be selected.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(
    serialize_all = "snake_case",
    parse_err_ty = UnknownClass,
    parse_err_fn = unknown
)]
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
    /// Translations by the emulator, with the guest's code and the host's side by side.
    Translations,
}

impl Class {
    /// All of them.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The kernel's bit for it; what the kernel does not tell has none.
    const fn wanted(self) -> u64 {
        match self {
            Self::Exits | Self::Translations => 0,
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
            What::Translation(_) => Self::Translations,
            What::Note(_) => return None,
        })
    }
}

/// No class has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no events are called {0:?}; there are {names}",
    names = Class::ALL.iter().map(|class| class.name()).collect::<Vec<_>>().join(", ")
)]
pub struct UnknownClass(String);

fn unknown(name: &str) -> UnknownClass {
    UnknownClass(name.to_owned())
}

/// Selection of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Of these classes.
    pub classes: Vec<Class>,
    /// Of this process alone: while it has the CPU, and what concerns it.
    pub pid: Option<u32>,
}

impl Filter {
    /// Everything that guests do: all but how the emulator goes about it.
    pub fn all() -> Self {
        let classes = Class::ALL.iter().copied();
        Self {
            classes: classes
                .filter(|class| *class != Class::Translations)
                .collect(),
            pid: None,
        }
    }

    /// Whether it lets translations pass.
    pub fn has_translations(&self) -> bool {
        self.classes.contains(&Class::Translations)
    }

    /// The records that the kernel must write: none, or at least those of the running
    /// thread.
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
                cpu: None,
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
        for &class in Class::ALL {
            assert_eq!(class.name().parse(), Ok(class));
        }
        let error = "nonsense".parse::<Class>().expect_err("no class");
        assert_eq!(
            error.to_string(),
            "no events are called \"nonsense\"; there are \
             exits, syscalls, traps, faults, ticks, sched, procs, translations"
        );
    }
}
