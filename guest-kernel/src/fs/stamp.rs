//! When something happened to a node.
//!
//! Now is one instruction: the time-stamp counter as it is. It becomes a time of day when
//! somebody asks, which is seldom. What programs and archives say is kept as they say it.

use core::cell::Cell;

use arch::clock;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The time-stamp counter then.
    Counted(u64),
    /// As it was told.
    Told(Time),
}

/// Seconds after 1970, and nanoseconds below a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// The rest, always forward.
    pub nanoseconds: u32,
}

impl Stamp {
    /// Now.
    pub fn now() -> Self {
        Self::Counted(clock::counter())
    }
}

/// The three times of a node.
pub struct Times {
    /// Last read.
    pub accessed: Cell<Stamp>,
    /// Last change of contents.
    pub modified: Cell<Stamp>,
    /// Last change of anything.
    pub changed: Cell<Stamp>,
    /// Whether it was read since the last change: further reads are not noted (Linux's
    /// `relatime`).
    is_read: Cell<bool>,
}

impl Times {
    /// Everything happened then.
    pub fn all(stamp: Stamp) -> Self {
        Self {
            accessed: Cell::new(stamp),
            modified: Cell::new(stamp),
            changed: Cell::new(stamp),
            is_read: Cell::new(false),
        }
    }

    /// It was last read and changed at these moments, which it is told now.
    pub fn tell(&self, accessed: Stamp, modified: Stamp) {
        self.accessed.set(accessed);
        self.modified.set(modified);
        self.note_change();
    }

    /// All that happened to it was then.
    pub fn set_all(&self, stamp: Stamp) {
        self.accessed.set(stamp);
        self.modified.set(stamp);
        self.changed.set(stamp);
    }

    /// It is read now.
    pub fn note_access(&self) {
        if !self.is_read.replace(true) {
            self.accessed.set(Stamp::now());
        }
    }

    /// It is read now, and each read is noted.
    pub fn note_each_access(&self) {
        self.is_read.set(true);
        self.accessed.set(Stamp::now());
    }

    /// Its contents change now.
    pub fn note_modification(&self) {
        let now = Stamp::now();
        self.modified.set(now);
        self.changed.set(now);
        self.is_read.set(false);
    }

    /// Something else about it changes now.
    pub fn note_change(&self) {
        self.changed.set(Stamp::now());
        self.is_read.set(false);
    }
}
