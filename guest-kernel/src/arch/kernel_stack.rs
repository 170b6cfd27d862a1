//! Kernel stacks, one for each process, each with an unmapped page below it.
//!
//! ```text
//! slot n: | guard page | page | page | page ........ UserContext |
//!                              stack grows down <--- ^           ^ TSS.rsp0
//! ```
//!
//! An overflow meets the guard page, and that fault the double-fault stack: the kernel
//! panics and nothing is overwritten.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use abi::virtual_map::PAGE_SIZE;

use super::trap::UserContext;
use super::{descriptors, paging, trap};

/// Where boot.S keeps a page directory for them: 1 GiB, 3 GiB below the top.
const REGION: u64 = 0xffff_ffff_4000_0000;
const SLOT: u64 = 4 * PAGE_SIZE;
const GUARD: u64 = PAGE_SIZE;

/// Stacks that there can be.
const LIMIT: usize = ((1 << 30) / SLOT) as usize;

/// Slots in use. A stack is made for a slot of the process table and stays with it, so
/// slots are never given back.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The stack in one slot.
pub struct KernelStack {
    top: u64,
}

impl KernelStack {
    /// Makes the next stack, from frames that `allocate` gives, and from zeroed ones for
    /// page tables. `None` if there are no more, or if there are [`LIMIT`] stacks.
    pub fn new(
        mut allocate: impl FnMut() -> Option<u64>,
        allocate_table: &mut dyn FnMut() -> Option<u64>,
    ) -> Option<Self> {
        let number = NEXT.load(Relaxed);
        if number == LIMIT {
            return None;
        }
        NEXT.store(number + 1, Relaxed);
        let slot = REGION + number as u64 * SLOT;
        let top = slot + SLOT;
        for page in (slot + GUARD..top).step_by(PAGE_SIZE as usize) {
            let frame = allocate()?;
            // SAFETY: no two stacks have the same number, so the page is new.
            unsafe { paging::map_kernel(page, frame, allocate_table)? };
        }
        Some(Self { top })
    }

    /// Leaves the current stack for good: `main` runs on this one, with `context` at its
    /// top, where traps will look for it.
    pub fn start(
        self,
        context: UserContext,
        main: extern "C" fn(&'static mut UserContext) -> !,
    ) -> ! {
        descriptors::set_trap_stack(self.top as *mut u8);
        let place = (self.top as *mut UserContext).wrapping_sub(1);
        // SAFETY: the stack is mapped and 16-byte aligned, and since this value goes here
        // nothing else runs on it. The current stack is not touched again: this function
        // does not return, and stacks are never given back.
        unsafe {
            place.write(context);
            trap::enter_stack(place.cast(), &mut *place, main)
        }
    }
}
