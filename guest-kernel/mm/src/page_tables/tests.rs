//! Tables as the CPU would walk them, and the frames that they free.

use super::*;
use crate::frames;

const READ_WRITE: Access = Access::READ.union(Access::WRITE);

fn frame(byte: u8) -> Frame {
    let mut frame = Frame::allocate().expect("there is memory");
    frame.bytes_mut().fill(byte);
    frame
}

fn tables() -> PageTables {
    PageTables::new().expect("there is memory")
}

fn map(tables: &mut PageTables, page: u64, byte: u8) {
    tables
        .map(page, frame(byte), READ_WRITE)
        .expect("there is memory");
}

/// The first byte of a page, if the program can read it.
fn read(tables: &PageTables, page: u64) -> Option<u8> {
    let entry = tables.get(page)?;
    entry.has(Flags::PRESENT).then(|| tables.first_byte(page))
}

fn is_writable(tables: &PageTables, page: u64) -> bool {
    let entry = tables.get(page).expect("something is there");
    entry.has(Flags::PRESENT | Flags::WRITABLE)
}

fn write(tables: &mut PageTables, page: u64, byte: u8) {
    let entry = tables.get(page).expect("something is there");
    if !entry.has(Flags::WRITABLE) {
        let made = tables.make_writable(page, entry, READ_WRITE);
        made.expect("there is memory");
    }
    tables.write(page, 0, &[byte]);
}

#[test]
fn tables_come_and_go_with_their_pages() {
    let before = frames::free();
    let mut tables = tables();
    assert_eq!(frames::free(), before - 1);
    // Far apart: three tables each; then two in the table of the first.
    let pages = [0x40_0000, USER_END - PAGE_SIZE, 0x40_1000];
    for (page, byte) in pages.into_iter().zip(1..) {
        map(&mut tables, page, byte);
    }
    assert_eq!((tables.frames(), frames::free()), (10, before - 10));
    assert_eq!(pages.map(|page| read(&tables, page)), [1, 2, 3].map(Some));
    assert_eq!(read(&tables, 0x40_2000), None);
    tables.unmap(0x40_1000..0x40_2000);
    assert_eq!(frames::free(), before - 9);
    tables.unmap(0x20_0000..0x80_0000);
    assert_eq!((tables.frames(), frames::free()), (5, before - 5));
    tables.unmap(0..USER_END);
    assert_eq!((tables.frames(), frames::free()), (1, before - 1));
    map(&mut tables, 0x40_0000, 1);
    drop(tables);
    assert_eq!(frames::free(), before);
}

#[test]
fn entries_say_what_is_allowed() {
    let mut tables = tables();
    for (access, expected) in [
        (Access::READ, Flags::PRESENT | Flags::NO_EXECUTE),
        (
            READ_WRITE,
            Flags::PRESENT | Flags::NO_EXECUTE | Flags::WRITABLE,
        ),
        (Access::EXECUTE, Flags::PRESENT),
        (Access::empty(), Flags::NO_EXECUTE),
    ] {
        tables
            .map(0x1_0000, frame(1), access)
            .expect("there is memory");
        let entry = tables.get(0x1_0000).expect("something is there");
        assert_eq!(
            entry.flags(),
            expected | Flags::USER_ACCESSIBLE | paging::USED
        );
        tables.unmap(0x1_0000..0x1_1000);
    }
}

#[test]
fn inaccessible_pages_keep_their_contents() {
    let mut tables = tables();
    map(&mut tables, 0x1_0000, 7);
    tables.protect(0..USER_END, Access::empty(), Sharing::Private);
    assert_eq!(read(&tables, 0x1_0000), None);
    assert!(tables.get(0x1_0000).is_some());
    tables.protect(0..USER_END, READ_WRITE, Sharing::Private);
    assert_eq!(read(&tables, 0x1_0000), Some(7));
    assert!(is_writable(&tables, 0x1_0000));
}

