//! Thread descriptors.
//!
//! A descriptor is a slot of a table and stays where it is; it stands for a thread as
//! long as its state is not [`State::Unused`]. The saved registers are not among its
//! fields: they lie at the top of the kernel stack, where the CPU puts them, and belong
//! to [`crate::ring3`].

use core::cell::{Cell, RefCell};

use arch::context::Context;
use mm::Owned;
use mm::extended_state::ExtendedState;

use crate::proc::cpu_time::Meter;
use crate::proc::futex::{Several, Waiting};
use crate::proc::list::{Link, Linked};
use crate::proc::process::{Name, Process};
use crate::proc::rseq::Area;
use crate::proc::scheduler::CpuMask;
use crate::proc::scheduling::Scheduling;
use crate::proc::signal::{AlternateStack, InterruptedCall, Pending, Signals};
use crate::proc::timer_queue::{Timed, Timer};

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none in this slot of the table.
    Unused,
    /// It waits for the CPU.
    Runnable,
    /// It has the CPU.
    Running,
    /// It waits for something else.
    Blocked,
}

/// CPU time in counts of the time-stamp counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In ring 3.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
}

impl CpuTime {
    /// None.
    pub const ZERO: Self = Self { user: 0, system: 0 };

    /// Both, added field by field.
    pub fn plus(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}

/// A thread descriptor.
pub struct Thread {
    // Set as the slot is filled, constant until it is emptied.
    pub(super) tid: Cell<u32>,
    pub(super) process: Cell<Option<&'static Process>>,

    // The scheduler's.
    pub(super) state: Cell<State>,
    pub(super) context: Context,
    /// Its extended state while it does not run, if it has used any.
    pub(super) extended_state: RefCell<Option<ExtendedState>>,
    pub(super) queue_link: Link<Thread>,
    pub(super) timer: Timer<Thread>,
    /// Whether that moves when the clock is set.
    pub(super) waits_for_time_of_day: Cell<bool>,
    pub(super) meter: Meter,
    /// The CPU that it runs on, or ran on last.
    pub(super) cpu: Cell<usize>,
    /// Those that it may run on, a bit for each.
    pub(super) cpus: Cell<CpuMask>,
    /// Counts of CPU time that it has left of its turn; what it owes if negative.
    pub(super) credit: Cell<i64>,
    /// How much a turn is worth: see `scheduling`.
    pub(super) weight: Cell<u32>,
    pub(super) scheduling: Cell<Scheduling>,

    // Whoever the thread waits for.
    pub(super) wait_link: Link<Thread>,
    pub(super) futex: Cell<Waiting>,
    /// Those that it waits for at once (`futex_waitv`).
    pub(super) futexes: RefCell<Option<Owned<Several>>>,

    /// Its name, if it is not the first of its process, which has that of the process.
    pub(super) name: Cell<Name>,

    // Its process's.
    pub(super) member_link: Link<Thread>,
    /// Something is to be done before the thread returns to ring 3.
    pub(super) attention: Cell<bool>,
    /// That something is to end.
    pub(super) doomed: Cell<bool>,

    // The thread's own: touched by its system calls only.
    pub(super) blocked_signals: Cell<Signals>,
    pub(super) pending_signals: Pending,
    /// Signals that it waits for although it blocks them.
    pub(super) awaited_signals: Cell<Signals>,
    /// The blocked signals to restore when a wait with other ones is over
    /// (`rt_sigsuspend`).
    pub(super) saved_blocked_signals: Cell<Option<Signals>>,
    pub(super) alternate_stack: Cell<AlternateStack>,
    /// Its system call that a signal has interrupted.
    pub(super) interrupted_call: Cell<Option<InterruptedCall>>,
    /// Nanoseconds after boot at which the wait of that call was to end.
    pub(super) wait_deadline: Cell<Option<u64>>,
    /// Where to write a zero, and wake whoever waits there, as the thread ends; 0: nowhere.
    pub(super) clear_at_end: Cell<u64>,
    /// Where the list starts of the locks that it holds (`set_robust_list`); 0: nowhere.
    pub(super) robust_list: Cell<u64>,
    /// What it shares with the kernel for its restartable sequences.
    pub(super) area: Cell<Area>,
    /// The CPU that it says there.
    pub(super) area_cpu: Cell<usize>,
    /// Whether another thread waits for a lock that it holds.
    pub(super) owns_futexes: Cell<bool>,
    /// Whether a child still uses the memory that the thread lent it (`vfork`).
    pub(super) has_lent_memory: Cell<bool>,
}

impl Thread {
    /// An unused slot.
    pub const fn unused() -> Self {
        Self {
            tid: Cell::new(0),
            process: Cell::new(None),
            state: Cell::new(State::Unused),
            context: Context::unused(),
            extended_state: RefCell::new(None),
            queue_link: Link::new(),
            timer: Timer::new(),
            waits_for_time_of_day: Cell::new(false),
            meter: Meter::new(),
            cpu: Cell::new(0),
            cpus: Cell::new(CpuMask::MAX),
            credit: Cell::new(0),
            weight: Cell::new(0),
            scheduling: Cell::new(Scheduling::DEFAULT),
            wait_link: Link::new(),
            futex: Cell::new(Waiting::NOWHERE),
            futexes: RefCell::new(None),
            name: Cell::new(Name::EMPTY),
            member_link: Link::new(),
            attention: Cell::new(false),
            doomed: Cell::new(false),
            blocked_signals: Cell::new(Signals::EMPTY),
            pending_signals: Pending::new(),
            awaited_signals: Cell::new(Signals::EMPTY),
            saved_blocked_signals: Cell::new(None),
            alternate_stack: Cell::new(AlternateStack::UNUSED),
            interrupted_call: Cell::new(None),
            wait_deadline: Cell::new(None),
            clear_at_end: Cell::new(0),
            robust_list: Cell::new(0),
            area: Cell::new(Area::NONE),
            area_cpu: Cell::new(0),
            owns_futexes: Cell::new(false),
            has_lent_memory: Cell::new(false),
        }
    }

