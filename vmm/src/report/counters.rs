//! Named counters in a fixed order.

use serde::{Serialize, Serializer};

/// Names and values in the order in which they were first named; in JSON, an object. A
/// few dozen at most, so a list: rejected was a sorted map, for KVM's own order groups
/// what belongs together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(Vec<(String, u64)>);

impl Counters {
    /// Adds `value` to counter `name`; a new one starts at zero, and stays where it is.
    pub fn add(&mut self, name: &str, value: u64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, total)) => *total = total.saturating_add(value),
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The value of counter `name`.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter()
            .find(|&(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// All counters, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<N: AsRef<str>> FromIterator<(N, u64)> for Counters {
    /// Adds up values of the same name.
    fn from_iter<I: IntoIterator<Item = (N, u64)>>(items: I) -> Self {
        let mut counters = Self::default();
        for (name, value) in items {
            counters.add(name.as_ref(), value);
        }
        counters
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::Counters;

    #[test]
    fn counters_keep_their_order_and_add_up() {
        let mut counters: Counters = [("z", 1), ("a", 0)].into_iter().collect();
        counters.add("z", 2);
        counters.add("m", u64::MAX);
        counters.add("m", 1);
        assert_eq!(counters.get("z"), Some(3));
        assert_eq!(counters.get("b"), None);
        let json = serde_json::to_string(&counters).expect("keys are strings");
        assert_eq!(json, r#"{"z":3,"a":0,"m":18446744073709551615}"#);
    }
}
