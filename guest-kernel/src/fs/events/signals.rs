//! Pending signals that are read (`signalfd`): those of whoever reads.

use core::cell::Cell;

use abi::Errno;
use single_cpu::SingleCpu;

use crate::fs::events::epoll::Watches;
use crate::fs::events::give;
use crate::fs::poll::{self, Readiness};
use crate::fs::transfer::Target;
use crate::proc::current_thread;
use crate::proc::signal::{self, Cause, Signal, Signals, watchers};
use crate::proc::wait_queue::WaitQueue;

/// The watches of all such files: whose signal it is shows when they are looked at.
pub static WATCHES: SingleCpu<Watches> = SingleCpu::new(Watches::new());
static READERS: SingleCpu<WaitQueue> = SingleCpu::new(WaitQueue::new());

/// Bytes of a `signalfd_siginfo`, and where its fields are (signalfd(2)).
const INFO_SIZE: usize = 128;
mod place {
    pub const SIGNAL: usize = 0;
    pub const ERROR: usize = 4;
    pub const CODE: usize = 8;
    /// Number and user of a process.
    pub const SENDER: usize = 12;
    pub const TIMER: usize = 24;
    pub const OVERRUN: usize = 32;
    pub const STATUS: usize = 40;
    pub const INT: usize = 44;
    pub const POINTER: usize = 48;
    pub const USER_TIME: usize = 56;
    pub const SYSTEM_TIME: usize = 64;
    pub const ADDRESS: usize = 72;
}

/// A set of signals that are read.
pub struct SignalFile(Cell<Signals>);

impl SignalFile {
    /// A file of these signals.
    pub fn new(signals: Signals) -> Self {
        watchers::add();
        Self(Cell::new(signals.blockable()))
    }

    /// Makes it a file of others.
    pub fn set(&self, signals: Signals) {
        self.0.set(signals.blockable());
        came();
    }

    /// Takes as many signals as there is room for, when there are any.
    ///
    /// # Errors
    /// EINVAL: no room for one. EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        if target.left() < INFO_SIZE {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while target.left() >= INFO_SIZE {
            match signal::take_any(current_thread(), self.0.get()) {
                Some((signal, cause)) => done += give(target, &info(signal, cause))?,
                None if done > 0 => break,
                None if nonblocking => return Err(Errno::EAGAIN),
                None => READERS.sleep()?,
            }
        }
        Ok(done)
    }

    /// What a poll of the current process would find.
    pub fn readiness(&self) -> Readiness {
        match signal::all_pending(current_thread()).0 & self.0.get().0 {
            0 => Readiness::empty(),
            _ => Readiness::READ,
        }
    }
}

impl Drop for SignalFile {
    fn drop(&mut self) {
        watchers::remove();
    }
}

/// A signal has come, to anybody.
pub fn came() {
    READERS.wake_all();
    poll::changed_at(&WATCHES, Readiness::READ);
}

fn info(signal: Signal, cause: Cause) -> [u8; INFO_SIZE] {
    let mut info = [0; INFO_SIZE];
    let mut put = |offset: usize, value: &[u8]| {
        info[offset..][..value.len()].copy_from_slice(value);
    };
    put(place::SIGNAL, &u32::from(signal.number()).to_le_bytes());
    put(place::ERROR, &cause.errno.to_le_bytes());
    put(place::CODE, &cause.code.to_le_bytes());
    let [first, second, third, fourth] = cause.words.map(u64::to_le_bytes);
    match signal {
        Signal::SIGILL | Signal::SIGFPE | Signal::SIGSEGV | Signal::SIGBUS if cause.code > 0 => {
            put(place::ADDRESS, &first);
        }
        Signal::SIGCHLD if cause.code > 0 => {
            put(place::SENDER, &first);
            put(place::STATUS, &second[..4]);
            put(place::USER_TIME, &third);
            put(place::SYSTEM_TIME, &fourth);
        }
        _ => {
            match cause.is_timer() {
                true => {
                    put(place::TIMER, &first[..4]);
                    put(place::OVERRUN, &first[4..]);
                }
                false => put(place::SENDER, &first),
            }
            put(place::INT, &second[..4]);
            put(place::POINTER, &second);
        }
    }
    info
}
