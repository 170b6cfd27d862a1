//! Memory for kernel stacks.
//!
//! Stacks come and go with threads, most of them one at a time, so a few that were given
//! back stay mapped for reuse. They count as free memory: see [`idle_frames`].

#![allow(unsafe_code)]

use core::cell::RefCell;

use arch::context::Context;
use arch::kernel_stack::{KernelStack, STACK_COUNT, STACK_PAGES};
use arch::startup;
use single_cpu::SingleCpu;

use crate::OutOfMemory;
use crate::frames::{self, Frame};

/// Stacks without a thread that keep their memory.
const MAX_IDLE: usize = 4;

static STACKS: SingleCpu<RefCell<Stacks>> = SingleCpu::new(RefCell::new(Stacks {
    numbers: Numbers::ALL_FREE,
    idle: [const { None }; MAX_IDLE],
    idle_len: 0,
}));

struct Stacks {
    /// The numbers of stacks; those with memory are taken.
    numbers: Numbers,
    idle: [Option<KernelStack>; MAX_IDLE],
    idle_len: usize,
}

/// A stack for a new thread.
///
/// # Errors
/// There are no frames left, or too many threads.
pub fn allocate() -> Result<KernelStack, OutOfMemory> {
    let mut stacks = STACKS.borrow_mut();
    if let Some(stack) = stacks.pop_idle() {
        return Ok(stack);
    }
    let frames = [(); STACK_PAGES].map(|()| Frame::allocate());
    let [Some(a), Some(b), Some(c)] = frames else {
        return Err(OutOfMemory);
    };
    let number = stacks.numbers.take().ok_or(OutOfMemory)?;
    // SAFETY: `for_tables` allocates frames of zeros, which nobody frees.
    let table = unsafe { KernelStack::make_table(number, &mut frames::for_tables) };
    if table.is_none() {
        stacks.numbers.give_back(number);
        return Err(OutOfMemory);
    }
    let frames = [a, b, c].map(Frame::into_address);
    // SAFETY: the number was free, so there is no such stack; the frames were this
    // function's own.
    Ok(unsafe { KernelStack::map(number, frames) })
}

/// The stacks of a CPU that is to start, if there are frames.
pub fn for_cpu() -> Option<startup::Stacks> {
    let (idle, emergencies) = (allocate().ok()?, allocate().ok()?);
    Some(startup::Stacks { idle, emergencies })
}

/// Gives back a stack that is not in use.
pub fn release(stack: KernelStack) {
    STACKS.borrow_mut().release(stack);
}

/// Ends the running thread: continues where `next` was saved and keeps the stack for another
/// thread. Nothing on the stack is dropped.
pub fn leave_to(next: &'static Context) -> ! {
    // SAFETY: `release` keeps the stack that it is given mapped, and nothing takes it from
    // there before the switch that follows at once. A destructor that does not run frees
    // too little, never too much.
    unsafe { Context::leave_to(next, release) }
}

/// Frames in stacks without a thread.
pub fn idle_frames() -> u64 {
    (STACKS.borrow().idle_len * STACK_PAGES) as u64
}

impl Stacks {
    fn pop_idle(&mut self) -> Option<KernelStack> {
        self.idle_len = self.idle_len.checked_sub(1)?;
        self.idle[self.idle_len].take()
    }

    /// Keeps `stack` for the next thread, and frees another one if there are enough.
    fn release(&mut self, stack: KernelStack) {
        if self.idle_len == MAX_IDLE
            && let Some(other) = self.pop_idle()
        {
            let (number, frames) = other.unmap();
            self.numbers.give_back(number);
            for frame in frames {
                // SAFETY: `allocate` made the frame into this address, and the stack no
                // longer has it.
                drop(unsafe { Frame::from_address(frame) });
            }
        }
        self.idle[self.idle_len] = Some(stack);
        self.idle_len += 1;
    }
}

/// The numbers below [`STACK_COUNT`], each free or taken.
struct Numbers {
    /// A bit for each that is taken.
    taken: [u64; STACK_COUNT / 64],
    /// All are taken in the words before this one.
    first: usize,
}

impl Numbers {
    const ALL_FREE: Self = Self {
        taken: [0; STACK_COUNT / 64],
        first: 0,
    };

    /// Takes the lowest free number.
    fn take(&mut self) -> Option<usize> {
        let rest = &self.taken[self.first..];
        let Some(words) = rest.iter().position(|&bits| bits != u64::MAX) else {
            self.first = self.taken.len();
            return None;
        };
        let word = self.first + words;
        self.first = word;
        let bit = self.taken[word].trailing_ones();
        self.taken[word] |= 1 << bit;
        Some(word * 64 + bit as usize)
    }

    fn give_back(&mut self, number: usize) {
        self.taken[number / 64] &= !(1 << (number % 64));
        self.first = self.first.min(number / 64);
    }
}

#[cfg(test)]
mod tests {
    use super::{Numbers, STACK_COUNT};

    #[test]
    fn each_number_is_given_once() {
        let mut numbers = Numbers::ALL_FREE;
        let taken: Vec<_> = std::iter::from_fn(|| numbers.take()).collect();
        assert!(taken.into_iter().eq(0..STACK_COUNT));
        for number in [7, 64, STACK_COUNT - 1] {
            numbers.give_back(number);
            assert_eq!(numbers.take(), Some(number));
        }
        numbers.give_back(100);
        numbers.give_back(70);
        assert_eq!([numbers.take(), numbers.take()], [Some(70), Some(100)]);
        assert_eq!(numbers.take(), None);
    }
}
