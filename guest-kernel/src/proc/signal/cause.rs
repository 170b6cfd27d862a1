//! Why a signal was sent: `siginfo_t`.

use arch::clock;
use linux_raw_sys::general as linux;

use crate::proc::program::TICKS_PER_SECOND;
use crate::proc::signal::Signal;
use crate::proc::thread::CpuTime;

/// `siginfo_t` in words, as programs see it.
pub type Info = [u64; linux::SI_MAX_SIZE as usize / size_of::<u64>()];

/// Two fields in a word.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// `siginfo_t` after the signal's number, as much of it as Linux keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// `si_errno`.
    pub errno: i32,
    /// `si_code`.
    pub code: i32,
    /// What depends on the code: an address; or the sender's number and user, then a value or
    /// the status of a child.
    pub words: [u64; 4],
}

impl Cause {
    /// The kernel's own doing.
    pub const KERNEL: Self = Self {
        errno: 0,
        code: linux::SI_KERNEL as i32,
        words: [0; 4],
    };

    /// There was no room to keep it.
    pub const UNKNOWN: Self = Self {
        code: linux::SI_USER as i32,
        ..Self::KERNEL
    };

    /// A process of this user, by a call that has this code.
    pub fn sender([pid, user]: [u32; 2], code: i32) -> Self {
        Self {
            errno: 0,
            code,
            words: [pair(pid, user), 0, 0, 0],
        }
    }

    /// A child that has ended, stopped or gone on, and what it has used.
    pub fn child([pid, user]: [u32; 2], code: u32, status: u8, used: CpuTime) -> Self {
        const NS_PER_TICK: u64 = 1_000_000_000 / TICKS_PER_SECOND;
        let [user_time, system] =
            [used.user, used.system].map(|time| clock::ns(time) / NS_PER_TICK);
        Self {
            errno: 0,
            code: code as i32,
            words: [pair(pid, user), status.into(), user_time, system],
        }
    }

    /// An instruction, at `address` or about it.
    pub fn fault(code: u32, address: u64) -> Self {
        Self {
            errno: 0,
            code: code as i32,
            words: [address, 0, 0, 0],
        }
    }

    /// Timer `timer` of a process, which has a value for the handler.
    pub fn timer(timer: u32, value: u64) -> Self {
        Self {
            errno: 0,
            code: linux::SI_TIMER,
            words: [timer.into(), value, 0, 0],
        }
    }

    /// Which timer it is.
    pub fn timer_number(self) -> u32 {
        self.words[0] as u32
    }

    /// Says how many of its intervals were missed.
    pub fn note_overrun(&mut self, count: u32) {
        self.words[0] = self.words[0] & 0xffff_ffff | u64::from(count) << 32;
    }

    /// Whether it is a timer.
    pub fn is_timer(self) -> bool {
        self.code == linux::SI_TIMER
    }

    /// All of it.
    pub fn info(self, signal: Signal) -> Info {
        let mut info = Info::default();
        info[0] = u64::from(signal.number()) | u64::from(self.errno as u32) << 32;
        info[1] = u64::from(self.code as u32);
        info[2..][..self.words.len()].copy_from_slice(&self.words);
        info
    }

    /// What a program says.
    pub fn from_info(info: &Info) -> Self {
        Self {
            errno: (info[0] >> 32) as i32,
            code: info[1] as i32,
            words: [info[2], info[3], info[4], info[5]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_is_what_programs_see() {
        let cause = Cause {
            errno: 3,
            code: linux::SI_QUEUE,
            words: [5, 6, 7, 8],
        };
        let info = cause.info(Signal::SIGUSR1);
        assert_eq!(info[0] as u32, linux::SIGUSR1);
        assert_eq!(Cause::from_info(&info), cause);
    }
}
