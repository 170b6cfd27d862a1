//! Terminals: what is between a program and somebody who types and reads.
//!
//! ```text
//!                        +--> line discipline --> program
//!   Port or MasterSide --+
//!                        +<-- output, echo <----- program
//! ```
//!
//! A terminal is the same whatever is behind it: a serial port with a user (`port.rs`), or, for
//! a pseudo-terminal, another program that has its master open (`master.rs`). Which session it
//! controls is in `control.rs`; which pseudo-terminals there are in `pseudo.rs`.

mod control;
mod line_discipline;
mod master;
mod port;
mod pseudo;
mod settings;

use core::cell::{Cell, RefCell};

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{OutOfMemory, Owned, Shared};

pub use control::{leader_ended, of_session};
pub use line_discipline::LineDiscipline;
pub use master::Master;
pub use port::{CONSOLE, LINK, Line};
pub use pseudo::{
    Slave, is_pseudo, next as next_pseudo, node as pseudo_node, open_master, open_pseudo,
};
pub use settings::{Settings, Supported};

use crate::fs::device::DeviceNumber;
use crate::fs::poll::{self, Readiness};
use crate::fs::terminal::line_discipline::Effect;
use crate::fs::terminal::master::MasterSide;
use crate::fs::terminal::port::Port;
use crate::fs::transfer::{self, Next, Source, Step, Target};
use crate::proc::signal::{Signal, send_to_group};
use crate::proc::wait_queue::{WaitQueue, Woken};
use arch::clock;
use devices::serial::SerialPort;

/// What the setting `VTIME` counts in.
const NS_PER_TENTH: u64 = 100_000_000;

/// Size of a terminal's screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
    /// Width and height in pixels; 0 if nobody has said.
    pub pixels: [u16; 2],
}

/// A terminal.
pub struct Terminal {
    back: Back,
    input: RefCell<LineDiscipline>,
    readers: WaitQueue,
    /// The session whose processes it controls, and the group of them that the keyboard's
    /// signals go to; 0 is none.
    session: Cell<u32>,
    foreground: Cell<u32>,
    /// The session has claimed the terminal, so that no other gets it: init's has it
    /// unclaimed at first.
    is_claimed: Cell<bool>,
    window_size: Cell<WindowSize>,
}

/// Where a terminal's input comes from and its output goes.
enum Back {
    Port(Port),
    Master(Owned<MasterSide>),
}

/// A terminal that was found.
pub enum Found {
    /// One of the machine's.
    Port(&'static Terminal),
    /// A pseudo-terminal.
    Pseudo(Shared<Terminal>),
}

impl core::ops::Deref for Found {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        match self {
            Self::Port(terminal) => terminal,
            Self::Pseudo(terminal) => terminal,
        }
    }
}

impl Terminal {
    const fn new(back: Back, settings: Settings, window_size: WindowSize) -> Self {
        Self {
            back,
            input: RefCell::new(LineDiscipline::new(settings)),
            readers: WaitQueue::new(),
            session: Cell::new(0),
            foreground: Cell::new(0),
            is_claimed: Cell::new(false),
            window_size: Cell::new(window_size),
        }
    }

    /// The port behind it, if one is.
    fn port(&self) -> Option<&Port> {
        match &self.back {
            Back::Port(port) => Some(port),
            Back::Master(_) => None,
        }
    }

    /// What another program has of it, if it is a pseudo-terminal.
    fn master(&self) -> Option<&MasterSide> {
        match &self.back {
            Back::Port(_) => None,
            Back::Master(master) => Some(&**master),
        }
    }

    /// Its major and minor number.
    pub fn number(&self) -> DeviceNumber {
        match &self.back {
            Back::Port(port) => port.number(),
            Back::Master(master) => pseudo::device_number(master.number),
        }
    }

    /// Whether it has been hung up: nobody is behind it any more.
    pub fn is_hung_up(&self) -> bool {
        self.master().is_some_and(MasterSide::is_hung_up)
    }

    /// The settings.
    pub fn settings(&self) -> Settings {
        self.input.borrow().settings()
    }

