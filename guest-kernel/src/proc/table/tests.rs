//! Numbers and slots, without processes.

use abi::Errno;
use mm::frames;

use super::{CHAINS, FIRST_AGAIN, MAX_NUMBER, Table};
use crate::proc::thread::State;

fn table() -> &'static Table<3> {
    Box::leak(Box::new(Table::new()))
}

/// The number of a thread that begins.
fn begin(table: &'static Table<3>, most: usize) -> Result<u32, Errno> {
    let slot = table.free_slot(most)?;
    slot.thread.state.set(State::Runnable);
    table.take(slot.number);
    Ok(slot.number)
}

fn end(table: &Table<3>, number: u32) {
    let entry = table.find(number).expect("it has a number");
    entry.thread.state.set(State::Unused);
    table.release(number);
}

#[test]
fn numbers_go_up_and_skip_those_in_use() {
    let table = table();
    let next = || begin(table, 100).expect("there are slots");
    assert_eq!([next(), next(), next()], [1, 2, 3]);
    end(table, 2);
    assert_eq!(next(), 4);
    table.last.set(MAX_NUMBER - 1);
    assert_eq!(next(), FIRST_AGAIN);
    table.last.set(2);
    assert_eq!(next(), 5);
}

#[test]
fn a_number_is_free_until_it_is_taken_and_when_all_of_it_has_gone() {
    let table = table();
    let refused = table.free_slot(100).expect("there are slots").number;
    assert!(table.find(refused).is_none());
    let number = begin(table, 100).expect("there are slots");
    let entry = table.find(number).expect("it has been taken");
    table.release(number);
    assert!(
        table
            .find(number)
            .is_some_and(|now| std::ptr::eq(now, entry))
    );
    end(table, number);
    assert!(table.find(number).is_none());
}

#[test]
fn slots_are_made_as_they_are_needed_and_used_again() {
    const MOST: usize = 3 * CHAINS;
    let table = table();
    let before = frames::free();
    let numbers: Vec<_> = (1..MOST).map(|_| begin(table, MOST)).collect();
    assert_eq!(begin(table, MOST), Err(Errno::EAGAIN));
    let after = frames::free();
    assert!(after < before);
    for number in &numbers {
        end(table, number.expect("there are slots"));
    }
    let places = (1..MOST).map(|_| begin(table, MOST).expect("they are free"));
    let mut places: Vec<_> = places
        .map(|number| table.find(number).expect("taken").process.place.get())
        .collect();
    places.sort_unstable();
    assert!(places.into_iter().eq(1..MOST as u32));
    assert_eq!(frames::free(), after);
}

#[test]
fn a_slot_without_memory_for_it_is_refused() {
    let table = table();
    let all: Vec<_> = std::iter::from_fn(mm::Frame::allocate).collect();
    let numbers: Vec<_> = (0..3).map(|_| begin(table, 100)).collect();
    assert_eq!(numbers, [Ok(1), Ok(2), Err(Errno::ENOMEM)]);
    drop(all);
    assert!(begin(table, 100).is_ok());
}
