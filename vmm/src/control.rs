//! Control of running vCPUs by other threads: stop them, queue console input, wake them.
//!
//! A vCPU has a thread of its own, or one thread runs all of them: see `run_loop`. Threads
//! have numbers from 0; the first also gets what is meant for the machine, such as input.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::timerfd::TimerFd;

use crate::cpu::Kick;
use crate::devices::ScreenSize;
use crate::report::Outcome;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{self, Arc, Mutex, MutexGuard, PoisonError, Thread};

/// Console input that the guest has not taken yet, in bytes; more waits in the host.
const INPUT_CAPACITY: usize = 1 << 16;
/// Shortest setting of a timer: zero would disarm it.
const MIN_DELAY: Duration = Duration::from_nanos(1);

/// Why a run is to stop before the guest ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Its time is up.
    Timeout,
    /// The host sent the VMM this signal, or the user its key for it.
    Signal(u8),
}

impl StopReason {
    const TIMEOUT: u64 = 1 << 8;

    /// The outcome of a run that it stops.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Timeout => Outcome::timeout(),
            Self::Signal(number) => Outcome::stopped(number),
        }
    }

    fn encode(self) -> u64 {
        match self {
            Self::Timeout => Self::TIMEOUT,
            Self::Signal(number) => u64::from(number),
        }
    }

    fn decode(value: u64) -> Option<Self> {
        match value {
            0 => None,
            Self::TIMEOUT => Some(Self::Timeout),
            number => Some(Self::Signal(number as u8)),
        }
    }
}

/// What there is for each thread that runs vCPUs.
struct Runner {
    kick: Arc<dyn Kick>,
    thread: Mutex<Option<Thread>>,
    /// Whether it sleeps, or is about to.
    asleep: AtomicBool,
    /// Whether it is to check if the guest has halted for good.
    look: AtomicBool,
    /// Expires at the next deadline of a local APIC that the VMM keeps.
    timer: Mutex<TimerFd>,
}

impl Runner {
    fn unpark(&self) {
        if let Some(thread) = &*lock(&self.thread) {
            thread.unpark();
        }
    }

    fn kick(&self) {
        self.kick.kick();
        self.unpark();
    }
}

