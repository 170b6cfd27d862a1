//! A file and many mappings of it, in address spaces that come and go, against a model that
//! has one byte for each page.

use std::cell::RefCell;

use fastrand::Rng;

use super::*;
use crate::area::MayWrite;
use crate::spaces;

const PAGES: u64 = 24;
/// Pages of the file that it has from the beginning.
const BASE_PAGES: u64 = 6;

std::thread_local! {
    static SPACES: RefCell<Vec<Shared<AddressSpace>>> = const { RefCell::new(Vec::new()) };
}

fn visit(each: &mut dyn FnMut(&AddressSpace)) {
    let all = SPACES.with_borrow(Vec::clone);
    all.iter().for_each(|space| each(space));
}

fn add(space: AddressSpace) {
    let space = Shared::new(space).expect("there is memory");
    SPACES.with_borrow_mut(|spaces| spaces.push(space));
}

/// A mapping of the whole file: where it is, and which pages are the program's own by now.
#[derive(Clone)]
struct Mapped {
    start: u64,
    is_shared: bool,
    own: [Option<u8>; PAGES as usize],
}

struct Model {
    /// The first byte of each page of the file.
    file: Vec<u8>,
    /// Mappings by address space.
    mapped: Vec<Vec<Mapped>>,
}

impl Model {
    fn expected(&self, mapped: &Mapped, number: u64) -> Result<u8, FaultCause> {
        let of_file = self.file.get(number as usize).copied();
        let of_file = of_file.ok_or(FaultCause::PastEndOfFile)?;
        Ok(mapped.own[number as usize].unwrap_or(of_file))
    }

    fn cut(&mut self, pages: u64) {
        self.file.resize(pages as usize, 0);
        for mapped in self.mapped.iter_mut().flatten() {
            mapped.own[pages as usize..].fill(None);
        }
    }

    fn store(&mut self, space: usize, index: usize, number: u64, byte: u8) {
        let mapped = &mut self.mapped[space][index];
        match mapped.is_shared {
            true => self.file[number as usize] = byte,
            false => mapped.own[number as usize] = Some(byte),
        }
    }
}

fn step(random: &mut Rng, file: &Shared<FilePages>, model: &mut Model) {
    let count = SPACES.with_borrow(Vec::len);
    let index = random.usize(..count);
    let space = SPACES.with_borrow(|spaces| spaces[index].clone());
    let byte = random.u8(1..);
    let number = random.u64(..PAGES);
    match random.u64(..40) {
        0 if model.mapped[index].len() < 4 => {
            let is_shared = random.bool();
            let (file, offset) = (file.clone(), 0);
            let backing = match is_shared {
                true => Backing::SharedFile {
                    file,
                    offset,
                    may_write: MayWrite(true),
                },
                false => Backing::File { file, offset },
            };
            let start = space.map(request(Place::Near(0), PAGES, READ_WRITE, backing));
            model.mapped[index].push(Mapped {
                start: start.expect("there is room"),
                is_shared,
                own: [None; PAGES as usize],
            });
        }
        1 if count < 4 => {
            add(space.fork().expect("there is memory"));
            let copy = model.mapped[index].clone();
            model.mapped.push(copy);
        }
        2 if count > 1 => {
            drop(SPACES.with_borrow_mut(|spaces| spaces.swap_remove(index)));
            model.mapped.swap_remove(index);
        }
        3 => {
            let pages = random.u64(..=PAGES);
            file.set_len(pages * PAGE_SIZE).expect("there is memory");
            model.cut(pages);
        }
        4..12 => {
            let done = file.write_with(number * PAGE_SIZE, |bytes| {
                bytes[0] = byte;
                FRAME_SIZE
            });
            assert_eq!(done, Ok(FRAME_SIZE));
            let len = model.file.len().max(number as usize + 1);
            model.file.resize(len, 0);
            model.file[number as usize] = byte;
        }
        _ if model.mapped[index].is_empty() => {}
        action => {
            let which = random.usize(..model.mapped[index].len());
            let start = model.mapped[index][which].start;
            let address = start + number * PAGE_SIZE;
            match action {
                12 => {
                    let mapped = model.mapped[index].swap_remove(which);
                    let done = space.unmap(mapped.start, PAGES * PAGE_SIZE);
                    assert_eq!(done, Ok(()));
                }
                13 => {
                    let to = space.remap(
                        start,
                        PAGES * PAGE_SIZE,
                        PAGES * PAGE_SIZE,
                        Target::Replace(page(1000 + 100 * random.u64(..20))),
                        false,
                    );
                    // Whatever was there is gone; it overlaps itself at most.
                    if let Ok(to) = to {
                        let kept = |mapped: &Mapped| mapped.start != to;
                        model.mapped[index][which].start = 0;
                        model.mapped[index].retain(kept);
                        let moved = model.mapped[index].iter_mut();
                        moved
                            .filter(|mapped| mapped.start == 0)
                            .for_each(|mapped| mapped.start = to);
                    }
                }
                14 => {
                    let done = space.discard(address, PAGE_SIZE, Discarded::Unlocked);
                    assert_eq!(done, Ok(()));
                    model.mapped[index][which].own[number as usize] = None;
                }
                15 => {
                    let access = [READ, READ_WRITE];
                    for access in access {
                        let done = space.protect(start, PAGES * PAGE_SIZE, access);
                        assert_eq!(done, Ok(()));
                    }
                }
                _ => {
                    let stored = write(&space, address, byte);
                    if (number as usize) < model.file.len() {
                        assert_eq!(stored, Ok(()));
                        model.store(index, which, number, byte);
                    } else if model.mapped[index][which].is_shared {
                        assert_eq!(stored, Err(FaultCause::PastEndOfFile));
                    }
                }
            }
        }
    }
}

