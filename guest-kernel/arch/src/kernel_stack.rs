//! Kernel stacks, one for each thread, each with an unmapped page below it.
//!
//! ```text
//! slot n: | guard page | page | page | page ........ UserContext |
//!                              stack grows down <--- ^           ^ TSS.rsp0
//! ```
//!
//! An overflow faults on the guard page, and the double fault that follows has a stack of
//! its own: the kernel panics and nothing is overwritten.
//!
//! The slots have their own page tables, the first of them part of the image, others made as
//! they are needed, for good: so that mapping a stack takes a store for each page.

use abi::virtual_map::PAGE_SIZE;

use crate::paging;

/// Where boot.S has these page tables: 3 GiB below the top.
const REGION: u64 = 0xffff_ffff_4000_0000;
const SLOT_PAGES: usize = 1 << SLOT_PAGES_LOG2;
const SLOT_PAGES_LOG2: u32 = 2;

/// Pages of memory in a stack.
pub const STACK_PAGES: usize = SLOT_PAGES - 1;

/// Stacks that there can be.
pub const STACK_COUNT: usize = paging::STACK_REGION_PAGES >> SLOT_PAGES_LOG2;

/// A stack with memory, owned by this value.
pub struct KernelStack {
    number: usize,
}

impl KernelStack {
    /// Makes the page table for the stack with this number, if there is none, in a zeroed frame
    /// that `allocate` gives; `None` if it gives none.
    ///
    /// # Safety
    /// `allocate` gives frames of zeros, for good.
    ///
    /// # Panics
    /// There are only [`STACK_COUNT`] numbers.
    pub unsafe fn make_table(
        number: usize,
        allocate: &mut dyn FnMut() -> Option<u64>,
    ) -> Option<()> {
        // SAFETY: the caller's promise.
        unsafe { paging::make_stack_table(number * SLOT_PAGES, allocate) }
    }

    /// The stack with this number, its memory the frames at these physical addresses.
    ///
    /// # Safety
    /// There is no stack with this number, and the frames belong to it from now on.
    ///
    /// # Panics
    /// There is no page table for it.
    pub unsafe fn map(number: usize, frames: [u64; STACK_PAGES]) -> Self {
        for (page, frame) in first_page(number).zip(frames) {
            // SAFETY: the page was never mapped, or `unmap` has unmapped it; the frame is
            // the stack's.
            unsafe { paging::map_stack_page(page, frame) };
        }
        Self { number }
    }

    /// Takes the stack's memory away and returns its number and its frames.
    pub fn unmap(self) -> (usize, [u64; STACK_PAGES]) {
        let mut frames = [0; STACK_PAGES];
        for (page, frame) in first_page(self.number).zip(&mut frames) {
            let address = REGION + page as u64 * PAGE_SIZE;
            // SAFETY: whoever had this value had the stack, so nobody runs on it.
            *frame = unsafe { paging::unmap_stack_page(page, address) };
        }
        (self.number, frames)
    }

    /// Its end, where it starts to grow down.
    pub fn top(&self) -> *mut u8 {
        (REGION + ((self.number + 1) * SLOT_PAGES) as u64 * PAGE_SIZE) as *mut u8
    }
}

/// Pages of the region from a stack's first one on.
fn first_page(number: usize) -> core::ops::RangeFrom<usize> {
    number * SLOT_PAGES + 1..
}
