//! What a machine's memory holds before and after a batch of sequences.

use std::sync::Arc;

use super::case::{Case, Image, Patch, empty_code};
use super::frame;
use super::layout::{self, PAGE, PAGES, Rights, SLOTS};
use super::machine::Machine;

/// Numbers of the pages that ring 3 can read.
fn readable_pages() -> impl Iterator<Item = usize> {
    PAGES
        .iter()
        .enumerate()
        .filter(|(_, rights)| matches!(rights, Rights::ReadWrite | Rights::ReadOnly))
        .map(|(page, _)| page)
}

/// One page of an image.
pub fn page_of(image: &Image, page: usize) -> &[u8] {
    &image[page * PAGE as usize..(page + 1) * PAGE as usize]
}

impl Machine {
    /// Puts code, data and registers of `cases` where they belong.
    pub(super) fn load(&mut self, cases: &[Case]) {
        let image = &cases[0].image;
        if !Arc::ptr_eq(&self.image, image) {
            self.image = Arc::clone(image);
            for slot in 0..SLOTS {
                for page in readable_pages() {
                    self.memory
                        .write(layout::data_gpa(slot, page), page_of(image, page));
                }
            }
        }
        for (i, case) in cases.iter().enumerate() {
            self.write_code(case.slot, case.start, &case.code_bytes());
            for Patch { offset, bytes } in &case.patches {
                self.write_data(case.slot, *offset, bytes);
            }
            let next = cases.get(i + 1).map(|case| case.slot);
            let Case {
                slot, registers, ..
            } = case;
            frame::set(&mut self.memory, *slot, case.address(), registers, next);
        }
    }

    /// Puts code and data of `cases` back to what they are between batches.
    pub fn clean(&mut self, cases: &[Case]) {
        let code = empty_code();
        for case in cases {
            let len = case.code_bytes().len();
            self.write_code(case.slot, case.start, &code[..len]);
            for page in readable_pages() {
                let gpa = layout::data_gpa(case.slot, page);
                let clean = page_of(&self.image, page);
                if self.memory.bytes(gpa, PAGE as usize) != clean {
                    self.memory.write(gpa, clean);
                }
            }
        }
    }

    /// A data page of a slot as it is now.
    pub fn page(&self, slot: usize, page: usize) -> &[u8] {
        self.memory
            .bytes(layout::data_gpa(slot, page), PAGE as usize)
    }

    pub(super) fn write_code(&mut self, slot: usize, offset: usize, bytes: &[u8]) {
        self.write_paged(offset, bytes, |page| layout::code_gpa(slot, page as u64));
    }

    fn write_data(&mut self, slot: usize, offset: usize, bytes: &[u8]) {
        self.write_paged(offset, bytes, |page| layout::data_gpa(slot, page));
    }

    fn write_paged(&mut self, offset: usize, bytes: &[u8], gpa: impl Fn(usize) -> u64) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let in_page = at % PAGE as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE as usize - in_page));
            self.memory
                .write(gpa(at / PAGE as usize) + in_page as u64, now);
            at += now.len();
            rest = later;
        }
    }
}
