//! The timers that are to interrupt, soonest first: a binary heap like that of the sleeping
//! threads, but of objects, of which there may be as many as there is memory.

use mm::{OutOfMemory, Shared};

use crate::fs::events::timer::TimerFile;
use crate::fs::number_map::{self, NumberMap};

/// The heap. Each timer notes its place in it.
pub struct Heap {
    timers: NumberMap<Shared<TimerFile>>,
    len: usize,
}

impl Heap {
    /// No timers.
    pub const fn new() -> Self {
        Self {
            timers: NumberMap::EMPTY,
            len: 0,
        }
    }

    /// When the first timer is due.
    pub fn deadline(&self) -> Option<u64> {
        self.timers.get(0).map(|timer| timer.deadline.get())
    }

    /// Sets a timer, or sets it anew.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    pub fn set(&mut self, timer: &Shared<TimerFile>, deadline: u64) -> Result<(), OutOfMemory> {
        let place = match timer.place.get() {
            Some(place) => place,
            None if self.len == number_map::LIMIT => return Err(OutOfMemory),
            None => {
                self.timers.put(self.len, timer.clone(), false)?;
                self.len += 1;
                self.len - 1
            }
        };
        timer.place.set(Some(place));
        timer.deadline.set(deadline);
        self.settle(place);
        Ok(())
    }

    /// Takes a timer out, if it is set; its owner drops it when nothing is borrowed.
    pub fn remove(&mut self, timer: &TimerFile) -> Option<Shared<TimerFile>> {
        let place = timer.place.take()?;
        self.len -= 1;
        if place != self.len {
            self.swap(place, self.len);
        }
        let removed = self.timers.take(self.len)?;
        removed.place.set(None);
        if place < self.len {
            self.settle(place);
        }
        Some(removed)
    }

    /// Takes out the timer that is due first, if it is due at `now`.
    pub fn pop_due(&mut self, now: u64) -> Option<Shared<TimerFile>> {
        let first = self.timers.get(0)?.clone();
        match first.deadline.get() <= now {
            true => self.remove(&first),
            false => None,
        }
    }

    fn deadline_at(&self, place: usize) -> u64 {
        let timer = self.timers.get(place).filter(|_| place < self.len);
        timer.map_or(u64::MAX, |timer| timer.deadline.get())
    }

    /// Exchanges two timers; both places are in use, so that no memory is needed.
    fn swap(&mut self, one: usize, other: usize) {
        let (Some(a), Some(b)) = (self.timers.take(one), self.timers.take(other)) else {
            return;
        };
        a.place.set(Some(other));
        b.place.set(Some(one));
        let _ = self.timers.put(other, a, false);
        let _ = self.timers.put(one, b, false);
    }

    /// The timer at `place`.
    pub fn at(&self, place: usize) -> Option<Shared<TimerFile>> {
        self.timers.get(place).cloned()
    }

    /// Orders all timers, whose deadlines have changed.
    pub fn order(&mut self) {
        for place in 0..self.len {
            self.rise(place);
        }
    }

    /// Moves the timer at `place` to where it belongs.
    fn settle(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    /// Moves the timer at `place` up, as far as it belongs; where it is then.
    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 && self.deadline_at(place) < self.deadline_at((place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        place
    }

    /// Moves the timer at `place` down, as far as it belongs.
    fn sink(&mut self, mut place: usize) {
        loop {
            let below = match self.deadline_at(2 * place + 1) <= self.deadline_at(2 * place + 2) {
                true => 2 * place + 1,
                false => 2 * place + 2,
            };
            if self.deadline_at(below) >= self.deadline_at(place) {
                return;
            }
            self.swap(place, below);
            place = below;
        }
    }
}
