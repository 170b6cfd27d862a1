//! Frames: 4 KiB of physical memory each.
//!
//! Fresh frames come from a mark that moves through the free extents of memory; returned
//! ones are chained through their own first bytes. So making the allocator costs the
//! same whatever the size of memory. Rejected: a bitmap or a list of all frames, which
//! have to be written first.
//!
//! Each frame has a `use_count` for its owner: page tables count its sharers there. All
//! are zero at first, which costs nothing where the machine promises zeroed memory, and one
//! string instruction elsewhere.

#![allow(unsafe_code)]

mod fresh;
mod run;
mod share;
mod share_run;

pub use run::FrameRun;
pub use share::FrameShare;
pub use share_run::ShareRun;

use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use core::slice;

use abi::virtual_map::PAGE_SIZE;
use arch::copies;
use arch::paging::{BOOT_MAPPED, DIRECT_MAP, DIRECT_MAP_LIMIT};
use single_cpu::SingleCpu;

/// Bytes in a frame.
pub const FRAME_SIZE: usize = PAGE_SIZE as usize;

/// Most separate ranges of free memory that are used; any more are ignored.
const MAX_EXTENTS: usize = 16;

/// End of the chain of returned frames: frame 0 is never free.
const NO_FRAME: u64 = 0;

#[cfg(feature = "image")]
fn allocator() -> &'static RefCell<FrameAllocator> {
    static FRAMES: SingleCpu<RefCell<FrameAllocator>> =
        SingleCpu::new(RefCell::new(FrameAllocator::empty(DIRECT_MAP)));
    &FRAMES
}

/// Tests run at the same time and each has its own 16 MiB.
#[cfg(not(feature = "image"))]
fn allocator() -> &'static RefCell<FrameAllocator> {
    const SIZE: u64 = 16 << 20;
    std::thread_local! {
        static FRAMES: &'static SingleCpu<RefCell<FrameAllocator>> = {
            let memory = vec![0_u8; (SIZE + PAGE_SIZE) as usize].leak();
            let start = (memory.as_ptr() as u64).next_multiple_of(PAGE_SIZE);
            let mut frames = FrameAllocator::empty(DIRECT_MAP);
            frames.add(start, start + SIZE, &[]);
            let counts = vec![Cell::new(0); (SIZE / PAGE_SIZE) as usize].leak();
            COUNTS.set(Counts { first: start / PAGE_SIZE, all: counts });
            Box::leak(Box::new(SingleCpu::new(RefCell::new(frames))))
        };
    }
    FRAMES.with(|frames| *frames)
}

/// How many frames are free.
pub fn free() -> u64 {
    allocator().borrow().free
}

/// How many frames there are, free or not.
pub fn total() -> u64 {
    allocator().borrow().total
}

/// The counts beside the frames.
#[derive(Clone, Copy)]
struct Counts {
    /// Frame of the first.
    first: u64,
    all: &'static [Cell<u32>],
}

impl Counts {
    const NONE: Self = Self { first: 0, all: &[] };
}

#[cfg(feature = "image")]
static COUNTS: SingleCpu<Cell<Counts>> = SingleCpu::new(Cell::new(Counts::NONE));

#[cfg(not(feature = "image"))]
std::thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts::NONE) };
}

/// That of all pages which are not RAM. It never gets to zero, so that they stay shared:
/// nobody writes to them, and nobody frees them.
static OUTSIDE: SingleCpu<Cell<u32>> = SingleCpu::new(Cell::new(1));

/// The count beside the frame at `address`, which must be zero when the frame returns.
#[inline]
pub(crate) fn use_count(address: u64) -> &'static Cell<u32> {
    let counts = COUNTS.get();
    let index = (address / PAGE_SIZE - counts.first) as usize;
    counts.all.get(index).unwrap_or(SingleCpu::value(&OUTSIDE))
}

