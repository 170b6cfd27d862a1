//! Sizes in human-readable notation.

use std::fmt;

/// Units above the byte, each 1,024 times the one before.
const UNITS: [char; 4] = ['K', 'M', 'G', 'T'];

/// A number of bytes: `64M`, `1T`, `12.3M` (rounded down), `10 bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = (1_u32..).map(|number| 1_u64 << (10 * number)).zip(UNITS);
        let fitting = units.filter(|&(unit, _)| unit <= self.0).last();
        let Some((unit, letter)) = fitting else {
            return write!(f, "{} bytes", self.0);
        };
        let (whole, rest) = (self.0 / unit, self.0 % unit);
        // No overflow: the rest is below the greatest unit, 2^40.
        match rest * 10 / unit {
            0 => write!(f, "{whole}{letter}"),
            tenths => write!(f, "{whole}.{tenths}{letter}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1K"),
            (64 << 20, "64M"),
            ((12 << 20) + 400_000, "12.3M"),
            (1 << 40, "1T"),
            (u64::MAX, "16777215.9T"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
