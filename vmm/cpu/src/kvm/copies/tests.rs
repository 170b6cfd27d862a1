//! Requests as a kernel makes them, and as only a hostile one does.

use std::fs::File;
use std::io::Write;

use abi::copies::{COPY, DONE, FILL, MOST};

use super::Copies;
use crate::memory::{FileWindow, GuestRam};

const PAGE: u64 = 4096;
const RAM: u64 = 64 * PAGE;
const REQUEST: u64 = 0x100;
const WINDOW: u64 = 1 << 32;

/// Page tables: each level's first entry leads to the next; the last maps pages from `MAPPED`.
const TABLES: [u64; 4] = [PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE];
/// Where the tables of the test start to map, in a canonical upper half.
const BASE: u64 = 0xffff_8000_0000_0000;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const LARGE: u64 = 1 << 7;

struct Machine {
    ram: GuestRam,
}

impl Machine {
    /// Virtual page N of `BASE` is physical page `order[N]`.
    fn new(order: &[u64]) -> Self {
        Self::with(GuestRam::new(RAM).expect("address space"), order)
    }

    fn with(ram: GuestRam, order: &[u64]) -> Self {
        let machine = Self { ram };
        machine.word(TABLES[0] + 256 * 8, TABLES[1] | PRESENT | WRITABLE);
        machine.word(TABLES[1], TABLES[2] | PRESENT | WRITABLE);
        machine.word(TABLES[2], TABLES[3] | PRESENT | WRITABLE);
        for (number, frame) in order.iter().enumerate() {
            machine.map_all(number as u64, frame * PAGE);
        }
        machine
    }

    fn map(&self, number: u64, entry: u64) {
        self.word(TABLES[3] + number * 8, entry);
    }

    /// Maps virtual page `number`, readable and writable, at `gpa`.
    fn map_all(&self, number: u64, gpa: u64) {
        self.map(number, gpa | PRESENT | WRITABLE);
    }

    fn word(&self, at: u64, word: u64) {
        self.ram.write(at, &word.to_le_bytes()).expect("it is RAM");
    }

    fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read(at, &mut bytes).expect("it is RAM");
        bytes
    }

    fn ask(&self, words: [u64; 5]) -> u64 {
        for (number, word) in words.into_iter().chain([77]).enumerate() {
            self.word(REQUEST + number as u64 * 8, word);
        }
        self.serve(REQUEST as u32);
        let answer = self.bytes(REQUEST + DONE as u64 * 8, 8);
        u64::from_le_bytes(answer.try_into().expect("eight bytes"))
    }

    fn serve(&self, address: u32) {
        Copies::new(&self.ram).serve(address);
    }

    fn copy(&self, to: u64, from: u64, len: u64) -> u64 {
        self.ask([COPY, TABLES[0], BASE + to, BASE + from, len])
    }
}

fn text(len: u64) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 + 1).collect()
}

#[test]
fn copies_follow_the_page_tables() {
    let machine = Machine::new(&[20, 9, 30, 15, 40, 11, 50, 13]);
    let bytes = text(3 * PAGE);
    for (number, frame) in [20, 9, 30].into_iter().enumerate() {
        let part = &bytes[number * PAGE as usize..][..PAGE as usize];
        machine.ram.write(frame * PAGE, part).expect("it is RAM");
    }
    // From the middle of page 0 to the middle of page 3: pages end at different places.
    let (to, from, len) = (3 * PAGE + 700, 5, 2 * PAGE + 1234);
    assert_eq!(machine.copy(to, from, len), len);
    let mut found = machine.bytes(15 * PAGE + 700, PAGE as usize - 700);
    found.extend(machine.bytes(40 * PAGE, PAGE as usize));
    found.extend(machine.bytes(11 * PAGE, PAGE as usize));
    assert_eq!(found[..len as usize], bytes[5..][..len as usize]);
    assert!(found[len as usize..].iter().all(|&byte| byte == 0));
    assert!(machine.bytes(15 * PAGE, 700).iter().all(|&byte| byte == 0));
}

#[test]
fn fills_reach_as_far_as_they_say() {
    let machine = Machine::new(&[20, 9]);
    let filled = machine.ask([FILL, TABLES[0], BASE + 4000, 0x1_0005, 200]);
    assert_eq!(filled, 200);
    assert_eq!(machine.bytes(20 * PAGE + 3999, 97)[..2], [0, 5]);
    assert_eq!(machine.bytes(9 * PAGE + 103, 2), [5, 0]);
}

#[test]
fn large_pages_are_followed() {
    let machine = Machine::new(&[]);
    let bytes = text(100);
    machine.ram.write(33 * PAGE + 3, &bytes).expect("it is RAM");
    for level in [2, 1] {
        machine.word(TABLES[level], PRESENT | WRITABLE | LARGE);
        let to = 40 * PAGE + level as u64 * PAGE;
        assert_eq!(machine.copy(to, 33 * PAGE + 3, 100), 100);
        assert_eq!(machine.bytes(to, 100), bytes);
    }
    // A large page that reaches past the end of RAM.
    assert_eq!(machine.copy(RAM - 50, 0, 100), 0);
    // None can be as large as the top table's entries.
    machine.word(TABLES[0] + 256 * 8, PRESENT | WRITABLE | LARGE);
    machine.word(0, 0);
    assert_eq!(machine.copy(0, 8, 8), 0);
}

