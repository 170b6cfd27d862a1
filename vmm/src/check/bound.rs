//! What a figure must be, as a file says it: `5`, `"at most 5"` or `"5 within 2%"`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// How a file says it, for who has said it otherwise.
const FORMS: &str = "5, \"at most 5\" or \"5 within 2%\"";
const AT_MOST: &str = "at most ";
const WITHIN: &str = " within ";

/// What a count must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This.
    Exactly(u64),
    /// No more than this.
    AtMost(u64),
    /// This, but for so many percent of it, 0 to 100.
    Within(u64, f64),
}

impl Bound {
    /// Whether `count` is as it must be.
    pub fn holds(self, count: u64) -> bool {
        match self {
            Self::Exactly(expected) => count == expected,
            Self::AtMost(most) => count <= most,
            Self::Within(expected, percent) => {
                count.abs_diff(expected) as f64 <= expected as f64 * percent / 100.0
            }
        }
    }

    /// The count that it names.
    pub fn count(self) -> u64 {
        match self {
            Self::Exactly(count) | Self::AtMost(count) | Self::Within(count, _) => count,
        }
    }

    /// The same about `count`.
    pub fn about(self, count: u64) -> Self {
        match self {
            Self::Exactly(_) => Self::Exactly(count),
            Self::AtMost(_) => Self::AtMost(count),
            Self::Within(_, percent) => Self::Within(count, percent),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => count.fmt(f),
            Self::AtMost(most) => write!(f, "{AT_MOST}{most}"),
            Self::Within(count, percent) => write!(f, "{count}{WITHIN}{percent}%"),
        }
    }
}

impl FromStr for Bound {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let count = |text: &str| text.parse().map_err(drop);
        if let Some(most) = text.strip_prefix(AT_MOST) {
            return count(most).map(Self::AtMost);
        }
        let (expected, percent) = text.split_once(WITHIN).ok_or(())?;
        let percent: f64 = percent.strip_suffix('%').ok_or(())?.parse().map_err(drop)?;
        match (0.0..=100.0).contains(&percent) {
            true => Ok(Self::Within(count(expected)?, percent)),
            false => Err(()),
        }
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

struct Forms;

impl Visitor<'_> for Forms {
    type Value = Bound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORMS)
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<Bound, E> {
        let wrong = |_| E::invalid_value(Unexpected::Signed(count), &self);
        u64::try_from(count).map(Bound::Exactly).map_err(wrong)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bound, E> {
        let wrong = |()| E::invalid_value(Unexpected::Str(text), &self);
        text.parse().map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::Bound;

    #[test]
    fn a_bound_holds_to_its_edge() {
        for (text, least, most) in [
            ("at most 5", 0, 5),
            ("200 within 2%", 196, 204),
            ("200 within 0.5%", 199, 201),
            ("0 within 50%", 0, 0),
        ] {
            let bound: Bound = text.parse().expect(text);
            assert_eq!(bound.to_string(), text);
            assert!(bound.holds(least) && bound.holds(most), "{text}");
            assert!(!bound.holds(most + 1), "{text}");
            assert!(least == 0 || !bound.holds(least - 1), "{text}");
            assert_eq!(bound.about(7).count(), 7);
        }
        assert!(Bound::Exactly(3).holds(3) && !Bound::Exactly(3).holds(2));
    }

    #[test]
    fn what_is_no_bound() {
        for text in [
            "",
            "5",
            "at most",
            "at most -1",
            "5 within 2",
            "5 within 101%",
            "5 within NaN%",
        ] {
            assert!(text.parse::<Bound>().is_err(), "{text}");
        }
    }
}
