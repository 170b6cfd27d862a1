//! Kernel objects: [`Owned`] and [`Shared`] values in pools over frames.
//!
//! The kernel has no global allocator, so that every allocation is explicit and none can
//! panic: making an object is an expression that may fail. Each size has a pool of frames
//! cut into slots of that size:
//!
//! ```text
//! frame: | Header | used | used | returned | used | fresh | fresh | ... |
//!                                  ^free            ^fresh
//! ```
//!
//! Returned slots are chained by their offsets, fresh ones lie above a mark, so that a
//! frame need not be prepared. A pool's list has the frames with room in them; a full one
//! is found through the address of a slot that comes back. A frame whose last object goes
//! returns to the frame pool at once: no object, no memory held.
//!
//! Rejected: one pool for each type, which leaves a frame partly empty for each type
//! instead of each size; a general allocator, which is slower and fragments.

#![allow(unsafe_code)]

mod weak;

use core::cell::{Cell, RefCell};
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, align_of, size_of};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

use single_cpu::SingleCpu;

use crate::OutOfMemory;
use crate::frames::{FRAME_SIZE, Frame};
use crate::pool::weak::Count;
pub use crate::pool::weak::Weak;

/// Sizes of slots are multiples of this, and so are their addresses.
const GRAIN: usize = 16;
const HEADER_SIZE: usize = size_of::<Header>();
const LARGEST: usize = FRAME_SIZE - HEADER_SIZE;
/// Pool `n` has slots of `n` times [`GRAIN`].
const POOLS: usize = LARGEST / GRAIN + 1;
/// Offset that no slot has.
const NONE: u16 = 0;

/// At the start of each frame of a pool.
#[repr(C, align(16))]
struct Header {
    /// Neighbours in the list of frames with room; null at its ends, and for a frame that
    /// is not in it.
    next: *mut Header,
    previous: *mut Header,
    /// Offset of the first returned slot, which holds the offset of the next.
    free: u16,
    /// Offset of the first slot never used.
    fresh: u16,
    /// Slots in use.
    used: u16,
}

const _: () = assert!(HEADER_SIZE.is_multiple_of(GRAIN));

/// Frames cut into slots of one size.
struct Pool {
    /// The first frame with room.
    first: *mut Header,
}

impl Pool {
    const EMPTY: Self = Self {
        first: ptr::null_mut(),
    };

    /// A slot of `size` bytes, a multiple of [`GRAIN`] up to [`LARGEST`] and the same in
    /// every call.
    fn allocate(&mut self, size: usize) -> Result<NonNull<u8>, OutOfMemory> {
        if self.first.is_null() {
            self.add_frame()?;
        }
        // SAFETY: the list has headers of this pool's frames only, which are there until
        // `free` has taken them out of it, and nobody else refers to a header.
        let header = unsafe { &mut *self.first };
        let base = self.first.cast::<u8>();
        let offset = if header.free == NONE {
            let offset = header.fresh;
            header.fresh += size as u16;
            offset
        } else {
            let offset = header.free;
            // SAFETY: `free` left the next offset in this slot, which is aligned for it.
            header.free = unsafe { base.add(usize::from(offset)).cast::<u16>().read() };
            offset
        };
        header.used += 1;
        if header.free == NONE && usize::from(header.fresh) + size > FRAME_SIZE {
            self.unlink(header);
        }
        // SAFETY: the offset is that of a slot, which is inside the frame.
        Ok(unsafe { NonNull::new_unchecked(base.add(usize::from(offset))) })
    }

    fn add_frame(&mut self) -> Result<(), OutOfMemory> {
        let frame = Frame::allocate().ok_or(OutOfMemory)?;
        let header = frame.into_pointer().cast::<Header>();
        // SAFETY: the frame was this function's own and is larger than a header.
        unsafe {
            header.write(Header {
                next: ptr::null_mut(),
                previous: ptr::null_mut(),
                free: NONE,
                fresh: HEADER_SIZE as u16,
                used: 0,
            });
        }
        self.first = header.as_ptr();
        Ok(())
    }

    /// Takes a slot back.
    ///
    /// # Safety
    /// `allocate` of this pool gave it, for the same `size`, and nobody uses it any more.
    unsafe fn free(&mut self, size: usize, slot: NonNull<u8>) {
        let offset = slot.as_ptr() as usize % FRAME_SIZE;
        let place = slot.as_ptr().wrapping_sub(offset).cast::<Header>();
        // SAFETY: frames are aligned to their size and start with the header, and nobody
        // else refers to it.
        let header = unsafe { &mut *place };
        let was_full = header.free == NONE && usize::from(header.fresh) + size > FRAME_SIZE;
        // SAFETY: the slot is unused and aligned to `GRAIN`.
        unsafe { slot.cast::<u16>().write(header.free) };
        header.free = offset as u16;
        header.used -= 1;
        if header.used == 0 {
            if !was_full {
                self.unlink(header);
            }
            // SAFETY: `add_frame` made the frame into this pointer; without used slots,
            // and out of the list, nothing leads to it any more.
            drop(unsafe { Frame::from_pointer(NonNull::new_unchecked(place).cast()) });
        } else if was_full {
            self.link(place);
        }
    }

    /// Puts a frame in front of the list.
    fn link(&mut self, place: *mut Header) {
        // SAFETY: `place` and everything in the list are headers of this pool.
        unsafe {
            (*place).next = self.first;
            (*place).previous = ptr::null_mut();
            if let Some(first) = self.first.as_mut() {
                first.previous = place;
            }
        }
        self.first = place;
    }

