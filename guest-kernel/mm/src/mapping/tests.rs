//! Address spaces: each operation.

mod model;
mod shared;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};
use arch::paging::Flags;

use crate::address_space::{MemoryLimits, STACK_LIMIT};
use crate::area::{Locking, MayWrite};
use crate::fault::{Attempt, FaultCause};
use crate::frames::{self, FRAME_SIZE, Frame};
use crate::mapping::{AddressSpace, Backing, Discarded, Place, Request, SEARCH_END, Target};
use crate::page_tables::Access;
use crate::test_support::pages;
use crate::{FilePages, Shared};

const READ: Access = Access::READ;
const READ_WRITE: Access = Access::READ.union(Access::WRITE);
const BASE: u64 = 0x4000_0000;

fn space() -> AddressSpace {
    AddressSpace::new(MemoryLimits::NONE).expect("there is memory")
}

fn request(place: Place, pages: u64, access: Access, backing: Backing) -> Request {
    Request {
        place,
        len: pages * PAGE_SIZE,
        access,
        backing,
        populate: false,
        overcommit: false,
        locking: Locking::Unlocked,
    }
}

fn zero(place: Place, pages: u64) -> Request {
    request(place, pages, READ_WRITE, Backing::Zero)
}

fn page(number: u64) -> u64 {
    BASE + number * PAGE_SIZE
}

/// The first byte of the page at `address`, as the program would read it.
fn read(space: &AddressSpace, address: u64) -> Result<u8, FaultCause> {
    space.resolve_page(address, Attempt::Read)?;
    Ok(space.inner().tables.first_byte(address))
}

fn write(space: &AddressSpace, address: u64, byte: u8) -> Result<(), FaultCause> {
    space.resolve_page(address, Attempt::Write)?;
    space
        .put(address, &[byte])
        .expect("it has just been resolved");
    Ok(())
}

fn area_count(space: &AddressSpace) -> usize {
    space.inner().areas.len()
}

#[test]
fn areas_merge_and_split() {
    let space = space();
    assert_eq!(space.map(zero(Place::Free(page(0)), 2)), Ok(page(0)));
    assert_eq!(space.map(zero(Place::Free(page(2)), 2)), Ok(page(2)));
    // The stack, and one of four pages.
    assert_eq!(area_count(&space), 2);
    assert_eq!(space.protect(page(1), PAGE_SIZE, READ), Ok(()));
    assert_eq!(area_count(&space), 4);
    assert_eq!(space.protect(page(1), PAGE_SIZE, READ_WRITE), Ok(()));
    assert_eq!(area_count(&space), 2);
    assert_eq!(space.unmap(page(1), PAGE_SIZE), Ok(()));
    assert_eq!(area_count(&space), 3);
    assert_eq!(space.map(zero(Place::Free(page(1)), 1)), Ok(page(1)));
    assert_eq!(area_count(&space), 2);
}

#[test]
fn places_are_honoured_or_refused() {
    let space = space();
    let mapped = |place| space.map(zero(place, 2));
    assert_eq!(mapped(Place::Near(BASE + 5)), Ok(BASE));
    // Taken: from the top.
    assert_eq!(mapped(Place::Near(BASE)), Ok(SEARCH_END - 2 * PAGE_SIZE));
    assert_eq!(mapped(Place::Near(0)), Ok(SEARCH_END - 4 * PAGE_SIZE));
    assert_eq!(mapped(Place::Free(page(1))), Err(Errno::EEXIST));
    assert_eq!(mapped(Place::Replace(page(1))), Ok(page(1)));
    assert_eq!(mapped(Place::Replace(page(1) + 1)), Err(Errno::EINVAL));
    assert_eq!(mapped(Place::Replace(0)), Err(Errno::EPERM));
    assert_eq!(
        mapped(Place::Replace(USER_END - PAGE_SIZE)),
        Err(Errno::ENOMEM)
    );
    assert_eq!(mapped(Place::Replace(u64::MAX - 0xfff)), Err(Errno::ENOMEM));
    assert_eq!(space.map(zero(Place::Near(0), 0)), Err(Errno::EINVAL));
    // A hole is found again once it is at the end of the search.
    assert_eq!(
        space.unmap(SEARCH_END - 2 * PAGE_SIZE, 2 * PAGE_SIZE),
        Ok(())
    );
    assert_eq!(mapped(Place::Near(0)), Ok(SEARCH_END - 2 * PAGE_SIZE));
}

