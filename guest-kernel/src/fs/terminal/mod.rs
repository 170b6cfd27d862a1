//! Terminals: the serial ports as files.
//!
//! A port receives only once a program reads or polls it. Then each interrupt empties the
//! port into the line discipline; when that is full the port keeps the rest until there is
//! a reader, and the sender waits.
//!
//! The console's input comes by a virtio console, if the machine has one, once a program reads
//! it; that also knows the size of the screen. Until then the serial port receives, for keys
//! that send signals, which costs fewer exits.

mod control;
mod line_discipline;
mod settings;

use core::cell::{Cell, RefCell};

use abi::ports;
use linux_raw_sys::general as linux;

pub use control::{leader_ended, of_session};
pub use line_discipline::LineDiscipline;
pub use settings::Settings;

use crate::fs::output;
use crate::fs::poll::{self, Readiness};
use crate::fs::terminal::line_discipline::Effect;
use crate::fs::transfer::{self, Next, Source, Step, Target};
use crate::proc::signal::{Signal, send_to_group};
use crate::proc::wait_queue::{WaitQueue, Woken};
use abi::Errno;
use arch::virtio_console::{self, VirtioConsole};
use arch::{SingleCpu, clock, serial::SerialPort};

/// What the setting `VTIME` counts in.
const NS_PER_TENTH: u64 = 100_000_000;

/// The console, which has a user.
pub static CONSOLE: SingleCpu<Terminal> = SingleCpu::new(Terminal::new(
    SerialPort::CONSOLE,
    ports::SERIAL_GSI,
    Settings::COOKED,
    || CONSOLE.receive(),
    Some(Screen {
        console: SingleCpu::value(&virtio_console::CONSOLE),
        interrupt: || CONSOLE.console_changed(),
        is_used: Cell::new(false),
    }),
));

/// The line to another machine.
pub static LINK: SingleCpu<Terminal> = SingleCpu::new(Terminal::new(
    SerialPort::LINK,
    ports::LINK_GSI,
    Settings::RAW,
    || LINK.receive(),
    None,
));

/// Where a terminal's input comes from and its output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its port receives; else there is no input, and the end of it is read at once.
    pub has_input: bool,
    /// What is written goes here.
    pub output: SerialPort,
    /// Output is displayed, so that input is echoed there.
    pub is_shown: bool,
}

/// Size of a terminal's screen in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// The virtio console of a terminal.
struct Screen {
    console: &'static VirtioConsole,
    /// The handler of its interrupt: `console_changed` of the terminal.
    interrupt: fn(),
    /// It receives, and says how large it is.
    is_used: Cell<bool>,
}

/// A serial port and the line discipline of its input.
pub struct Terminal {
    port: SerialPort,
    gsi: u32,
    /// The handler of the port's interrupt: `receive` of this terminal.
    interrupt: fn(),
    screen: Option<Screen>,
    line: Cell<Line>,
    input: RefCell<LineDiscipline>,
    readers: WaitQueue,
    is_receiving: Cell<bool>,
    /// The port has bytes that there was no room for.
    is_stalled: Cell<bool>,
    /// The session whose processes it controls, and the group of them that the keyboard's
    /// signals go to; 0 is none.
    session: Cell<u32>,
    foreground: Cell<u32>,
    /// The session has claimed the terminal, so that no other gets it: init's has it
    /// unclaimed at first.
    is_claimed: Cell<bool>,
    window_size: Cell<WindowSize>,
}

impl Terminal {
    const fn new(
        port: SerialPort,
        gsi: u32,
        settings: Settings,
        interrupt: fn(),
        screen: Option<Screen>,
    ) -> Self {
        Self {
            port,
            gsi,
            interrupt,
            screen,
            line: Cell::new(Line {
                has_input: true,
                output: port,
                is_shown: true,
            }),
            input: RefCell::new(LineDiscipline::new(settings)),
            readers: WaitQueue::new(),
            is_receiving: Cell::new(false),
            is_stalled: Cell::new(false),
            session: Cell::new(0),
            foreground: Cell::new(0),
            is_claimed: Cell::new(false),
            window_size: Cell::new(WindowSize {
                rows: 24,
                columns: 80,
            }),
        }
    }

    /// Sets where input comes from and output goes; by default both are the port's own.
    pub fn connect(&self, line: Line) {
        self.line.set(line);
    }

    /// Whether it has a user.
    pub fn is_used(&self) -> bool {
        let line = self.line.get();
        line.has_input || line.is_shown
    }

    /// The settings of input.
    pub fn settings(&self) -> Settings {
        self.input.borrow().settings()
    }

    /// Changes them, and discards unread input if `flush`.
    pub fn set(&self, settings: Settings, flush: bool) {
        let mut input = self.input.borrow_mut();
        if flush {
            input.flush();
        }
        input.set(settings);
        drop(input);
        self.receive_the_rest();
        self.tell_readers();
    }

