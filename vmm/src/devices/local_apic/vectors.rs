//! A set of interrupt vectors: the shape of IRR, ISR and TMR.

/// 256 bits, one a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VectorSet([u64; 4]);

impl VectorSet {
    /// Adds `vector`.
    pub fn insert(&mut self, vector: u8) {
        self.0[usize::from(vector >> 6)] |= 1 << (vector & 63);
    }

    /// Takes `vector` out.
    pub fn remove(&mut self, vector: u8) {
        self.0[usize::from(vector >> 6)] &= !(1 << (vector & 63));
    }

    /// Whether `vector` is in the set.
    pub fn contains(&self, vector: u8) -> bool {
        self.0[usize::from(vector >> 6)] & 1 << (vector & 63) != 0
    }

    /// The highest vector, which is the one of highest priority.
    pub fn highest(&self) -> Option<u8> {
        (0u8..4).rev().find_map(|word| {
            let bit = self.0[usize::from(word)].checked_ilog2()?;
            Some(word << 6 | bit as u8)
        })
    }

    /// The vectors `32 * index` and up, as a register shows them; `index` counts modulo 8.
    pub fn register(&self, index: u8) -> u32 {
        let word = self.0[usize::from(index >> 1 & 3)];
        (word >> (32 * u32::from(index & 1))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::VectorSet;

    #[test]
    fn every_vector_is_found_where_it_was_put() {
        for vector in 0..=255 {
            let mut set = VectorSet::default();
            assert_eq!(set.highest(), None);
            set.insert(vector);
            assert!(set.contains(vector));
            assert_eq!(set.highest(), Some(vector));
            assert_eq!(set.register(vector / 32), 1 << (vector % 32));
            set.remove(vector);
            assert_eq!(set, VectorSet::default());
        }
    }

    #[test]
    fn the_highest_wins() {
        let mut set = VectorSet::default();
        for vector in [0x20, 0xfe, 0x90] {
            set.insert(vector);
        }
        assert_eq!(set.highest(), Some(0xfe));
    }
}
