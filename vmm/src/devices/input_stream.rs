//! The input stream: standard input that is no terminal, as bytes and an end.
//!
//! A UART has no end of input and hands over a byte an access. Here a guest learns how
//! many bytes there are and reads them by one string instruction ([`abi::ports::INPUT`]).

use std::collections::VecDeque;

use abi::ports::{INPUT, INPUT_DATA, INPUT_END};

use super::bus;

/// Bytes that are kept for a guest.
pub const CAPACITY: usize = 1 << 16;
/// Bytes that are taken from a source that is always ready when a guest asks by port.
const OFFER: usize = 4096;

/// Offset of the bytes among the ports.
const DATA: u8 = (INPUT_DATA - INPUT) as u8;

/// The device.
#[derive(Debug, Default)]
pub struct InputStream {
    bytes: VecDeque<u8>,
    ended: bool,
    /// Whether the guest has ever asked.
    asked: bool,
    /// Whether its last read said that there are no bytes yet.
    waits: bool,
    raised: bool,
}

impl InputStream {
    /// Whether the guest would take more than there is.
    #[inline]
    pub fn wants_input(&self) -> bool {
        self.asked && !self.ended && self.room() > 0
    }

    /// Bytes that it would take now.
    pub fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.bytes.len())
    }

    /// The same where little is to be taken in advance.
    pub fn room_in_offer(&self) -> usize {
        OFFER.saturating_sub(self.bytes.len())
    }

    /// Whether the guest has ever asked.
    pub fn was_asked(&self) -> bool {
        self.asked
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Offers all bytes to `consume`, which says how many it took, from the first on.
    pub fn take(&mut self, consume: impl FnOnce(&[u8]) -> usize) {
        let taken = consume(self.bytes.make_contiguous());
        self.bytes.drain(..taken);
    }

    /// Whether a read at `offset` gives the number of bytes available.
    pub fn is_asked(&mut self, offset: u8) -> bool {
        let asked = offset < DATA;
        self.asked |= asked;
        asked
    }

    /// Reads `items` of `size` bytes each from `offset` on.
    pub fn read(&mut self, offset: u8, size: u8, items: &mut [u8]) {
        if offset >= DATA {
            items.fill_with(|| self.bytes.pop_front().unwrap_or(0xff));
            return;
        }
        let ready = match self.bytes.len() {
            0 if self.ended => INPUT_END,
            len => len as u32,
        };
        self.waits = ready == 0;
        for item in items.chunks_mut(usize::from(size.max(1))) {
            bus::read_register(ready, usize::from(offset), item);
        }
    }

    /// Takes `bytes`, as many as there is room for, from the first on; returns how many.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..count]);
        self.raise(count > 0);
        count
    }

    /// Ends the input.
    pub fn end(&mut self) {
        self.ended = true;
        self.raise(true);
    }

    /// Whether an interrupt has become due since the last call.
    pub fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.raised)
    }

    fn raise(&mut self, news: bool) {
        if news && std::mem::take(&mut self.waits) {
            self.raised = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, DATA, INPUT_END, InputStream};

    fn ready(stream: &mut InputStream) -> u32 {
        let mut answer = [0; 4];
        assert!(stream.is_asked(0));
        stream.read(0, 4, &mut answer);
        u32::from_le_bytes(answer)
    }

    #[test]
    fn bytes_come_as_they_are_and_then_the_end_for_ever() {
        let mut stream = InputStream::default();
        assert!(!stream.wants_input(), "nobody has asked");
        assert_eq!(ready(&mut stream), 0);
        assert!(stream.wants_input());
        assert_eq!(stream.input(b"a\x03\x04\nb"), 5);
        assert!(stream.take_interrupt(), "there was nothing before");
        assert_eq!(ready(&mut stream), 5);
        let mut bytes = [0; 7];
        stream.read(DATA, 1, &mut bytes);
        assert_eq!(&bytes, b"a\x03\x04\nb\xff\xff");
        assert!(!stream.take_interrupt());
        stream.end();
        assert!(!stream.take_interrupt(), "nobody waits");
        for _ in 0..2 {
            assert_eq!(ready(&mut stream), INPUT_END);
        }
        assert!(!stream.wants_input());
    }

    #[test]
    fn an_end_wakes_who_waits() {
        let mut stream = InputStream::default();
        assert_eq!(ready(&mut stream), 0);
        stream.end();
        assert!(stream.take_interrupt());
        assert!(!stream.take_interrupt());
    }

    #[test]
    fn it_takes_no_more_than_it_offers() {
        let mut stream = InputStream::default();
        assert_eq!(stream.input(&[b'x'; CAPACITY + 1]), CAPACITY);
        assert_eq!(stream.input(b"y"), 0);
        assert_eq!(ready(&mut stream), CAPACITY as u32);
    }

    #[test]
    fn any_width_and_place_reads_something() {
        let mut stream = InputStream::default();
        stream.input(&[7; 3]);
        let mut odd = [0; 2];
        stream.read(1, 2, &mut odd);
        assert_eq!(odd, [0, 0]);
        stream.read(0, 0, &mut odd);
        assert_eq!(odd, [3, 3]);
        assert!(!stream.is_asked(DATA + 3));
        stream.read(DATA + 3, 2, &mut odd);
        assert_eq!(odd, [7, 7]);
    }
}
