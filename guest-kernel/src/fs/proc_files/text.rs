//! The texts of `/proc`.

use core::fmt::{self, Write};

use abi::Errno;
use arch::clock;
use mm::frames::{self, FRAME_SIZE};
use mm::{Frame, OutOfMemory, free_frames};

use crate::fs::open_file;
use crate::fs::transfer::{self, Step, Target};
use crate::proc::process::{Process, Stage};
use crate::proc::program::TICKS_PER_SECOND;
use crate::proc::thread::State;

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_USER_TICK: u64 = NS_PER_S / TICKS_PER_SECOND;
const FRAME_KIB: u64 = FRAME_SIZE as u64 / 1024;

/// Text about the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemText {
    /// Seconds since boot, and seconds idle.
    Uptime,
    /// Memory in all, and free.
    Memory,
    /// Open files, and how many there can be.
    OpenFiles,
}

impl SystemText {
    /// Writes it.
    ///
    /// # Errors
    /// `to` is full.
    pub fn write(self, to: &mut dyn Write) -> fmt::Result {
        match self {
            Self::Uptime => {
                let centiseconds = clock::now_ns() / (NS_PER_S / 100);
                let (seconds, rest) = (centiseconds / 100, centiseconds % 100);
                writeln!(to, "{seconds}.{rest:02} 0.00")
            }
            Self::Memory => {
                let [total, free] = [frames::total(), free_frames()].map(|n| n * FRAME_KIB);
                writeln!(to, "MemTotal: {total:>15} kB")?;
                writeln!(to, "MemFree: {free:>16} kB")
            }
            Self::OpenFiles => writeln!(to, "{}\t0\t{}", open_file::count(), open_file::limit()),
        }
    }
}

/// Text about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessText {
    /// The name of its program.
    Comm,
    /// Everything in one line.
    Stat,
}

impl ProcessText {
    /// Writes it.
    ///
    /// # Errors
    /// `to` is full.
    pub fn write(self, process: &Process, to: &mut dyn Write) -> fmt::Result {
        match self {
            Self::Comm => writeln!(to, "{}", process.name()),
            Self::Stat => write_stat(process, to),
        }
    }
}

/// The first 24 fields of proc_pid_stat(5); those that this kernel does not have are 0.
fn write_stat(process: &Process, to: &mut dyn Write) -> fmt::Result {
    let (pid, parent, group) = (process.pid(), process.parent_pid(), process.group());
    let name = process.name();
    let state = state(process);
    let session = process.session();
    write!(to, "{pid} ({name}) {state} {parent} {group} {session}")?;
    // Terminal, its foreground group, flags, faults of four kinds.
    write!(to, " 0 -1 0 0 0 0 0")?;
    let (own, children) = (process.cpu_time(), process.children_cpu_time());
    for time in [own.user, own.system, children.user, children.system] {
        write!(to, " {}", clock::ns(time) / NS_PER_USER_TICK)?;
    }
    let threads = process.threads().count();
    // Priority, niceness, threads, an interval timer, when it started.
    write!(to, " 20 0 {threads} 0 0")?;
    let (bytes, pages) = memory(process);
    writeln!(to, " {bytes} {pages}")
}

fn state(process: &Process) -> char {
    match process.stage() {
        Stage::Alive if process.is_stopped() => 'T',
        Stage::Alive => {
            let runs = |state| matches!(state, State::Running | State::Runnable);
            match process.threads().any(|thread| runs(thread.state())) {
                true => 'R',
                false => 'S',
            }
        }
        Stage::Zombie(_) | Stage::Unused => 'Z',
    }
}

/// Bytes that the process may use, and frames that it takes.
fn memory(process: &Process) -> (u64, u64) {
    if !process.is_alive() {
        return (0, 0);
    }
    let space = process.space();
    (space.size(), space.frames())
}

/// Has `write` make a text, and moves the part from `offset` on to `target`.
///
/// # Errors
/// Those of `write`; ENOMEM, EFAULT.
pub fn read(
    offset: u64,
    target: &mut dyn Target,
    write: impl FnOnce(&mut dyn Write) -> Result<fmt::Result, Errno>,
) -> Result<u64, Errno> {
    let mut page = Page {
        frame: Frame::allocate().ok_or(OutOfMemory)?,
        len: 0,
    };
    // No text is longer than a page; a longer one would be truncated.
    let _ = write(&mut page)?;
    let text = &page.frame.bytes()[..page.len];
    transfer::run(target, |target, done| {
        let at = usize::try_from(offset.saturating_add(done)).unwrap_or(usize::MAX);
        let rest = text.get(at..).unwrap_or(&[]);
        let wanted = rest.len().min(target.left());
        Ok(match wanted {
            0 => Step::stop(),
            _ => Step::copied(target.put(&rest[..wanted]), wanted),
        })
    })
}

/// Where a text is made.
struct Page {
    frame: Frame,
    len: usize,
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.frame.bytes_mut().get_mut(self.len..);
        let place = place.and_then(|place| place.get_mut(..text.len()));
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{SystemText, read};
    use crate::fs::transfer::tests::Buffer;

    #[test]
    fn a_text_is_read_in_parts() {
        let read = |offset, room| {
            let mut target = Buffer::room(room).with_faults(&[1]);
            let count = read(offset, &mut target, |to| Ok(to.write_str("0123456789")));
            (count, String::from_utf8(target.bytes).expect("it was text"))
        };
        assert_eq!(read(0, 4), (Ok(4), "0123".into()));
        assert_eq!(read(4, 100), (Ok(6), "456789".into()));
        assert_eq!(read(10, 100), (Ok(0), "".into()));
        assert_eq!(read(u64::MAX, 100), (Ok(0), "".into()));
    }

    #[test]
    fn memory_is_told_in_kib() {
        let mut text = String::new();
        assert!(SystemText::Memory.write(&mut text).is_ok());
        let mut lines = text.lines().map(|line| line.split_whitespace());
        let mut total = lines.next().expect("there is a first line");
        assert_eq!(total.next(), Some("MemTotal:"));
        assert_eq!((total.nth(1), total.next()), (Some("kB"), None));
    }
}
