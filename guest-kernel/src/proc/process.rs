//! Process descriptors.
//!
//! A descriptor is a slot of a table and stays where it is; it stands for a process from
//! `fork` until it is reaped, so a reference may be kept as long as the process cannot be
//! reaped. Fields are grouped by who may touch them.

use core::cell::{Cell, RefCell};
use core::fmt;

use mm::{AddressSpace, Shared};

use crate::proc::attributes::Attributes;
use crate::proc::cpu_alarm::CpuAlarms;
use crate::proc::credentials::Credentials;
use crate::proc::limits::Limits;
use crate::proc::list::{Link, Linked, List};
use crate::proc::posix_timer::{ByCpuTime, OfProcess, PosixTimer};
use crate::proc::program::Places;
use crate::proc::signal::{Actions, Pending, Signal, Signals};
use crate::proc::system::Names;
use crate::proc::thread::{CpuTime, Members, Thread};
use crate::proc::timer_queue::{Timed, Timer};
use crate::proc::usage::Usage;
use crate::proc::wait_queue::WaitQueue;
use crate::proc::wait_status::WaitStatus;

/// Number of the first process, which adopts orphans and takes the machine with it.
pub const INIT: u32 = 1;

const NAME_LEN: usize = 15;

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is none in this slot of the table.
    Unused,
    /// It has threads and memory.
    Alive,
    /// All that is left is how it ended.
    Zombie(WaitStatus),
}

/// A process descriptor.
pub struct Process {
    // Set as the slot is filled, constant until it is emptied.
    pub(super) pid: Cell<u32>,
    /// Which slot it is, for what layers above keep beside it.
    pub(super) place: Cell<u32>,
    /// The time-stamp counter then.
    pub(super) started: Cell<u64>,

    // Set by the process, read by all.
    pub(super) name: Cell<Name>,
    pub(super) places: Cell<Places>,
    pub(super) group: Cell<u32>,
    pub(super) session: Cell<u32>,
    pub(super) limits: Cell<Limits>,
    /// Who it is.
    pub credentials: Credentials,
    pub(super) attributes: Cell<Attributes>,

    // The family's: touched by fork, exit and wait.
    pub(super) stage: Cell<Stage>,
    pub(super) parent: Cell<Option<&'static Process>>,
    pub(super) children: List<Process, Siblings>,
    pub(super) sibling_link: Link<Process>,
    /// Whoever waits for a child to end, stop or go on.
    pub(super) child_ended: WaitQueue,
    /// That it has stopped or gone on, until the parent has waited for it.
    pub(super) news: Cell<Option<WaitStatus>>,
    /// What children that have been reaped, and theirs, have used.
    pub(super) children_usage: Cell<Usage>,
    /// The parent's thread that waits until this process has memory of its own (`vfork`).
    pub(super) lender: Cell<Option<&'static Thread>>,

    // The threads'.
    pub(super) members: List<Thread, Members>,
    /// What threads that have ended have used.
    pub(super) ended_time: Cell<CpuTime>,
    /// Page faults that were resolved, and the most frames that it had.
    pub(super) faults: Cell<u64>,
    pub(super) peak: Cell<u64>,
    /// Set as soon as it is clear how the process will end: its threads are to end.
    pub(super) end: Cell<Option<WaitStatus>>,
    /// Whoever waits for other threads to end.
    pub(super) thread_ended: WaitQueue,

    // Signals: sent by all, heeded by the process.
    pub(super) pending_signals: Pending,
    pub(super) actions: RefCell<Option<Shared<Actions>>>,
    /// What the parent is sent when it ends.
    pub(super) end_signal: Cell<Option<Signal>>,
    pub(super) is_stopped: Cell<bool>,
    /// Its threads while it is stopped.
    pub(super) goes_on: WaitQueue,
    pub(super) alarm: Timer<Process>,
    /// From alarm to alarm, in counts of the time-stamp counter; 0 if there is but one.
    pub(super) alarm_interval: Cell<u64>,
    pub(super) cpu_alarms: CpuAlarms,
    pub(super) timers: List<PosixTimer, OfProcess>,
    /// Timers, also others', that are set to what it or a thread of it uses.
    pub(super) cpu_timers: List<PosixTimer, ByCpuTime>,

