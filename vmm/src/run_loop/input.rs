//! Input for a guest that waits for it.

use super::{Board, RunLoop};

impl RunLoop {
    /// Hands the guest the input that has arrived and that it waits for.
    #[inline(always)]
    pub(super) fn take_input(&self, board: &mut Board) {
        if board.devices.wants_anything() {
            self.feed(board);
        }
    }

    fn feed(&self, board: &mut Board) {
        if board.devices.wants_input() {
            match self.control.input_end() {
                None => self.control.take_input(|bytes| board.devices.input(bytes)),
                Some(error) => board.devices.end_input(error),
            }
        }
        board.devices.fill_console();
        board.devices.receive_link();
    }
}
