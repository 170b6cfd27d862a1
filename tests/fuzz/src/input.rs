//! Bytes, from which targets take what they need: zeros when there are no more.

/// What is left of an input.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// At most `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let taken = self.take(N);
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.u8()) % choices.len()]
    }

    /// A number such as matter: small ones, powers of two and their neighbours, limits, and any.
    pub fn number(&mut self) -> u64 {
        let shift = u32::from(self.u8());
        match self.u8() % 8 {
            0 => u64::from(self.u8()),
            1 => 1 << (shift % 64),
            2 => (1_u64 << (shift % 64)).wrapping_sub(u64::from(self.u8() % 4)),
            3 => u64::from(self.u8()).wrapping_neg(),
            4 => u64::from(self.u16()) << (shift % 64),
            5 => u64::from(self.u32()),
            6 => i64::from(self.u32() as i32) as u64,
            _ => self.u64(),
        }
    }
}