/// Counts one share more of each of `count` frames from `address` on.
pub(crate) fn share_run(address: u64, count: u64) {
    let add = |shares: &Cell<u32>| shares.set(shares.get() + 1);
    let counts = COUNTS.get();
    let index = (address / PAGE_SIZE - counts.first) as usize;
    match counts.all.get(index..index.saturating_add(count as usize)) {
        Some(all) => all.iter().for_each(add),
        None => (0..count).for_each(|number| add(use_count(address + number * PAGE_SIZE))),
    }
}

/// Whether a page can be mapped for programs: a frame with a count, or one of what is
/// outside RAM in the direct map.
pub(crate) fn can_be_mapped(address: u64) -> bool {
    is_ram(address) || address < DIRECT_MAP_LIMIT
}

/// Whether the frame at `address` has a count: whether it is RAM, the allocator's or not.
fn is_ram(address: u64) -> bool {
    let counts = COUNTS.get();
    let index = (address / PAGE_SIZE).checked_sub(counts.first);
    index.is_some_and(|index| index < counts.all.len() as u64)
}

/// A frame that belongs to whoever has this value; dropping it frees the frame.
#[derive(Debug)]
pub struct Frame(u64);

impl Frame {
    /// A free frame, contents unknown.
    pub fn allocate() -> Option<Self> {
        let (address, _) = allocator().borrow_mut().allocate(Contents::Unknown)?;
        Some(Self(address))
    }

    /// A free frame, filled with zeros.
    pub fn allocate_zeroed() -> Option<Self> {
        let (address, contents) = allocator().borrow_mut().allocate(Contents::Zero)?;
        let mut frame = Self(address);
        if contents == Contents::Unknown {
            copies::clear(frame.bytes_mut());
        }
        Some(frame)
    }

    /// Its physical address.
    pub fn address(&self) -> u64 {
        self.0
    }

    /// The frame's physical address; the caller now owns the frame.
    pub fn into_address(self) -> u64 {
        let address = self.0;
        core::mem::forget(self);
        address
    }

    /// The inverse of [`Self::into_address`].
    ///
    /// # Safety
    /// That is where the address came from, and nobody uses the frame any more.
    pub unsafe fn from_address(address: u64) -> Self {
        Self(address)
    }

    /// Frees a frame that is all zeros, so that it need not be cleared again.
    ///
    /// # Safety
    /// It is.
    pub unsafe fn free_zeroed(self) {
        debug_assert_eq!(use_count(self.0).get(), 0, "a shared frame is not free");
        let address = self.into_address();
        // SAFETY: this value owned the frame; the caller answers for its contents.
        unsafe { allocator().borrow_mut().free(address, Contents::Zero) };
    }

    /// The address of the frame's contents; the caller now owns the frame.
    pub fn into_pointer(self) -> NonNull<u8> {
        let pointer = (DIRECT_MAP + self.into_address()) as *mut u8;
        // SAFETY: frame 0 is never given out, and the direct map ends below the top.
        unsafe { NonNull::new_unchecked(pointer) }
    }

    /// The inverse of [`Self::into_pointer`].
    ///
    /// # Safety
    /// That is where the pointer came from, and nobody uses the frame any more.
    pub unsafe fn from_pointer(pointer: NonNull<u8>) -> Self {
        Self(pointer.as_ptr() as u64 - DIRECT_MAP)
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
        debug_assert_eq!(use_count(self.0).get(), 0, "a shared frame is not free");
        // SAFETY: this value owned the frame.
        unsafe { allocator().borrow_mut().free(self.0, Contents::Unknown) };
    }
}

/// A zeroed frame for the page tables to keep.
pub(crate) fn for_tables() -> Option<u64> {
    Frame::allocate_zeroed().map(Frame::into_address)
}

