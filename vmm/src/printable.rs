//! Text of unknown origin (paths, arguments, what a guest says) for one line of a terminal.

/// `text` with all escaped that would break the line, steer a terminal or turn the
/// direction of what follows.
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || LAYOUT.iter().any(|range| range.contains(&c)) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Separators of lines, and marks of direction (Unicode, chapter 23.2).
const LAYOUT: [std::ops::RangeInclusive<char>; 3] = [
    '\u{200e}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2066}'..='\u{2069}',
];

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(printable("ünï \"code\" \\o/"), "ünï \"code\" \\o/");
        assert_eq!(
            printable("a\nb\x1b[2J\r\t\u{9b}"),
            "a\\nb\\u{1b}[2J\\r\\t\\u{9b}"
        );
        assert_eq!(printable("a\u{202e}b\u{2028}"), "a\\u{202e}b\\u{2028}");
    }
}