    /// The flags of settings that have an effect.
    pub fn supported(&self) -> &'static Supported {
        match &self.back {
            Back::Port(_) => &Supported::PORT,
            Back::Master(_) => &Supported::PSEUDO,
        }
    }

    /// Changes the settings, and discards unread input if `flush`.
    pub fn set(&self, settings: Settings, flush: bool) {
        let mut input = self.input.borrow_mut();
        let before = input.settings();
        if flush {
            input.flush();
        }
        input.set(settings);
        drop(input);
        if let Some(master) = self.master() {
            master.note_settings(&before, &settings);
        }
        self.receive_the_rest();
        self.tell_readers();
    }

    /// Discards unread input.
    pub fn flush(&self) {
        self.input.borrow_mut().flush();
        if let Some(master) = self.master() {
            master.note_flush();
        }
        self.receive_the_rest();
    }

    /// Discards output that nobody has read.
    pub fn flush_output(&self) {
        if let Some(master) = self.master() {
            master.flush();
        }
    }

    /// Stops output or lets it go on; whether it can do that.
    pub fn stop_output(&self, stop: bool) -> bool {
        let master = self.master();
        master.inspect(|master| master.stop(stop)).is_some()
    }

    /// Sends the character at `index` to who is behind it; whether it can do that.
    pub fn send_key(&self, index: u32) -> bool {
        let settings = self.settings();
        let master = self.master();
        master
            .inspect(|master| master.type_back(settings.character(index)))
            .is_some()
    }

    /// Size of its screen.
    pub fn window_size(&self) -> WindowSize {
        self.use_screen();
        self.window_size.get()
    }

    /// Sets the size of its screen, and tells the group in the foreground if that is another.
    pub fn set_window_size(&self, size: WindowSize) {
        self.use_screen();
        if self.window_size.replace(size) != size {
            self.signal(Signal::SIGWINCH);
        }
    }

    /// Bytes that can be read at once.
    pub fn available(&self) -> usize {
        self.use_screen();
        // Without memory for input there is none.
        let _ = self.start();
        self.input.borrow().readable()
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let (has_input, mut ready) = match &self.back {
            Back::Port(port) => (port.has_input(), Readiness::WRITE),
            Back::Master(master) => (true, master.slave_readiness()),
        };
        ready.set(
            Readiness::READ,
            !has_input || self.is_hung_up() || self.available() > 0,
        );
        ready
    }

    /// Reads a line, or in raw mode what there is, and waits for it unless `nonblocking`;
    /// 0 at the end of input.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR, EFAULT, ENOMEM; EIO in the background, and if it is
    /// hung up while it is waited for.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        if self.is_hung_up() {
            return Ok(0);
        }
        self.require_foreground(Signal::SIGTTIN)?;
        self.use_screen();
        self.start()?;
        let can_wait = self.port().is_none_or(Port::has_input) && target.left() > 0;
        if !can_wait || !self.wait(target.left(), nonblocking)? {
            return Ok(0);
        }
        let result = transfer::run(target, |target, _| {
            let mut input = self.input.borrow_mut();
            let front = input.front();
            let wanted = front.len().min(target.left());
            let moved = target.put(&front[..wanted]);
            let mut step = Step::copied(moved, wanted);
            if input.consume(moved) && step.next == Next::More {
                step.next = Next::Stop;
            }
            Ok(step)
        });
        self.receive_the_rest();
        result
    }

    /// Waits for a line, or in raw mode for as many of `len` bytes as the settings say;
    /// whether there is something.
    fn wait(&self, len: usize, nonblocking: bool) -> Result<bool, Errno> {
        let settings = self.settings();
        let (min, time) = match settings.is_canonical() {
            true => (1, 0),
            false => (settings.min().min(len), settings.time()),
        };
        let deadline = clock::now_ns() + time * NS_PER_TENTH;
        loop {
            let ready = self.input.borrow().readable();
            if ready > 0 && ready >= min {
                return Ok(true);
            }
            if self.is_hung_up() {
                return Err(Errno::EIO);
            }
            if nonblocking && min > 0 {
                return match ready {
                    0 => Err(Errno::EAGAIN),
                    _ => Ok(true),
                };
            }
            if min > 0 {
                self.readers.sleep()?;
            } else if time == 0 || self.readers.sleep_until(deadline)? == Woken::TimedOut {
                return Ok(false);
            }
        }
    }

    /// Writes everything, and waits for room unless `nonblocking`, where there can be none.
    ///
    /// # Errors
    /// EFAULT, before anything is written; EINTR or EIO in the background, if the settings
    /// forbid output there (TOSTOP); of a pseudo-terminal EAGAIN instead of waiting, EIO if it
    /// is hung up.
    pub fn write(&self, source: &mut dyn Source, nonblocking: bool) -> Result<u64, Errno> {
        let settings = self.settings();
        self.require_output(&settings)?;
        match &self.back {
            Back::Port(port) => port.send(source),
            Back::Master(master) => master.write(&settings, source, nonblocking),
        }
    }

    /// Writes everything by another port.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_by(&self, port: SerialPort, source: &mut dyn Source) -> Result<u64, Errno> {
        self.require_output(&self.settings())?;
        crate::fs::output::send(port, source)
    }

    fn require_output(&self, settings: &Settings) -> Result<(), Errno> {
        match settings.local(linux::TOSTOP) {
            true => self.require_foreground(Signal::SIGTTOU),
            false => Ok(()),
        }
    }

    /// Has room for input, and receives from now on if a port is behind it.
    ///
    /// # Errors
    /// There is no memory.
    pub fn start(&self) -> Result<(), OutOfMemory> {
        match &self.back {
            Back::Port(port) => self.start_port(port),
            Back::Master(_) => Ok(()),
        }
    }

    /// Does what a key is for.
    fn act(&self, effect: Effect) {
        match effect {
            Effect::None | Effect::Readable => {}
            Effect::Interrupt => self.signal(Signal::SIGINT),
            Effect::Quit => self.signal(Signal::SIGQUIT),
            Effect::Suspend => self.signal(Signal::SIGTSTP),
            Effect::Stop => _ = self.stop_output(true),
            Effect::Start => _ = self.stop_output(false),
        }
    }

    /// Takes what there was no room for, if there is now.
    fn receive_the_rest(&self) {
        match &self.back {
            Back::Port(port) => self.receive_the_rest_of(port),
            Back::Master(master) => master.tell_room(),
        }
    }

    fn tell_readers(&self) {
        if self.input.borrow().readable() > 0 {
            self.readers.wake_all();
            match &self.back {
                Back::Port(_) => poll::changed(),
                Back::Master(master) => poll::changed_at(&master.of_slaves, Readiness::READ),
            }
        }
    }

    /// Sends a signal to the group in the foreground.
    pub fn signal(&self, signal: Signal) {
        let group = self.foreground.get();
        if group != 0 {
            send_to_group(group, signal);
        }
    }
}
