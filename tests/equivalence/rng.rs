//! Random numbers that are the same on every machine, and edge values of operands.

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(fastrand::Rng);

impl Rng {
    /// Generator number `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed.rotate_left(32) ^ stream))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.u64(..end)
    }

    /// An index into something of `len` elements.
    pub fn index(&mut self, len: usize) -> usize {
        self.0.usize(..len)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which are not none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// A random integer, often an edge value.
    pub fn integer(&mut self) -> u64 {
        const EDGES: [u64; 16] = [
            0,
            1,
            2,
            u64::MAX,
            u64::MAX - 1,
            1 << 63,
            (1 << 63) - 1,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            0x7f,
            0x80,
            0x7fff,
            0x8000,
            0xffff,
        ];
        match self.below(8) {
            0..3 => self.bits(),
            3..5 => self.pick(&EDGES),
            5 => self.below(256),
            6 => self.bits() >> self.below(64),
            _ => self.below(256).wrapping_neg(),
        }
    }

    /// The bits of a single-precision number.
    pub fn single(&mut self) -> u32 {
        const EDGES: [u32; 14] = [
            0,
            0x3f80_0000, // 1
            0x7f80_0000, // infinity
            0x7fc0_0000, // quiet NaN
            0x7f80_0001, // signalling NaN
            0x7fff_ffff,
            0x0000_0001, // least denormal
            0x007f_ffff, // greatest denormal
            0x0080_0000, // least normal
            0x7f7f_ffff, // greatest
            0x4f00_0000, // 2^31
            0x5f00_0000, // 2^63
            0x3f00_0000, // 0.5
            0x4b00_0001, // 2^23 + 1
        ];
        let sign = (self.bits() as u32) << 31;
        sign ^ match self.below(8) {
            0..3 => self.pick(&EDGES),
            3 => self.bits() as u32,
            4 => (self.below(200) as f32).to_bits(),
            // Exponents near each other, so that sums are not just the greater.
            _ => 0x3e00_0000 + (self.bits() as u32 & 0x03ff_ffff),
        }
    }

    /// The bits of a double-precision number.
    pub fn double(&mut self) -> u64 {
        const EDGES: [u64; 16] = [
            0,
            0x3ff0_0000_0000_0000, // 1
            0x7ff0_0000_0000_0000, // infinity
            0x7ff8_0000_0000_0000, // quiet NaN
            0x7ff0_0000_0000_0001, // signalling NaN
            0x7fff_ffff_ffff_ffff,
            0x0000_0000_0000_0001, // least denormal
            0x000f_ffff_ffff_ffff, // greatest denormal
            0x0010_0000_0000_0000, // least normal
            0x7fef_ffff_ffff_ffff, // greatest
            0x41e0_0000_0000_0000, // 2^31
            0x43e0_0000_0000_0000, // 2^63
            0x3fe0_0000_0000_0000, // 0.5
            0x4330_0000_0000_0001, // 2^52 + 1
            0x47ef_ffff_e000_0000, // greatest single
            0x3690_0000_0000_0000, // half the least single denormal
        ];
        let sign = self.bits() << 63;
        sign ^ match self.below(8) {
            0..3 => self.pick(&EDGES),
            3 => self.bits(),
            4 => (self.below(2000) as f64).to_bits(),
            5 => f64::from(f32::from_bits(self.single())).to_bits(),
            _ => 0x3fd0_0000_0000_0000 + (self.bits() & 0x007f_ffff_ffff_ffff),
        }
    }

    /// The bits of an extended-precision number: significand, then sign and exponent.
    /// Some are of kinds that only old processors made (pseudo-denormals, unnormals).
    pub fn extended(&mut self) -> [u8; 10] {
        const INTEGER_BIT: u64 = 1 << 63;
        const EDGES: [(u64, u16); 13] = [
            (0, 0),
            (INTEGER_BIT, 0x3fff),           // 1
            (INTEGER_BIT, 0x7fff),           // infinity
            (3 << 62, 0x7fff),               // quiet NaN
            (INTEGER_BIT | 1, 0x7fff),       // signalling NaN
            (1, 0),                          // least denormal
            (INTEGER_BIT - 1, 0),            // greatest denormal
            (INTEGER_BIT, 0),                // pseudo-denormal
            (INTEGER_BIT, 1),                // least normal
            (u64::MAX, 0x7ffe),              // greatest
            (1 << 62, 0x3fff),               // unnormal
            (1, 0x7fff),                     // pseudo-NaN
            (0xc90f_daa2_2168_c235, 0x3fff), // pi / 2
        ];
        let (significand, exponent) = match self.below(8) {
            0..2 => self.pick(&EDGES),
            2 => (self.bits(), self.bits() as u16),
            3 => (self.bits() | INTEGER_BIT, self.bits() as u16),
            4 => {
                let small = self.below(1000) + 1;
                let zeros = small.leading_zeros();
                (small << zeros, 0x3fff + 63 - zeros as u16)
            }
            _ => (
                self.bits() | INTEGER_BIT,
                0x3fff - 20 + self.below(60) as u16,
            ),
        };
        let sign = (self.bits() as u16) << 15;
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&significand.to_le_bytes());
        bytes[8..].copy_from_slice(&(exponent ^ sign).to_le_bytes());
        bytes
    }

    /// Sixteen bytes for an XMM register, of any kind of element.
    pub fn vector(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        match self.below(4) {
            0 => {
                for element in bytes.chunks_exact_mut(4) {
                    element.copy_from_slice(&self.single().to_le_bytes());
                }
            }
            1 => {
                for element in bytes.chunks_exact_mut(8) {
                    element.copy_from_slice(&self.double().to_le_bytes());
                }
            }
            2 => {
                for element in bytes.chunks_exact_mut(8) {
                    element.copy_from_slice(&self.integer().to_le_bytes());
                }
            }
            _ => {
                for element in bytes.chunks_exact_mut(2) {
                    let value = self.integer() as u16;
                    element.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        bytes
    }
}
