//! How a process ended, as `wait` reports it.

use abi::debug_exit::GuestExit;
use linux_raw_sys::general as linux;

use crate::proc::signal::Signal;

/// The status word of Linux's `wait4`: exit status in bits 8 to 15, or signal in bits 0
/// to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitStatus(u32);

impl WaitStatus {
    const SIGNAL_MASK: u32 = 0x7f;
    const IS_STOPPED: u32 = 0x7f;

    /// `exit(status)`, of which the low byte counts.
    pub fn exited(status: u32) -> Self {
        Self((status & 0xff) << 8)
    }

    /// Ended by a signal.
    pub fn killed(signal: Signal) -> Self {
        Self(u32::from(signal.number()))
    }

    /// Stopped by a signal.
    pub fn stopped(signal: Signal) -> Self {
        Self(u32::from(signal.number()) << 8 | Self::IS_STOPPED)
    }

    /// Goes on after a stop.
    pub fn continued() -> Self {
        Self(0xffff)
    }

    /// Whether it says that a process has stopped, not ended.
    pub fn is_stop(self) -> bool {
        self.0 & 0xff == Self::IS_STOPPED
    }

    /// The word.
    pub fn word(self) -> u32 {
        self.0
    }

    /// The exit status, or the signal's number, of one that has ended.
    pub fn cause(self) -> Result<u8, u8> {
        match (self.0 & Self::SIGNAL_MASK) as u8 {
            0 => Ok((self.0 >> 8) as u8),
            signal => Err(signal),
        }
    }

    /// `si_code` and `si_status` of `siginfo_t`.
    pub fn code_and_status(self) -> (u32, u8) {
        match self.cause() {
            _ if self == Self::continued() => (linux::CLD_CONTINUED, linux::SIGCONT as u8),
            _ if self.is_stop() => (linux::CLD_STOPPED, (self.0 >> 8) as u8),
            Ok(status) => (linux::CLD_EXITED, status),
            Err(signal) => (linux::CLD_KILLED, signal),
        }
    }

    /// The end of the run that the end of the first process causes.
    pub fn guest_exit(self) -> GuestExit {
        match self.cause() {
            Ok(status) => GuestExit::Exited(status),
            Err(signal) => GuestExit::Killed(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GuestExit, Signal, WaitStatus};

    #[test]
    fn status_words_are_linux_s() {
        assert_eq!(WaitStatus::exited(3).word(), 0x300);
        assert_eq!(WaitStatus::exited(0x1_02ff).word(), 0xff00);
        assert_eq!(WaitStatus::killed(Signal::SIGSEGV).word(), 11);
        assert_eq!(WaitStatus::stopped(Signal::SIGSTOP).word(), 0x137f);
        assert!(WaitStatus::stopped(Signal::SIGSTOP).is_stop());
        assert!(!WaitStatus::continued().is_stop());
    }

    #[test]
    fn causes_are_told_apart() {
        assert_eq!(WaitStatus::exited(0).cause(), Ok(0));
        assert_eq!(WaitStatus::exited(11).cause(), Ok(11));
        assert_eq!(WaitStatus::killed(Signal::SIGKILL).cause(), Err(9));
    }

    #[test]
    fn the_vmm_learns_the_same() {
        assert_eq!(WaitStatus::exited(255).guest_exit(), GuestExit::Exited(255));
        assert_eq!(WaitStatus::exited(0).guest_exit(), GuestExit::Exited(0));
        let killed = WaitStatus::killed(Signal::SIGILL).guest_exit();
        assert_eq!(killed, GuestExit::Killed(4));
    }
}
