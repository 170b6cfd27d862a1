//! The code cache, with empty blocks and without a CPU.

use std::cell::Cell;

use crate::emu::code::cache::CodeCache;
use crate::emu::code::op::Block;
use crate::emu::memory::ram::PAGE;
use crate::emu::memory::walk::Translation;
use crate::emu::state::control::CodeSize;
use crate::emu::state::mxcsr::FpMode;

const RIP: u64 = 0x40_0ff0;
const GPA: u64 = 0x1_0ff0;

/// A cache in which 64-bit supervisor code is selected.
fn cache() -> CodeCache {
    let mut cache = CodeCache::new(None, None);
    cache.select(false, CodeSize::Bits64, FpMode::default());
    cache
}

/// Adds a block of `len` bytes at `rip` and `gpa`, which goes on at `second_page` if it
/// reaches beyond its page. Returns it and the pages that have become code.
fn add(
    cache: &mut CodeCache,
    rip: u64,
    gpa: u64,
    len: u16,
    second_page: u64,
) -> (*const Block, Vec<u64>) {
    let block = cache.allocate(1);
    let header = Block {
        ctx: Cell::new(cache.ctx),
        rip,
        phys: gpa,
        second_page,
        len,
        count: 1,
        limit: 0,
        mode: cache.mode(),
        code: Cell::new(0),
        own_handler: Cell::new(std::ptr::null()),
        region: Cell::new(0),
        heat: Cell::new(0),
    };
    // SAFETY: there is room for a header.
    unsafe { block.write(header) };
    // SAFETY: it was just written.
    let pages = unsafe { cache.add(block) };
    (block, pages.into_iter().flatten().collect())
}

#[test]
fn a_block_is_valid_in_its_context_only() {
    let mut cache = cache();
    let (block, pages) = add(&mut cache, RIP, GPA, 4, u64::MAX);
    assert_eq!(pages, [GPA & !(PAGE - 1)]);
    assert_eq!(cache.valid(RIP), Some(block));
    assert_eq!(cache.valid(RIP + 1), None);
    cache.select(true, CodeSize::Bits64, FpMode::default());
    assert_eq!(cache.valid(RIP), None);
    // Its decoded form is still in the cache.
    assert_eq!(cache.decoded(GPA, RIP), Some(block));
    assert_eq!(cache.decoded(GPA + 1, RIP), None);
    // SAFETY: the cache still has it.
    unsafe { cache.validate(block) };
    assert_eq!(cache.valid(RIP), Some(block));
    cache.select(true, CodeSize::Bits32, FpMode::default());
    assert_eq!(cache.decoded(GPA, RIP), None, "another size, another block");
}

/// The page of GPA, global, as a walk has found it.
fn page() -> Translation {
    Translation {
        gpa: GPA,
        writable: false,
        global: true,
        large: false,
        marked: [None; 4],
    }
}

#[test]
fn code_in_other_pages_stays_valid() {
    let mut cache = cache();
    let (block, _) = add(&mut cache, RIP, GPA, 4, u64::MAX);
    cache.note_fetch(RIP & !(PAGE - 1), &page());
    let near = RIP ^ PAGE;
    cache.flush_fetched(near);
    assert_eq!(cache.valid(RIP), Some(block));
    cache.flush_fetched(RIP);
    assert_eq!(cache.valid(RIP), None);
    // SAFETY: the cache still has it.
    unsafe { cache.validate(block) };
    let large = Translation {
        large: true,
        ..page()
    };
    cache.note_fetch(RIP & !(PAGE - 1), &large);
    cache.flush_fetched(near);
    assert_eq!(cache.valid(RIP), None, "it is in the same large page");
}

#[test]
fn a_flush_takes_validity_and_fetches() {
    let mut cache = cache();
    let (block, _) = add(&mut cache, RIP, GPA, 4, u64::MAX);
    let mut page = page();
    cache.note_fetch(RIP & !(PAGE - 1), &page);
    assert_eq!(cache.fetched(RIP & !(PAGE - 1)), Some(GPA & !(PAGE - 1)));
    // Only supervisor code in global pages stays valid across a load of CR3.
    cache.flush_fetch(true);
    assert_eq!(cache.valid(RIP), Some(block));
    page.global = false;
    cache.note_fetch(RIP & !(PAGE - 1), &page);
    cache.flush_fetch(true);
    assert_eq!(cache.valid(RIP), None);
    assert_eq!(cache.fetched(RIP & !(PAGE - 1)), None);
    assert_eq!(cache.decoded(GPA, RIP), Some(block));
}

#[test]
fn a_write_drops_the_blocks_that_it_hits() {
    let mut cache = cache();
    let (before, _) = add(&mut cache, RIP, GPA, 4, u64::MAX);
    let (hit, pages) = add(&mut cache, RIP + 4, GPA + 4, 4, u64::MAX);
    assert!(pages.is_empty(), "the page is code already");
    assert!(cache.holds(GPA) && !cache.holds(GPA + PAGE));
    assert!(!cache.invalidate(GPA + 8, 4).any);
    assert!(cache.invalidate(GPA + 7, 1).any);
    assert_eq!(cache.valid(RIP), Some(before));
    assert_eq!(cache.valid(RIP + 4), None);
    assert_eq!(cache.decoded(GPA + 4, RIP + 4), None);
    // SAFETY: memory of dropped blocks stays until the cache is emptied.
    assert_eq!(unsafe { (*hit).ctx.get() }, 0);
    assert!(cache.invalidate(GPA, 1).any);
    assert!(!cache.holds(GPA));
}

#[test]
fn a_block_in_two_pages_is_dropped_by_writes_to_either() {
    for write in [GPA + 15, 0x7000] {
        let mut cache = cache();
        // 16 bytes of 20 are in the first page.
        let (_, pages) = add(&mut cache, RIP, GPA, 20, 0x7000);
        assert_eq!(pages, [GPA & !(PAGE - 1), 0x7000]);
        assert!(!cache.invalidate(0x7004, 4).any);
        assert!(cache.invalidate(write, 1).any);
        assert_eq!(cache.decoded(GPA, RIP), None);
    }
}

#[test]
fn a_full_cache_starts_anew() {
    let mut cache = cache();
    let mut count = 0;
    loop {
        let rip = RIP + 16 * count;
        add(&mut cache, rip, rip % (1 << 20), 4, u64::MAX);
        count += 1;
        if cache.decoded(RIP % (1 << 20), RIP).is_none() {
            break;
        }
        assert!(count < 1 << 20, "it never ends");
    }
    let last = RIP + 16 * (count - 1);
    assert!(cache.valid(last).is_some() && cache.valid(RIP).is_none());
}