fn check(file: &FilePages, model: &Model) {
    assert_eq!(file.len(), model.file.len() as u64 * PAGE_SIZE);
    for (number, &byte) in model.file.iter().enumerate() {
        let found = file.with_bytes(number as u64 * PAGE_SIZE, |bytes| bytes[0]);
        assert_eq!(found, byte, "page {number} of the file");
    }
    for (index, mapped) in model.mapped.iter().enumerate() {
        let space = SPACES.with_borrow(|spaces| spaces[index].clone());
        for mapped in mapped {
            for number in 0..PAGES {
                let found = read(&space, mapped.start + number * PAGE_SIZE);
                assert_eq!(found, model.expected(mapped, number), "page {number}");
            }
        }
    }
}

#[test]
fn a_file_and_its_mappings_agree() {
    spaces::find_by(visit);
    let base = pages(&[1; BASE_PAGES as usize]);
    let before = frames::free();
    for seed in 0..12 {
        let mut random = Rng::with_seed(seed);
        let file = Shared::new(FilePages::new(base)).expect("there is memory");
        add(space());
        let mut model = Model {
            file: vec![1; BASE_PAGES as usize],
            mapped: vec![Vec::new()],
        };
        for round in 0..600 {
            step(&mut random, &file, &mut model);
            if round % 16 == 0 {
                check(&file, &model);
            }
        }
        check(&file, &model);
        SPACES.with_borrow_mut(Vec::clear);
        drop(file);
        assert_eq!(frames::free(), before, "seed {seed}");
    }
    assert!(base.iter().all(|&byte| byte == 1), "the base is read-only");
}

#[test]
fn seals_can_ask_who_may_write() {
    spaces::find_by(visit);
    let file = Shared::new(FilePages::new(b"x")).expect("there is memory");
    add(space());
    let space = SPACES.with_borrow(|spaces| spaces[0].clone());
    for may_write in [false, true] {
        let backing = Backing::SharedFile {
            file: file.clone(),
            offset: 0,
            may_write: MayWrite(may_write),
        };
        let mapped = space.map(request(Place::Replace(BASE), 1, READ, backing));
        assert_eq!(mapped, Ok(BASE));
        assert_eq!(spaces::may_write_shared(&file), may_write);
        let made = space.protect(BASE, PAGE_SIZE, READ_WRITE);
        assert_eq!(made.is_ok(), may_write);
    }
    SPACES.with_borrow_mut(Vec::clear);
}
