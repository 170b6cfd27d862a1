//! Input for a guest that waits for it.

use super::RunLoop;

impl RunLoop {
    /// Hands the guest the input that has arrived and that it waits for.
    #[inline(always)]
    pub(super) fn take_input(&mut self) {
        if self.devices.wants_anything() {
            self.feed();
        }
    }

    fn feed(&mut self) {
        if self.devices.wants_input() {
            match self.control.input_end() {
                None => self.control.take_input(|bytes| self.devices.input(bytes)),
                Some(error) => self.devices.end_input(error),
            }
        }
        self.devices.fill_console();
        self.devices.receive_link();
    }
}