#[test]
fn files_are_mapped_privately() {
    let bytes: &'static [u8] = (0..3 * PAGE_SIZE + 5)
        .map(|offset| (offset / PAGE_SIZE) as u8 + 1)
        .collect::<Vec<_>>()
        .leak();
    let file = Shared::new(FilePages::new(bytes)).expect("there is memory");
    let space = space();
    let backing = Backing::File {
        file: file.clone(),
        offset: PAGE_SIZE,
    };
    let mapped = space.map(request(Place::Free(BASE), 4, READ_WRITE, backing));
    assert_eq!(mapped, Ok(BASE));
    assert_eq!(read(&space, page(0)), Ok(2));
    assert_eq!(write(&space, page(1), 9), Ok(()));
    assert_eq!(space.protect(page(1), PAGE_SIZE, READ), Ok(()));
    assert_eq!([0, 1, 2].map(|n| read(&space, page(n))), [2, 9, 4].map(Ok));
    assert_eq!(read(&space, page(3)), Err(FaultCause::PastEndOfFile));
    assert_eq!(
        space.discard(page(1), PAGE_SIZE, Discarded::Unlocked),
        Ok(())
    );
    assert_eq!(read(&space, page(1)), Ok(3));
    assert_eq!(bytes[2 * PAGE_SIZE as usize], 3);
    // Moved, it is still the same part.
    assert_eq!(space.protect(page(1), PAGE_SIZE, READ_WRITE), Ok(()));
    let moved = space.remap(
        page(1),
        2 * PAGE_SIZE,
        3 * PAGE_SIZE,
        Target::Anywhere,
        false,
    );
    let moved = moved.expect("there is room");
    assert_eq!(read(&space, moved), Ok(3));
    assert_eq!(read(&space, moved + PAGE_SIZE), Ok(4));
    assert_eq!(read(&space, page(1)), Err(FaultCause::NotMapped));
    assert_eq!(read(&space, page(0)), Ok(2));
    drop(space);
    assert_eq!(Shared::owners(&file), 1);
}

#[test]
fn whole_pages_of_files_are_not_copied_before_a_write() {
    let bytes = pages(&[1, 2, 3]);
    let before = frames::free();
    let file = Shared::new(FilePages::new(&bytes[..bytes.len() - 1])).expect("there is memory");
    let space = space();
    let backing = Backing::File { file, offset: 0 };
    let mapped = space.map(request(Place::Free(BASE), 3, READ_WRITE, backing));
    assert_eq!(mapped, Ok(BASE));
    // Tables and objects, but no page: the second comes with the first.
    assert_eq!(read(&space, page(0)), Ok(1));
    assert!(space.inner().tables.get(page(1)).is_some());
    assert!(space.inner().tables.get(page(2)).is_none());
    let held = before - frames::free();
    assert_eq!(write(&space, page(1), 9), Ok(()));
    assert_eq!(before - frames::free(), held + 1);
    assert_eq!([0, 1, 2].map(|n| read(&space, page(n))), [1, 9, 3].map(Ok));
    let child = space.fork().expect("there is memory");
    assert_eq!(write(&child, page(0), 8), Ok(()));
    assert_eq!([0, 1, 2].map(|n| read(&space, page(n))), [1, 9, 3].map(Ok));
    assert_eq!([0, 1, 2].map(|n| read(&child, page(n))), [8, 9, 3].map(Ok));
    assert_eq!((bytes[0], bytes[4096]), (1, 2));
    drop((space, child));
    assert_eq!(frames::free(), before);
}

/// Each has its own page before anyone writes, unless there is none, or it is shared.
#[test]
fn a_page_that_both_will_write_to_is_parted_at_once() {
    let before = frames::free();
    let space = space();
    assert_eq!(space.map(zero(Place::Free(BASE), 2)), Ok(BASE));
    let shared = Backing::Shared(MayWrite(true));
    let shared = space.map(request(Place::Free(page(2)), 1, READ_WRITE, shared));
    assert_eq!(shared, Ok(page(2)));
    assert_eq!([0, 2].map(|n| write(&space, page(n), 7)), [Ok(()); 2]);
    let child = space.fork().expect("there is memory");
    (0..4).for_each(|n| space.part(&child, page(n) + 5));
    let frame = |space: &AddressSpace, n| space.mapped(page(n), PAGE_SIZE).map(|(at, _)| at);
    assert_ne!(frame(&space, 0), frame(&child, 0));
    assert_eq!((frame(&space, 1), frame(&child, 1)), (None, None));
    assert_eq!(frame(&space, 2), frame(&child, 2));
    let is_writable = |space: &AddressSpace| {
        let entry = space.inner().tables.get(page(0));
        entry.is_some_and(|entry| entry.has(Flags::WRITABLE))
    };
    assert!(is_writable(&space) && is_writable(&child));
    assert_eq!(write(&child, page(0), 8), Ok(()));
    assert_eq!([&space, &child].map(|s| read(s, page(0))), [Ok(7), Ok(8)]);
    drop((space, child));
    assert_eq!(frames::free(), before);
}

