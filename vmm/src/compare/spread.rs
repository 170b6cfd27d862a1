//! A figure over several runs.

use std::cmp::Ordering;

use serde::Serialize;

/// Median and range of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread<T = u64> {
    /// The middle value; of an even number of values the lower middle one, so that it is
    /// always one that was measured.
    pub median: T,
    /// The least.
    pub min: T,
    /// The greatest.
    pub max: T,
}

impl<T: Copy + PartialOrd> Spread<T> {
    /// Of `first` and `others`, all of them numbers.
    pub fn of(first: T, others: impl IntoIterator<Item = T>) -> Self {
        let mut values = vec![first];
        values.extend(others);
        values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        Self {
            median: values[(values.len() - 1) / 2],
            min: values[0],
            max: values[values.len() - 1],
        }
    }

    /// The value, if it was the same in every run.
    pub fn constant(&self) -> Option<T> {
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
