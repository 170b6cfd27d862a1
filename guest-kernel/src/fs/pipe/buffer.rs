//! What a pipe holds: slots, each with frames that follow each other, the last partly full.
//!
//! A write begins a slot unless all of it fits into the last frame, so that a write of up to a
//! page is in one frame, and so in one piece. As on Linux a frame counts as long as something
//! in it is to be read. A slot takes frames as it is begun and gives them back as it is read.
//! One frame is the pipe's for good, so that a byte can go through however short memory is.
//!
//! Rejected: a slot for each frame, which makes a copy for each page of a long write.

use core::mem;

use arch::copies;
use mm::frames::{FRAME_SIZE, FrameRun};
use mm::{Frame, OutOfMemory, Owned, quota};

use crate::fs::transfer::{Next, Source, Step, Target};

/// Frames that a new pipe can have, and the largest.
const DEFAULT_FRAMES: usize = 16;
const MAX_FRAMES: usize = GROUP * GROUPS;
const GROUP: usize = 16;
const GROUPS: usize = 16;

#[derive(Default)]
struct Slot {
    frames: FrameRun,
    /// What is to be read: it starts in the first frame and ends in the last.
    start: u32,
    end: u32,
    /// Whether it is read by itself, and what a read leaves of it is lost.
    is_packet: bool,
}

impl Slot {
    fn bytes(&self) -> &[u8] {
        &self.frames.bytes()[self.start as usize..self.end as usize]
    }

    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Takes out the next `count` bytes, not all of them, and gives back the frames that are
    /// read; says how many.
    fn advance(&mut self, count: usize) -> usize {
        self.start += count as u32;
        let read = self.start / FRAME_SIZE as u32;
        if read > 0 {
            let bytes = read * FRAME_SIZE as u32;
            (self.start, self.end) = (self.start - bytes, self.end - bytes);
            drop(self.frames.take_front(bytes as usize));
        }
        read as usize
    }
}

type Group = [Slot; GROUP];

/// The slots, of which those in use follow each other around a ring.
pub struct Buffer {
    groups: [Option<Owned<Group>>; GROUPS],
    /// How many frames there can be, a power of two, and how many slots, since each has one.
    size: usize,
    first: usize,
    /// Slots in use, and their frames.
    used: usize,
    frames: usize,
    /// Frames for the next write.
    spare: FrameRun,
    bytes: usize,
}

/// Why a pipe cannot have another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeError {
    /// It holds more.
    Full,
    /// No pipe is that large.
    TooLarge,
    /// There is no memory.
    OutOfMemory,
}

impl From<OutOfMemory> for ResizeError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl Buffer {
    /// An empty one.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new() -> Result<Self, OutOfMemory> {
        Ok(Self {
            groups: groups(DEFAULT_FRAMES)?,
            size: DEFAULT_FRAMES,
            first: 0,
            used: 0,
            frames: 0,
            spare: Frame::allocate().ok_or(OutOfMemory)?.into(),
            bytes: 0,
        })
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Bytes that it can hold at most.
    pub fn size(&self) -> usize {
        self.size * FRAME_SIZE
    }

    /// Bytes that can be written at once, in pieces of a page.
    pub fn room(&self) -> usize {
        (self.size - self.frames) * FRAME_SIZE
    }

    /// Whether a slot can be begun.
    pub fn has_room(&self) -> bool {
        self.frames < self.size && (!self.spare.is_empty() || mm::check_object().is_ok())
    }

    #[inline]
    fn slot(&mut self, number: usize) -> &mut Slot {
        let place = (self.first + number) & (self.size - 1);
        let group = self.groups[place / GROUP].as_mut();
        &mut group.expect("there are as many groups as it takes")[place % GROUP]
    }

    // This, `write` and `end_first` have one caller each where instructions count.

    /// Moves what there is of one slot to `target`, which has room; a packet is the last that it
    /// moves.
    #[inline(always)]
    pub fn read(&mut self, target: &mut dyn Target) -> Step {
        let slot = self.slot(0);
        let (len, is_packet) = (slot.len(), slot.is_packet);
        let moved = target.put(slot.bytes());
        let is_copied = moved == len || target.left() == 0;
        if moved == len || is_packet && is_copied {
            let frames = mem::take(&mut slot.frames);
            self.end_first(frames, len);
        } else {
            let frames = slot.advance(moved);
            self.frames -= frames;
            self.bytes -= moved;
        }
        let next = match is_copied {
            true if is_packet => Next::Stop,
            true => Next::More,
            false => Next::Resolve,
        };
        Step { moved, next }
    }

    /// Fills the front of `room` with what comes after the next `skip` bytes, and says how
    /// much that is.
    pub fn peek(&mut self, skip: usize, room: &mut [u8]) -> usize {
        let (mut skip, mut done) = (skip, 0);
        for number in 0..self.used {
            let bytes = self.slot(number).bytes();
            if skip >= bytes.len() {
                skip -= bytes.len();
                continue;
            }
            let count = (bytes.len() - skip).min(room.len() - done);
            copies::copy(&mut room[done..][..count], &bytes[skip..][..count]);
            (skip, done) = (0, done + count);
        }
        done
    }

    /// The bytes of the first slot; none if there is none.
    pub fn first(&mut self) -> &[u8] {
        match self.is_empty() {
            true => &[],
            false => self.slot(0).bytes(),
        }
    }

