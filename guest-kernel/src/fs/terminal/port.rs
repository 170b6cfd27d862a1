//! Terminals of the machine: serial ports.
//!
//! A port receives only once a program reads or polls it. Then each interrupt empties the
//! port into the line discipline; when that is full the port keeps the rest until there is
//! a reader, and the sender waits.
//!
//! The console's input comes by a virtio console, if the machine has one, once a program reads
//! it; that also knows the size of the screen. Until then the serial port receives, for keys
//! that send signals, which costs fewer exits.

use core::cell::Cell;

use abi::{Errno, ports};
use devices::serial::SerialPort;
use devices::virtio_console::{self, VirtioConsole};
use mm::OutOfMemory;
use single_cpu::SingleCpu;

use crate::fs::device::{Device, DeviceNumber};
use crate::fs::output;
use crate::fs::terminal::{Back, Settings, Terminal, WindowSize};
use crate::fs::transfer::Source;

/// The console, which has a user.
pub static CONSOLE: SingleCpu<Terminal> = SingleCpu::new(terminal(
    Port::new(
        Device::Console,
        SerialPort::CONSOLE,
        ports::SERIAL_GSI,
        || CONSOLE.receive(),
        Some(Screen {
            console: SingleCpu::value(&virtio_console::CONSOLE),
            interrupt: || CONSOLE.console_changed(),
            is_used: Cell::new(false),
        }),
    ),
    Settings::COOKED,
));

/// The line to another machine.
pub static LINK: SingleCpu<Terminal> = SingleCpu::new(terminal(
    Port::new(
        Device::Link,
        SerialPort::LINK,
        ports::LINK_GSI,
        || LINK.receive(),
        None,
    ),
    Settings::RAW,
));

const fn terminal(port: Port, settings: Settings) -> Terminal {
    let size = WindowSize {
        rows: 24,
        columns: 80,
        pixels: [0; 2],
    };
    Terminal::new(Back::Port(port), settings, size)
}

/// Where a port's input comes from and its output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its port receives; else there is no input, and the end of it is read at once.
    pub has_input: bool,
    /// What is written goes here.
    pub output: SerialPort,
    /// Output is displayed, so that input is echoed there.
    pub is_shown: bool,
}

/// The virtio console of a terminal.
struct Screen {
    console: &'static VirtioConsole,
    /// The handler of its interrupt: `console_changed` of the terminal.
    interrupt: fn(),
    /// It receives, and says how large it is.
    is_used: Cell<bool>,
}

/// A serial port behind a terminal.
pub struct Port {
    device: Device,
    port: SerialPort,
    gsi: u32,
    /// The handler of the port's interrupt: `receive` of this terminal.
    interrupt: fn(),
    screen: Option<Screen>,
    line: Cell<Line>,
    is_receiving: Cell<bool>,
    /// The port has bytes that there was no room for.
    is_stalled: Cell<bool>,
}

impl Port {
    const fn new(
        device: Device,
        port: SerialPort,
        gsi: u32,
        interrupt: fn(),
        screen: Option<Screen>,
    ) -> Self {
        Self {
            device,
            port,
            gsi,
            interrupt,
            screen,
            line: Cell::new(Line {
                has_input: true,
                output: port,
                is_shown: true,
            }),
            is_receiving: Cell::new(false),
            is_stalled: Cell::new(false),
        }
    }

    /// Its major and minor number.
    pub fn number(&self) -> DeviceNumber {
        self.device.number()
    }

    /// Whether there is input.
    pub fn has_input(&self) -> bool {
        self.line.get().has_input
    }

    /// Writes everything.
    ///
    /// # Errors
    /// EFAULT, before anything is written.
    pub fn send(&self, source: &mut dyn Source) -> Result<u64, Errno> {
        output::send(self.line.get().output, source)
    }

    /// Shows what was typed, if there is a user.
    pub fn echo(&self, bytes: &[u8]) {
        let line = self.line.get();
        if line.is_shown {
            output::echo(line.output, bytes);
        }
    }

    /// The next byte that has arrived.
    fn next_byte(&self) -> Option<u8> {
        match &self.screen {
            Some(screen) if screen.is_used.get() => screen.next_byte(),
            _ => self.port.receive(),
        }
    }
}

/// What is a port's alone; nothing happens to pseudo-terminals.
impl Terminal {
    /// Sets where input comes from and output goes; by default both are the port's own.
    pub fn connect(&self, line: Line) {
        if let Some(port) = self.port() {
            port.line.set(line);
        }
    }

    /// Whether it has a user.
    pub fn is_used(&self) -> bool {
        self.port().is_some_and(|port| {
            let line = port.line.get();
            line.has_input || line.is_shown
        })
    }

    /// Has the virtio console, if there is one, receive instead of the port, and say the size
    /// of the screen.
    pub(super) fn use_screen(&self) {
        let Some((port, screen)) = self.port_and_screen() else {
            return;
        };
        // What the port still has comes first.
        if screen.is_used.get() || port.is_stalled.get() || !screen.console.start() {
            return;
        }
        // Without memory for input there will be none.
        if self.input.borrow_mut().prepare().is_err() {
            return;
        }
        if port.is_receiving.replace(port.has_input()) {
            port.port.disable_receive();
            self.receive();
            // The queue has become full: the port keeps the rest until a program reads.
            if port.is_stalled.get() {
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

    fn port_and_screen(&self) -> Option<(&Port, &Screen)> {
        let port = self.port()?;
        Some((port, port.screen.as_ref()?))
    }

    /// The virtio console has received something, or the screen has another size.
    fn console_changed(&self) {
        let Some((_, screen)) = self.port_and_screen() else {
            return;
        };
        if screen.console.acknowledge()
            && let Some(size) = screen.size()
        {
            self.set_window_size(size);
        }
        self.receive();
    }

    /// Receives from now on, if there is input. Before a program reads, only keys that send
    /// signals matter, and a port without a user has none.
    pub(super) fn start_port(&self, port: &Port) -> Result<(), OutOfMemory> {
        if port.has_input() && !port.is_receiving.get() {
            self.input.borrow_mut().prepare()?;
            port.is_receiving.set(true);
            port.port.enable_receive(port.gsi, port.interrupt);
            self.receive();
        }
        Ok(())
    }

    /// Takes the bytes that there was no room for, if there is now: the port, which still
    /// has them, does not interrupt again. Behind them the virtio console can receive.
    pub(super) fn receive_the_rest_of(&self, port: &Port) {
        if port.is_stalled.get() {
            self.receive();
            self.use_screen();
        }
    }

    /// Takes what has arrived, as far as there is room.
    fn receive(&self) {
        let Some(port) = self.port() else { return };
        if !port.is_receiving.get() {
            return;
        }
        port.is_stalled.set(false);
        loop {
            let mut input = self.input.borrow_mut();
            if !input.accepts() {
                port.is_stalled.set(true);
                break;
            }
            let Some(byte) = port.next_byte() else {
                break;
            };
            let effect = input.input(byte, &mut |bytes| port.echo(bytes));
            drop(input);
            self.act(effect);
        }
        self.tell_readers();
    }
}

impl Screen {
    /// Its size, if it has one.
    fn size(&self) -> Option<WindowSize> {
        let (columns, rows) = self.console.screen()?;
        (columns > 0 && rows > 0).then_some(WindowSize {
            rows,
            columns,
            pixels: [0; 2],
        })
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