    /// Its number; that of its process if it is the first thread of that.
    pub fn tid(&self) -> u32 {
        self.tid.get()
    }

    /// Its process.
    ///
    /// # Panics
    /// The slot is unused.
    pub fn process(&self) -> &'static Process {
        self.process.get().expect("a thread has a process")
    }

    /// Its name.
    pub fn name(&self) -> Name {
        let process = self.process();
        match self.tid() == process.pid() {
            true => process.name(),
            false => self.name.get(),
        }
    }

    /// Changes that.
    pub fn set_name(&self, name: Name) {
        let process = self.process();
        match self.tid() == process.pid() {
            true => process.set_name(name),
            false => self.name.set(name),
        }
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Whether something is to be done before it returns to ring 3.
    pub fn needs_attention(&self) -> bool {
        self.attention.get()
    }

    /// The CPU that it runs on, or ran on last.
    pub fn cpu(&self) -> usize {
        self.cpu.get()
    }

    /// Those that it may run on.
    pub fn cpus(&self) -> CpuMask {
        self.cpus.get()
    }

    /// What the kernel saves for it while it does not run.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Which signals it blocks.
    pub fn blocked_signals(&self) -> Signals {
        self.blocked_signals.get()
    }

    /// Blocks `blocked` until its next wait is over.
    pub fn block_while_waiting(&'static self, blocked: Signals) {
        self.saved_blocked_signals.set(Some(self.blocked_signals()));
        super::signal::set_blocked(self, blocked);
    }

    /// Its wait is over, and no signal came: blocks what it did before.
    pub fn stop_blocking(&'static self) {
        if let Some(blocked) = self.saved_blocked_signals.take() {
            super::signal::set_blocked(self, blocked);
        }
    }

    /// Its stack for signal handlers.
    pub fn alternate_stack(&self) -> AlternateStack {
        self.alternate_stack.get()
    }

    /// Lets signals that it blocks end its waits: those that it waits for.
    pub fn await_signals(&self, signals: Signals) {
        self.awaited_signals.set(signals);
    }

    /// When the wait is to end of a call that is made again, once.
    pub fn take_wait_deadline(&self) -> Option<u64> {
        self.wait_deadline.take()
    }

    /// Notes that for a call that a signal has interrupted.
    pub fn set_wait_deadline(&self, deadline_ns: u64) {
        self.wait_deadline.set(Some(deadline_ns));
    }

    /// Where the list starts of the locks that it holds; 0: nowhere.
    pub fn robust_list(&self) -> u64 {
        self.robust_list.get()
    }

    /// Says where that list starts.
    pub fn set_robust_list(&self, head: u64) {
        self.robust_list.set(head);
    }

    /// Where a zero goes as the thread ends; 0: nowhere.
    pub fn clear_at_end(&self) -> u64 {
        self.clear_at_end.get()
    }

    /// Where `set_tid_address` says that a zero goes as the thread ends.
    pub fn set_clear_at_end(&self, address: u64) {
        self.clear_at_end.set(address);
    }
}

impl Timed for Thread {
    fn timer(&self) -> &Timer<Self> {
        &self.timer
    }
}

/// The run queue.
pub enum Runs {}

impl Linked<Runs> for Thread {
    fn link(&self) -> &Link<Self> {
        &self.queue_link
    }
}

/// Wait queues.
pub enum Waits {}

impl Linked<Waits> for Thread {
    fn link(&self) -> &Link<Self> {
        &self.wait_link
    }
}

/// The threads of a process.
pub enum Members {}

impl Linked<Members> for Thread {
    fn link(&self) -> &Link<Self> {
        &self.member_link
    }
}