    /// Takes out the next bytes, at most as many as there are.
    pub fn skip(&mut self, count: usize) {
        let mut count = count;
        while count > 0 && self.used > 0 {
            let slot = self.slot(0);
            let len = slot.len();
            if count < len {
                let frames = slot.advance(count);
                self.frames -= frames;
                self.bytes -= count;
                return;
            }
            let frames = mem::take(&mut slot.frames);
            self.end_first(frames, len);
            count -= len;
        }
    }

    /// Ends the first slot, which had these frames and so many bytes.
    #[inline(always)]
    fn end_first(&mut self, frames: FrameRun, len: usize) {
        self.bytes -= len;
        self.frames -= frames.len() / FRAME_SIZE;
        self.used -= 1;
        // An empty one begins anew, with the slots that were used last.
        self.first = match self.used {
            0 => 0,
            _ => (self.first + 1) & (self.size - 1),
        };
        self.keep(frames);
    }

    /// Keeps these frames for the next write, or those that are kept, if they are more.
    #[inline]
    fn keep(&mut self, frames: FrameRun) {
        if frames.len() > self.spare.len() {
            self.spare = frames;
        }
    }

    /// Gives back frames that are kept, but for one: no write comes at once.
    #[inline]
    pub fn trim(&mut self) {
        if self.spare.len() > FRAME_SIZE {
            self.spare = self.spare.take_front(FRAME_SIZE);
        }
    }

    /// Frames for up to `len` bytes, of which there is room for some.
    #[inline]
    fn take_frames(&mut self, len: usize) -> FrameRun {
        if len > self.spare.len() {
            let most = quota::frames_for_files().min(len.div_ceil(FRAME_SIZE) as u64);
            match FrameRun::allocate(most) {
                Some(frames) if frames.len() >= self.spare.len() => return frames,
                _ => {}
            }
        }
        self.spare.take_front(len)
    }

    /// How much of the next `left` bytes goes behind the last slot's: what is not whole pages,
    /// if it fits and no packet is there; or, if it `goes_on`, what fits, since the same write
    /// has stopped there at a fault.
    #[inline]
    fn room_in_last(&mut self, left: usize, goes_on: bool) -> usize {
        let Some(last) = self.used.checked_sub(1) else {
            return 0;
        };
        let slot = self.slot(last);
        let room = slot.frames.len() - slot.end as usize;
        let rest = left % FRAME_SIZE;
        match goes_on {
            true => left.min(room),
            false if slot.is_packet || rest > room => 0,
            false => rest,
        }
    }

    /// Moves what goes into one slot from `source`, of which something is left; `None` if there
    /// is no room. `goes_on` says that it stopped at a fault before, in the last slot.
    #[inline(always)]
    pub fn write(
        &mut self,
        source: &mut dyn Source,
        is_packet: bool,
        goes_on: bool,
    ) -> Option<Step> {
        let left = source.left();
        let wanted = self.room_in_last(left, goes_on);
        if wanted > 0 {
            let slot = self.slot(self.used - 1);
            let room = &mut slot.frames.bytes_mut()[slot.end as usize..][..wanted];
            let moved = source.take(room);
            slot.end += moved as u32;
            self.bytes += moved;
            return Some(Step::copied(moved, wanted));
        }
        let most = match is_packet {
            true => self.room().min(FRAME_SIZE),
            false => self.room(),
        };
        let mut frames = self.take_frames(left.min(most));
        if frames.is_empty() {
            return None;
        }
        let wanted = left.min(frames.len());
        let moved = source.take(&mut frames.bytes_mut()[..wanted]);
        if moved < wanted {
            let filled = frames.take_front(moved);
            self.keep(mem::replace(&mut frames, filled));
        }
        if moved > 0 {
            self.put(Slot {
                frames,
                start: 0,
                end: moved as u32,
                is_packet,
            });
        }
        Some(Step::copied(moved, wanted))
    }

    /// Puts a slot behind the others.
    #[inline]
    fn put(&mut self, slot: Slot) {
        self.bytes += slot.len();
        self.frames += slot.frames.len() / FRAME_SIZE;
        let used = self.used;
        *self.slot(used) = slot;
        self.used += 1;
    }

    /// Gives it room for so many bytes or, as there are powers of two of pages only, more;
    /// returns how many.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn resize(&mut self, size: usize) -> Result<usize, ResizeError> {
        let size = size.div_ceil(FRAME_SIZE).max(1).next_power_of_two();
        if size > MAX_FRAMES {
            return Err(ResizeError::TooLarge);
        }
        if self.frames > size {
            return Err(ResizeError::Full);
        }
        let mut groups = groups(size)?;
        for number in 0..self.used {
            if let Some(group) = &mut groups[number / GROUP] {
                group[number % GROUP] = mem::take(self.slot(number));
            }
        }
        self.groups = groups;
        self.size = size;
        self.first = 0;
        Ok(self.size())
    }
}

fn groups(slots: usize) -> Result<[Option<Owned<Group>>; GROUPS], OutOfMemory> {
    let mut groups = [const { None }; GROUPS];
    for group in &mut groups[..slots.div_ceil(GROUP)] {
        *group = Some(Owned::new(Group::default())?);
    }
    Ok(groups)
}
