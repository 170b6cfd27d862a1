//! What an entry of a table leads to, down to the groups of pages at the bottom.

use crate::frames::{FrameRun, FrameShare, ShareRun};
use crate::{OutOfMemory, Owned};

/// Entries of a table, pages of a group, and the bits of a page's number that select one.
pub(super) const FANOUT: u64 = 1 << FANOUT_BITS;
pub(super) const FANOUT_BITS: u32 = 6;
const _: () = assert!(FANOUT == ShareRun::PLACES as u64);

#[derive(Default)]
pub(super) enum Slot {
    #[default]
    Empty,
    /// In a group's table.
    Page(FrameShare),
    /// A group.
    Together(ShareRun),
    /// A group's, or one above.
    Table(Owned<Table>),
}

pub(super) struct Table(pub(super) [Slot; FANOUT as usize]);

impl Table {
    pub(super) fn new() -> Result<Owned<Self>, OutOfMemory> {
        Owned::new(Self([const { Slot::Empty }; FANOUT as usize]))
    }
}

impl Slot {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(super) fn share(&self) -> Option<&FrameShare> {
        match self {
            Self::Page(kept) => Some(kept),
            _ => None,
        }
    }

    pub(super) fn share_mut(&mut self) -> Option<&mut FrameShare> {
        match self {
            Self::Page(kept) => Some(kept),
            _ => None,
        }
    }

    /// Of a group: how many pages of up to `most` from this place on have no frame, before the first
    /// that has one.
    pub(super) fn gap(&self, place: usize, most: usize) -> usize {
        match self {
            Self::Together(shares) => shares.gap(place).min(most),
            Self::Table(table) => {
                let after = table.0[place..].iter().take(most);
                after.take_while(|slot| slot.share().is_none()).count()
            }
            Self::Empty | Self::Page(_) => most.min(ShareRun::PLACES - place),
        }
    }

    /// Of a group: gets it ready for frames at this place, where there are none.
    #[inline]
    pub(super) fn prepare(&mut self, place: usize, frames: &FrameRun) -> Result<(), OutOfMemory> {
        match self {
            Self::Together(shares) if !shares.fits(place, frames) => self.make_table(),
            _ => Ok(()),
        }
    }

    /// Of a group whose frames lie together.
    #[cold]
    fn make_table(&mut self) -> Result<(), OutOfMemory> {
        let mut table = Table::new()?;
        if let Self::Together(shares) = self {
            while let Some(place) = shares.first() {
                table.0[place] = shares.take(place).map_or(Self::Empty, Self::Page);
            }
        }
        *self = Self::Table(table);
        Ok(())
    }

    /// Of a group, which is [ready](Self::prepare): puts them there.
    pub(super) fn put(&mut self, place: usize, frames: FrameRun) {
        match self {
            Self::Together(shares) => shares.add(place, frames),
            Self::Table(table) => {
                for (slot, frame) in table.0[place..].iter_mut().zip(frames) {
                    *slot = Self::Page(frame.into());
                }
            }
            Self::Empty | Self::Page(_) => *self = Self::Together(ShareRun::new(place, frames)),
        }
    }
}
