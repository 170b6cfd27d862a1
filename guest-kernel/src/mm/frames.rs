//! Frames: 4 KiB of physical memory each.
//!
//! Fresh frames come from a mark that moves through the free extents of memory; returned
//! ones are chained through their own first bytes. So making the allocator costs the
//! same whatever the size of memory. Rejected: a bitmap or a list of all frames, which
//! have to be written first.

#![allow(unsafe_code)]

use core::cell::RefCell;
use core::slice;

use abi::virtual_map::{DIRECT_MAP, PAGE_SIZE};

use crate::arch::SingleCpu;
use crate::arch::paging::DIRECT_MAP_LIMIT;

/// Bytes in a frame.
pub const FRAME_SIZE: usize = PAGE_SIZE as usize;

/// Separate ranges of free memory that are used; any more are left alone.
const MAX_EXTENTS: usize = 16;

/// End of the chain of returned frames: frame 0 is never free.
const NO_FRAME: u64 = 0;

static FRAMES: SingleCpu<RefCell<FrameAllocator>> =
    SingleCpu::new(RefCell::new(FrameAllocator::empty(DIRECT_MAP)));

/// A frame that belongs to whoever has this value; dropping it frees the frame.
#[derive(Debug)]
pub struct Frame(u64);

impl Frame {
    /// A free frame, contents unknown.
    pub fn allocate() -> Option<Self> {
        let (address, _) = FRAMES.borrow_mut().allocate()?;
        Some(Self(address))
    }

    /// A free frame, filled with zeros.
    pub fn allocate_zeroed() -> Option<Self> {
        let (address, contents) = FRAMES.borrow_mut().allocate()?;
        let mut frame = Self(address);
        if contents == Contents::Unknown {
            frame.bytes_mut().fill(0);
        }
        Some(frame)
    }

    /// The frame's physical address; from now on the caller must see to it.
    pub fn into_address(self) -> u64 {
        let address = self.0;
        core::mem::forget(self);
        address
    }

    /// The frame's contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the frame is RAM, which the direct map maps, and only this value's
        // owner uses it.
        unsafe { slice::from_raw_parts((DIRECT_MAP + self.0) as *const u8, FRAME_SIZE) }
    }

    /// The frame's contents.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut((DIRECT_MAP + self.0) as *mut u8, FRAME_SIZE) }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: this value owned the frame.
        unsafe { FRAMES.borrow_mut().free(self.0) };
    }
}

/// A frame, contents unknown, for the kernel to keep.
pub fn for_kernel() -> Option<u64> {
    Frame::allocate().map(Frame::into_address)
}

/// A zeroed frame for the page tables to keep.
pub fn for_tables() -> Option<u64> {
    Frame::allocate_zeroed().map(Frame::into_address)
}

/// Gives the allocator what is in `ram` and not in `reserved`: ranges of physical
/// addresses. `contents` is what the machine promises of it.
pub fn start(ram: impl Iterator<Item = (u64, u64)>, reserved: &[(u64, u64)], contents: Contents) {
    let mut frames = FRAMES.borrow_mut();
    frames.fresh_contents = contents;
    for (start, end) in ram {
        frames.add(start, end.min(DIRECT_MAP_LIMIT), reserved);
    }
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Zeros.
    Zero,
    /// Anything.
    Unknown,
}

struct FrameAllocator {
    /// Where physical address 0 is mapped.
    direct_map: u64,
    /// Ranges of frames never given out, page-aligned, none empty from the first on.
    fresh: [(u64, u64); MAX_EXTENTS],
    fresh_first: usize,
    fresh_len: usize,
    /// What is in them.
    fresh_contents: Contents,
    /// First of the returned frames.
    returned: u64,
}

impl FrameAllocator {
    const fn empty(direct_map: u64) -> Self {
        Self {
            direct_map,
            fresh: [(0, 0); MAX_EXTENTS],
            fresh_first: 0,
            fresh_len: 0,
            fresh_contents: Contents::Unknown,
            returned: NO_FRAME,
        }
    }

