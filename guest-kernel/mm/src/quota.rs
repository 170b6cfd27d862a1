//! The quota of a program's frames when memory is short.
//!
//! A program may hold up to `SHARE` frames for each frame that is free. So the quota of a
//! large program shrinks as it allocates, and it is refused while there is still enough for
//! others: `n` such programs leave one frame free for each `n` times `SHARE` that they
//! hold. A small program is never refused before all are. (Dynamic thresholds: Choudhury
//! and Hahne, 1998, for buffers of switches that share their memory.)
//!
//! Rejected: a fixed limit for each program, which is too small for one program alone and
//! too large for many; strict accounting of reserved memory, which refuses to fork a
//! program that uses half of memory; killing the largest program when no frame is left,
//! which is often not the cause.

use core::cell::{Cell, RefCell};

use crate::frames;
use crate::{OutOfMemory, Shared};

/// Frames that a program may hold for each that is free.
const SHARE: u64 = 4;

/// Frames that programs leave to the kernel: for kernel stacks, pipes, files and tables.
const RESERVE: u64 = 64;

/// Frames that must be free beyond that before there is another program: it will need pages
/// of its own at once, and running programs have priority.
const FORK_RESERVE: u64 = 64;

/// Files may fill memory but for one part in this many.
const PROGRAM_PART: u64 = 8;

/// Areas that take a frame's worth of kernel objects.
const AREAS_PER_FRAME: usize = 32;

/// Whether a program that holds `held` frames may have one more.
///
/// # Errors
/// It may not.
pub fn check_page(held: u64) -> Result<(), OutOfMemory> {
    check(held, 1, frames::free())
}

/// Whether a program that holds `held` frames could fill `pages` pages more, if it did so
/// now. Nothing is set aside for it.
///
/// # Errors
/// It could not.
pub fn check_pages(held: u64, pages: u64) -> Result<(), OutOfMemory> {
    check(held, pages, frames::free())
}

/// Whether there is room for another program that starts with shares of `held` frames.
///
/// # Errors
/// There is not.
pub fn check_fork(held: u64) -> Result<(), OutOfMemory> {
    check(held, FORK_RESERVE, frames::free())
}

fn check(held: u64, more: u64, free: u64) -> Result<(), OutOfMemory> {
    let left = free
        .checked_sub(RESERVE)
        .and_then(|free| free.checked_sub(more));
    let allowed = left.ok_or(OutOfMemory)?.saturating_mul(SHARE);
    if held.saturating_add(more) > allowed {
        return Err(OutOfMemory);
    }
    Ok(())
}

/// Whether a file may have one more frame: no program holds it, so nobody's share shrinks
/// with it, and so files leave a part of memory to programs.
///
/// # Errors
/// It may not.
pub fn check_file() -> Result<(), OutOfMemory> {
    match frames_for_files() {
        0 => Err(OutOfMemory),
        _ => Ok(()),
    }
}

/// How many more frames files may have.
pub fn frames_for_files() -> u64 {
    let kept = (frames::total() / PROGRAM_PART).max(2 * RESERVE);
    frames::free().saturating_sub(kept)
}

/// Frames that some files may have together.
pub struct Budget {
    most: Cell<u64>,
    used: Cell<u64>,
}

impl Budget {
    /// So many, and none used.
    pub const fn new(most: u64) -> Self {
        Self {
            most: Cell::new(most),
            used: Cell::new(0),
        }
    }

    /// How many they may have.
    pub fn most(&self) -> u64 {
        self.most.get()
    }

    /// How many they have.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Changes how many they may have.
    pub fn set_most(&self, most: u64) {
        self.most.set(most);
    }
}

/// What a file has of a budget, if it has one; it is given back at its end.
pub(crate) struct BudgetShare {
    budget: RefCell<Option<Shared<Budget>>>,
    used: Cell<u64>,
}

impl BudgetShare {
    /// Of none.
    pub const fn none() -> Self {
        Self {
            budget: RefCell::new(None),
            used: Cell::new(0),
        }
    }

    /// Counts in `budget` from now on.
    pub fn join(&self, budget: &Shared<Budget>) {
        self.settle(0);
        self.budget.replace(Some(budget.clone()));
    }

    /// Frames that the file may have beside those that it has.
    pub fn left(&self) -> u64 {
        let budget = self.budget.borrow();
        let left = |budget: &Shared<Budget>| budget.most().saturating_sub(budget.used());
        budget.as_ref().map_or(u64::MAX, left)
    }

    /// The file has so many frames now.
    #[inline]
    pub fn settle(&self, count: u64) {
        if let Some(budget) = &*self.budget.borrow() {
            let before = self.used.replace(count);
            budget.used.set(budget.used.get() - before + count);
        }
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.settle(0);
    }
}

/// Frames that `areas` areas are worth.
pub fn frames_for_areas(areas: usize) -> u64 {
    (areas / AREAS_PER_FRAME) as u64
}

#[cfg(test)]
mod tests {
    use super::{RESERVE, SHARE, check};

    /// The frames that `hogs` programs hold in the end, which allocate in turn until all
    /// are refused.
    fn take_all(hogs: usize, mut free: u64) -> (Vec<u64>, u64) {
        let mut held = vec![0; hogs];
        loop {
            let before = free;
            for held in &mut held {
                if check(*held, 1, free).is_ok() {
                    *held += 1;
                    free -= 1;
                }
            }
            if free == before {
                return (held, free);
            }
        }
    }

    #[test]
    fn one_hog_gets_most_and_not_all() {
        let (held, free) = take_all(1, 10_000);
        assert!(held[0] >= 7900, "{held:?}");
        assert!(free >= held[0] / SHARE);
    }

    #[test]
    fn hogs_get_the_same_and_leave_room() {
        let (held, free) = take_all(20, 10_000);
        let (least, most) = (held.iter().min(), held.iter().max());
        assert!(
            most.zip(least)
                .is_some_and(|(most, least)| most - least <= 1)
        );
        // A small program that starts now gets what it needs.
        assert!(free > RESERVE + 100);
        assert!(check(30, 20, free).is_ok());
    }

    #[test]
    fn huge_requests_are_refused() {
        for more in [10_000, u64::MAX] {
            assert!(check(0, more, 10_000).is_err());
            assert!(check(u64::MAX, more, 10_000).is_err());
        }
        assert!(check(0, 1, RESERVE).is_err());
    }
}
