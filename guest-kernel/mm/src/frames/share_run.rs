//! Shares of frames that lie together in memory, in as little room as one share.

use core::ops::Range;
use core::slice;

use abi::virtual_map::PAGE_SIZE;
use arch::paging::DIRECT_MAP;

use crate::frames::{FRAME_SIZE, FrameRun, FrameShare};

/// Shares of up to [`PLACES`](Self::PLACES) frames, each at a place: frames of places that follow
/// each other do so in memory too. What is true of a [`FrameShare`] is true of each.
#[derive(Debug)]
pub struct ShareRun {
    /// Physical address of the frame of place 0, whether or not it is here.
    base: u64,
    /// A bit for each place.
    here: u64,
}

impl ShareRun {
    /// How many places there are.
    pub const PLACES: usize = u64::BITS as usize;

    /// These frames, from place `first` on; those without a place are given back.
    pub fn new(first: usize, frames: FrameRun) -> Self {
        Self {
            base: frames.address().wrapping_sub(first as u64 * PAGE_SIZE),
            here: shares(first, frames),
        }
    }

    /// Whether `frames` at place `first` would lie as the others do.
    #[inline]
    pub fn fits(&self, first: usize, frames: &FrameRun) -> bool {
        self.address_at(first) == frames.address()
    }

    /// Adds frames that [fit](Self::fits) from place `first` on, where there are none; those without
    /// a place are given back.
    ///
    /// # Panics
    /// They do not fit, or there are some.
    pub fn add(&mut self, first: usize, frames: FrameRun) {
        let is_fit = self.fits(first, &frames);
        let more = shares(first, frames);
        assert!(
            is_fit && self.here & more == 0,
            "frames have places of their own"
        );
        self.here |= more;
    }

    /// The physical address of the frame at `place`, if it is here.
    #[inline]
    pub fn address(&self, place: usize) -> Option<u64> {
        let is_here = self.here >> (place % Self::PLACES) & 1 != 0;
        is_here.then(|| self.address_at(place))
    }

    fn address_at(&self, place: usize) -> u64 {
        self.base.wrapping_add(place as u64 * PAGE_SIZE)
    }

    /// How many places from `first` on have frames, before the first that has none.
    #[inline]
    pub fn run(&self, first: usize) -> usize {
        self.here.unbounded_shr(first as u32).trailing_ones() as usize
    }

    /// How many places from `first` on have none, before the first that has one.
    #[inline]
    pub fn gap(&self, first: usize) -> usize {
        let gap = self.here.unbounded_shr(first as u32).trailing_zeros() as usize;
        gap.min(Self::PLACES.saturating_sub(first))
    }

    /// The first place that has a frame, if any has.
    pub fn first(&self) -> Option<usize> {
        (self.here != 0).then(|| self.gap(0))
    }

    /// How many frames there are from place `first` on.
    pub fn count_from(&self, first: usize) -> usize {
        self.here.unbounded_shr(first as u32).count_ones() as usize
    }

    /// The contents of up to `most` frames from place `first` on, of those in a [run](Self::run).
    pub fn bytes(&self, first: usize, most: usize) -> &[u8] {
        let len = self.run(first).min(most) * FRAME_SIZE;
        if len == 0 {
            return &[];
        }
        let start = DIRECT_MAP + self.address_at(first);
        // SAFETY: as in `FrameShare::bytes`, of frames which lie one after the other in the
        // direct map.
        unsafe { slice::from_raw_parts(start as *const u8, len) }
    }

    /// The same for all who share them.
    pub fn bytes_mut(&mut self, first: usize, most: usize) -> &mut [u8] {
        let len = self.run(first).min(most) * FRAME_SIZE;
        if len == 0 {
            return &mut [];
        }
        let start = DIRECT_MAP + self.address_at(first);
        // SAFETY: as in `FrameShare::bytes_mut` and `bytes`.
        unsafe { slice::from_raw_parts_mut(start as *mut u8, len) }
    }

    /// Takes out the share at `place`.
    pub fn take(&mut self, place: usize) -> Option<FrameShare> {
        let address = self.address(place)?;
        self.here &= !mask(place..place + 1);
        // SAFETY: the bit was the share, and is no more.
        Some(unsafe { FrameShare::from_address(address) })
    }

    /// Gives back the shares at these places, and says how many there were.
    pub fn remove(&mut self, places: Range<usize>) -> usize {
        let mut left = self.here & mask(places);
        let count = left.count_ones() as usize;
        self.here &= !left;
        while left != 0 {
            let address = self.address_at(left.trailing_zeros() as usize);
            left &= left - 1;
            // SAFETY: as in `take`.
            drop(unsafe { FrameShare::from_address(address) });
        }
        count
    }
}

/// Bits of the places from `first` on, as many as there are frames, which are their shares now.
#[inline]
fn shares(first: usize, mut frames: FrameRun) -> u64 {
    let count = (frames.len() / FRAME_SIZE).min(ShareRun::PLACES - first);
    frames.take_front(count * FRAME_SIZE).into_shares();
    mask(first..first + count)
}

/// Bits of these places.
#[inline]
fn mask(places: Range<usize>) -> u64 {
    let from = u64::MAX.unbounded_shl(places.start as u32);
    let to = u64::MAX.unbounded_shl(places.end as u32);
    from & !to
}

impl Drop for ShareRun {
    fn drop(&mut self) {
        self.remove(0..Self::PLACES);
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAME_SIZE, FrameRun, ShareRun};
    use crate::frames::free;

    #[test]
    fn places_are_filled_and_given_back() {
        let before = free();
        let mut frames = FrameRun::allocate(12).expect("there is memory");
        let (first, other) = (frames.take_front(5 * FRAME_SIZE), frames.address());
        let mut run = ShareRun::new(20, first);
        assert_eq!((run.gap(0), run.run(20), run.gap(25)), (20, 5, 39));
        assert!(run.fits(25, &frames) && !run.fits(26, &frames));
        run.add(25, frames);
        assert_eq!((run.run(20), run.gap(31), run.run(64)), (12, 0, 0));
        assert_eq!((run.address(25), run.address(19)), (Some(other), None));
        run.bytes_mut(24, 3)[FRAME_SIZE] = 7;
        assert_eq!(run.bytes(25, 99)[0], 7);
        assert_eq!(run.bytes(25, 99).len(), 7 * FRAME_SIZE);
        assert_eq!((run.remove(22..30), free()), (8, before - 4));
        assert_eq!((run.run(20), run.gap(22), run.count_from(21)), (2, 8, 3));
        assert!(run.bytes(22, 9).is_empty() && run.take(22).is_none());
        assert_eq!(run.first(), Some(20));
        let taken = run.take(31).expect("it is there");
        drop(run);
        assert_eq!(free(), before - 1);
        drop(taken);
        assert_eq!(free(), before);
    }
}