/// Gives the allocator what is in `ram` and not in `reserved`: ranges of physical
/// addresses. `contents` is what the machine promises of it.
///
/// # Panics
/// There is not even memory for the counts beside the frames; or the allocator has memory
/// already, which would be given out twice.
///
/// # Safety
/// It is RAM that nothing uses, and the promise is true.
pub(crate) unsafe fn start(
    ram: impl Iterator<Item = (u64, u64)>,
    reserved: &[(u64, u64)],
    contents: Contents,
) {
    let mut frames = allocator().borrow_mut();
    assert!(frames.total == 0, "memory is taken over once");
    frames.fresh_contents = contents;
    let mut end = 0;
    for (range_start, range_end) in ram {
        let range_end = range_end.min(DIRECT_MAP_LIMIT);
        frames.add(range_start, range_end, reserved);
        end = range_end.max(end);
    }
    let count = end / PAGE_SIZE;
    let place = frames.take(count * size_of::<Cell<u32>>() as u64);
    let place = place.expect("enough memory to count the uses of its frames") + DIRECT_MAP;
    // SAFETY: the range was free, large enough and in the part of the direct map that is
    // there from the beginning, and is never given back. Zeros are counts.
    let all = unsafe {
        if contents == Contents::Unknown {
            (place as *mut u32).write_bytes(0, count as usize);
        }
        slice::from_raw_parts(place as *const Cell<u32>, count as usize)
    };
    COUNTS.set(Counts { first: 0, all });
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
    /// First of those that are zero but for their link.
    returned_zeroed: u64,
    /// Number of free frames, fresh and returned.
    free: u64,
    /// Number of free frames at the start.
    total: u64,
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
            returned_zeroed: NO_FRAME,
            free: 0,
            total: 0,
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
            self.free += (end - start) / PAGE_SIZE;
            self.total = self.free;
        }
    }

    /// Takes `size` bytes in one piece from what is mapped from the beginning.
    fn take(&mut self, size: u64) -> Option<u64> {
        let size = size.next_multiple_of(PAGE_SIZE);
        let fits =
            |range: &&mut (u64, u64)| range.1.min(BOOT_MAPPED).saturating_sub(range.0) > size;
        let range = self.fresh[..self.fresh_len].iter_mut().find(fits)?;
        let start = range.0;
        range.0 += size;
        self.free -= size / PAGE_SIZE;
        self.total = self.free;
        Some(start)
    }

    /// A frame, if possible with the contents that are wanted, and its contents.
    fn allocate(&mut self, wanted: Contents) -> Option<(u64, Contents)> {
        let found = match wanted {
            Contents::Zero => (self.take_zeroed())
                .or_else(|| self.take_returned())
                .or_else(|| self.take_fresh()),
            Contents::Unknown => (self.take_returned())
                .or_else(|| self.take_fresh())
                .or_else(|| self.take_zeroed()),
        };
        self.free -= u64::from(found.is_some());
        found
    }

    fn take_returned(&mut self) -> Option<(u64, Contents)> {
        let frame = self.returned;
        if frame == NO_FRAME {
            return None;
        }
        // SAFETY: `free` put the next frame's address there, and nobody has used the frame
        // since.
        self.returned = unsafe { self.link(frame).read() };
        Some((frame, Contents::Unknown))
    }

    fn take_zeroed(&mut self) -> Option<(u64, Contents)> {
        let frame = self.returned_zeroed;
        if frame == NO_FRAME {
            return None;
        }
        // SAFETY: as for `take_returned`; the link is all that is not zero.
        self.returned_zeroed = unsafe { self.link(frame).replace(0) };
        Some((frame, Contents::Zero))
    }

    /// # Safety
    /// `allocate` gave the frame, nobody uses it any more, and `contents` is true of it.
    unsafe fn free(&mut self, frame: u64, contents: Contents) {
        let link = self.link(frame);
        let first = match contents {
            Contents::Unknown => &mut self.returned,
            Contents::Zero => &mut self.returned_zeroed,
        };
        // SAFETY: the frame is mapped and, by the caller's promise, unused.
        unsafe { link.write(*first) };
        *first = frame;
        self.free += 1;
    }

    fn link(&self, frame: u64) -> *mut u64 {
        (self.direct_map + frame) as *mut u64
    }
}

#[cfg(test)]
mod tests;