    /// Discards unread input.
    pub fn flush(&self) {
        self.input.borrow_mut().flush();
        self.receive_the_rest();
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
        self.start();
        self.input.borrow().readable()
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let mut ready = Readiness::WRITE;
        let can_read = !self.line.get().has_input || self.available() > 0;
        ready.set(Readiness::READ, can_read);
        ready
    }

    /// Reads a line, or in raw mode what there is, and waits for it unless `nonblocking`;
    /// 0 at the end of input.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR, EFAULT; EIO in the background.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        self.require_foreground(Signal::SIGTTIN)?;
        self.use_screen();
        self.start();
        let can_wait = self.line.get().has_input && target.left() > 0;
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

    /// Writes everything.
    ///
    /// # Errors
    /// EFAULT, before anything is written; EINTR or EIO in the background, if the settings
    /// forbid output there (TOSTOP).
    pub fn write(&self, source: &mut dyn Source) -> Result<u64, Errno> {
        self.write_by(self.line.get().output, source)
    }

    /// The same, by another port.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_by(&self, port: SerialPort, source: &mut dyn Source) -> Result<u64, Errno> {
        if self.settings().local(linux::TOSTOP) {
            self.require_foreground(Signal::SIGTTOU)?;
        }
        output::send(port, source)
    }

    /// Has the virtio console, if there is one, receive instead of the port, and say the size
    /// of the screen.
    fn use_screen(&self) {
        let Some(screen) = &self.screen else { return };
        // What the port still has comes first.
        if screen.is_used.get() || self.is_stalled.get() || !screen.console.start() {
            return;
        }
        if self.is_receiving.replace(self.line.get().has_input) {
            self.port.disable_receive();
            self.receive();
            // The queue has become full: the port keeps the rest until a program reads.
            if self.is_stalled.get() {
                return;
            }
        }
        screen.is_used.set(true);
        screen.console.enable_interrupt(screen.interrupt);
        if let Some(size) = screen.size() {
            self.window_size.set(size);
        }
        self.receive();
    }

    /// The virtio console has received something, or the screen has another size.
    fn console_changed(&self) {
        let Some(screen) = &self.screen else { return };
        if screen.console.acknowledge()
            && let Some(size) = screen.size()
        {
            self.set_window_size(size);
        }
        self.receive();
    }

    /// Receives from now on, if there is input. Before a program reads, only keys that send
    /// signals matter, and a port without a user has none.
    pub fn start(&self) {
        if self.line.get().has_input && !self.is_receiving.replace(true) {
            self.port.enable_receive(self.gsi, self.interrupt);
            self.receive();
        }
    }

    /// Takes the bytes that there was no room for, if there is now: the port, which still
    /// has them, does not interrupt again. Behind them the virtio console can receive.
    fn receive_the_rest(&self) {
        if self.is_stalled.get() {
            self.receive();
            self.use_screen();
        }
    }

    /// The next byte that has arrived.
    fn next_byte(&self) -> Option<u8> {
        match &self.screen {
            Some(screen) if screen.is_used.get() => screen.next_byte(),
            _ => self.port.receive(),
        }
    }

    /// Takes what has arrived, as far as there is room.
    fn receive(&self) {
        if !self.is_receiving.get() {
            return;
        }
        self.is_stalled.set(false);
        loop {
            if !self.input.borrow().accepts() {
                self.is_stalled.set(true);
                break;
            }
            let Some(byte) = self.next_byte() else {
                break;
            };
            let Line {
                output, is_shown, ..
            } = self.line.get();
            let mut echo = |bytes: &[u8]| {
                if is_shown {
                    output::echo(output, bytes);
                }
            };
            let effect = self.input.borrow_mut().input(byte, &mut echo);
            match effect {
                Effect::None | Effect::Readable => {}
                Effect::Interrupt => self.signal(Signal::SIGINT),
                Effect::Quit => self.signal(Signal::SIGQUIT),
                Effect::Suspend => self.signal(Signal::SIGTSTP),
            }
        }
        self.tell_readers();
    }

    fn tell_readers(&self) {
        if self.input.borrow().readable() > 0 {
            self.readers.wake_all();
            poll::changed();
        }
    }

    fn signal(&self, signal: Signal) {
        let group = self.foreground.get();
        if group != 0 {
            send_to_group(group, signal);
        }
    }
}

impl Screen {
    /// Its size, if it has one.
    fn size(&self) -> Option<WindowSize> {
        let (columns, rows) = self.console.screen()?;
        (columns > 0 && rows > 0).then_some(WindowSize { rows, columns })
    }

    fn next_byte(&self) -> Option<u8> {
        self.console.available();
        let mut next = None;
        self.console.with_received(|bytes| {
            next = bytes.first().copied();
            1
        });
        next
    }
}
