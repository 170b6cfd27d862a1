//! A serial line between two machines: what one sends, the other receives.
//!
//! ```text
//!   machine A: port 0x2f8 --> LinkEnd A --line--> LinkEnd B --> port 0x2f8, GSI 3: machine B
//!                                     <--line--
//! ```
//!
//! It is the only thing that two machines share, so neither may harm the other by it: a
//! line holds [`CAPACITY`] bytes and drops the excess, as a UART with overrun does, and it
//! wakes the receiver only when it was empty before, so that a sender cannot slow down a
//! receiver that does not read.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::serial::SerialOutput;

/// Bytes under way at most, in each direction.
pub const CAPACITY: usize = 4096;

/// One direction.
#[derive(Default)]
struct Line {
    bytes: Mutex<VecDeque<u8>>,
    /// Bytes under way, to be read without the lock.
    len: AtomicUsize,
    /// Wakes the receiver.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, sent: &[u8]) {
        let mut bytes = self.lock();
        let was_empty = bytes.is_empty();
        let room = CAPACITY.saturating_sub(bytes.len());
        bytes.extend(sent.iter().take(room));
        self.len.store(bytes.len(), Ordering::Release);
        drop(bytes);
        if was_empty && let Some(wake) = self.wake.get() {
            wake();
        }
    }

    fn receive(&self, consume: impl FnOnce(&[u8]) -> usize) {
        if self.len.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut bytes = self.lock();
        let taken = consume(bytes.make_contiguous()).min(bytes.len());
        bytes.drain(..taken);
        self.len.store(bytes.len(), Ordering::Release);
    }
}

/// One end of a line between two machines. Clones are the same end.
#[derive(Clone)]
pub struct LinkEnd {
    outgoing: Arc<Line>,
    incoming: Arc<Line>,
}

impl fmt::Debug for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkEnd").finish_non_exhaustive()
    }
}

impl LinkEnd {
    /// Both ends of a new line.
    pub fn pair() -> [Self; 2] {
        let (one, other) = (Arc::<Line>::default(), Arc::<Line>::default());
        [
            Self {
                outgoing: Arc::clone(&one),
                incoming: Arc::clone(&other),
            },
            Self {
                outgoing: other,
                incoming: one,
            },
        ]
    }

    /// Registers `wake`, which is called on the sender's thread when bytes arrive where
    /// none were; only the first call counts.
    pub fn on_arrival(&self, wake: impl Fn() + Send + Sync + 'static) {
        // An end is in one machine, which asks once.
        let _ = self.incoming.wake.set(Box::new(wake));
    }

    /// Offers what has arrived to `consume`, which says how many bytes it took.
    pub fn receive(&self, consume: impl FnOnce(&[u8]) -> usize) {
        self.incoming.receive(consume);
    }
}

/// What a machine sends, gathered into one piece an access.
pub struct LinkOutput {
    end: LinkEnd,
    gathered: Vec<u8>,
}

impl LinkOutput {
    /// For what goes out at `end`.
    pub fn new(end: LinkEnd) -> Self {
        Self {
            end,
            gathered: Vec::new(),
        }
    }
}

impl SerialOutput for LinkOutput {
    fn end_access(&mut self) {
        if !self.gathered.is_empty() {
            self.end.outgoing.send(&self.gathered);
            self.gathered.clear();
        }
    }
}

impl Write for LinkOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The line would drop more than it can hold.
        let room = CAPACITY.saturating_sub(self.gathered.len());
        self.gathered.extend(bytes.iter().take(room));
        Ok(bytes.len())
    }

    /// Does nothing: the serial port flushes after every byte.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{CAPACITY, LinkEnd};

    fn received(end: &LinkEnd, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        end.receive(|bytes| {
            all.extend(bytes.iter().take(most));
            all.len()
        });
        all
    }

    #[test]
    fn each_end_receives_what_the_other_sends() {
        let [one, other] = LinkEnd::pair();
        one.outgoing.send(b"ping");
        other.outgoing.send(b"pong");
        assert_eq!(received(&other, 3), b"pin");
        assert_eq!(received(&other, 3), b"g");
        assert_eq!(received(&other, 3), b"");
        assert_eq!(received(&one, 9), b"pong");
    }

    #[test]
    fn a_receiver_that_does_not_read_is_woken_once_and_costs_little() {
        let [one, other] = LinkEnd::pair();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        other.on_arrival(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        for _ in 0..3 * CAPACITY {
            one.outgoing.send(b"x");
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert_eq!(received(&other, usize::MAX).len(), CAPACITY);
        one.outgoing.send(b"y");
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