#[test]
fn the_heap_grows_shrinks_and_meets_others() {
    let space = space();
    let start = page(0);
    space.start_heap(start);
    assert_eq!(space.set_heap_end(0), start);
    assert_eq!(space.set_heap_end(start + 5), start + 5);
    assert_eq!(
        space.set_heap_end(start + 3 * PAGE_SIZE),
        start + 3 * PAGE_SIZE
    );
    assert_eq!(write(&space, page(2), 1), Ok(()));
    assert_eq!(space.set_heap_end(start + PAGE_SIZE), start + PAGE_SIZE);
    assert_eq!(read(&space, page(2)), Err(FaultCause::NotMapped));
    assert_eq!(space.set_heap_end(page(3)), page(3));
    assert_eq!(read(&space, page(2)), Ok(0));
    assert_eq!(space.map(zero(Place::Free(page(5)), 1)), Ok(page(5)));
    assert_eq!(space.set_heap_end(page(6)), page(3));
    assert_eq!(space.set_heap_end(page(5)), page(5));
    for senseless in [u64::MAX, USER_END + 1, start - 1] {
        assert_eq!(space.set_heap_end(senseless), page(5));
    }
}

#[test]
fn the_stack_grows_to_its_limit_and_no_closer_than_its_guard() {
    let lowest = USER_END - STACK_LIMIT;
    let space = space();
    assert_eq!(write(&space, USER_END - 5 * PAGE_SIZE, 1), Ok(()));
    assert_eq!(space.size(), 5 * PAGE_SIZE);
    assert_eq!(write(&space, lowest, 1), Ok(()));
    let below = write(&space, lowest - PAGE_SIZE, 1);
    assert_eq!(below, Err(FaultCause::StackOverflow));
    let far = write(&space, lowest - (1 << 20) - PAGE_SIZE, 1);
    assert_eq!(far, Err(FaultCause::NotMapped));

    let space = super::tests::space();
    let middle = USER_END - STACK_LIMIT / 2;
    assert_eq!(space.map(zero(Place::Free(middle), 1)), Ok(middle));
    let guard = middle + PAGE_SIZE + (1 << 20);
    assert_eq!(
        write(&space, guard - PAGE_SIZE, 1),
        Err(FaultCause::StackOverflow)
    );
    assert_eq!(write(&space, guard, 1), Ok(()));

    let limits = MemoryLimits {
        stack: 1 << 16,
        ..MemoryLimits::NONE
    };
    space.set_limits(limits);
    assert_eq!(write(&space, USER_END - (1 << 16), 1), Ok(()));
    let space = AddressSpace::new(limits).expect("there is memory");
    let below = write(&space, USER_END - (1 << 16) - 1, 1);
    assert_eq!(below, Err(FaultCause::StackOverflow));
}

/// At the limit nothing can be split, and everything can be unmapped.
#[test]
fn there_are_only_so_many_areas() {
    let space = space();
    let most = 65_530;
    let reserved = Request {
        overcommit: true,
        ..request(Place::Free(BASE), 2 * most, READ, Backing::Zero)
    };
    assert_eq!(space.map(reserved), Ok(BASE));
    let protected = |number: u64| space.protect(page(2 * number + 1), PAGE_SIZE, Access::empty());
    let refused = (0..most).find(|&number| protected(number).is_err());
    let refused = refused.expect("there is a limit");
    assert!((most - 3..=most).contains(&(area_count(&space) as u64)));
    let middle = page(2 * refused + 100);
    assert_eq!(space.unmap(middle, PAGE_SIZE), Err(Errno::ENOMEM));
    assert_eq!(space.unmap(page(0), PAGE_SIZE), Ok(()));
    assert_eq!(space.unmap(BASE, 2 * most * PAGE_SIZE), Ok(()));
    assert_eq!(area_count(&space), 1);
}

