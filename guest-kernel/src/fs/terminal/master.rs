//! What is behind a pseudo-terminal: a program that has its master open, types what it writes
//! there, and reads what the terminal shows (Linux, pty(7), ioctl_tty(2)).
//!
//! Output waits in a buffer as a pipe's does, after it was processed; a slave that writes waits
//! while that is full, and echo that finds it full is lost. A master that writes waits while the
//! line discipline has no room. What the last slave has left can still be read; then the
//! master's read is EIO until a slave is opened again.

mod as_file;

use core::cell::{Cell, RefCell};

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::OutOfMemory;

use crate::fs::events::epoll::Watches;
use crate::fs::pipe::buffer::Buffer;
use crate::fs::poll::{self, Readiness};
use crate::fs::terminal::Settings;
use crate::fs::terminal::line_discipline::Effect;
use crate::fs::transfer::{self, KernelBytes, Next, Source, Step};
use crate::proc::wait_queue::WaitQueue;

pub use as_file::Master;

/// Bytes that go through at a time.
const CHUNK: usize = 256;

/// What the master is told of beside output (Linux, ioctl_tty(2), TIOCPKT).
mod event {
    /// Input was discarded.
    pub const FLUSHREAD: u8 = 1;
    /// Output was.
    pub const FLUSHWRITE: u8 = 2;
    /// Output was stopped.
    pub const STOP: u8 = 4;
    /// It goes on.
    pub const START: u8 = 8;
    /// The usual keys do not stop and start it any more.
    pub const NOSTOP: u8 = 16;
    /// They do again.
    pub const DOSTOP: u8 = 32;
}

/// The master's part of a pseudo-terminal.
pub struct MasterSide {
    /// Its number, which is its name.
    pub number: u32,
    output: RefCell<Buffer>,
    /// Masters that wait for output, and for room for input; slaves that wait for room.
    readers: WaitQueue,
    writers: WaitQueue,
    slave_writers: WaitQueue,
    of_master: Watches,
    /// Of slaves.
    pub of_slaves: Watches,
    slaves: Cell<usize>,
    /// Slaves have been open, and no more are.
    is_left: Cell<bool>,
    is_locked: Cell<bool>,
    is_hung_up: Cell<bool>,
    is_stopped: Cell<bool>,
    /// What has happened beside output (`TIOCPKT_` bits), if reads shall tell of it.
    packet: Cell<Option<u8>>,
}

