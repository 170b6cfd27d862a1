//! A split virtqueue, the driver's side (VIRTIO 1.2, 2.7).
//!
//! There is one chain of descriptors at a time, from the first descriptor on: the driver
//! makes it available, the device uses it, and so on. Rejected: several at a time, which
//! need lists of what is free, and gain nothing while the one CPU waits for its device.

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{Ordering::SeqCst, fence};

use arch::paging::physical;

/// Descriptors in a queue, and so pieces of memory in a chain.
pub const SIZE: usize = 64;

/// The chain goes on with the next descriptor.
const NEXT: u16 = 1 << 0;
/// The device writes this piece, and does not read it.
const WRITE: u16 = 1 << 1;
/// The device need not interrupt when it has used a chain.
const NO_INTERRUPT: u16 = 1 << 0;

#[derive(Clone, Copy)]
#[repr(C)]
struct Descriptor {
    address: u64,
    len: u32,
    flags: u16,
    next: u16,
}

#[repr(C)]
struct Available {
    flags: u16,
    index: u16,
    /// First descriptors of chains: all zero.
    ring: [u16; SIZE],
    used_event: u16,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct UsedElement {
    first: u32,
    len: u32,
}

#[repr(C)]
struct Used {
    flags: u16,
    index: u16,
    ring: [UsedElement; SIZE],
    available_event: u16,
}

/// What driver and device share.
#[repr(C, align(16))]
struct Shared {
    descriptors: [Descriptor; SIZE],
    available: Available,
    used: Used,
}

/// A queue. It must lie in the kernel's image, which the device finds by its address there.
pub struct Virtqueue {
    shared: UnsafeCell<Shared>,
    /// Chains made available so far.
    published: Cell<u16>,
    /// Chains of these that the device is known to have used.
    returned: Cell<u16>,
}

impl Virtqueue {
    /// An empty queue, whose chains the device need not interrupt for unless `interrupts`.
    pub const fn new(interrupts: bool) -> Self {
        const EMPTY: Descriptor = Descriptor {
            address: 0,
            len: 0,
            flags: 0,
            next: 0,
        };
        const UNUSED: UsedElement = UsedElement { first: 0, len: 0 };
        Self {
            shared: UnsafeCell::new(Shared {
                descriptors: [EMPTY; SIZE],
                available: Available {
                    flags: if interrupts { 0 } else { NO_INTERRUPT },
                    index: 0,
                    ring: [0; SIZE],
                    used_event: 0,
                },
                used: Used {
                    flags: 0,
                    index: 0,
                    ring: [UNUSED; SIZE],
                    available_event: 0,
                },
            }),
            published: Cell::new(0),
            returned: Cell::new(0),
        }
    }

    /// Physical addresses of descriptors, available and used ring.
    pub fn addresses(&self) -> [u64; 3] {
        let shared = self.shared.get();
        // SAFETY: the places are inside the queue; nothing is read.
        let places = unsafe {
            [
                (&raw const (*shared).descriptors) as u64,
                (&raw const (*shared).available) as u64,
                (&raw const (*shared).used) as u64,
            ]
        };
        places.map(physical)
    }

    /// Makes `len` bytes of physical memory at `address`, which the device only reads, piece
    /// `number` of the next chain.
    ///
    /// # Panics
    /// A chain has at most [`SIZE`] pieces.
    pub fn set_readable(&self, number: usize, address: u64, len: u32) {
        self.set(number, address, len, NEXT);
    }

    /// The same for memory that the device fills.
    ///
    /// # Safety
    /// The memory is the device's until the chain is [returned](Self::take_returned).
    ///
    /// # Panics
    /// As for [`set_readable`](Self::set_readable).
    pub unsafe fn set_writable(&self, number: usize, address: u64, len: u32) {
        self.set(number, address, len, NEXT | WRITE);
    }

    fn set(&self, number: usize, address: u64, len: u32, flags: u16) {
        assert!(number < SIZE, "no piece {number} in a chain");
        let descriptor = Descriptor {
            address,
            len,
            flags,
            next: number as u16 + 1,
        };
        // SAFETY: the number is in range, and the device has no chain: see `publish`.
        unsafe { (&raw mut (*self.shared.get()).descriptors[number]).write_volatile(descriptor) };
    }

    /// Makes the chain of the first `count` pieces available.
    ///
    /// # Panics
    /// There are no pieces, or the device still has a chain.
    pub fn publish(&self, count: usize) {
        assert!(!self.is_out() && (1..=SIZE).contains(&count));
        let published = self.published.get().wrapping_add(1);
        self.published.set(published);
        let shared = self.shared.get();
        // SAFETY: the number is in range. The device sees the index last.
        unsafe {
            let flags = &raw mut (*shared).descriptors[count - 1].flags;
            flags.write_volatile(flags.read_volatile() & !NEXT);
            fence(SeqCst);
            (&raw mut (*shared).available.index).write_volatile(published);
        }
        fence(SeqCst);
    }

    /// Whether the device has a chain, as far as is known.
    pub fn is_out(&self) -> bool {
        self.published.get() != self.returned.get()
    }

    /// The bytes that the device has written to the chain that it had, once it has returned
    /// that.
    pub fn take_returned(&self) -> Option<u32> {
        let shared = self.shared.get();
        // SAFETY: the device writes the ring, so it is read as volatile.
        let used = unsafe { (&raw const (*shared).used.index).read_volatile() };
        if !self.is_out() || used != self.published.get() {
            return None;
        }
        fence(SeqCst);
        let slot = usize::from(self.returned.replace(used)) % SIZE;
        // SAFETY: as before; the slot is in range.
        Some(unsafe { (&raw const (*shared).used.ring[slot].len).read_volatile() })
    }
}
