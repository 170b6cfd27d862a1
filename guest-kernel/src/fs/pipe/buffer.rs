//! What a pipe holds: slots, each with a frame that is partly full, as on Linux.
//!
//! A write begins a slot unless all of it fits into the last one, so that a write of up to a
//! page is in one slot, and so in one piece. A slot takes a frame as it is begun and gives it
//! back as it is read. One frame is the pipe's for good, so that a byte can go through however
//! short memory is.

use core::mem;

use arch::copies;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, Owned};

use crate::fs::transfer::{Next, Source, Step, Target};

/// Slots of a new pipe.
const DEFAULT_SLOTS: usize = 16;
/// Slots of the largest pipe.
const MAX_SLOTS: usize = GROUP * GROUPS;
const GROUP: usize = 16;
const GROUPS: usize = 16;

#[derive(Default)]
struct Slot {
    frame: Option<Frame>,
    start: u16,
    end: u16,
    /// Whether it is read by itself, and what a read leaves of it is lost.
    is_packet: bool,
}

type Group = [Slot; GROUP];

/// The slots, of which those in use follow each other around a ring.
pub struct Buffer {
    groups: [Option<Owned<Group>>; GROUPS],
    slots: usize,
    first: usize,
    used: usize,
    spare: Option<Frame>,
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
            groups: groups(DEFAULT_SLOTS)?,
            slots: DEFAULT_SLOTS,
            first: 0,
            used: 0,
            spare: Some(Frame::allocate().ok_or(OutOfMemory)?),
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
        self.slots * FRAME_SIZE
    }

    /// Bytes that can be written at once, in pieces of a page.
    pub fn room(&self) -> usize {
        (self.slots - self.used) * FRAME_SIZE
    }

    /// Whether a slot can be begun.
    pub fn has_room(&self) -> bool {
        self.used < self.slots && (self.spare.is_some() || mm::check_object().is_ok())
    }

    fn slot(&mut self, number: usize) -> &mut Slot {
        let place = (self.first + number) % self.slots;
        let group = self.groups[place / GROUP].as_mut();
        &mut group.expect("there are as many groups as it takes")[place % GROUP]
    }

    /// Moves what there is of one slot to `target`; a packet is the last that it moves.
    pub fn read(&mut self, target: &mut dyn Target) -> Step {
        let slot = self.slot(0);
        let (start, end) = (usize::from(slot.start), usize::from(slot.end));
        let wanted = (end - start).min(target.left());
        let moved = match &slot.frame {
            Some(frame) => target.put(&frame.bytes()[start..][..wanted]),
            None => 0,
        };
        slot.start += moved as u16;
        let is_packet = slot.is_packet && moved == wanted;
        let left = end - start - moved;
        self.bytes -= moved;
        if left == 0 || is_packet {
            self.bytes -= left;
            self.end_first();
        }
        match is_packet {
            true => Step {
                moved,
                next: Next::Stop,
            },
            false => Step::copied(moved, wanted),
        }
    }

    /// Fills the front of `room` with what comes after the next `skip` bytes, and says how
    /// much that is.
    pub fn peek(&mut self, skip: usize, room: &mut [u8]) -> usize {
        let (mut skip, mut done) = (skip, 0);
        for number in 0..self.used {
            let slot = self.slot(number);
            let (start, end) = (usize::from(slot.start), usize::from(slot.end));
            if skip >= end - start {
                skip -= end - start;
                continue;
            }
            let count = (end - start - skip).min(room.len() - done);
            if let Some(frame) = &slot.frame {
                let bytes = &frame.bytes()[start + skip..][..count];
                copies::copy(&mut room[done..][..count], bytes);
            }
            (skip, done) = (0, done + count);
        }
        done
    }

    /// Takes out the next bytes, at most as many as there are.
    pub fn skip(&mut self, count: usize) {
        let mut count = count;
        while count > 0 && self.used > 0 {
            let slot = self.slot(0);
            let step = usize::from(slot.end - slot.start).min(count);
            slot.start += step as u16;
            let is_empty = slot.start == slot.end;
            count -= step;
            self.bytes -= step;
            if is_empty {
                self.end_first();
            }
        }
    }

    fn end_first(&mut self) {
        let slot = mem::take(self.slot(0));
        self.spare = self.spare.take().or(slot.frame);
        self.used -= 1;
        // An empty one begins anew, with the slots that were used last.
        self.first = match self.used {
            0 => 0,
            _ => (self.first + 1) % self.slots,
        };
    }

    /// Whether the rest of `source` fits into the last slot, in which no packet is; or, if
    /// `goes_on`, the last slot is where the same write has stopped at a fault.
    fn fits_last(&mut self, len: usize, goes_on: bool) -> bool {
        let Some(last) = self.used.checked_sub(1) else {
            return false;
        };
        let slot = self.slot(last);
        let end = usize::from(slot.end);
        match goes_on {
            true => end < FRAME_SIZE,
            false => !slot.is_packet && len > 0 && end + len <= FRAME_SIZE,
        }
    }

    /// Moves a slot's worth from `source`, of which something is left; `None` if there is no
    /// room. `goes_on` says that it stopped at a fault before, in the last slot.
    pub fn write(
        &mut self,
        source: &mut dyn Source,
        is_packet: bool,
        goes_on: bool,
    ) -> Option<Step> {
        if self.fits_last(source.left() % FRAME_SIZE, goes_on) {
            let last = self.used - 1;
            let slot = self.slot(last);
            let end = usize::from(slot.end);
            let room = match goes_on {
                true => source.left().min(FRAME_SIZE - end),
                false => source.left() % FRAME_SIZE,
            };
            let frame = slot.frame.as_mut()?;
            let moved = source.take(&mut frame.bytes_mut()[end..][..room]);
            slot.end += moved as u16;
            self.bytes += moved;
            return Some(Step::copied(moved, room));
        }
        if !self.has_room() {
            return None;
        }
        let mut frame = self.spare.take().or_else(Frame::allocate)?;
        let wanted = source.left().min(FRAME_SIZE);
        let moved = source.take(&mut frame.bytes_mut()[..wanted]);
        if moved == 0 {
            self.spare = Some(frame);
        } else {
            let used = self.used;
            *self.slot(used) = Slot {
                frame: Some(frame),
                start: 0,
                end: moved as u16,
                is_packet,
            };
            self.used += 1;
            self.bytes += moved;
        }
        Some(Step::copied(moved, wanted))
    }

    /// Gives it room for so many bytes or, as there are powers of two of pages only, more;
    /// returns how many.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn resize(&mut self, size: usize) -> Result<usize, ResizeError> {
        let slots = size.div_ceil(FRAME_SIZE).max(1).next_power_of_two();
        if slots > MAX_SLOTS {
            return Err(ResizeError::TooLarge);
        }
        if self.used > slots {
            return Err(ResizeError::Full);
        }
        let mut groups = groups(slots)?;
        for number in 0..self.used {
            if let Some(group) = &mut groups[number / GROUP] {
                group[number % GROUP] = mem::take(self.slot(number));
            }
        }
        self.groups = groups;
        self.slots = slots;
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
