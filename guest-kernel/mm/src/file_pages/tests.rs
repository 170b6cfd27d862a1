//! Files' bytes, page by page.

use super::{FilePages, MAX_LEN, MappablePage, PAGE};
use crate::quota::Budget;
use crate::{Frame, Shared, frames};
use fastrand::Rng;

use crate::test_support::pages;

fn base(len: usize) -> &'static [u8] {
    (0..len)
        .map(|n| (n % 251) as u8 + 1)
        .collect::<Vec<_>>()
        .leak()
}

fn write(file: &FilePages, mut offset: u64, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = file.write_run(offset, bytes.len(), |place| {
            let count = place.len().min(bytes.len());
            place[..count].copy_from_slice(&bytes[..count]);
            count
        });
        let count = count.expect("there is memory");
        bytes = &bytes[count..];
        offset += count as u64;
    }
}

fn read(file: &FilePages) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let count = file.with_run(bytes.len() as u64, 5000, |part| part.to_vec());
        if count.is_empty() {
            return bytes;
        }
        bytes.extend(count);
    }
}

#[test]
fn unwritten_files_take_no_memory() {
    let before = frames::free();
    let file = FilePages::new(base(10_000));
    assert_eq!(read(&file), base(10_000));
    assert_eq!((frames::free(), file.frame_count()), (before, 0));
}

#[test]
fn whole_pages_of_the_base_are_in_place_until_written() {
    let base = pages(&[1, 2]);
    let address = base.as_ptr() as u64;
    let file = FilePages::new(base);
    let found = MappablePage {
        address,
        is_own: false,
    };
    assert_eq!(file.page(0), Some(found));
    assert!(file.page(PAGE).is_some());
    assert_eq!(file.page(2 * PAGE), None);
    assert_eq!(FilePages::new(&base[..4095]).page(0), None);
    assert_eq!(FilePages::new(&base[1..]).page(0), None);
    write(&file, 5, b"x");
    assert!(file.page(0).is_some_and(|page| page.is_own));
    file.replace(base).expect("there is memory");
    assert_eq!(file.page(0), Some(found));
    assert!(file.page(PAGE).is_some());
}

#[test]
fn pages_follow_each_other_until_one_is_written() {
    let file = FilePages::new(pages(&[1, 2, 3]));
    let count = |offset, most| file.pages(offset, most).map(|(_, count)| count);
    assert_eq!((count(0, 9), count(PAGE, 9)), (Some(3), Some(2)));
    assert_eq!((count(0, 2), count(3 * PAGE, 1)), (Some(2), None));
    write(&file, PAGE, b"x");
    assert_eq!((count(0, 9), count(PAGE, 9)), (Some(1), Some(1)));
    file.set_len(2 * PAGE + 1).expect("there is memory");
    assert_eq!(count(2 * PAGE, 9), None);
}

#[test]
fn holes_are_zero_and_cost_nothing() {
    let before = frames::free();
    let file = FilePages::new(&[]);
    write(&file, 1 << 30, b"end");
    assert_eq!(file.len(), (1 << 30) + 3);
    let mut buffer = [1; 6];
    file.copy_at((1 << 30) - 3, &mut buffer);
    assert_eq!(&buffer, b"\0\0\0end");
    file.copy_at(1 << 30, &mut buffer);
    assert_eq!(&buffer, b"end\0\0\0");
    assert!(before - frames::free() < 8);
    file.set_len(MAX_LEN).expect("there is memory");
    file.copy_at(MAX_LEN - 6, &mut buffer);
    assert_eq!(buffer, [0; 6]);
    file.set_len(0).expect("there is memory");
    assert_eq!(file.frame_count(), 0);
}

#[test]
fn punched_pages_are_given_back() {
    let before = frames::free();
    let file = FilePages::new(base(2 * PAGE as usize));
    write(&file, 2 * PAGE, &[7; 6 * PAGE as usize]);
    assert_eq!((file.page_count(), file.frame_count()), (8, 6));
    file.punch(3 * PAGE + 1, 3 * PAGE).expect("there is memory");
    assert_eq!((file.page_count(), file.frame_count()), (6, 4));
    assert_eq!(file.next_hole(5), 4 * PAGE);
    assert_eq!(file.next_data(4 * PAGE + 9), Some(6 * PAGE));
    assert_eq!(file.next_hole(6 * PAGE), 8 * PAGE);
    assert_eq!(file.next_data(8 * PAGE), None);
    // What is below must be hidden, but not with nothing after it.
    file.punch(0, PAGE).expect("there is memory");
    assert_eq!((file.page_count(), file.frame_count()), (6, 5));
    file.punch(PAGE, u64::MAX).expect("there is memory");
    assert_eq!((file.page_count(), file.frame_count()), (1, 1));
    assert_eq!((file.len(), file.next_data(PAGE)), (8 * PAGE, None));
    file.punch(0, 8 * PAGE).expect("there is memory");
    assert_eq!(
        (file.page_count(), read(&file).len()),
        (0, 8 * PAGE as usize)
    );
    drop(file);
    assert_eq!(frames::free(), before);
}

