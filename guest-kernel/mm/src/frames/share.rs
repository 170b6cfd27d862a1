//! Shares of frames: what several owners have of one frame, files and page tables alike.
//!
//! The [use count](use_count) of a frame is the number of shares beyond the first; whoever
//! gives back the last one frees the frame.

use core::slice;

use arch::paging::DIRECT_MAP;

use crate::frames::{FRAME_SIZE, Frame, use_count};

/// A share of a frame; dropping it gives it back.
///
/// Ring 3 may write to the frame by other shares at any time that the kernel does not run. Where
/// the kernel copies between the frame and user memory that is the same frame, it does so in
/// assembly, which takes both as addresses (`arch::user_copy`).
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
        // Nobody writes to it while the kernel runs but through `bytes_mut`.
        unsafe { slice::from_raw_parts((DIRECT_MAP + self.0) as *const u8, FRAME_SIZE) }
    }

    /// The frame's contents, for all who share it.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; a file gives nobody its bytes while it changes them, and page
        // tables give nobody theirs.
        unsafe { slice::from_raw_parts_mut((DIRECT_MAP + self.0) as *mut u8, FRAME_SIZE) }
    }
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
