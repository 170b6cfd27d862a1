//! Several frames that follow each other in memory, so that a long copy is one piece.

use core::ops::Range;
use core::{mem, slice};

use abi::virtual_map::PAGE_SIZE;
use arch::copies;
use arch::paging::DIRECT_MAP;

use crate::frames::{Contents, FRAME_SIZE, Frame, FrameAllocator, NO_FRAME, allocator};

/// Frames one after the other that belong to whoever has this value, or none. They can be taken
/// one by one; dropping it frees the rest.
#[derive(Debug, Default)]
pub struct FrameRun(Range<u64>);

impl FrameRun {
    /// Without frames.
    pub const EMPTY: Self = Self(0..0);

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

    /// How many bytes its frames hold.
    pub fn len(&self) -> usize {
        (self.0.end - self.0.start) as usize
    }

    /// Whether it has no frames.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Physical address of the first frame.
    pub fn address(&self) -> u64 {
        self.0.start
    }

    /// Takes out the first frames, as many as hold `len` bytes; at most all.
    pub fn take_front(&mut self, len: usize) -> Self {
        let len = len.next_multiple_of(FRAME_SIZE).min(self.len());
        let middle = self.0.start + len as u64;
        Self(mem::replace(&mut self.0.start, middle)..middle)
    }

    /// Whoever calls this has a share of each frame now.
    pub(super) fn into_shares(self) {
        mem::forget(self);
    }

    /// The contents of its frames.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: as for `bytes_mut`, and what is borrowed stays.
        unsafe { slice::from_raw_parts((DIRECT_MAP + self.0.start) as *const u8, self.len()) }
    }

    /// The contents of its frames.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: the frames are RAM, which the direct map maps, and nobody else has them.
        unsafe { slice::from_raw_parts_mut((DIRECT_MAP + self.0.start) as *mut u8, len) }
    }
}

impl From<Frame> for FrameRun {
    fn from(frame: Frame) -> Self {
        let start = frame.into_address();
        Self(start..start + PAGE_SIZE)
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
        if !self.is_empty() {
            self.for_each(drop);
        }
    }
}

impl FrameAllocator {
    /// Frames as [`allocate`](Self::allocate) would give them one by one, of unknown contents,
    /// as long as each lies before or behind those that came before it. Where only frames of
    /// zeros are left, one of them.
    fn allocate_run(&mut self, most: u64) -> Range<u64> {
        if most == 0 {
            return 0..0;
        }
        let most = most * PAGE_SIZE;
        let Some((frame, _)) = self.take_returned() else {
            let run = self.take_fresh_run(most);
            return match run.is_empty() {
                true => self.take_zeroed_run(),
                false => run,
            };
        };
        let mut run = frame..frame + PAGE_SIZE;
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
        let fresh = self.fresh[..self.fresh_len].get(self.fresh_first);
        if run.end - run.start < most && fresh.is_some_and(|(start, end)| end - start >= most) {
            // What came back in no order makes short runs; fresh frames lie together.
            for frame in run.step_by(PAGE_SIZE as usize) {
                // SAFETY: it was taken just now, and nobody has used it.
                unsafe { self.free(frame, Contents::Unknown) };
            }
            return self.take_fresh_run(most);
        }
        run
    }

    fn take_zeroed_run(&mut self) -> Range<u64> {
        let Some((frame, _)) = self.take_zeroed() else {
            return 0..0;
        };
        self.free -= 1;
        frame..frame + PAGE_SIZE
    }
}

#[cfg(test)]
mod tests {
    use abi::virtual_map::PAGE_SIZE;

    use super::FrameRun;
    use crate::Frame;
    use crate::frames::free;

    #[test]
    fn a_run_is_as_long_as_it_can_be() {
        let before = free();
        let mut frames: Vec<_> = (0..20).map_while(|_| Frame::allocate()).collect();
        frames.sort_by_key(|frame| frame.address() / PAGE_SIZE % 2);
        frames.into_iter().for_each(drop);
        let run = FrameRun::allocate(16).expect("there is memory");
        assert_eq!((run.len(), free()), (16 * 4096, before - 16));
        drop(run);
        assert_eq!(free(), before);
    }

    #[test]
    fn a_run_is_taken_in_parts() {
        let before = free();
        let mut run = FrameRun::allocate(5).expect("there is memory");
        run.bytes_mut()[4096..8192].fill(7);
        let first = run.take_front(1);
        assert_eq!((first.len(), run.len()), (4096, 4 * 4096));
        assert_eq!(run.bytes()[..4096], [7; 4096]);
        drop(first);
        assert_eq!(free(), before - 4);
        let rest = run.take_front(usize::MAX / 2);
        assert!(run.is_empty() && rest.len() == 4 * 4096);
        drop((run, rest));
        assert_eq!(free(), before);
    }

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
        assert!(FrameRun::allocate(0).is_none());
        let all: Vec<_> = core::iter::from_fn(|| FrameRun::allocate(1000)).collect();
        assert_eq!(
            all.iter().map(|run| run.len() as u64).sum::<u64>(),
            before * PAGE_SIZE
        );
        assert_eq!(free(), 0);
        drop(all);
        assert_eq!(free(), before);
    }

    #[test]
    fn the_last_frames_are_those_of_zeros() {
        let before = free();
        let mut frames: Vec<_> = core::iter::from_fn(Frame::allocate_zeroed).collect();
        assert_eq!((frames.len() as u64, free()), (before, 0));
        for frame in frames.drain(..3) {
            // SAFETY: nobody has written to it.
            unsafe { frame.free_zeroed() };
        }
        let runs: Vec<_> = core::iter::from_fn(|| FrameRun::allocate(16)).collect();
        assert_eq!(runs.iter().map(FrameRun::len).sum::<usize>(), 3 * 4096);
        assert_eq!(free(), 0);
    }
}