    // The process's own: touched by its system calls and faults only.
    pub(super) names: RefCell<Option<Shared<Names>>>,
    pub(super) space: RefCell<Option<Shared<AddressSpace>>>,
}

impl Timed for Process {
    fn timer(&self) -> &Timer<Self> {
        &self.alarm
    }
}

/// The children of a process.
pub enum Siblings {}

impl Linked<Siblings> for Process {
    fn link(&self) -> &Link<Self> {
        &self.sibling_link
    }
}

impl Process {
    /// An unused slot.
    pub const fn unused() -> Self {
        Self {
            pid: Cell::new(0),
            place: Cell::new(0),
            started: Cell::new(0),
            name: Cell::new(Name::EMPTY),
            places: Cell::new(Places::NONE),
            group: Cell::new(0),
            session: Cell::new(0),
            limits: Cell::new(Limits::NONE),
            credentials: Credentials::superuser(),
            attributes: Cell::new(Attributes::UNUSED),
            stage: Cell::new(Stage::Unused),
            parent: Cell::new(None),
            children: List::new(),
            sibling_link: Link::new(),
            child_ended: WaitQueue::new(),
            news: Cell::new(None),
            children_usage: Cell::new(Usage::NONE),
            lender: Cell::new(None),
            members: List::new(),
            ended_time: Cell::new(CpuTime::ZERO),
            faults: Cell::new(0),
            peak: Cell::new(0),
            end: Cell::new(None),
            thread_ended: WaitQueue::new(),
            pending_signals: Pending::new(),
            actions: RefCell::new(None),
            end_signal: Cell::new(None),
            is_stopped: Cell::new(false),
            goes_on: WaitQueue::new(),
            alarm: Timer::new(),
            alarm_interval: Cell::new(0),
            cpu_alarms: CpuAlarms::none(),
            timers: List::new(),
            names: RefCell::new(None),
            cpu_timers: List::new(),
            space: RefCell::new(None),
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.get()
    }

    /// Which slot it is: below [`MOST`](super::table::MOST).
    pub fn place(&self) -> usize {
        self.place.get() as usize
    }

    /// Its parent's number; 0 for init.
    pub fn parent_pid(&self) -> u32 {
        self.parent.get().map_or(0, Self::pid)
    }

    /// Number of its process group.
    pub fn group(&self) -> u32 {
        self.group.get()
    }

    /// Moves it to a process group.
    pub fn set_group(&self, group: u32) {
        self.group.set(group);
    }

    /// Its number and its user's, as others are told who has sent something.
    pub fn identity(&self) -> [u32; 2] {
        [self.pid(), self.credentials.users().real]
    }

    /// Number of its session.
    pub fn session(&self) -> u32 {
        self.session.get()
    }

    /// Moves it to a session.
    pub fn set_session(&self, session: u32) {
        self.session.set(session);
    }

    /// Its limits.
    pub fn limits(&self) -> Limits {
        self.limits.get()
    }

    /// Changes its limits.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
        self.cpu_alarms.heed(&limits);
    }

    /// Name of its program.
    pub fn name(&self) -> Name {
        self.name.get()
    }

    /// Changes the name.
    pub fn set_name(&self, name: Name) {
        self.name.set(name);
    }

    /// Where its program has arguments and the like.
    pub fn places(&self) -> Places {
        self.places.get()
    }

    /// The signals that wait for any of its threads.
    pub fn pending(&self) -> Signals {
        self.pending_signals.set()
    }

