//! Several frames that follow each other in memory, so that a long copy is one piece.

use core::ops::Range;
use core::slice;

use abi::virtual_map::PAGE_SIZE;
use arch::copies;
use arch::paging::DIRECT_MAP;

use crate::frames::{Frame, FrameAllocator, NO_FRAME, allocator};

/// Free frames one after the other, contents unknown, that are taken one by one; dropping it
/// frees the rest.
pub struct FrameRun(Range<u64>);

impl FrameRun {
    /// Up to `most` frames: as many as follow each other where the next are taken from.
    pub fn allocate(most: u64) -> Option<Self> {
        let run = allocator().borrow_mut().allocate_run(most);
        (!run.is_empty()).then_some(Self(run))
    }

    /// The same, filled with zeros.
    pub fn allocate_zeroed(most: u64) -> Option<Self> {
        let mut run = Self::allocate(most)?;
        copies::clear(run.bytes_mut());
        Some(run)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let len = (self.0.end - self.0.start) as usize;
        // SAFETY: the frames are RAM, which the direct map maps, and nobody else has them.
        unsafe { slice::from_raw_parts_mut((DIRECT_MAP + self.0.start) as *mut u8, len) }
    }
}

impl Iterator for FrameRun {
    type Item = Frame;

    #[inline]
    fn next(&mut self) -> Option<Frame> {
        if self.0.is_empty() {
            return None;
        }
        let address = self.0.start;
        self.0.start += PAGE_SIZE;
        // SAFETY: the range is of frames that were allocated and that nobody has yet.
        Some(unsafe { Frame::from_address(address) })
    }
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl FrameAllocator {
    /// Frames as [`allocate`](Self::allocate) would give them one by one, of unknown contents,
    /// as long as each lies before or behind those that came before it.
    fn allocate_run(&mut self, most: u64) -> Range<u64> {
        let most = most * PAGE_SIZE;
        let mut run = match (self.take_returned(), most) {
            (_, 0) => return 0..0,
            (Some((frame, _)), _) => frame..frame + PAGE_SIZE,
            (None, _) => return self.take_fresh_run(most),
        };
        while run.end - run.start < most && self.returned != NO_FRAME {
            if self.returned == run.start - PAGE_SIZE {
                run.start -= PAGE_SIZE;
            } else if self.returned == run.end {
                run.end += PAGE_SIZE;
            } else {
                break;
            }
            self.take_returned();
        }
        self.free -= (run.end - run.start) / PAGE_SIZE;
        run
    }

    fn take_fresh_run(&mut self, most: u64) -> Range<u64> {
        let first = self.fresh_first;
        let Some((start, end)) = self.fresh[..self.fresh_len].get_mut(first) else {
            return 0..0;
        };
        let run = *start..(*end).min(*start + most);
        *start = run.end;
        if start == end {
            self.fresh_first += 1;
        }
        self.free -= (run.end - run.start) / PAGE_SIZE;
        run
    }
}

#[cfg(test)]
mod tests {
    use abi::virtual_map::PAGE_SIZE;

    use super::FrameRun;
    use crate::Frame;
    use crate::frames::free;

    #[test]
    fn runs_are_found_in_whatever_order_frames_came_back() {
        let before = free();
        let frames: Vec<_> = (0..20).map_while(|_| Frame::allocate()).collect();
        let first = frames.iter().map(Frame::address).min();
        for reversed in [false, true] {
            let mut frames: Vec<_> = (0..20).map_while(|_| Frame::allocate()).collect();
            frames.sort_by_key(Frame::address);
            if reversed {
                frames.reverse();
            }
            frames.into_iter().for_each(drop);
            let mut run = FrameRun::allocate(16).expect("there is memory");
            let addresses: Vec<_> = run.by_ref().take(10).map(|frame| frame.address()).collect();
            let expected = (0..10).map(|number| addresses[0] + number * PAGE_SIZE);
            assert!(expected.eq(addresses.iter().copied()), "{addresses:x?}");
            drop(run);
        }
        assert_eq!(first, frames.iter().map(Frame::address).min());
        drop(frames);
        assert_eq!(free(), before);
        let all: Vec<_> = core::iter::from_fn(|| FrameRun::allocate(1000)).collect();
        assert_eq!(free(), 0);
        drop(all);
        assert_eq!(free(), before);
    }
}