#[test]
fn the_first_writer_gets_a_copy_and_the_last_the_frame() {
    let before = frames::free();
    let (page, mut parent, mut child) = (0x1_0000, tables(), tables());
    map(&mut parent, page, 1);
    let forked = parent.fork(&mut child, 0..USER_END, Sharing::Private);
    assert_eq!(forked, Ok(()));
    // Two roots, twice three tables, one page.
    assert_eq!(frames::free(), before - 9);
    assert!(!is_writable(&parent, page) && !is_writable(&child, page));
    // A change of permissions does not make a shared page writable.
    parent.protect(0..USER_END, READ_WRITE, Sharing::Private);
    assert!(!is_writable(&parent, page));

    write(&mut child, page, 2);
    assert_eq!(frames::free(), before - 10);
    assert_eq!(
        (read(&parent, page), read(&child, page)),
        (Some(1), Some(2))
    );
    write(&mut parent, page, 3);
    assert_eq!(frames::free(), before - 10);
    assert_eq!(
        (read(&parent, page), read(&child, page)),
        (Some(3), Some(2))
    );
    drop((parent, child));
    assert_eq!(frames::free(), before);
}

#[test]
fn shared_pages_stay_shared() {
    let before = frames::free();
    let (page, mut parent, mut child) = (0x1_0000, tables(), tables());
    map(&mut parent, page, 1);
    let forked = parent.fork(&mut child, 0..USER_END, Sharing::Shared);
    assert_eq!(forked, Ok(()));
    write(&mut child, page, 2);
    assert_eq!(read(&parent, page), Some(2));
    parent.protect(0..USER_END, Access::READ, Sharing::Shared);
    parent.protect(0..USER_END, READ_WRITE, Sharing::Shared);
    assert!(!is_writable(&parent, page));
    let entry = parent.get(page).expect("it is there");
    parent.allow_writing(page, entry, READ_WRITE);
    assert!(is_writable(&parent, page));
    drop(parent);
    assert_eq!(read(&child, page), Some(2));
    drop(child);
    assert_eq!(frames::free(), before);
}

#[test]
fn pages_move_across_tables() {
    let before = frames::free();
    let mut tables = tables();
    for number in 0..4 {
        map(&mut tables, 0x1_0000 + number * PAGE_SIZE, number as u8 + 1);
    }
    let target = (1 << 30) - 2 * PAGE_SIZE;
    assert_eq!(tables.move_pages(0x1_0000..0x1_4000, target), Ok(()));
    assert_eq!(read(&tables, 0x1_0000), None);
    let moved = [0, 1, 2, 3].map(|n| read(&tables, target + n * PAGE_SIZE));
    assert_eq!(moved, [1, 2, 3, 4].map(Some));
    drop(tables);
    assert_eq!(frames::free(), before);
}

/// With any number of frames left, an operation that fails leaves no table behind.
#[test]
fn without_memory_nothing_is_lost() {
    let mut parent = tables();
    map(&mut parent, 0x1_0000, 1);
    map(&mut parent, 1 << 40, 2);
    let before = frames::free();
    for left in 0..9 {
        let mut hog: Vec<_> = std::iter::from_fn(Frame::allocate).collect();
        hog.truncate(hog.len() - left);
        if let Ok(mut child) = PageTables::new() {
            let forked = parent.fork(&mut child, 0..USER_END, Sharing::Private);
            assert_eq!(forked.is_ok(), left >= 7);
        }
        assert_eq!(frames::free(), left as u64);
        let moved = parent.move_pages(0x1_0000..0x1_1000, 1 << 45);
        assert_eq!(moved.is_ok(), left >= 3);
        if moved.is_ok() {
            assert_eq!(
                parent.move_pages(1 << 45..(1 << 45) + PAGE_SIZE, 0x1_0000),
                Ok(())
            );
        }
        assert_eq!(
            (frames::free(), read(&parent, 0x1_0000)),
            (left as u64, Some(1))
        );
        drop(hog);
        assert_eq!(frames::free(), before);
    }
}
