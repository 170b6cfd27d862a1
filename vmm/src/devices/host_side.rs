//! What the host hands in, and what it takes of the devices: input, output, another machine's
//! line.

use std::io;
use std::ops::Range;

use super::{Devices, ScreenSize, StreamError};

impl Devices {
    /// Hands host input to the guest; returns how many bytes it took, from the first on.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let taken = self.streams.input(bytes);
        self.serve_streams();
        self.serve_virtio();
        taken
    }

    /// Ends host input, perhaps because of an error.
    pub fn end_input(&mut self, error: Option<io::Error>) {
        self.streams.end_input(error);
        self.serve_streams();
        self.serve_virtio();
    }

    /// Tells the guest that the terminal that shows its output has this size.
    pub fn set_screen(&mut self, size: ScreenSize) {
        self.streams.set_screen(size);
        self.serve_virtio();
    }

    /// Whether a device has written to guest RAM since [`take_written`](Self::take_written).
    #[inline]
    pub fn has_written(&self) -> bool {
        self.streams.has_written()
    }

    /// Where, as ranges of guest-physical addresses.
    pub fn take_written(&mut self) -> Vec<Range<u64>> {
        self.streams.take_written()
    }

    /// Whether the guest waits for input.
    #[inline]
    pub fn wants_anything(&self) -> bool {
        let link = self.link.as_ref();
        self.streams.is_read() || link.is_some_and(|link| link.serial.wants_input())
    }

    /// Hands a guest that reads its console the input that is always ready.
    pub fn fill_console(&mut self) {
        self.streams.fill_console();
        self.serve_streams();
        self.serve_virtio();
    }

    /// Whether the guest waits for input that is handed in.
    pub fn wants_input(&self) -> bool {
        self.streams.wants_input()
    }

    /// Why input ended before its end, once.
    pub fn take_input_error(&mut self) -> Option<io::Error> {
        self.streams.take_input_error()
    }

    /// Flushes output that waits for the end of its line: when the machine is idle, and at
    /// its end.
    pub fn flush_output(&mut self) {
        self.streams.send_all();
    }

    /// Whether output waits for the end of its line.
    #[inline]
    pub fn output_waits(&self) -> bool {
        self.streams.output_waits()
    }

    /// Whether a failure of the host has ended a line of output.
    #[inline]
    pub fn has_lost_output(&self) -> bool {
        self.streams.has_failed()
    }

    /// That failure, once.
    pub fn take_output_error(&mut self) -> Option<StreamError> {
        self.streams.take_error()
    }

    /// Hands what has arrived from another machine to the guest, if it reads its port and
    /// has taken all that was handed to it.
    pub fn receive_link(&mut self) {
        if let Some(link) = &mut self.link
            && link.serial.wants_input()
        {
            link.end.receive(|bytes| link.serial.input(bytes));
            self.serve_link();
        }
    }
}
