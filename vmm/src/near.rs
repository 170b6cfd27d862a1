//! Suggestions for misspelt names.

/// How near a name must be to be suggested: Jaro-Winkler similarity, 0 to 1.
const NEAR: f64 = 0.75;
/// How many names are suggested at most.
const MAX_SUGGESTIONS: usize = 3;

/// Those of `names` that are like `name`, the nearest first.
pub fn near(name: &str, names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut scored: Vec<_> = names
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored
        .into_iter()
        .take(MAX_SUGGESTIONS)
        .map(|(_, name)| name)
        .collect()
}

/// The suggestion as a part of an error; empty without one.
pub fn did_you_mean(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        names => format!(" (did you mean {}?)", names.join(", ")),
    }
}
