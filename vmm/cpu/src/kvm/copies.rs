//! Software-backed KVM: copies and fills memory for a kernel whose own instructions are slow:
//! see [`abi::copies`].
//!
//! All of a request is guest input: page tables, addresses and lengths. The guest could do to
//! its memory by itself what this does; what is neither RAM nor the contents of a file ends the
//! copy there, and so does what page tables forbid. A request takes a bounded time.

use abi::copies::{COPY, DONE, FILL, MOST, WORDS};
use vm_memory::{Bytes, GuestAddress};
use x86::{PAGE_ADDRESS, PageTableFlags};

use crate::memory::GuestRam;

const PAGE: u64 = 4096;
const WORD: usize = size_of::<u64>();
/// Bits of an address that page tables translate, and those of one table's index.
const ADDRESS_BITS: u32 = 48;
const INDEX_BITS: u32 = 9;
const TOP_LEVEL: u32 = 3;

/// The memory that requests are about.
pub struct Copies<'a> {
    ram: &'a GuestRam,
}

impl<'a> Copies<'a> {
    /// Copies in this RAM.
    pub fn new(ram: &'a GuestRam) -> Self {
        Self { ram }
    }

    /// Serves the request at `address`; one that is not in RAM has no effect.
    pub fn serve(&self, address: u32) {
        let mut bytes = [0; WORDS * WORD];
        let at = GuestAddress(address.into());
        if self.ram.mmap().read_slice(&mut bytes, at).is_err() {
            return;
        }
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [operation, root, to, from, len, _] = words;
        let done = self.copy(operation, root, to, from, len.min(MOST));
        let answer = u64::from(address) + (DONE * WORD) as u64;
        // It was RAM a moment ago.
        let _ = self.ram.write(answer, &done.to_le_bytes());
    }

    /// Returns how many bytes have been written.
    fn copy(&self, operation: u64, root: u64, to: u64, from: u64, len: u64) -> u64 {
        let mut done = 0;
        while done < len {
            let at = to.wrapping_add(done);
            let step = match operation {
                COPY => self.copy_part(root, at, from.wrapping_add(done), len - done),
                FILL => self.fill_part(root, at, from as u8, len - done),
                _ => None,
            };
            match step {
                Some(count) => done += count,
                None => break,
            }
        }
        done
    }

    /// Copies up to the end of a page; `None` if not even the first byte can be.
    fn copy_part(&self, root: u64, to: u64, from: u64, len: u64) -> Option<u64> {
        let (to, room) = self.walk(root, to, PageTableFlags::WRITABLE)?;
        let (from, left) = self.walk(root, from, PageTableFlags::empty())?;
        let count = len.min(room).min(left);
        self.ram.copy(to, from, count as usize).ok()?;
        Some(count)
    }

    /// The same with one byte.
    fn fill_part(&self, root: u64, to: u64, byte: u8, len: u64) -> Option<u64> {
        let (to, room) = self.walk(root, to, PageTableFlags::WRITABLE)?;
        let count = len.min(room);
        self.ram.fill(to, count as usize, byte).ok()?;
        Some(count)
    }

    /// The guest-physical address of what is at a virtual one, and how many bytes are left of
    /// the page there, if each entry that leads there is present and has `rights` (Intel SDM
    /// vol. 3A 5.5.4). No accessed or dirty bits are set: the kernel presets them.
    fn walk(&self, root: u64, address: u64, rights: PageTableFlags) -> Option<(u64, u64)> {
        const UNUSED: u32 = u64::BITS - ADDRESS_BITS;
        if ((address << UNUSED) as i64 >> UNUSED) as u64 != address {
            return None;
        }
        let needed = PageTableFlags::PRESENT | rights;
        let mut table = root & PAGE_ADDRESS;
        for level in (0..=TOP_LEVEL).rev() {
            let size = PAGE << (INDEX_BITS * level);
            let index = address / size % (1 << INDEX_BITS);
            let place = GuestAddress(table + index * WORD as u64);
            let entry: u64 = self.ram.mmap().read_obj(place).ok()?;
            let flags = PageTableFlags::from_bits_retain(entry);
            if !flags.contains(needed) {
                return None;
            }
            let is_page = level == 0 || flags.contains(PageTableFlags::HUGE_PAGE);
            if is_page && level < TOP_LEVEL {
                let within = address % size;
                // Low bits of a large page's entry are not all of its address.
                let page = entry & PAGE_ADDRESS & !(size - 1);
                return Some((page + within, size - within));
            }
            table = entry & PAGE_ADDRESS;
        }
        None
    }
}

#[cfg(test)]
mod tests;