#[test]
fn the_longest_file_has_holes() {
    let file = FilePages::new(&[]);
    file.set_len(MAX_LEN).expect("there is memory");
    assert_eq!((file.next_hole(7), file.next_hole(MAX_LEN)), (7, MAX_LEN));
    write(&file, 0, &[1; 40 * PAGE as usize]);
    assert_eq!(file.next_hole(PAGE + 1), 40 * PAGE);
    write(&file, MAX_LEN - PAGE, &[1; PAGE as usize]);
    assert_eq!(file.next_hole(MAX_LEN - 5), MAX_LEN);
}

/// A write that is refused leaves nothing that leads to its page.
#[test]
fn refused_writes_take_no_memory() {
    let budget = Shared::new(Budget::new(3)).expect("there is memory");
    let file = FilePages::new(&[]);
    file.join(&budget);
    write(&file, 0, &[1; 3 * PAGE as usize]);
    assert_eq!(budget.used(), 3);
    let before = frames::free();
    for number in 1..1000 {
        let at = number << 30;
        for len in [1, 2 * PAGE as usize] {
            assert!(file.write_run(at, len, |_| 1).is_err());
        }
    }
    assert_eq!((frames::free(), file.frame_count()), (before, 3));
    file.set_len(PAGE + 1).expect("there is memory");
    assert_eq!((budget.used(), file.frame_count()), (2, 2));
    // What the program does not give, as its memory faults, takes none either.
    for number in 1..1000 {
        assert_eq!(file.write_run(number << 30, 5000, |_| 0), Ok(0));
    }
    assert_eq!((budget.used(), file.frame_count()), (2, 2));
    assert!(frames::free() >= before && file.len() == PAGE + 1);
    file.punch(0, 9 * PAGE).expect("there is memory");
    assert_eq!((budget.used(), file.frame_count()), (0, 0));
}

#[test]
fn it_is_what_a_vector_would_be() {
    let mut random = Rng::with_seed(5);
    for start in [0, 100, 3 * PAGE as usize + 5] {
        let file = FilePages::new(base(start));
        let mut expected = base(start).to_vec();
        for round in 0..300 {
            let at = random.u64(..6 * PAGE) as usize;
            if random.u64(..4) == 0 {
                expected.resize(at, 0);
                file.set_len(at as u64).expect("there is memory");
            } else if random.u64(..4) == 0 {
                let len = random.u64(1..4 * PAGE) as usize;
                let end = expected.len().min(at + len);
                expected[at.min(end)..end].fill(0);
                file.punch(at as u64, len as u64).expect("there is memory");
            } else {
                let most = [2 * PAGE, 40 * PAGE][usize::from(round % 8 == 0)];
                let bytes = vec![round as u8; random.u64(..most) as usize];
                if !bytes.is_empty() {
                    expected.resize(expected.len().max(at + bytes.len()), 0);
                    expected[at..][..bytes.len()].copy_from_slice(&bytes);
                }
                write(&file, at as u64, &bytes);
            }
            assert_eq!(read(&file), expected, "start {start}, round {round}");
        }
    }
}

/// Bytes of what a file gives at once.
fn run_len(file: &FilePages, offset: u64) -> u64 {
    file.with_run(offset, usize::MAX, |bytes| bytes.len() as u64)
}

#[test]
fn long_writes_and_reads_are_few_pieces() {
    let file = FilePages::new(&[]);
    let bytes = base(100 * PAGE as usize);
    write(&file, 0, bytes);
    let mut pieces = 0;
    let mut at = 0;
    while at < file.len() {
        at += run_len(&file, at);
        pieces += 1;
    }
    assert!(pieces <= 8, "{pieces} pieces");
    assert!(read(&file) == bytes);
    // Again, in frames that have been used.
    file.set_len(0).expect("there is memory");
    write(&file, 0, bytes);
    assert!(run_len(&file, 0) >= 16 * PAGE);
    assert!(read(&file) == bytes);
    // A base is one piece as far as nothing hides it.
    let file = FilePages::new(bytes);
    assert_eq!(run_len(&file, 5), bytes.len() as u64 - 5);
    write(&file, 50 * PAGE, b"x");
    assert_eq!(run_len(&file, 33 * PAGE), 17 * PAGE);
    assert_eq!(run_len(&file, 50 * PAGE), PAGE);
    assert_eq!(run_len(&file, 96 * PAGE), 4 * PAGE);
}

#[test]
fn a_long_write_that_stops_early_leaves_zeros() {
    let before = frames::free();
    let used: Vec<_> = (0..64).map_while(|_| Frame::allocate()).collect();
    for mut frame in used {
        frame.bytes_mut().fill(0xff);
    }
    let file = FilePages::new(&[]);
    let written = file.write_run(0, 64 * PAGE as usize, |place| {
        assert!(place.len() > PAGE as usize);
        place[..100].fill(1);
        100
    });
    assert_eq!((written, file.len()), (Ok(100), 100));
    file.set_len(64 * PAGE).expect("there is memory");
    let bytes = read(&file);
    assert!(bytes[..100].iter().all(|&byte| byte == 1));
    assert!(bytes[100..].iter().all(|&byte| byte == 0));
    drop(file);
    assert_eq!(frames::free(), before);
}
