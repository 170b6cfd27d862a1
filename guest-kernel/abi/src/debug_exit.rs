//! How the guest ends the machine: one 32-bit write to [`crate::ports::DEBUG_EXIT`].
//!
//! The contract is that of QEMU's `isa-debug-exit` (there with `iobase=0xf4,
//! iosize=0x04`): a write of `v` ends the run, and QEMU's own exit status is
//! `(v << 1 | 1) & 0xff`. Bits 0 to 7 of `v` are the exit status of the run, as
//! `vmm run` returns it; bits 8 and 9 say what kind of end it was.

/// Exit status of a run that ended by a kernel panic or another failure of the machine.
pub const FAILURE_STATUS: u8 = 125;

/// Added to a signal's number to make the exit status of a run that it ended.
pub const SIGNAL_STATUS_BASE: u8 = 128;

const KIND_SHIFT: u32 = 8;

/// How the guest's first process, and with it the machine, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestExit {
    /// Init called `exit` with this status.
    Exited(u8),
    /// A signal with this number (1 to 64) ended init.
    Killed(u8),
    /// The kernel panicked; the console has the message.
    Panicked,
}

impl GuestExit {
    /// The value to write to the debug-exit port.
    pub const fn encode(self) -> u32 {
        match self {
            Self::Exited(status) => status as u32,
            Self::Killed(signal) => 1 << KIND_SHIFT | (SIGNAL_STATUS_BASE | (signal & 0x7f)) as u32,
            Self::Panicked => 2 << KIND_SHIFT | FAILURE_STATUS as u32,
        }
    }

    /// The meaning of a value that a guest wrote. Defined for all values, as a guest may
    /// write any: one that [`encode`](Self::encode) never makes counts as a plain exit with
    /// its low byte.
    pub const fn decode(value: u32) -> Self {
        let status = (value & 0xff) as u8;
        match value >> KIND_SHIFT {
            1 if status > SIGNAL_STATUS_BASE => Self::Killed(status - SIGNAL_STATUS_BASE),
            2 => Self::Panicked,
            _ => Self::Exited(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GuestExit::{self, Exited, Killed, Panicked};

    #[test]
    fn every_end_survives_the_port() {
        for end in [
            Exited(0),
            Exited(255),
            Killed(1),
            Killed(11),
            Killed(64),
            Panicked,
        ] {
            assert_eq!(GuestExit::decode(end.encode()), end);
        }
    }

    #[test]
    fn foreign_values_are_plain_exits() {
        assert_eq!(GuestExit::decode(0x10), Exited(0x10));
        assert_eq!(GuestExit::decode(0xffff_ff07), Exited(7));
        assert_eq!(GuestExit::decode(0x100), Exited(0));
    }
}
