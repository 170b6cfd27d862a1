//! Writes trace records for the VMM, of the classes that it wants.
//!
//! The VMM sets the classes before the kernel starts; another VMM sets none, and then each
//! event costs one branch. The boot code announces the ring by an ELF note. What the
//! records mean is in [`abi::trace`].

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use abi::trace::{
    Kind, MAX_CHUNK, MAX_RECORD_WORDS, RING_WORDS, TraceRing, chunk_head, record_head,
};

use crate::{clock, doorbell, processors};

/// The ring itself.
pub static RING: TraceRing = TraceRing::new();

/// Whether the VMM wants events of this class, a bit of [`abi::trace::wanted`].
#[inline(always)]
pub fn wants(class: u64) -> bool {
    RING.wanted.load(Relaxed) & class != 0
}

/// Words before what the kind says: the head and the time.
const HEAD_WORDS: usize = 2;

/// Puts a record into the ring, with the `words` of its kind. If the VMM does not make
/// room, it has ended, and this was the last record.
#[cold]
pub fn send(kind: Kind, words: &[u64]) {
    debug_assert!(HEAD_WORDS + words.len() <= MAX_RECORD_WORDS);
    let len = HEAD_WORDS + words.len();
    let head = RING.head.load(Relaxed);
    if !has_room(head, len) {
        doorbell::ring();
        if !has_room(head, len) {
            RING.wanted.store(0, Relaxed);
            return;
        }
    }
    let mut at = head as usize;
    let mut put = |word| {
        RING.words.0[at % RING_WORDS].store(word, Relaxed);
        at += 1;
    };
    put(record_head(kind, len, processors::number()));
    put(clock::counter());
    for &word in words {
        put(word);
    }
    RING.head.store(at as u64, Release);
}

fn has_room(head: u64, words: usize) -> bool {
    let used = head.wrapping_sub(RING.tail.load(Acquire));
    used.saturating_add(words as u64) <= RING_WORDS as u64
}

/// The words of a record whose length is not known beforehand.
pub struct Words {
    words: [u64; Self::CAPACITY],
    len: usize,
}

impl Words {
    const CAPACITY: usize = MAX_RECORD_WORDS - HEAD_WORDS;

    /// None.
    pub fn empty() -> Self {
        Self {
            words: [0; Self::CAPACITY],
            len: 0,
        }
    }

    /// Adds one. Words that do not fit are left out.
    pub fn push(&mut self, word: u64) {
        if let Some(slot) = self.words.get_mut(self.len) {
            *slot = word;
            self.len += 1;
        }
    }

    /// Adds what argument number `argument` points to: `bytes`, the first of `of`. Nothing
    /// if it does not fit.
    pub fn push_chunk(&mut self, argument: u8, bytes: &[u8], of: u64) {
        debug_assert!(bytes.len() <= MAX_CHUNK);
        let words = bytes.chunks(size_of::<u64>());
        if self.len + 1 + words.len() > Self::CAPACITY {
            return;
        }
        let of = u32::try_from(of).unwrap_or(u32::MAX);
        self.push(chunk_head(argument, bytes.len(), of));
        for part in words {
            let mut word = [0; size_of::<u64>()];
            word[..part.len()].copy_from_slice(part);
            self.push(u64::from_le_bytes(word));
        }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[u64] {
        &self.words[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut words = Words::empty();
        words.push(1);
        for _ in 0..MAX_RECORD_WORDS {
            words.push_chunk(1, b"0123456789abc", 99);
        }
        // One, and chunks of three words each.
        assert_eq!(words.len, 1 + (Words::CAPACITY - 1) / 3 * 3);
        assert_eq!(words.words[1], 1 | 13 << 16 | 99 << 32);
        assert_eq!(words.words[2].to_le_bytes(), *b"01234567");
        assert_eq!(words.words[3].to_le_bytes(), *b"89abc\0\0\0");
    }

    #[test]
    fn records_lie_one_behind_the_other() {
        send(Kind::Tick, &[7]);
        send(Kind::Idle, &[]);
        let word = |at: usize| RING.words.0[at].load(Relaxed);
        assert_eq!(RING.head.load(Relaxed), 5);
        assert_eq!((word(0), word(2)), (record_head(Kind::Tick, 3, 0), 7));
        assert_eq!(word(3), record_head(Kind::Idle, 2, 0));
    }
}
