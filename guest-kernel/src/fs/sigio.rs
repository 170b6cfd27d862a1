//! Who is sent SIGIO when something can be done with an open file that has `O_ASYNC`
//! (`F_SETOWN`).

use abi::Errno;
use linux_raw_sys::general as linux;

use crate::fs::poll::Readiness;
use crate::proc::credentials::Ids;
use crate::proc::process::Process;
use crate::proc::signal::{self, Cause, Signal};
use crate::proc::{current, table};

/// Threads that are sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// None.
    Nobody,
    /// The one with this number.
    Thread(u32),
    /// One of the process with this number.
    Process(u32),
    /// Those of the processes in the group with this number.
    Group(u32),
}

impl Who {
    fn is_there(self) -> bool {
        match self {
            Self::Nobody => true,
            Self::Thread(tid) => table::thread(tid).is_some(),
            Self::Process(pid) => table::process(pid).is_some(),
            Self::Group(group) => in_group(group).next().is_some(),
        }
    }
}

fn in_group(group: u32) -> impl Iterator<Item = &'static Process> {
    table::processes().filter(move |process| process.group() == group)
}

/// That, and with whose rights.
#[derive(Clone, Copy, Debug)]
pub struct Recipient {
    who: Who,
    by: Ids,
}

impl Recipient {
    /// Nobody.
    pub const NONE: Self = Self {
        who: Who::Nobody,
        by: Ids::all(0),
    };

    /// As the current process wants it.
    ///
    /// # Errors
    /// ESRCH: there are none such.
    pub fn new(who: Who) -> Result<Self, Errno> {
        let by = current().credentials.users();
        match who.is_there() {
            true => Ok(Self { who, by }),
            false => Err(Errno::ESRCH),
        }
    }

    /// Who it is.
    pub fn who(self) -> Who {
        self.who
    }

    /// Sends SIGIO or, with what has become possible with which descriptor, the signal that was
    /// chosen. Where there is no room for that it is SIGIO too.
    pub fn tell(self, chosen: Option<Signal>, fd: usize, what: Readiness) {
        // Whose it is was noted, not which rights he had.
        let may = |process: &Process| {
            self.by.effective == 0 || self.by.may_signal(process.credentials.users())
        };
        let cause = cause(fd, what);
        let send = |process: &Process| {
            if may(process) {
                let sent = chosen.map(|signal| signal::send_for(process, signal, cause));
                if sent.is_none_or(|sent| sent.is_err()) {
                    signal::send(process, Signal::SIGIO);
                }
            }
        };
        match self.who {
            Who::Nobody => {}
            Who::Thread(tid) => {
                if let Some(thread) = table::thread(tid).filter(|thread| may(thread.process())) {
                    let sent = chosen.map(|signal| signal::send_to_thread(thread, signal, cause));
                    if sent.is_none_or(|sent| sent.is_err()) {
                        // Only values of programs may find no room.
                        let _ = signal::send_to_thread(thread, Signal::SIGIO, Cause::KERNEL);
                    }
                }
            }
            Who::Process(pid) => table::process(pid).into_iter().for_each(send),
            Who::Group(group) => in_group(group).for_each(send),
        }
    }
}

/// What comes with a signal that was chosen: what can be done, as a code and as `poll` has it.
fn cause(fd: usize, what: Readiness) -> Cause {
    /// Bytes that come before all others can be written too (Linux, EPOLLWRBAND).
    const WRITE_BAND: u64 = 0x200;
    let (code, band) = match what.contains(Readiness::WRITE) && !what.contains(Readiness::READ) {
        true => (
            linux::POLL_OUT,
            u64::from(Readiness::WRITE.bits()) | WRITE_BAND,
        ),
        false => (linux::POLL_IN, Readiness::READ.bits().into()),
    };
    Cause {
        errno: 0,
        code: code as i32,
        words: [band, fd as u64, 0, 0],
    }
}
