//! The master of a pseudo-terminal as an open file.

use abi::Errno;
use mm::Shared;

use super::{CHUNK, MasterSide};
use crate::fs::events::epoll::Watches;
use crate::fs::poll::{self, Readiness};
use crate::fs::terminal::{Terminal, control, pseudo};
use crate::fs::transfer::{self, Next, Source, Step, Target};

/// Most bytes that typing shows in one call: a few of the longest lines.
const SHOWN_MAX: usize = 16 << 10;

/// The master of a pseudo-terminal, as an open file.
pub struct Master(Shared<Terminal>);

impl Master {
    /// That of `terminal`, which has none yet.
    pub fn new(terminal: Shared<Terminal>) -> Self {
        Self(terminal)
    }

    /// Its terminal.
    pub fn terminal(&self) -> &Shared<Terminal> {
        &self.0
    }

    /// # Panics
    /// The terminal is no pseudo-terminal.
    fn side(&self) -> &MasterSide {
        self.0.master().expect("it is a pseudo-terminal")
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.side().number
    }

    /// Whether slaves cannot be opened.
    pub fn is_locked(&self) -> bool {
        self.side().is_locked()
    }

    /// Sets that.
    pub fn set_locked(&self, is_locked: bool) {
        self.side().is_locked.set(is_locked);
    }

    /// Whether each read gets a byte before output that says what else has happened.
    pub fn is_packet(&self) -> bool {
        self.side().packet.get().is_some()
    }

    /// Sets that.
    pub fn set_packet(&self, is_packet: bool) {
        if is_packet != self.is_packet() {
            self.side().packet.set(is_packet.then_some(0));
        }
    }

    /// Bytes that can be read at once.
    pub fn available(&self) -> usize {
        self.side().output.borrow().len()
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        &self.side().of_master
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let side = self.side();
        let has_happened = side.packet.get().is_some_and(|packet| packet != 0);
        let mut ready = Readiness::empty();
        ready.set(Readiness::READ, has_happened || self.available() > 0);
        ready.set(Readiness::PRIORITY, has_happened);
        ready.set(Readiness::WRITE, self.0.input.borrow().accepts());
        ready.set(Readiness::HANG_UP, side.is_left.get());
        ready
    }

    /// Reads what the terminal shows, and waits for it unless `nonblocking`.
    ///
    /// # Errors
    /// EIO: no slave is open any more. EAGAIN instead of waiting, EINTR, EFAULT.
    #[inline(never)]
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        let side = self.side();
        let happened = || side.packet.get().filter(|&packet| packet != 0);
        while happened().is_none() && self.available() == 0 {
            if side.is_left.get() {
                return Err(Errno::EIO);
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            side.readers.sleep()?;
        }
        let (first, has_data) = (side.packet.get(), happened().is_none());
        let had_room = side.output.borrow().has_room();
        let result = transfer::run(target, |target, done| match first {
            Some(byte) if done == 0 => {
                let moved = target.put(&[byte]);
                if moved > 0 {
                    side.packet.set(Some(0));
                }
                Ok(Step::copied(moved, 1))
            }
            _ if !has_data || self.available() == 0 => Ok(Step::stop()),
            _ => Ok(side.output.borrow_mut().read(target)),
        });
        if !had_room && side.output.borrow().has_room() {
            side.tell_slaves();
        }
        result
    }

    /// Types what is written, and waits for room unless `nonblocking`. A key may show a whole line
    /// again: what has shown [`SHOWN_MAX`] bytes without waiting is a write of less, so that no
    /// call takes long.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR, EFAULT.
    #[inline(never)]
    pub fn write(&self, source: &mut dyn Source, nonblocking: bool) -> Result<u64, Errno> {
        let (terminal, side) = (&self.0, self.side());
        let (mut chunk, mut shown) = ([0; CHUNK], 0);
        transfer::run(source, |source, _| {
            let settings = terminal.settings();
            let room = terminal.input.borrow().room();
            if room == 0 {
                if nonblocking {
                    return Err(Errno::EAGAIN);
                }
                side.writers.sleep()?;
                shown = 0;
                return Ok(Step {
                    moved: 0,
                    next: Next::More,
                });
            }
            let wanted = source.left().min(room).min(CHUNK);
            let moved = source.take(&mut chunk[..wanted]);
            let mut typed = 0;
            while typed < moved && shown < SHOWN_MAX {
                let byte = chunk[typed];
                typed += 1;
                let mut echo = |bytes: &[u8]| {
                    shown += bytes.len();
                    side.put(&settings, bytes);
                };
                let effect = terminal.input.borrow_mut().input(byte, &mut echo);
                side.note_key(&settings, effect);
                terminal.act(effect);
            }
            terminal.tell_readers();
            if self.available() > 0 {
                side.tell_master(Readiness::READ);
            }
            Ok(match shown < SHOWN_MAX {
                true => Step::copied(typed, wanted),
                false => Step {
                    moved: typed,
                    next: Next::Stop,
                },
            })
        })
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let side = self.side();
        side.is_hung_up.set(true);
        self.0.readers.wake_all();
        side.slave_writers.wake_all();
        poll::changed_at(&side.of_slaves, Readiness::all());
        control::hung_up(&self.0);
        pseudo::forget_if_gone(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use crate::fs::open_file::Object;
    use crate::fs::terminal::pseudo;
    use crate::fs::transfer::KernelBytes;

    #[test]
    fn a_call_shows_a_few_lines_again() {
        const REPRINT: u8 = b'R' & 0x1f;
        let Ok(Object::Master(master)) = pseudo::open_master() else {
            panic!("there is room for one");
        };
        let line = [b'x'; 4000];
        assert_eq!(master.write(&mut KernelBytes(&line), true), Ok(4000));
        let keys = [REPRINT; 200];
        assert_eq!(master.write(&mut KernelBytes(&keys), true), Ok(5));
        assert_eq!(master.write(&mut KernelBytes(&keys[..3]), true), Ok(3));
    }
}
