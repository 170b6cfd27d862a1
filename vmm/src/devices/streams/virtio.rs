//! The virtio consoles of the streams.

use std::ops::Range;

use super::{Line, Streams};
use crate::devices::serial::SerialOutput;
use crate::devices::virtio::{QUEUE_SIZE, ScreenSize, VirtioConsole};

impl Streams {
    fn virtio(&mut self, line: Line) -> Option<&mut VirtioConsole> {
        match line {
            Line::Console => self.virtio_console.as_mut(),
            Line::Errors => self.virtio_errors.as_mut(),
            Line::Log => None,
        }
    }

    /// Reads a console's registers.
    pub fn read_virtio(&mut self, line: Line, offset: u64, data: &mut [u8]) {
        match self.virtio(line) {
            Some(console) => console.read(offset, data),
            None => data.fill(0xff),
        }
    }

    /// Writes a console's registers: what it sends goes where that of the serial line goes.
    pub fn write_virtio(&mut self, line: Line, offset: u64, data: &[u8]) {
        if self.last_written != line {
            self.send_all();
            self.last_written = line;
        }
        let (console, serial) = match line {
            Line::Console => (self.virtio_console.as_mut(), Some(&mut self.console)),
            Line::Errors => (self.virtio_errors.as_mut(), self.errors.as_mut()),
            Line::Log => (None, None),
        };
        let (Some(console), Some(serial)) = (console, serial) else {
            return;
        };
        let output = serial.output();
        let has_buffer = console.write(offset, data, |bytes| output.put(bytes));
        output.end_access();
        self.failed |= output.has_failed();
        if has_buffer && line == Line::Console {
            self.fill_virtio();
        }
    }

    /// Whether the console takes what is typed: the guest has never asked the input stream.
    pub(super) fn is_virtio_console(&self) -> bool {
        let console = self.virtio_console.as_ref();
        console.is_some_and(VirtioConsole::is_live) && !self.input.was_asked()
    }

    /// Fills the guest's buffers with what there is for the console, or the stream. What is
    /// always ready is there at once, as for a guest that asks by port.
    pub(super) fn fill_virtio(&mut self) {
        // As often as there can be buffers, whatever a ring that refers to itself says.
        for _ in 0..QUEUE_SIZE {
            let console = self.virtio_console.as_ref();
            if !console.is_some_and(VirtioConsole::wants_input) {
                break;
            }
            if self.is_ready() && self.input.was_asked() && self.input.room() > 0 {
                self.read_source(self.input.room());
            }
            if self.input.is_empty() {
                break;
            }
            if let Some(console) = &mut self.virtio_console {
                self.input.take(|bytes| console.receive(bytes));
            }
        }
    }

    /// Tells the guest the size of the terminal that shows the output.
    pub fn set_screen(&mut self, size: ScreenSize) {
        if let Some(console) = &mut self.virtio_console {
            console.set_screen(size);
        }
    }

    /// The consoles, with the lines beside them.
    pub fn consoles(&mut self) -> impl Iterator<Item = (Line, &mut VirtioConsole)> {
        let console = self.virtio_console.as_mut();
        let errors = self.virtio_errors.as_mut();
        let both = [(Line::Console, console), (Line::Errors, errors)];
        both.into_iter()
            .filter_map(|(line, console)| Some((line, console?)))
    }

    /// Whether input has been put into guest RAM since [`take_written`](Self::take_written).
    #[inline]
    pub fn has_written(&self) -> bool {
        let console = self.virtio_console.as_ref();
        console.is_some_and(VirtioConsole::has_written)
    }

    /// Where, as ranges of guest-physical addresses.
    pub fn take_written(&mut self) -> Vec<Range<u64>> {
        let console = self.virtio_console.as_mut();
        console.map(VirtioConsole::take_written).unwrap_or_default()
    }
}
