//! The pages from which code was fetched: where they are, and which of them matter.

use crate::emu::memory::ram::{PAGE, PAGE_MASK};
use crate::emu::memory::tlb::LargePages;
use crate::emu::memory::walk::Translation;

/// Pages that are remembered, by their number.
const KEPT: usize = 256;
/// Classes of pages that are told apart when one is invalidated.
const CLASSES: usize = 4096;

/// A page from which code was fetched.
#[derive(Clone, Copy, Default)]
struct Fetched {
    ctx: u64,
    page: u64,
    gpa: u64,
}

/// Translations for fetches.
pub struct Fetches {
    /// The last ones, by the context that they are valid in; 0 is none.
    last: [Fetched; KEPT],
    /// Classes of the linear pages on whose translation code depends that is valid.
    classes: [u64; CLASSES / 64],
    /// Those of them that are large.
    large: LargePages,
}

impl Fetches {
    pub fn new() -> Self {
        Self {
            last: [Fetched::default(); KEPT],
            classes: [0; CLASSES / 64],
            large: LargePages::NONE,
        }
    }

    /// The guest-physical page that the linear `page` was fetched from last in context `ctx`.
    pub fn get(&self, ctx: u64, page: u64) -> Option<u64> {
        let known = self.last[(page / PAGE) as usize % KEPT];
        (known.ctx == ctx && known.page == page).then_some(known.gpa)
    }

    /// Records that a walk for a fetch from the linear `page` has `found` it.
    pub fn note(&mut self, ctx: u64, page: u64, found: &Translation) {
        if found.large {
            self.large.add(page);
        }
        let (word, bit) = Self::class(page);
        self.classes[word] |= bit;
        self.last[(page / PAGE) as usize % KEPT] = Fetched {
            ctx,
            page,
            gpa: found.gpa & PAGE_MASK,
        };
    }

    /// Whether code that is valid may depend on the translation of `la`.
    pub fn may_depend_on(&self, la: u64) -> bool {
        let (word, bit) = Self::class(la);
        self.classes[word] & bit != 0 || self.large.may_have(la)
    }

    /// Takes note that no code is valid any more in contexts that there have been.
    pub fn forget(&mut self) {
        self.classes.fill(0);
        self.large = LargePages::NONE;
    }

    /// Where in `classes` that of the page of `la` is.
    fn class(la: u64) -> (usize, u64) {
        let class = (la / PAGE) as usize % CLASSES;
        (class / 64, 1 << (class % 64))
    }
}
