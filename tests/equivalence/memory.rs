//! A machine's RAM, as the test reads and writes it while no guest code runs.

use std::ptr::NonNull;

use vmm::memory::GuestRam;

use super::layout::RAM;

/// All RAM of one machine. Whoever owns it owns the vCPU too, and runs it only through a
/// `&mut` to both.
pub struct Memory {
    ram: GuestRam,
    base: NonNull<u8>,
}

// SAFETY: the pointer is to what `ram` keeps mapped, which may be used from any thread.
unsafe impl Send for Memory {}

impl Memory {
    /// Zeroed RAM of [`RAM`] bytes.
    pub fn new() -> Self {
        let ram = GuestRam::new(RAM).expect("a few MiB of address space");
        let regions = ram.regions();
        assert_eq!((regions[0].gpa, regions[0].len), (0, RAM));
        let base = NonNull::new(regions[0].hva).expect("a mapping is not at 0");
        Self { ram, base }
    }

    /// The RAM itself, for an accelerator.
    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// `len` bytes at `gpa`.
    pub fn bytes(&self, gpa: u64, len: usize) -> &[u8] {
        assert!(gpa + len as u64 <= RAM);
        // SAFETY: the bytes are inside the mapping that `self.ram` keeps; they change
        // only while the vCPU runs, which needs a `&mut` to the owner of `self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(gpa as usize), len) }
    }

    /// As many words at `gpa` as the caller has room for.
    pub fn words<const N: usize>(&self, gpa: u64) -> [u64; N] {
        let bytes = self.bytes(gpa, N * 8);
        std::array::from_fn(|i| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[i * 8..i * 8 + 8]);
            u64::from_le_bytes(word)
        })
    }

    /// Copies `bytes` to `gpa`.
    pub fn write(&mut self, gpa: u64, bytes: &[u8]) {
        assert!(gpa + bytes.len() as u64 <= RAM);
        // SAFETY: as in `bytes`, with `&mut self` for writing; a slice that a caller got
        // from elsewhere does not overlap memory that only `self` points to.
        unsafe {
            let to = self.base.as_ptr().add(gpa as usize);
            to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// Copies `words` to `gpa`, least significant byte first.
    pub fn write_words(&mut self, gpa: u64, words: &[u64]) {
        for (at, word) in (gpa..).step_by(8).zip(words) {
            self.write(at, &word.to_le_bytes());
        }
    }
}