    /// The time-stamp counter at its start.
    pub fn started(&self) -> u64 {
        self.started.get()
    }

    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Whether there is no process in this slot.
    pub fn is_unused(&self) -> bool {
        self.stage() == Stage::Unused
    }

    /// Whether it has threads and memory.
    pub fn is_alive(&self) -> bool {
        self.stage() == Stage::Alive
    }

    /// Its threads, the oldest first.
    pub fn threads(&self) -> impl Iterator<Item = &'static Thread> + use<> {
        self.members.iter()
    }

    /// What its threads have used, those that have ended too.
    pub fn cpu_time(&self) -> CpuTime {
        let ended = self.ended_time.get();
        self.threads()
            .fold(ended, |sum, thread| sum.plus(thread.cpu_time()))
    }

    /// What its reaped children, and theirs, have used.
    pub fn children_cpu_time(&self) -> CpuTime {
        self.children_usage.get().time
    }

    /// Whether it has other threads than this one.
    pub fn has_other_threads(&self, thread: &Thread) -> bool {
        self.threads().any(|other| !core::ptr::eq(other, thread))
    }

    /// What the machine is called for it, if that is not what it is for the first process.
    pub fn own_names(&self) -> Option<Shared<Names>> {
        self.names.borrow().clone()
    }

    /// Changes that.
    pub fn set_names(&self, names: Option<Shared<Names>>) {
        let before = self.names.replace(names);
        drop(before);
    }

    /// Calls `use_names` with what the machine is called for it.
    pub fn with_names<R>(&self, use_names: impl FnOnce(&Names) -> R) -> R {
        match &*self.names.borrow() {
            Some(names) => use_names(names),
            None => use_names(Names::first()),
        }
    }

    /// Its memory.
    ///
    /// # Panics
    /// It has ended.
    pub fn space(&self) -> Shared<AddressSpace> {
        self.space.borrow().clone().expect("a process has memory")
    }

    /// Makes that the one that ring 3 and user copies use.
    ///
    /// # Panics
    /// It has ended.
    pub fn activate_space(&self) {
        let space = self.space.borrow();
        space.as_ref().expect("a process has memory").activate();
    }
}

/// A program's name, cut to 15 bytes as Linux does.
#[derive(Clone, Copy)]
pub struct Name {
    bytes: [u8; NAME_LEN],
    len: u8,
}

impl Name {
    /// None.
    pub const EMPTY: Self = Self {
        bytes: [0; NAME_LEN],
        len: 0,
    };

    /// The last component of a path.
    pub fn of(path: &[u8]) -> Self {
        Self::new(last_component(path))
    }

    /// These bytes, up to a zero if there is one.
    pub fn new(name: &[u8]) -> Self {
        let end = name.iter().position(|&byte| byte == 0);
        let len = end.unwrap_or(name.len()).min(NAME_LEN);
        let mut bytes = [0; NAME_LEN];
        bytes[..len].copy_from_slice(&name[..len]);
        Self {
            bytes,
            len: len as u8,
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Its bytes and at least one zero.
    pub fn padded(self) -> [u8; NAME_LEN + 1] {
        let mut padded = [0; NAME_LEN + 1];
        padded[..NAME_LEN].copy_from_slice(&self.bytes);
        padded
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().escape_ascii().fmt(f)
    }
}

/// What follows the last slash.
pub fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_are_last_components_cut_short() {
        assert_eq!(Name::of(b"/bin/hello").to_string(), "hello");
        assert_eq!(Name::of(b"sh").to_string(), "sh");
        assert_eq!(
            Name::of(b"/bin/abcdefghijklmnopqrst").to_string(),
            "abcdefghijklmno"
        );
        assert_eq!(Name::of(b"/\n\xff").to_string(), "\\n\\xff");
        assert_eq!(Name::new(b"a/b\0c").to_string(), "a/b");
        assert_eq!(
            Name::of(b"/bin/sh").padded(),
            *b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        );
    }
}
