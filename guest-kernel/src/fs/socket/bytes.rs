//! The bytes that wait in a socket: a queue in frames, which come as bytes do and go as they
//! are read.
//!
//! ```text
//! ring    |  -  | frame | frame | frame |  -  |  -  |
//!                  ^front                ^ back
//! ```
//!
//! Rejected: the pipe's buffer, whose frames stay as long as the pipe, where there may be a
//! thousand sockets and most are empty; a frame for each message, which for a byte is too much.

use core::cell::Cell;

use mm::frames::{self, FRAME_SIZE};
use mm::{Frame, OutOfMemory, Owned, quota};

use crate::fs::transfer::{Source, Step};

/// Frames that a queue can have.
const SLOTS: usize = 64;

/// Most bytes that wait in one socket.
pub const LIMIT: usize = (SLOTS - 1) * FRAME_SIZE;

/// Sockets may fill one part in this many of memory.
const PART: u64 = 4;

#[cfg(not(test))]
static TAKEN: arch::SingleCpu<Cell<u64>> = arch::SingleCpu::new(Cell::new(0));

// Tests run at the same time and each has its own.
#[cfg(test)]
std::thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// A frame that counts as one of the sockets'.
struct Part(Frame);

impl Part {
    fn new() -> Result<Self, OutOfMemory> {
        if TAKEN.get() >= frames::total() / PART {
            return Err(OutOfMemory);
        }
        quota::check_file()?;
        let frame = Frame::allocate().ok_or(OutOfMemory)?;
        TAKEN.set(TAKEN.get() + 1);
        Ok(Self(frame))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        TAKEN.set(TAKEN.get() - 1);
    }
}

/// A queue of bytes.
pub struct Bytes {
    ring: Option<Owned<[Option<Part>; SLOTS]>>,
    /// Position of the first byte: it only grows.
    front: usize,
    len: usize,
}

impl Bytes {
    /// No bytes.
    pub const fn new() -> Self {
        Self {
            ring: None,
            front: 0,
            len: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes from `offset` on, as far as they are in one piece: none at the end.
    pub fn piece(&self, offset: usize) -> &[u8] {
        let at = self.front + offset;
        let left = self.len.saturating_sub(offset);
        let part = self.ring.as_ref().and_then(|ring| ring[slot(at)].as_ref());
        part.map_or(&[], |Part(frame)| {
            let piece = &frame.bytes()[at % FRAME_SIZE..];
            &piece[..piece.len().min(left)]
        })
    }

    /// Takes up to `most` bytes from `source`, as far as one piece goes.
    ///
    /// # Errors
    /// There is no memory.
    pub fn take(&mut self, source: &mut dyn Source, most: usize) -> Result<Step, OutOfMemory> {
        let wanted = most.min(source.left());
        let place = self.place()?;
        let wanted = wanted.min(place.len());
        let moved = source.take(&mut place[..wanted]);
        self.len += moved;
        Ok(Step::copied(moved, wanted))
    }

    /// Appends `bytes`, for which [`reserve`](Self::reserve) has made room.
    ///
    /// # Errors
    /// There is no memory.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<(), OutOfMemory> {
        while !bytes.is_empty() {
            let place = self.place()?;
            let (now, later) = bytes.split_at(place.len().min(bytes.len()));
            place[..now.len()].copy_from_slice(now);
            self.len += now.len();
            bytes = later;
        }
        Ok(())
    }

    /// Makes room for `count` bytes, so that to append them cannot fail.
    ///
    /// # Errors
    /// There is no memory.
    pub fn reserve(&mut self, count: usize) -> Result<(), OutOfMemory> {
        let end = self.front + self.len;
        let mut at = end;
        while at < end + count {
            self.part(at)?;
            at = (at / FRAME_SIZE + 1) * FRAME_SIZE;
        }
        Ok(())
    }

    /// Drops `count` bytes from the front.
    pub fn skip(&mut self, count: usize) {
        let count = count.min(self.len);
        let first = self.front / FRAME_SIZE;
        self.front += count;
        self.len -= count;
        if self.len == 0 {
            *self = Self::new();
            return;
        }
        if let Some(ring) = &mut self.ring {
            for number in first..self.front / FRAME_SIZE {
                ring[number % SLOTS] = None;
            }
        }
    }

    /// The room behind the last byte, in its frame or a new one.
    fn place(&mut self) -> Result<&mut [u8], OutOfMemory> {
        let at = self.front + self.len;
        let Part(frame) = self.part(at)?;
        Ok(&mut frame.bytes_mut()[at % FRAME_SIZE..])
    }

    /// The frame of a position.
    fn part(&mut self, at: usize) -> Result<&mut Part, OutOfMemory> {
        let ring = match &mut self.ring {
            Some(ring) => ring,
            none => none.insert(Owned::new([const { None }; SLOTS])?),
        };
        Ok(match &mut ring[slot(at)] {
            Some(part) => part,
            none => none.insert(Part::new()?),
        })
    }
}

fn slot(position: usize) -> usize {
    position / FRAME_SIZE % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::transfer::tests::Buffer;
    use fastrand::Rng;

    fn read(bytes: &mut Bytes, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < count {
            let piece = bytes.piece(all.len());
            if piece.is_empty() {
                break;
            }
            all.extend_from_slice(&piece[..piece.len().min(count - all.len())]);
        }
        bytes.skip(all.len());
        all
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut random = Rng::with_seed(3);
        let mut bytes = Bytes::new();
        let mut expected = std::collections::VecDeque::new();
        for round in 0..2000_usize {
            let count = random.usize(..9000);
            if random.bool() && bytes.len() + count <= LIMIT {
                let text: Vec<_> = (0..count).map(|n| (n + round) as u8).collect();
                expected.extend(&text);
                bytes.append(&text).expect("there is memory");
            } else {
                let got = read(&mut bytes, count);
                let wanted: Vec<_> = expected.drain(..count.min(expected.len())).collect();
                assert_eq!(got, wanted);
            }
            assert_eq!(bytes.len(), expected.len());
        }
    }

    #[test]
    fn no_bytes_take_no_memory() {
        let before = frames::free();
        let mut bytes = Bytes::new();
        let mut source = Buffer::new(&[7; 5000]);
        let first = bytes.take(&mut source, LIMIT).expect("there is memory");
        let second = bytes.take(&mut source, LIMIT).expect("there is memory");
        assert_eq!((first.moved, second.moved), (FRAME_SIZE, 5000 - FRAME_SIZE));
        bytes.skip(FRAME_SIZE);
        assert_eq!(TAKEN.get(), 1);
        bytes.skip(5000);
        assert_eq!((frames::free(), TAKEN.get()), (before, 0));
    }

    #[test]
    fn sockets_leave_memory_to_others() {
        let mut all: Vec<Bytes> = Vec::new();
        while all.len() < 100 {
            let mut bytes = Bytes::new();
            if bytes.reserve(LIMIT).is_err() {
                break;
            }
            all.push(bytes);
        }
        assert!(frames::free() > frames::total() / 2);
    }
}