/// The only state that the vCPUs' threads share with others.
pub struct Control {
    runners: Vec<Runner>,
    /// Whether a vCPU has ended the run.
    ended: AtomicBool,
    /// Zero, or the first [`StopReason`].
    stop: AtomicU64,
    /// Signalled with it, for those who wait for descriptors.
    stopped: EventFd,
    input: Mutex<VecDeque<u8>>,
    /// Bytes in `input`, to be read without the lock.
    input_len: AtomicUsize,
    /// Whether nothing will be added to `input`.
    input_ended: AtomicBool,
    /// Why that is, if it is a failure of the host.
    input_error: Mutex<Option<io::Error>>,
    /// Whether the guest has asked for input yet.
    input_wanted: AtomicBool,
    /// Signalled when the guest first asks for input, and when it has taken some.
    room: EventFd,
    /// A new size of the screen, in the halves: columns, rows; else zero.
    screen: AtomicU32,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("stop", &self.stop_reason())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// For threads whose vCPU each of `kicks` makes return; signals `stopped` when the run is
    /// to end.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn new(
        kicks: impl IntoIterator<Item = Arc<dyn Kick>>,
        stopped: EventFd,
    ) -> io::Result<Arc<Self>> {
        let runners = kicks.into_iter().map(|kick| {
            Ok(Runner {
                kick,
                thread: Mutex::default(),
                asleep: AtomicBool::new(false),
                look: AtomicBool::new(false),
                timer: Mutex::new(TimerFd::new()?),
            })
        });
        Ok(Arc::new(Self {
            runners: runners.collect::<io::Result<_>>()?,
            ended: AtomicBool::new(false),
            stop: AtomicU64::new(0),
            stopped,
            input: Mutex::default(),
            input_len: AtomicUsize::new(0),
            input_ended: AtomicBool::new(false),
            input_error: Mutex::default(),
            input_wanted: AtomicBool::new(false),
            room: EventFd::new(EFD_NONBLOCK)?,
            screen: AtomicU32::new(0),
        }))
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.runners.len()
    }

    /// Says which thread is number `number`, so that a kick also wakes it when it sleeps.
    pub fn attach(&self, number: usize, thread: Thread) {
        *lock(&self.runners[number].thread) = Some(thread);
    }

    /// Makes the first thread check requests now.
    pub fn kick(&self) {
        self.expired(0);
    }

    /// Makes a thread check requests now: its timer has expired.
    pub fn expired(&self, thread: usize) {
        self.runners[thread].kick();
    }

    fn kick_all(&self) {
        self.runners.iter().for_each(Runner::kick);
    }

    /// Makes a thread look at its local APIC, which has a message. One that sleeps needs no
    /// kick: it looks as soon as it wakes.
    pub fn wake(&self, thread: usize) {
        match self.runners.get(thread) {
            Some(runner) if runner.asleep.load(Ordering::SeqCst) => runner.unpark(),
            Some(runner) => runner.kick(),
            None => {}
        }
    }

    /// Sleeps, on this thread, until there is a request or until `limit` is over.
    pub fn sleep(&self, thread: usize, limit: Option<Duration>) {
        let asleep = &self.runners[thread].asleep;
        asleep.store(true, Ordering::SeqCst);
        match limit {
            Some(limit) => sync::park_timeout(limit),
            None => sync::park(),
        }
        asleep.store(false, Ordering::SeqCst);
    }

    /// Makes the threads check whether the guest has halted for good, where a halt is no
    /// exit.
    pub fn look_for_halt(&self) {
        for thread in 0..self.runners.len() {
            self.look(thread);
        }
    }

    /// The same of one thread.
    pub fn look(&self, thread: usize) {
        let runner = &self.runners[thread];
        runner.look.store(true, Ordering::Release);
        runner.kick();
    }

    /// Whether that was requested since the last call.
    pub fn take_look(&self, thread: usize) -> bool {
        self.runners[thread].look.swap(false, Ordering::AcqRel)
    }

    /// A vCPU has ended the run: makes the threads of the others leave it too.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.kick_all();
    }

    /// Whether one has.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Asks for the run to end; the first reason wins.
    pub fn stop(&self, reason: StopReason) {
        let _ = self
            .stop
            .compare_exchange(0, reason.encode(), Ordering::AcqRel, Ordering::Acquire);
        // Fails only if the counter is full, and then the event is signalled.
        let _ = self.stopped.write(1);
        self.kick_all();
    }

    /// Why the run is to end, if it is.
    pub fn stop_reason(&self) -> Option<StopReason> {
        StopReason::decode(self.stop.load(Ordering::Acquire))
    }

    /// Bytes of console input that can be queued now; none before the guest asks, so that
    /// a guest that reads nothing takes nothing from the host.
    pub fn input_room(&self) -> usize {
        if !self.input_wanted.load(Ordering::Acquire) {
            return 0;
        }
        INPUT_CAPACITY.saturating_sub(self.input_len.load(Ordering::Acquire))
    }

    /// Queues console input for the guest, as much as there is room for; returns how many
    /// bytes that is.
    pub fn push_input(&self, bytes: &[u8]) -> usize {
        let mut input = lock(&self.input);
        let count = bytes.len().min(INPUT_CAPACITY.saturating_sub(input.len()));
        input.extend(&bytes[..count]);
        self.input_len.store(input.len(), Ordering::Release);
        drop(input);
        self.kick();
        count
    }

    /// Ends console input, perhaps because of an error.
    pub fn end_input(&self, error: Option<io::Error>) {
        *lock(&self.input_error) = error;
        self.input_ended.store(true, Ordering::Release);
        self.kick();
    }

    /// Whether all input has been taken and there will be no more; with the error that
    /// ended it, once.
    pub fn input_end(&self) -> Option<Option<io::Error>> {
        let ended =
            self.input_ended.load(Ordering::Acquire) && self.input_len.load(Ordering::Acquire) == 0;
        ended.then(|| lock(&self.input_error).take())
    }

    /// The guest wants input: offers what is queued to `consume`, which says how many
    /// bytes it took.
    pub fn take_input(&self, consume: impl FnOnce(&[u8]) -> usize) {
        if self.input_len.load(Ordering::Acquire) > 0 {
            let mut input = lock(&self.input);
            let taken = consume(input.make_contiguous()).min(input.len());
            input.drain(..taken);
            self.input_len.store(input.len(), Ordering::Release);
            if taken == 0 {
                return;
            }
        } else if self.input_wanted.swap(true, Ordering::AcqRel) {
            return;
        }
        // Fails only if the counter is full, and then the event is signalled.
        let _ = self.room.write(1);
    }

    /// Becomes readable when there may be room for input.
    pub fn room(&self) -> &EventFd {
        &self.room
    }

    /// Has the guest told that its screen has this size now.
    pub fn set_screen(&self, size: ScreenSize) {
        let ScreenSize { columns, rows } = size;
        let both = u32::from(rows) << u16::BITS | u32::from(columns);
        self.screen.store(both, Ordering::Release);
        self.kick();
    }

    /// The size that was told since the last call, if it is one.
    pub fn take_screen(&self) -> Option<ScreenSize> {
        match self.screen.swap(0, Ordering::AcqRel) {
            0 => None,
            both => Some(ScreenSize {
                columns: both as u16,
                rows: (both >> u16::BITS) as u16,
            }),
        }
    }

    /// Arms a thread's timer to expire after `delay`, or disarms it.
    ///
    /// # Errors
    /// The host refuses the setting.
    pub fn set_timer(&self, thread: usize, delay: Option<Duration>) -> io::Result<()> {
        let mut timer = lock(&self.runners[thread].timer);
        match delay {
            Some(delay) => timer.reset(delay.max(MIN_DELAY), None)?,
            None => timer.clear()?,
        }
        Ok(())
    }

    /// The descriptor of a thread's timer. Each expiry is one edge: nobody reads it, since a
    /// read would block if the timer were set anew in between.
    pub fn timer_fd(&self, thread: usize) -> RawFd {
        lock(&self.runners[thread].timer).as_raw_fd()
    }
}
