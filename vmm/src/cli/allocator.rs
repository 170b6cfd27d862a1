//! The heap of the command: where the host has no memory for a small allocation, which no
//! caller can handle, the process ends with a message instead of an abort.
//!
//! Large allocations are made by callers that handle a failure. A hook for such errors
//! would do, but the standard library's is not stable.

use std::alloc::{GlobalAlloc, Layout, System};

use super::{FAILURE, terminal};

/// Bytes from which on a caller handles a failure itself.
const LARGE: usize = 1 << 20;
const MESSAGE: &[u8] =
    b"vmm: out of memory: give the guest less with --memory, or the process more (ulimit -v)\n";

/// The system's heap.
pub struct Heap;

impl Heap {
    /// Has all threads use the first one's heap: others grow by a page at a time, each by a
    /// call of the host. Only before there are any.
    pub fn share() {
        // SAFETY: sets a number that the heap reads when a thread first allocates.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

// SAFETY: each call is the system allocator's, with the same arguments; what differs is
// that the process ends where some would have returned null.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system allocator asks for.
        checked(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above, and `memory` is the system allocator's, as all from here is.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.realloc(memory, layout, size) }, size)
    }
}

/// `memory`, of so many bytes, unless that is none although it must not.
#[inline]
fn checked(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && size < LARGE {
        out_of_memory();
    }
    memory
}

#[cold]
fn out_of_memory() -> ! {
    terminal::restore();
    // SAFETY: the message is as long as is said, and neither call allocates. Nothing that
    // others of this process do is relied on any more.
    unsafe {
        libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(FAILURE.into())
    }
}
