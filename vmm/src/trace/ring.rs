//! The ring in guest memory, from the VMM's side ([`abi::trace`]).

use std::mem::offset_of;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use abi::trace::{RING_WORDS, TraceRing};
use vm_memory::{Bytes, GuestAddress};

use super::record::Malformed;
use crate::boot::KernelImage;
use crate::memory::GuestRam;

const WORD: usize = size_of::<u64>();

/// A kernel's ring. Other CPUs than the one that is stopped may add to it at any time.
pub struct Ring {
    ram: GuestRam,
    gpa: u64,
    /// Words read so far. The guest's copy of it is not read.
    tail: u64,
    bytes: Vec<u8>,
}

impl Ring {
    /// The ring of `kernel`, if it has one.
    pub fn of(ram: &GuestRam, kernel: &KernelImage) -> Option<Self> {
        Some(Self {
            ram: ram.clone(),
            gpa: kernel.trace_ring?,
            tail: 0,
            bytes: Vec::new(),
        })
    }

    fn address(&self, offset: usize) -> GuestAddress {
        // The loader has made sure that the ring lies in RAM.
        GuestAddress(self.gpa.wrapping_add(offset as u64))
    }

    /// Says which records are wanted.
    pub(super) fn want(&self, wanted: u64) {
        // The ring lies in RAM, so this cannot fail; if it did, there would be no records.
        let at = self.address(offset_of!(TraceRing, wanted));
        let _ = self.ram.mmap().store(wanted, at, Relaxed);
    }

    /// Moves all that is in the ring to `words`, which is empty.
    ///
    /// # Errors
    /// The guest's positions in the ring are invalid.
    pub(super) fn take(&mut self, words: &mut Vec<u64>) -> Result<(), Malformed> {
        let memory = self.ram.mmap();
        let head: u64 = memory
            .load(self.address(offset_of!(TraceRing, head)), Acquire)
            .map_err(|_| Malformed::Memory)?;
        let count = head.wrapping_sub(self.tail);
        if count > RING_WORDS as u64 {
            return Err(Malformed::Head);
        }
        let (count, first) = (count as usize, (self.tail % RING_WORDS as u64) as usize);
        let before_end = count.min(RING_WORDS - first);
        self.bytes.resize(count * WORD, 0);
        let (one, two) = self.bytes.split_at_mut(before_end * WORD);
        let start = offset_of!(TraceRing, words);
        for (bytes, at) in [(one, first), (two, 0)] {
            let at = GuestAddress(self.gpa.wrapping_add((start + at * WORD) as u64));
            memory
                .read_slice(bytes, at)
                .map_err(|_| Malformed::Memory)?;
        }
        words.extend(
            self.bytes
                .chunks_exact(WORD)
                .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?))),
        );
        self.tail = head;
        let at = self.address(offset_of!(TraceRing, tail));
        self.ram
            .mmap()
            .store(head, at, Release)
            .map_err(|_| Malformed::Memory)
    }
}
