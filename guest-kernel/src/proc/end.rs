//! How a process ended, as `wait` tells it.

use abi::debug_exit::GuestExit;
use linux_raw_sys::general as linux;

/// A signal that ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    number: u8,
    name: &'static str,
}

macro_rules! signals {
    ($($name:ident),*) => {
        impl Signal {
            $(
                #[allow(missing_docs)]
                pub const $name: Self = Self {
                    number: linux::$name as u8,
                    name: stringify!($name),
                };
            )*
        }
    };
}

signals!(SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGKILL, SIGSEGV);

impl Signal {
    /// The name, as `SIGSEGV`.
    pub fn name(self) -> &'static str {
        self.name
    }
}

/// The status word of Linux's `wait4`: exit status in bits 8 to 15, or signal in bits 0
/// to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitStatus(u32);

impl WaitStatus {
    const SIGNAL_MASK: u32 = 0x7f;

    /// `exit(status)`, of which the low byte counts.
    pub fn exited(status: u32) -> Self {
        Self((status & 0xff) << 8)
    }

    /// Ended by a signal.
    pub fn killed(signal: Signal) -> Self {
        Self(u32::from(signal.number))
    }

    /// What the end of the first process tells the VMM.
    pub fn guest_exit(self) -> GuestExit {
        match (self.0 & Self::SIGNAL_MASK) as u8 {
            0 => GuestExit::Exited((self.0 >> 8) as u8),
            signal => GuestExit::Killed(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GuestExit, Signal, WaitStatus};

    #[test]
    fn status_words_are_linux_s() {
        assert_eq!(WaitStatus::exited(3), WaitStatus(0x300));
        assert_eq!(WaitStatus::exited(0x1_02ff), WaitStatus(0xff00));
        assert_eq!(WaitStatus::killed(Signal::SIGSEGV), WaitStatus(11));
    }

    #[test]
    fn the_vmm_learns_the_same() {
        assert_eq!(WaitStatus::exited(255).guest_exit(), GuestExit::Exited(255));
        assert_eq!(WaitStatus::exited(0).guest_exit(), GuestExit::Exited(0));
        let killed = WaitStatus::killed(Signal::SIGILL).guest_exit();
        assert_eq!(killed, GuestExit::Killed(4));
    }
}
