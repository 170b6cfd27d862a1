//! A figure over several runs.

use serde::Serialize;

/// Median and range of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The middle value; of an even number of values the lower middle one, so that it is
    /// always one that was measured.
    pub median: u64,
    /// The least.
    pub min: u64,
    /// The greatest.
    pub max: u64,
}

impl Spread {
    /// Of `first` and `others`.
    pub fn of(first: u64, others: impl IntoIterator<Item = u64>) -> Self {
        let mut values = vec![first];
        values.extend(others);
        values.sort_unstable();
        Self {
            median: values[(values.len() - 1) / 2],
            min: values[0],
            max: values[values.len() - 1],
        }
    }

    /// The value, if it was the same in every run.
    pub fn constant(&self) -> Option<u64> {
        (self.min == self.max).then_some(self.median)
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_was_measured() {
        let spread = |first, others: &[u64]| {
            let spread = Spread::of(first, others.iter().copied());
            (spread.median, spread.min, spread.max, spread.constant())
        };
        assert_eq!(spread(7, &[]), (7, 7, 7, Some(7)));
        assert_eq!(spread(9, &[1, 5]), (5, 1, 9, None));
        assert_eq!(spread(4, &[1, 3, 2]), (2, 1, 4, None));
    }
}
