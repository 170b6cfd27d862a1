//! Shares of frames: what several owners have of one frame, files and page tables alike.
//!
//! The [use count](use_count) of a frame is the number of shares beyond the first; whoever
//! gives back the last one frees the frame.

use core::slice;

use arch::paging::DIRECT_MAP;

use crate::frames::{FRAME_SIZE, Frame, use_count};

/// A share of a frame; dropping it gives it back.
///
/// Ring 3 may write to the frame by other shares at any time, on another CPU while the kernel runs.
/// So what is in it is copied, not looked at twice; and where the kernel copies between the frame
/// and user memory that is the same frame, it does so in assembly, which takes both as addresses
/// (`arch::user_copy`).
#[derive(Debug)]
pub struct FrameShare(u64);

impl From<Frame> for FrameShare {
    fn from(frame: Frame) -> Self {
        Self(frame.into_address())
    }
}

impl FrameShare {
    /// The frame's physical address.
    pub fn address(&self) -> u64 {
        self.0
    }

    /// The share that an entry of a page table has.
    ///
    /// # Safety
    /// The entry is in no table any more, and led to the frame at `address`.
    pub unsafe fn from_address(address: u64) -> Self {
        Self(address)
    }

    /// The frame's contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the frame is RAM, which the direct map maps, and lives as long as the share.
        // In the kernel nobody writes to it but through `bytes_mut`; of what ring 3 may write
        // meanwhile, users of this make a copy.
        unsafe { slice::from_raw_parts((DIRECT_MAP + self.0) as *const u8, FRAME_SIZE) }
    }

    /// The contents of several frames that follow each other in memory: as many as do so, from
    /// the first on.
    pub fn run<'a>(mut shares: impl Iterator<Item = &'a Self>) -> &'a [u8] {
        let Some(first) = shares.next() else {
            return &[];
        };
        let len = run_len(first.0, shares.map(Self::address));
        // SAFETY: as in `bytes`, of frames whose shares are borrowed and which lie one after
        // the other in the direct map.
        unsafe { slice::from_raw_parts((DIRECT_MAP + first.0) as *const u8, len) }
    }

    /// The same for all who share them.
    pub fn run_mut<'a>(mut shares: impl Iterator<Item = &'a mut Self>) -> &'a mut [u8] {
        let Some(first) = shares.next() else {
            return &mut [];
        };
        let len = run_len(first.0, shares.map(|share| share.0));
        // SAFETY: as in `bytes_mut` and `run`.
        unsafe { slice::from_raw_parts_mut((DIRECT_MAP + first.0) as *mut u8, len) }
    }

    /// The frame's contents, for all who share it.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; a file gives nobody its bytes while it changes them, and page
        // tables give nobody theirs.
        unsafe { slice::from_raw_parts_mut((DIRECT_MAP + self.0) as *mut u8, FRAME_SIZE) }
    }
}

/// Bytes of a frame and of those `after` it, as far as they follow each other.
fn run_len(first: u64, after: impl Iterator<Item = u64>) -> usize {
    let mut len = FRAME_SIZE;
    for address in after {
        if address != first + len as u64 {
            break;
        }
        len += FRAME_SIZE;
    }
    len
}

impl Drop for FrameShare {
    fn drop(&mut self) {
        let others = use_count(self.0);
        match others.get() {
            // SAFETY: this was the last share of a frame that was made into shares.
            0 => drop(unsafe { Frame::from_address(self.0) }),
            more => others.set(more - 1),
        }
    }
}