    /// Adds the whole frames of `start..end` but for those that a reserved range touches.
    fn add(&mut self, start: u64, end: u64, reserved: &[(u64, u64)]) {
        if start >= end {
            return;
        }
        let hit = reserved
            .iter()
            .find(|range| range.0 < end && start < range.1 && range.0 < range.1);
        if let Some(&(from, to)) = hit {
            self.add(start, from.max(start), reserved);
            self.add(to.min(end), end, reserved);
            return;
        }
        let start = start.next_multiple_of(PAGE_SIZE);
        let end = end & !(PAGE_SIZE - 1);
        if start < end && self.fresh_len < MAX_EXTENTS {
            self.fresh[self.fresh_len] = (start, end);
            self.fresh_len += 1;
        }
    }

    fn allocate(&mut self) -> Option<(u64, Contents)> {
        if self.returned != NO_FRAME {
            let frame = self.returned;
            // SAFETY: `free` put the next frame's address there, and nobody has used the
            // frame since.
            self.returned = unsafe { self.link(frame).read() };
            return Some((frame, Contents::Unknown));
        }
        // From the first range on: in the order of the memory map the lowest, which is
        // mapped from the beginning.
        let (start, end) = self.fresh[..self.fresh_len].get_mut(self.fresh_first)?;
        let frame = *start;
        *start += PAGE_SIZE;
        if start == end {
            self.fresh_first += 1;
        }
        Some((frame, self.fresh_contents))
    }

    /// # Safety
    /// `allocate` gave the frame, and nobody uses it any more.
    unsafe fn free(&mut self, frame: u64) {
        // SAFETY: the frame is mapped and, by the caller's promise, unused.
        unsafe { self.link(frame).write(self.returned) };
        self.returned = frame;
    }

    fn link(&self, frame: u64) -> *mut u64 {
        (self.direct_map + frame) as *mut u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, FrameAllocator, MAX_EXTENTS};

    fn with_memory(ranges: &[(u64, u64)], reserved: &[(u64, u64)]) -> FrameAllocator {
        let mut frames = FrameAllocator::empty(0);
        for &(start, end) in ranges {
            frames.add(start, end, reserved);
        }
        frames
    }

    fn all(frames: &mut FrameAllocator) -> Vec<u64> {
        let mut all: Vec<_> = std::iter::from_fn(|| frames.allocate())
            .map(|(frame, _)| frame)
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn reserved_ranges_are_cut_out() {
        let mut frames = with_memory(
            &[(0, 0x9000)],
            &[(0, 0x1000), (0x3800, 0x5001), (0x9000, 0xa000)],
        );
        assert_eq!(all(&mut frames), [0x1000, 0x2000, 0x6000, 0x7000, 0x8000]);
    }

    #[test]
    fn only_whole_frames_count() {
        let mut frames = with_memory(&[(0x1001, 0x3fff), (0x5800, 0x6800), (0x8000, 0x8000)], &[]);
        assert_eq!(all(&mut frames), [0x2000]);
    }

    #[test]
    fn empty_reserved_ranges_reserve_nothing() {
        let mut frames = with_memory(&[(0x1000, 0x3000)], &[(0x2000, 0x2000)]);
        assert_eq!(all(&mut frames), [0x1000, 0x2000]);
    }

    #[test]
    fn too_many_extents_are_left_alone() {
        let ranges: Vec<_> = (1..=20)
            .map(|n| (n * 0x2000, n * 0x2000 + 0x1000))
            .collect();
        let mut frames = with_memory(&ranges, &[]);
        assert_eq!(all(&mut frames).len(), MAX_EXTENTS);
    }

    #[test]
    fn returned_frames_are_used_again() {
        let mut memory = vec![0_u64; 4 * 512];
        let base = memory.as_mut_ptr() as u64;
        let mut frames = FrameAllocator::empty(base);
        frames.add(0x1000, 0x4000, &[]);
        let taken = all(&mut frames);
        assert_eq!(taken, [0x1000, 0x2000, 0x3000]);
        frames.fresh_contents = Contents::Zero;
        for &frame in &taken {
            // SAFETY: `memory` stands for frames 0 to 3, and `taken` is forgotten.
            unsafe { frames.free(frame) };
        }
        assert_eq!(frames.allocate(), Some((0x3000, Contents::Unknown)));
        assert_eq!(all(&mut frames), taken[..2]);
    }
}