#[test]
fn what_tables_forbid_ends_a_copy() {
    let machine = Machine::new(&[20, 9, 30, 31]);
    machine.map(1, (9 * PAGE) | PRESENT);
    machine.map(3, (31 * PAGE) | WRITABLE);
    // Page 1 can be read and not written to, page 3 is not there.
    assert_eq!(machine.copy(0, PAGE, 2 * PAGE), PAGE);
    assert_eq!(machine.copy(PAGE, 0, 8), 0);
    assert_eq!(machine.copy(2 * PAGE + 10, 0, PAGE), PAGE - 10);
    assert_eq!(machine.copy(0, 3 * PAGE - 10, 100), 10);
    let fill = |at| machine.ask([FILL, TABLES[0], BASE + at, 1, 8]);
    assert_eq!((fill(PAGE), fill(3 * PAGE), fill(2 * PAGE)), (0, 0, 8));
    // An upper table forbids it for all that it leads to.
    machine.word(TABLES[2], TABLES[3] | PRESENT);
    assert_eq!(fill(2 * PAGE), 0);
}

#[test]
fn senseless_requests_do_nothing() {
    let machine = Machine::new(&[20, 9]);
    let before = machine.bytes(PAGE, (RAM - PAGE) as usize);
    let senseless = [
        [0, TABLES[0], BASE, BASE + PAGE, 8],
        [u64::MAX, TABLES[0], BASE, BASE + PAGE, 8],
        [COPY, TABLES[0], BASE, BASE + PAGE, 0],
        [COPY, u64::MAX, BASE, BASE + PAGE, 8],
        [COPY, RAM, BASE, BASE + PAGE, 8],
        // Not canonical, though the tables would map it.
        [COPY, TABLES[0], BASE & (u64::MAX >> 16), BASE, 8],
        [COPY, TABLES[0], BASE, 0x7f00_8000_0000_0000, 8],
        [FILL, TABLES[0], u64::MAX, 1, u64::MAX],
    ];
    for words in senseless {
        assert_eq!(machine.ask(words), 0, "{words:x?}");
    }
    // Tables and pages that are no memory, and devices.
    for entry in [RAM, 0xfec0_0000, !0xfff] {
        machine.map_all(0, entry);
        assert_eq!(machine.copy(0, PAGE, 8), 0, "{entry:x}");
        assert_eq!(machine.copy(PAGE, 0, 8), 0, "{entry:x}");
    }
    machine.map_all(0, 20 * PAGE);
    assert_eq!(machine.bytes(PAGE, (RAM - PAGE) as usize), before);
    for address in [RAM as u32 - 47, RAM as u32, u32::MAX] {
        machine.serve(address);
    }
    assert_eq!(machine.bytes(PAGE, (RAM - PAGE) as usize), before);
}

#[test]
fn one_request_is_bounded() {
    // All pages are one, and the tables end after 512 of them.
    let machine = Machine::new(&[20; 512]);
    assert_eq!(machine.copy(0, 0, u64::MAX), MOST);
    assert_eq!(machine.copy(256 * PAGE + 1, 1, u64::MAX), MOST - 1);
}

#[test]
fn a_copy_over_its_own_tables_and_request_ends() {
    let machine = Machine::new(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let done = machine.copy(0, 5 * PAGE, 4 * PAGE);
    // The tables are zeros from where they were overwritten on.
    assert_eq!(done, 2 * PAGE);
    assert_eq!(machine.bytes(0, 8), [0; 8]);
}

#[test]
fn files_can_be_read_and_not_written() {
    let window = FileWindow::new(WINDOW..WINDOW + (1 << 20)).expect("addresses");
    let ram = GuestRam::new(RAM).expect("address space");
    let machine = Machine::with(ram.with_files(window.clone()), &[20, 9]);
    let mut name = std::env::temp_dir();
    name.push(format!("ringfence-copies-{}", std::process::id()));
    let bytes = text(PAGE + 100);
    let written = File::create(&name).and_then(|mut file| file.write_all(&bytes));
    written.expect("a temporary file");
    let file = File::open(&name).expect("it is there");
    std::fs::remove_file(&name).expect("it is there");
    let (gpa, len) = window.add("f", &file, 0, PAGE + 100).expect("it is mapped");
    assert_eq!(len, PAGE + 100);
    machine.map_all(2, gpa);
    machine.map_all(3, gpa + PAGE);
    machine.map_all(4, gpa + 2 * PAGE);
    assert_eq!(machine.copy(PAGE - 50, 3 * PAGE - 50, 150), 150);
    let mut found = machine.bytes(21 * PAGE - 50, 50);
    found.extend(machine.bytes(9 * PAGE, 100));
    assert_eq!(found, bytes[PAGE as usize - 50..]);
    assert_eq!(machine.copy(2 * PAGE, 0, 8), 0);
    assert_eq!(machine.ask([FILL, TABLES[0], BASE + 2 * PAGE, 0, 8]), 0);
    assert_eq!(machine.copy(0, 4 * PAGE, 8), 0);
}