#[test]
fn a_limit_on_size_is_kept() {
    let size = 10 * PAGE_SIZE;
    let limits = MemoryLimits {
        size,
        ..MemoryLimits::NONE
    };
    let space = AddressSpace::new(limits).expect("there is memory");
    assert_eq!(space.map(zero(Place::Free(BASE), 10)), Err(Errno::ENOMEM));
    assert_eq!(space.map(zero(Place::Free(BASE), 9)), Ok(BASE));
    assert_eq!(space.map(zero(Place::Near(0), 1)), Err(Errno::ENOMEM));
    let grown = write(&space, USER_END - 2 * PAGE_SIZE, 1);
    assert_eq!(grown, Err(FaultCause::OutOfMemory));
    assert_eq!(space.unmap(BASE, PAGE_SIZE), Ok(()));
    assert_eq!(write(&space, USER_END - 2 * PAGE_SIZE, 1), Ok(()));
}

/// A large program is refused, and the rest is enough for another one.
#[test]
fn hogs_are_refused_and_others_go_on() {
    let before = frames::free();
    let (hog, other) = (space(), space());
    let everything = zero(Place::Near(0), before);
    assert_eq!(hog.map(everything), Err(Errno::ENOMEM));
    let reserved = Request {
        overcommit: true,
        ..zero(Place::Free(BASE), before)
    };
    assert_eq!(hog.map(reserved), Ok(BASE));
    let refused = (0..before).find(|&number| write(&hog, page(number), 1).is_err());
    let refused = refused.expect("not all memory goes to one");
    assert!(refused > before / 2, "{refused} of {before}");
    assert_eq!(write(&hog, page(refused), 1), Err(FaultCause::OutOfMemory));
    assert_eq!(hog.fork().map(drop), Err(crate::OutOfMemory));
    assert_eq!(
        other.map(zero(Place::Near(0), 100)),
        Ok(SEARCH_END - 100 * PAGE_SIZE)
    );
    assert!(other.fork().is_ok());
    drop((hog, other));
    assert_eq!(frames::free(), before);
}

/// Wherever memory runs out, no frame is lost and nothing panics.
#[test]
fn without_memory_nothing_is_lost() {
    let before = frames::free();
    for left in 0..40 {
        let parent = space();
        for number in [0, 3, 1000] {
            assert_eq!(
                parent.map(zero(Place::Free(page(number)), 2)),
                Ok(page(number))
            );
            assert_eq!(write(&parent, page(number), 1), Ok(()));
        }
        let mut hog: Vec<_> = std::iter::from_fn(Frame::allocate).collect();
        hog.truncate(hog.len() - left);
        let child = parent.fork();
        let _ = parent.map(request(
            Place::Near(0),
            3,
            READ_WRITE,
            Backing::Shared(MayWrite(true)),
        ));
        let _ = parent.remap(page(0), PAGE_SIZE, 5 * PAGE_SIZE, Target::Anywhere, false);
        let _ = parent.protect(page(1000), PAGE_SIZE, READ);
        let _ = write(&parent, page(3), 2);
        let _ = parent.unmap(page(1001), PAGE_SIZE);
        assert_eq!(read(&parent, page(1000)), Ok(1));
        drop((parent, child, hog));
        assert_eq!(frames::free(), before, "with {left} frames");
    }
}

#[test]
fn pages_of_a_file_come_with_those_around_them() {
    let bytes: Vec<u8> = (1..=40).collect();
    let file = Shared::new(FilePages::new(pages(&bytes))).expect("there is memory");
    let space = space();
    let backing = Backing::File { file, offset: 0 };
    let request = request(Place::Free(page(0)), 40, READ, backing);
    assert_eq!(space.map(request), Ok(page(0)));
    let mapped = || {
        let is_mapped = |number: &u64| space.inner().tables.get(page(*number)).is_some();
        (0..40).filter(is_mapped).collect::<Vec<_>>()
    };
    assert_eq!(read(&space, page(20)), Ok(21));
    assert_eq!(mapped(), (16..36).collect::<Vec<_>>());
    assert_eq!(read(&space, page(5)), Ok(6));
    assert_eq!(mapped(), (0..36).collect::<Vec<_>>());
    for number in 0..36 {
        let byte = space.inner().tables.first_byte(page(number));
        assert_eq!(u64::from(byte), number + 1);
    }
}
