//! The bytes that wait in a socket: a queue in frames, which come as bytes do and go as they
//! are read.
//!
//! ```text
//! piece   |  -  bytes | bytes | bytes | -->  | bytes | bytes  -  | -->  nothing
//!            ^start                                         ^end
//! ```
//!
//! A piece has frames that follow each other in memory, so that a long write is one copy, and so
//! is a long read. Only the last has room, but for what is [reserved](Bytes::reserve).
//!
//! Rejected: the pipe's buffer, whose frames stay as long as the pipe, where there may be a
//! thousand sockets and most are empty; a frame for each message, which for a byte is too much; a
//! piece for each frame, which makes a copy for each page.

use core::cell::Cell;

use arch::copies;
use mm::frames::{self, FRAME_SIZE, FrameRun};
use mm::{OutOfMemory, Owned, quota};

use crate::fs::transfer::{Source, Step};

/// Most bytes that wait in one socket.
pub const LIMIT: usize = 63 * FRAME_SIZE;

/// Sockets may fill one part in this many of memory.
const PART: u64 = 4;

#[cfg(not(test))]
static TAKEN: single_cpu::SingleCpu<Cell<u64>> = single_cpu::SingleCpu::new(Cell::new(0));

// Tests run at the same time and each has its own.
#[cfg(test)]
std::thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// Frames that count as the sockets'.
struct Frames(FrameRun);

impl Frames {
    /// As many as follow each other of those that `len` bytes need: one at least.
    fn new(len: usize) -> Result<Self, OutOfMemory> {
        let left = (frames::total() / PART).saturating_sub(TAKEN.get());
        let most = left.min(quota::frames_for_files());
        let most = most.min(len.div_ceil(FRAME_SIZE) as u64);
        let frames = FrameRun::allocate(most).ok_or(OutOfMemory)?;
        TAKEN.set(TAKEN.get() + count(&frames));
        Ok(Self(frames))
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        TAKEN.set(TAKEN.get() - count(&self.0));
    }
}

fn count(frames: &FrameRun) -> u64 {
    (frames.len() / FRAME_SIZE) as u64
}

struct Piece {
    frames: Frames,
    /// Where its bytes are.
    start: usize,
    end: usize,
    next: Option<Owned<Piece>>,
}

impl Piece {
    fn new(len: usize) -> Result<Owned<Self>, OutOfMemory> {
        Owned::new(Self {
            frames: Frames::new(len)?,
            start: 0,
            end: 0,
            next: None,
        })
    }

    fn bytes(&self) -> &[u8] {
        &self.frames.0.bytes()[self.start..self.end]
    }

    /// Drops its next `count` bytes, not all of them, and the frames that had no others.
    fn advance(&mut self, count: usize) {
        self.start += count;
        let read = self.start - self.start % FRAME_SIZE;
        drop(Frames(self.frames.0.take_front(read)));
        (self.start, self.end) = (self.start - read, self.end - read);
    }

    /// What is behind its bytes.
    fn room(&mut self) -> &mut [u8] {
        &mut self.frames.0.bytes_mut()[self.end..]
    }

    fn is_full(&self) -> bool {
        self.end == self.frames.0.len()
    }
}

/// A queue of bytes.
pub struct Bytes {
    first: Option<Owned<Piece>>,
    len: usize,
}

impl Bytes {
    /// No bytes.
    pub const fn new() -> Self {
        Self {
            first: None,
            len: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes from `offset` on, as far as they are in one piece: none at the end.
    pub fn piece(&self, offset: usize) -> &[u8] {
        let mut skipped = 0;
        let mut next = &self.first;
        while let Some(piece) = next {
            let bytes = piece.bytes();
            if offset - skipped < bytes.len() {
                return &bytes[offset - skipped..];
            }
            skipped += bytes.len();
            next = &piece.next;
        }
        &[]
    }

    /// Takes up to `most` bytes from `source`, as far as one piece goes.
    ///
    /// # Errors
    /// There is no memory.
    pub fn take(&mut self, source: &mut dyn Source, most: usize) -> Result<Step, OutOfMemory> {
        let wanted = most.min(source.left());
        let place = self.place(wanted)?;
        let room = place.room();
        let wanted = wanted.min(room.len());
        let moved = source.take(&mut room[..wanted]);
        place.end += moved;
        self.len += moved;
        self.end_empty();
        Ok(Step::copied(moved, wanted))
    }

    /// Appends `bytes`, for which [`reserve`](Self::reserve) has made room.
    ///
    /// # Errors
    /// There is no memory.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<(), OutOfMemory> {
        while !bytes.is_empty() {
            let place = self.place(bytes.len())?;
            let room = place.room();
            let (now, later) = bytes.split_at(room.len().min(bytes.len()));
            copies::copy(&mut room[..now.len()], now);
            place.end += now.len();
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
        self.make_room(count).inspect_err(|_| self.end_empty())
    }

    fn make_room(&mut self, count: usize) -> Result<(), OutOfMemory> {
        let mut left = count;
        let mut link = &mut self.first;
        while left > 0 {
            let piece = match link {
                Some(piece) => piece,
                none => none.insert(Piece::new(left)?),
            };
            left = left.saturating_sub(piece.room().len());
            link = &mut piece.next;
        }
        Ok(())
    }

    /// Drops `count` bytes from the front.
    pub fn skip(&mut self, count: usize) {
        let mut count = count.min(self.len);
        self.len -= count;
        while let Some(piece) = &mut self.first {
            let len = piece.bytes().len();
            if count < len {
                piece.advance(count);
                break;
            }
            count -= len;
            self.first = piece.next.take();
        }
        self.end_empty();
    }

    /// Without bytes there are no pieces.
    fn end_empty(&mut self) {
        if self.len == 0 {
            *self = Self::new();
        }
    }

    /// The first piece with room, which may be a new one for `wanted` bytes.
    fn place(&mut self, wanted: usize) -> Result<&mut Piece, OutOfMemory> {
        let mut link = &mut self.first;
        while link.as_ref().is_some_and(|piece| piece.is_full()) {
            link = match link {
                Some(piece) => &mut piece.next,
                none => none,
            };
        }
        match link {
            Some(piece) => Ok(piece),
            none => Ok(none.insert(Piece::new(wanted)?)),
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // One after the other, not each within the one before.
        while let Some(mut piece) = self.first.take() {
            self.first = piece.next.take();
        }
    }
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
        assert_eq!((first.moved, bytes.piece(0).len()), (5000, 5000));
        assert_eq!(TAKEN.get(), 2);
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
