//! Who gets the events of a trace.

use std::io;

use super::event::Event;

/// A destination of events. Its memory must be bounded: guests make any number of events.
pub trait TraceSink: Send {
    /// Takes one event; they come in the order of their times.
    ///
    /// # Errors
    /// The host cannot write it: the trace ends.
    fn event(&mut self, event: &Event<'_>) -> io::Result<()>;

    /// Flushes the events so far, as the guest waits.
    ///
    /// # Errors
    /// As for [`event`](Self::event).
    fn flush(&mut self) -> io::Result<()>;

    /// The run has ended, at this time.
    ///
    /// # Errors
    /// As for [`event`](Self::event).
    fn finish(&mut self, ns: u64) -> io::Result<()>;
}
