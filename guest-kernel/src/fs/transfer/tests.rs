use super::*;

/// A program's buffer, some bytes of which need a page that is not there yet.
pub struct Buffer {
    pub bytes: Vec<u8>,
    pub limit: usize,
    /// Positions at which a copy faults once.
    pub faults: Vec<usize>,
    /// Position at which nothing can ever be.
    pub end: usize,
    at: usize,
}

impl Buffer {
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            limit: bytes.len(),
            faults: Vec::new(),
            end: usize::MAX,
            at: 0,
        }
    }

    pub fn room(limit: usize) -> Self {
        Self {
            limit,
            ..Self::new(&[])
        }
    }

    pub fn with_faults(self, faults: &[usize]) -> Self {
        let faults = faults.to_vec();
        Self { faults, ..self }
    }

    pub fn with_end(self, end: usize) -> Self {
        Self { end, ..self }
    }

    /// How far a copy gets.
    fn reach(&self, len: usize) -> usize {
        let faults = self.faults.iter().copied().chain([self.end]);
        let stop = faults.filter(|&fault| fault >= self.at).min();
        len.min(self.left())
            .min(stop.unwrap_or(usize::MAX) - self.at)
    }
}

impl Transfer for Buffer {
    fn left(&self) -> usize {
        self.limit - self.at
    }

    fn resolve(&mut self) -> Result<(), Errno> {
        if self.at >= self.end {
            return Err(Errno::EFAULT);
        }
        let at = self.at;
        self.faults.retain(|&fault| fault != at);
        Ok(())
    }
}

impl Source for Buffer {
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.reach(buffer.len());
        buffer[..count].copy_from_slice(&self.bytes[self.at..][..count]);
        self.at += count;
        count
    }
}

impl Target for Buffer {
    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = self.reach(bytes.len());
        self.bytes.extend_from_slice(&bytes[..count]);
        self.at += count;
        count
    }
}

#[test]
fn a_transfer_goes_on_after_a_fault() {
    let mut source = Buffer::new(b"abcdef").with_faults(&[0, 4]);
    let mut got = Vec::new();
    let moved = run(&mut source, |source, done| {
        assert_eq!(done, got.len() as u64);
        let mut buffer = [0; 3];
        let wanted = source.left().min(3);
        let count = source.take(&mut buffer);
        got.extend_from_slice(&buffer[..count]);
        Ok(Step::copied(count, wanted))
    });
    assert_eq!((moved, &got[..]), (Ok(6), &b"abcdef"[..]));
}

#[test]
fn errors_count_only_before_the_first_byte() {
    let copy = |source: &mut Buffer, _| {
        let wanted = source.left().min(3);
        Ok(Step::copied(source.take(&mut [0; 3]), wanted))
    };
    assert_eq!(run(&mut Buffer::new(b"abcd").with_end(2), copy), Ok(2));
    let at_once = run(&mut Buffer::new(b"abcd").with_end(0), copy);
    assert_eq!(at_once, Err(Errno::EFAULT));
}
