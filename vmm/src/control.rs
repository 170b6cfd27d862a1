//! Control of a running vCPU by other threads: stop it, queue console input, wake it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::timerfd::TimerFd;

use crate::cpu::Kick;
use crate::devices::ScreenSize;
use crate::report::Outcome;

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

/// The only state that the vCPU's thread shares with others.
pub struct Control {
    kick: Arc<dyn Kick>,
    thread: OnceLock<Thread>,
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
    /// Whether the vCPU's thread is to check if the guest has halted for good.
    look: AtomicBool,
    /// Whether the guest has asked for input yet.
    input_wanted: AtomicBool,
    /// Signalled when the guest first asks for input, and when it has taken some.
    room: EventFd,
    /// A new size of the screen, in the halves: columns, rows; else zero.
    screen: AtomicU32,
    /// Expires at the next deadline of a local APIC that the VMM keeps.
    timer: Mutex<TimerFd>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("stop", &self.stop_reason())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// For the vCPU that `kick` makes return; signals `stopped` when the run is to end.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn new(kick: Arc<dyn Kick>, stopped: EventFd) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            kick,
            thread: OnceLock::new(),
            stop: AtomicU64::new(0),
            stopped,
            input: Mutex::default(),
            input_len: AtomicUsize::new(0),
            input_ended: AtomicBool::new(false),
            input_error: Mutex::default(),
            look: AtomicBool::new(false),
            input_wanted: AtomicBool::new(false),
            room: EventFd::new(EFD_NONBLOCK)?,
            screen: AtomicU32::new(0),
            timer: Mutex::new(TimerFd::new()?),
        }))
    }

    /// Says which thread runs the vCPU, so that a kick also wakes it when it sleeps.
    pub fn attach(&self, thread: Thread) {
        // A second call would be a second thread for one vCPU; the first one stays.
        let _ = self.thread.set(thread);
    }

    /// Makes the vCPU's thread check requests now.
    pub fn kick(&self) {
        self.kick.kick();
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Makes the vCPU's thread check whether the guest has halted for good, where a halt is
    /// no exit.
    pub fn look_for_halt(&self) {
        self.look.store(true, Ordering::Release);
        self.kick();
    }

    /// Whether that was requested since the last call.
    pub fn take_look(&self) -> bool {
        self.look.swap(false, Ordering::AcqRel)
    }

    /// Asks for the run to end; the first reason wins.
    pub fn stop(&self, reason: StopReason) {
        let _ = self
            .stop
            .compare_exchange(0, reason.encode(), Ordering::AcqRel, Ordering::Acquire);
        // Fails only if the counter is full, and then the event is signalled.
        let _ = self.stopped.write(1);
        self.kick();
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

    /// Arms the timer to expire after `delay`, or disarms it.
    ///
    /// # Errors
    /// The host refuses the setting.
    pub fn set_timer(&self, delay: Option<Duration>) -> io::Result<()> {
        let mut timer = lock(&self.timer);
        match delay {
            Some(delay) => timer.reset(delay.max(MIN_DELAY), None)?,
            None => timer.clear()?,
        }
        Ok(())
    }

    /// The timer's descriptor. Each expiry is one edge: nobody reads it, since a read
    /// would block if the timer were set anew in between.
    pub fn timer_fd(&self) -> RawFd {
        lock(&self.timer).as_raw_fd()
    }
}
