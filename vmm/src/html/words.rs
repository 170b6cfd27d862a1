//! Names of counters in words.

/// A counter's name in words.
pub fn in_words(name: &str) -> String {
    let words = name.strip_suffix("_ns").unwrap_or(name);
    let spelled = [
        ("_", " "),
        ("ring0", "ring 0"),
        ("ring3", "ring 3"),
        ("ipis", "IPIs"),
    ];
    let words = words.to_owned();
    spelled
        .iter()
        .fold(words, |words, (from, to)| words.replace(from, to))
}
