//! The groups that a process is in beside its own (Linux, credentials(7)).
//!
//! A list is in order, and never changes: processes share it until one has another. It lies in
//! blocks, each as a program has it in memory, so that calls copy whole blocks.

use core::mem;

use abi::Errno;
use mm::{Owned, Shared};

/// Most groups (Linux, NGROUPS_MAX).
pub const GROUPS_MAX: usize = 65_536;

/// A group's number, as in a program's memory.
type Id = [u8; 4];

/// Groups in a block: two of these fit into a frame.
const BLOCK: usize = 500;
const BLOCKS: usize = GROUPS_MAX.div_ceil(BLOCK);

/// Such a list.
pub struct Groups {
    len: usize,
    blocks: [Option<Owned<[Id; BLOCK]>>; BLOCKS],
}

impl Groups {
    /// A list of `len` groups, in whatever order `read` has them: it is given places for some at
    /// a time, and how many came before.
    ///
    /// # Errors
    /// EINVAL: too many, or the number that stands for nobody. ENOMEM; those of `read`.
    pub fn new(
        len: usize,
        mut read: impl FnMut(usize, &mut [Id]) -> Result<(), Errno>,
    ) -> Result<Shared<Self>, Errno> {
        if len > GROUPS_MAX {
            return Err(Errno::EINVAL);
        }
        let mut groups = Self::zeros(len)?;
        let mut left = len;
        for block in groups.blocks.iter_mut().flatten() {
            let count = left.min(BLOCK);
            read(len - left, &mut block[..count])?;
            left -= count;
        }
        if groups.iter().any(|group| group == u32::MAX) {
            return Err(Errno::EINVAL);
        }
        if !groups.iter().is_sorted() {
            groups.sort()?;
        }
        Ok(Shared::new(groups)?)
    }

    fn zeros(len: usize) -> Result<Self, Errno> {
        let mut blocks = [const { None }; BLOCKS];
        for block in &mut blocks[..len.div_ceil(BLOCK)] {
            mm::check_object()?;
            *block = Some(Owned::new([Id::default(); BLOCK])?);
        }
        Ok(Self { len, blocks })
    }

    /// Sorts them by one digit after the other, in as many steps for any order: the kernel cannot
    /// be preempted.
    fn sort(&mut self) -> Result<(), Errno> {
        let mut sorted = Self::zeros(self.len)?;
        for digit in 0..size_of::<Id>() {
            let mut places = [0; 256];
            for (_, piece) in self.pieces() {
                for id in piece {
                    places[usize::from(id[digit])] += 1;
                }
            }
            if places.contains(&self.len) {
                continue;
            }
            let mut before = 0;
            for place in &mut places {
                before += mem::replace(place, before);
            }
            for (_, piece) in self.pieces() {
                for id in piece {
                    let place = &mut places[usize::from(id[digit])];
                    if let Some(block) = &mut sorted.blocks[*place / BLOCK] {
                        block[*place % BLOCK] = *id;
                    }
                    *place += 1;
                }
            }
            mem::swap(self, &mut sorted);
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Pieces of the list, with how many groups come before.
    pub fn pieces(&self) -> impl Iterator<Item = (usize, &[Id])> {
        let starts = (0..self.len).step_by(BLOCK);
        starts
            .zip(self.blocks.iter().flatten())
            .map(|(start, block)| (start, &block[..(self.len - start).min(BLOCK)]))
    }

    fn ids(&self) -> impl Iterator<Item = &Id> {
        self.pieces().flat_map(|(_, piece)| piece)
    }

    /// The groups in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.ids().map(|&id| u32::from_le_bytes(id))
    }

    /// Whether this group is among them.
    pub fn contains(&self, group: u32) -> bool {
        let number = |id: &Id| u32::from_le_bytes(*id);
        let mut pieces = self.pieces().map(|(_, piece)| piece);
        let piece = pieces.find(|piece| piece.last().is_some_and(|last| number(last) >= group));
        piece.is_some_and(|piece| piece.binary_search_by_key(&group, number).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUPS_MAX, Groups};
    use abi::Errno;

    fn groups(of: &[u32]) -> Result<mm::Shared<Groups>, Errno> {
        Groups::new(of.len(), |start, places| {
            for (place, group) in places.iter_mut().zip(&of[start..]) {
                *place = group.to_le_bytes();
            }
            Ok(())
        })
    }

    #[test]
    fn they_are_put_in_order() {
        for len in [0, 1, 2, 499, 500, 501, GROUPS_MAX] {
            let all: Vec<_> = (1..=len as u32)
                .map(|n| n.wrapping_mul(0x9e37_79b1) / 2)
                .collect();
            let groups = groups(&all).expect("there is memory");
            let mut sorted = all.clone();
            sorted.sort_unstable();
            assert!(groups.iter().eq(sorted.iter().copied()));
            assert_eq!(groups.len(), len);
            assert!(all.iter().step_by(97).all(|&group| groups.contains(group)));
            let absent = |group: &u32| sorted.binary_search(group).is_err();
            let mut others = (0..9000).map(|n| n * 31).filter(absent);
            assert!(!others.any(|group| groups.contains(group)));
        }
    }

    #[test]
    fn not_too_many_and_none_that_stands_for_nobody() {
        assert_eq!(groups(&[7; GROUPS_MAX + 1]).err(), Some(Errno::EINVAL));
        assert_eq!(groups(&[7, u32::MAX, 3]).err(), Some(Errno::EINVAL));
        let nowhere = Groups::new(900, |start, _| match start {
            0 => Ok(()),
            _ => Err(Errno::EFAULT),
        });
        assert_eq!(nowhere.err(), Some(Errno::EFAULT));
    }
}
