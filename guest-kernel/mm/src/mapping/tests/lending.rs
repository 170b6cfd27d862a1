//! Pages that files and programs lend each other.

use super::*;

fn shared_file(base: &'static [u8]) -> Shared<FilePages> {
    Shared::new(FilePages::new(base)).expect("there is memory")
}

fn byte_of(file: &FilePages, number: u64) -> u8 {
    file.with_bytes(number * PAGE_SIZE, |bytes| bytes[0])
}

fn store(file: &FilePages, number: u64, byte: u8) {
    let done = file.write_with(number * PAGE_SIZE, |bytes| {
        bytes[0] = byte;
        1
    });
    assert_eq!(done, Ok(1));
}

#[test]
fn what_is_lent_is_nobody_elses_to_change() {
    let base = pages(&[1, 2]);
    let before = frames::free();
    let (space, source, target) = (space(), shared_file(base), shared_file(&[]));
    assert_eq!(space.map(zero(Place::Free(BASE), 4)), Ok(BASE));
    let copy = |number: u64| {
        let (at, offset) = (page(number), number * PAGE_SIZE);
        assert!(space.borrow_page(at, &source, offset));
        let share = space.lend_page(at).expect("it is mapped");
        assert!(target.adopt(offset, share));
    };
    (0..2).for_each(copy);
    assert_eq!(target.len(), 2 * PAGE_SIZE);
    let all = |number| {
        let program = read(&space, page(number)).expect("it is mapped");
        [byte_of(&source, number), program, byte_of(&target, number)]
    };
    assert_eq!([all(0), all(1)], [[1; 3], [2; 3]]);
    store(&source, 0, 7);
    assert_eq!(all(0), [7, 1, 1]);
    store(&target, 0, 9);
    assert_eq!(all(0), [7, 1, 9]);
    assert_eq!(write(&space, page(1), 8), Ok(()));
    assert_eq!(all(1), [2, 8, 2]);
    // Frames of the source's own, this time.
    (0..1).for_each(copy);
    assert_eq!(all(0), [7; 3]);
    store(&source, 0, 5);
    assert_eq!(all(0), [5, 7, 7]);
    assert_eq!(write(&space, page(0), 6), Ok(()));
    assert_eq!(all(0), [5, 6, 7]);
    target.set_len(5).expect("there is memory");
    assert_eq!(target.with_bytes(0, <[u8]>::to_vec), [7, 1, 1, 1, 1]);
    assert!(base[..4096].iter().all(|&byte| byte == 1));
    drop((space, source, target));
    assert_eq!(frames::free(), before);
}

#[test]
fn what_is_mapped_is_copied() {
    let (space, file) = (space(), shared_file(pages(&[1])));
    store(&file, 1, 2);
    file.set_len(2 * PAGE_SIZE).expect("there is memory");
    assert_eq!(space.map(zero(Place::Free(BASE), 2)), Ok(BASE));
    let backing = Backing::SharedFile {
        file: file.clone(),
        offset: 0,
        may_write: crate::area::MayWrite(true),
    };
    let mapped = space.map(request(Place::Free(page(10)), 2, READ_WRITE, backing));
    assert_eq!(mapped, Ok(page(10)));
    assert_eq!(write(&space, page(11), 3), Ok(()));
    assert!(!space.borrow_page(page(0), &file, PAGE_SIZE));
    assert!(space.lend_page(page(11)).is_none());
    assert_eq!(write(&space, page(0), 4), Ok(()));
    let share = space.lend_page(page(0)).expect("it is mapped");
    assert!(!file.adopt(PAGE_SIZE, share));
    // No whole pages, no memory of the program's own, nothing that it can write to.
    assert!(!space.borrow_page(page(0) + 1, &file, 0));
    assert!(!space.borrow_page(page(0), &file, 2 * PAGE_SIZE));
    assert!(!space.borrow_page(page(10), &file, 0));
    assert!(!space.borrow_page(page(5), &file, 0));
    assert_eq!(space.protect(page(0), PAGE_SIZE, READ), Ok(()));
    assert!(!space.borrow_page(page(0), &file, 0));
}