    /// Takes a frame out of the list.
    fn unlink(&mut self, header: &mut Header) {
        let (next, previous) = (header.next, header.previous);
        // SAFETY: neighbours in the list are other headers of this pool.
        unsafe {
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => self.first = next,
            }
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
        }
    }
}

type Pools = RefCell<[Pool; POOLS]>;

#[cfg(feature = "image")]
fn pools() -> &'static Pools {
    static ALL: SingleCpu<Pools> = SingleCpu::new(RefCell::new([Pool::EMPTY; POOLS]));
    &ALL
}

/// Tests run at the same time and each has its own.
#[cfg(not(feature = "image"))]
fn pools() -> &'static SingleCpu<Pools> {
    std::thread_local! {
        static ALL: &'static SingleCpu<Pools> =
            Box::leak(Box::new(SingleCpu::new(RefCell::new([Pool::EMPTY; POOLS]))));
    }
    ALL.with(|all| *all)
}

/// Moves a value into a slot.
fn place<T>(value: T) -> Result<NonNull<T>, OutOfMemory> {
    let size = slot_size::<T>();
    let slot = pools().borrow_mut()[size / GRAIN].allocate(size)?.cast();
    // SAFETY: the slot is unused, as large as a `T`, and aligned for it: `slot_size`.
    unsafe { slot.write(value) };
    Ok(slot)
}

/// Ends the life of a slot whose value has been dropped or moved out.
///
/// # Safety
/// `place::<T>` gave the slot, and nobody uses it any more.
unsafe fn vacate<T>(slot: NonNull<T>) {
    let size = slot_size::<T>();
    // SAFETY: the caller's promise; the type says which pool.
    unsafe { pools().borrow_mut()[size / GRAIN].free(size, slot.cast()) }
}

const fn slot_size<T>() -> usize {
    const {
        assert!(
            align_of::<T>() <= GRAIN,
            "no object is aligned to more than 16"
        );
        assert!(size_of::<T>() <= LARGEST, "an object fits into a frame");
        if size_of::<T>() == 0 {
            GRAIN
        } else {
            size_of::<T>().next_multiple_of(GRAIN)
        }
    }
}

/// A kernel object with one owner: what `Box` is elsewhere.
pub struct Owned<T> {
    slot: NonNull<T>,
    owns: PhantomData<T>,
}

impl<T> Owned<T> {
    /// Moves `value` into an object of its own.
    ///
    /// # Errors
    /// There are no frames left; `value` is dropped.
    pub fn new(value: T) -> Result<Self, OutOfMemory> {
        Ok(Self {
            slot: place(value)?,
            owns: PhantomData,
        })
    }

    /// Keeps the object for ever.
    pub fn leak(self) -> &'static T
    where
        T: 'static,
    {
        let this = ManuallyDrop::new(self);
        // SAFETY: the slot holds a value, and as `this` is never dropped nobody ends it.
        unsafe { this.slot.as_ref() }
    }

    /// The value, without its object.
    pub fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: the slot holds a value, which is taken out once since `this` is never
        // dropped; then nothing refers to the slot.
        unsafe {
            let value = this.slot.read();
            vacate(this.slot);
            value
        }
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the slot holds a value as long as this owner of it lives.
        unsafe { self.slot.as_ref() }
    }
}

impl<T> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and this is the only owner.
        unsafe { self.slot.as_mut() }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: this was the only owner. No pool is borrowed while the value is
        // dropped, so it may own objects.
        unsafe {
            self.slot.drop_in_place();
            vacate(self.slot);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Owned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A kernel object with any number of owners, which goes with the last of them: what `Rc`
/// is elsewhere. What changes in it needs a cell.
pub struct Shared<T> {
    slot: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

struct Counted<T> {
    count: Cell<Count>,
    value: T,
}

impl<T> Shared<T> {
    /// Moves `value` into an object with one owner.
    ///
    /// # Errors
    /// There are no frames left; `value` is dropped.
    pub fn new(value: T) -> Result<Self, OutOfMemory> {
        let count = Cell::new(Count::ONE_OWNER);
        Ok(Self {
            slot: place(Counted { count, value })?,
            owns: PhantomData,
        })
    }

    /// How many owners there are.
    pub fn owners(this: &Self) -> usize {
        this.counted().count.get().owners() as usize
    }

    /// Whether both are the same object.
    pub fn is_same(this: &Self, other: &Self) -> bool {
        this.slot == other.slot
    }

    /// Ends an object without owners: out of line, so that each drop of one of several owners
    /// takes but few instructions.
    ///
    /// # Safety
    /// Nobody uses it any more.
    #[inline(never)]
    unsafe fn end(slot: NonNull<Counted<T>>) {
        // SAFETY: the caller's promise. No pool is borrowed while the value is dropped, so it
        // may own objects. The slot is there meanwhile, whoever of its watchers goes: this is
        // one.
        unsafe {
            let count = &(*slot.as_ptr()).count;
            count.set(count.get().with_watcher());
            (&raw mut (*slot.as_ptr()).value).drop_in_place();
            weak::leave(slot);
        }
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: the slot holds a value as long as any owner of it lives, and nobody has
        // an exclusive reference to it.
        unsafe { self.slot.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    /// One more owner. The count cannot overflow: there is no memory for so many of them.
    fn clone(&self) -> Self {
        let count = &self.counted().count;
        count.set(count.get().with_owner());
        Self {
            slot: self.slot,
            owns: PhantomData,
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let count = &self.counted().count;
        count.set(count.get().without_owner());
        if count.get().owners() == 0 {
            // SAFETY: this was the last owner.
            unsafe { Self::end(self.slot) }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests;
