//! Frames that were never given out: the mark that moves through memory, and how far it has come.
//!
//! What is behind the mark a host has to have, whether it is in use now or not: the VMM holds a
//! guest to that figure. Rejected: the most frames in use at one time, of which a host has to have
//! more, and which costs something each time that a frame is given out.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use abi::virtual_map::PAGE_SIZE;

use crate::frames::{Contents, FrameAllocator};

/// How many were given out for the first time.
#[cfg(feature = "image")]
fn counter() -> &'static AtomicU64 {
    &arch::shared::PAGE.frames
}

/// Tests run at the same time and each has its own.
#[cfg(not(feature = "image"))]
fn counter() -> &'static AtomicU64 {
    std::thread_local! {
        static COUNTER: &'static AtomicU64 = Box::leak(Box::default());
    }
    COUNTER.with(|counter| *counter)
}

/// Counts frames. Who takes some is alone in the allocator, so that needs no locked instruction.
fn count(frames: u64) {
    let counter = counter();
    counter.store(counter.load(Relaxed) + frames, Relaxed);
}

impl FrameAllocator {
    pub(super) fn take_fresh(&mut self) -> Option<(u64, Contents)> {
        // From the first range on: in the order of the memory map the lowest, which is
        // mapped from the beginning.
        let (start, end) = self.fresh[..self.fresh_len].get_mut(self.fresh_first)?;
        let frame = *start;
        *start += PAGE_SIZE;
        if start == end {
            self.fresh_first += 1;
        }
        count(1);
        Some((frame, self.fresh_contents))
    }

    /// Up to `most` bytes of frames that follow each other, which are no longer free.
    pub(super) fn take_fresh_run(&mut self, most: u64) -> Range<u64> {
        let first = self.fresh_first;
        let Some((start, end)) = self.fresh[..self.fresh_len].get_mut(first) else {
            return 0..0;
        };
        let run = *start..(*end).min(*start + most);
        *start = run.end;
        if start == end {
            self.fresh_first += 1;
        }
        let frames = (run.end - run.start) / PAGE_SIZE;
        self.free -= frames;
        count(frames);
        run
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering::Relaxed;

    use super::counter;
    use crate::Frame;
    use crate::frames::{FrameRun, total};

    #[test]
    fn each_frame_is_counted_the_first_time() {
        let counted = || counter().load(Relaxed);
        assert_eq!(counted(), 0);
        let frames: Vec<_> = (0..3).map_while(|_| Frame::allocate()).collect();
        assert_eq!(counted(), 3);
        drop(frames);
        let again = [Frame::allocate(), Frame::allocate_zeroed()];
        assert_eq!(counted(), 3);
        // One came back, which is too short a run.
        let run = FrameRun::allocate(16).expect("there is memory");
        assert_eq!(counted(), 3 + 16);
        drop((again, run));
        let all: Vec<_> = core::iter::from_fn(|| FrameRun::allocate(1000)).collect();
        assert_eq!(counted(), total());
        drop(all);
        assert!(Frame::allocate().is_some());
        assert_eq!(counted(), total());
    }
}
