//! Looking at an address space from outside, for `/proc`.

use core::ops::Range;

use abi::virtual_map::PAGE_SIZE;

use crate::address_space::page_parts;
use crate::area::{Area, Kind};
use crate::fault::Attempt;
use crate::page_tables::Sharing;
use crate::user_memory::BadAddress;
use crate::{AddressSpace, FilePages, Shared, UserSlice};

/// An area, as far as others are told of it.
pub struct Seen {
    /// The area.
    pub area: Area,
    /// Bytes of it that are in memory.
    pub resident: u64,
    /// Whether it is the heap, which grows by `brk`, or part of it.
    pub is_heap: bool,
}

impl Seen {
    /// The file that is mapped there, and where in it the area starts.
    pub fn file(&self) -> Option<(&Shared<FilePages>, u64)> {
        let part = self.area.file()?;
        let skipped = self.area.start.saturating_sub(part.start);
        let before = part.start.saturating_sub(self.area.start);
        let offset = part.offset.saturating_add(skipped);
        Some((&part.file, offset.saturating_sub(before)))
    }

    /// Whether children share what is written there.
    pub fn is_shared(&self) -> bool {
        self.area.sharing() == Sharing::Shared
    }
}

impl AddressSpace {
    /// Reads bytes at `address`, as the program could, whether or not this address space is
    /// active.
    ///
    /// # Errors
    /// The program could not; some may have been read.
    pub fn get(&self, address: u64, bytes: &mut [u8]) -> Result<(), BadAddress> {
        UserSlice::new(address, bytes.len() as u64).check()?;
        for (page, offset, part) in page_parts(address, bytes.len()) {
            let is_there = self.inner().tables.get(page).is_some();
            if !is_there {
                let resolved = self.resolve_page(page, Attempt::Read);
                resolved.map_err(|_| BadAddress)?;
            }
            self.inner().tables.read(page, offset, &mut bytes[part]);
        }
        Ok(())
    }

    /// The area at `address` or first after it.
    pub fn seen_from(&self, address: u64) -> Option<Seen> {
        let inner = self.inner();
        let area = inner.areas.at_or_after(address)?.clone();
        let range = area.start..area.end;
        let heap = inner.heap.start..inner.heap.end.next_multiple_of(PAGE_SIZE);
        Some(Seen {
            resident: inner.tables.count(range.clone()) * PAGE_SIZE,
            is_heap: matches!(area.kind, Kind::Zero) && overlap(&range, &heap),
            area,
        })
    }

    /// Where the heap starts and ends.
    pub fn heap(&self) -> Range<u64> {
        self.inner().heap.clone()
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address_space::MemoryLimits;
    use abi::virtual_map::USER_END;

    #[test]
    fn what_was_put_is_read() {
        let space = AddressSpace::new(MemoryLimits::NONE).expect("there is memory");
        let address = USER_END - PAGE_SIZE - 3;
        space.put(address, b"across").expect("it is stack");
        let mut bytes = [0; 6];
        assert_eq!(space.get(address, &mut bytes), Ok(()));
        assert_eq!(&bytes, b"across");
        assert_eq!(space.get(0x1000, &mut bytes), Err(BadAddress));
        assert_eq!(space.get(u64::MAX - 2, &mut bytes), Err(BadAddress));
        let seen = space.seen_from(0).expect("there is a stack");
        assert_eq!(seen.area.end, USER_END);
        assert_eq!((seen.resident, seen.is_heap), (2 * PAGE_SIZE, false));
        assert!(space.seen_from(USER_END).is_none());
    }
}
