//! Console output: bytes from the serial port, gathered into lines for the host.
//!
//! A host write costs about as much as a VM exit, so bytes go out together: when a line has
//! ended, when [`CAPACITY`] bytes wait, when the machine is idle or over; where nobody sees
//! that it is idle, after some milliseconds. The consequence of a failed write (a closed
//! pipe) is not decided here: the error is kept, and later bytes are dropped.

use std::io::{self, Write};

use super::serial::SerialOutput;

/// Capacity of the buffer in bytes.
pub const CAPACITY: usize = 4096;

/// Buffers output and hands it to a sink. As a [`Write`] it always succeeds.
pub struct Console {
    sink: Box<dyn Write + Send>,
    waiting: Vec<u8>,
    line_ended: bool,
    broken: bool,
    error: Option<io::Error>,
}

impl Console {
    /// A console that ends in `sink`.
    pub fn new(sink: Box<dyn Write + Send>) -> Self {
        Self {
            sink,
            waiting: Vec::with_capacity(CAPACITY),
            line_ended: false,
            broken: false,
            error: None,
        }
    }

    /// Flushes the buffer.
    pub fn send(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.write_out(&waiting);
        waiting.clear();
        self.waiting = waiting;
        self.line_ended = false;
    }

    fn write_out(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.broken {
            return;
        }
        let sent = self.sink.write_all(bytes);
        if let Err(error) = sent.and_then(|()| self.sink.flush()) {
            self.broken = true;
            self.error = Some(error);
        }
    }

    /// Whether the buffer holds anything.
    #[inline]
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is a failure to be taken.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// The failure that ended output, once.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}

impl Console {
    /// Takes `bytes`: as [`Write::write`], which cannot fail either.
    pub fn put(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.waiting.len() + rest.len() > CAPACITY {
            let room = CAPACITY - self.waiting.len();
            let (now, later) = match self.waiting.is_empty() {
                // What fills the buffer more than once need not be copied there.
                true => rest.split_at(rest.len() - rest.len() % CAPACITY),
                false => rest.split_at(room),
            };
            if self.waiting.is_empty() {
                self.write_out(now);
            } else {
                self.waiting.extend_from_slice(now);
                self.send();
            }
            rest = later;
        }
        self.waiting.extend_from_slice(rest);
        self.line_ended |= rest.contains(&b'\n');
    }
}

impl SerialOutput for Console {
    /// Flushes the buffer if it has the end of a line, so that a string of many lines is
    /// one host write.
    fn end_access(&mut self) {
        if self.line_ended {
            self.send();
        }
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: the serial port flushes after every byte.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use std::io::{self, ErrorKind, Write};
    use std::sync::{Arc, Mutex};

    use super::{CAPACITY, Console};
    use crate::devices::serial::SerialOutput;

    /// A sink that remembers each host write.
    #[derive(Clone, Default)]
    pub struct Recorder(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Recorder {
        /// What was written, write by write.
        pub fn writes(&self) -> Vec<Vec<u8>> {
            self.0.lock().expect("no test panics in it").clone()
        }
    }

    impl Write for Recorder {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("no test panics in it")
                .push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A sink that nobody reads.
    pub struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_and_full_buffers_go_out() {
        let recorder = Recorder::default();
        let mut console = Console::new(Box::new(recorder.clone()));
        console.write_all(b"no line yet").expect("never fails");
        console.end_access();
        assert!(recorder.writes().is_empty());
        console.write_all(b"\nnext").expect("never fails");
        console.end_access();
        assert_eq!(recorder.writes(), [b"no line yet\nnext"]);
        console
            .write_all(&[b'x'; CAPACITY + 1])
            .expect("never fails");
        console.end_access();
        assert_eq!(recorder.writes()[1].len(), CAPACITY);
        console.send();
        assert_eq!(recorder.writes()[2], b"x");
        console.send();
        assert_eq!(recorder.writes().len(), 3);
    }

    #[test]
    fn a_closed_pipe_is_reported_once_and_stops_nothing() {
        let mut console = Console::new(Box::new(ClosedPipe));
        for _ in 0..3 {
            console.write_all(b"line\n").expect("never fails");
            console.end_access();
        }
        let error = console.take_error().expect("the first write failed");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(console.take_error().is_none());
    }
}