impl MasterSide {
    /// One that only its master has open, and locked.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(number: u32) -> Result<Self, OutOfMemory> {
        Ok(Self {
            number,
            output: RefCell::new(Buffer::new()?),
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            slave_writers: WaitQueue::new(),
            of_master: Watches::new(),
            of_slaves: Watches::new(),
            slaves: Cell::new(0),
            is_left: Cell::new(false),
            is_locked: Cell::new(true),
            is_hung_up: Cell::new(false),
            is_stopped: Cell::new(false),
            packet: Cell::new(None),
        })
    }

    /// Whether its master has been closed.
    pub fn is_hung_up(&self) -> bool {
        self.is_hung_up.get()
    }

    /// Whether slaves cannot be opened.
    pub fn is_locked(&self) -> bool {
        self.is_locked.get()
    }

    /// A slave more is open.
    pub fn add_slave(&self) {
        self.slaves.set(self.slaves.get() + 1);
        self.is_left.set(false);
    }

    /// A slave less is open.
    pub fn remove_slave(&self) {
        self.slaves.set(self.slaves.get() - 1);
        if self.slaves.get() == 0 {
            self.is_left.set(true);
            self.tell_master(Readiness::READ | Readiness::HANG_UP);
        }
    }

    /// What a poll of a slave would find, but for input.
    pub fn slave_readiness(&self) -> Readiness {
        if self.is_hung_up() {
            return Readiness::WRITE | Readiness::ERROR | Readiness::HANG_UP;
        }
        match !self.is_stopped.get() && self.output.borrow().has_room() {
            true => Readiness::WRITE,
            false => Readiness::empty(),
        }
    }

    fn tell_master(&self, what: Readiness) {
        self.readers.wake_all();
        poll::changed_at(&self.of_master, what);
    }

    fn tell_slaves(&self) {
        self.slave_writers.wake_all();
        poll::changed_at(&self.of_slaves, Readiness::WRITE);
    }

    /// There may be room for input.
    pub fn tell_room(&self) {
        self.writers.wake_all();
        poll::changed_at(&self.of_master, Readiness::WRITE);
    }

    /// Writes what a slave does, and waits for room unless `nonblocking`.
    ///
    /// # Errors
    /// EIO: hung up. EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn write(
        &self,
        settings: &Settings,
        source: &mut dyn Source,
        nonblocking: bool,
    ) -> Result<u64, Errno> {
        let mut chunk = [0; CHUNK];
        let result = transfer::run(source, |source, _| {
            if self.is_hung_up() {
                return Err(Errno::EIO);
            }
            if self.is_stopped.get() || !self.output.borrow().has_room() {
                self.tell_master(Readiness::READ);
                if nonblocking {
                    return Err(Errno::EAGAIN);
                }
                self.slave_writers.sleep()?;
                return Ok(Step {
                    moved: 0,
                    next: Next::More,
                });
            }
            let wanted = source.left().min(CHUNK);
            let moved = source.take(&mut chunk[..wanted]);
            self.put(settings, &chunk[..moved]);
            Ok(Step::copied(moved, wanted))
        });
        if result.is_ok_and(|count| count > 0) {
            self.tell_master(Readiness::READ);
        }
        result
    }

    /// Shows a few bytes, as far as there is room.
    pub fn put(&self, settings: &Settings, bytes: &[u8]) {
        let mut output = self.output.borrow_mut();
        settings.process_output(bytes, &mut |piece| {
            let _ = output.write(&mut KernelBytes(piece), false, false);
        });
    }

    /// Has the master read this character, if it is one.
    pub fn type_back(&self, character: u8) {
        if character != 0 {
            self.put(&Settings::RAW, &[character]);
            self.tell_master(Readiness::READ);
        }
    }

    /// Discards output.
    pub fn flush(&self) {
        let mut output = self.output.borrow_mut();
        let len = output.len();
        output.skip(len);
        drop(output);
        self.note(event::FLUSHWRITE, 0);
        self.tell_slaves();
    }

    /// A key has had this effect. Output that was stopped goes on after any key, if the settings
    /// say so, and after those that send signals; these have also discarded input.
    fn note_key(&self, settings: &Settings, effect: Effect) {
        let is_signal = matches!(effect, Effect::Interrupt | Effect::Quit | Effect::Suspend);
        if is_signal && !settings.local(linux::NOFLSH) {
            self.note(event::FLUSHREAD | event::FLUSHWRITE, 0);
        }
        let by_any = settings.input(linux::IXANY) && effect != Effect::Stop;
        if settings.input(linux::IXON) && (is_signal || by_any) {
            self.stop(false);
        }
    }

    /// Input has been discarded.
    pub fn note_flush(&self) {
        self.note(event::FLUSHREAD, 0);
    }

    /// Stops output of slaves, or lets it go on.
    pub fn stop(&self, stop: bool) {
        if self.is_stopped.replace(stop) == stop {
            return;
        }
        match stop {
            true => self.note(event::STOP, event::START),
            false => {
                self.note(event::START, event::STOP);
                self.tell_slaves();
            }
        }
    }

    /// The settings are others.
    pub fn note_settings(&self, before: &Settings, after: &Settings) {
        const DO: u8 = event::DOSTOP;
        const DO_NOT: u8 = event::NOSTOP;
        match (before.has_usual_flow(), after.has_usual_flow()) {
            (false, true) => self.note(DO, DO_NOT),
            (true, false) => self.note(DO_NOT, DO),
            _ => {}
        }
        if before.input(linux::IXON) && !after.input(linux::IXON) {
            self.stop(false);
        }
    }

    /// Something has happened, which makes another undone.
    fn note(&self, what: u8, undone: u8) {
        if let Some(packet) = self.packet.get() {
            self.packet.set(Some(packet & !undone | what));
            self.tell_master(Readiness::READ | Readiness::PRIORITY);
        }
    }
}
