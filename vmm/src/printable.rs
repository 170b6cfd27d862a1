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

/// Columns of a terminal.
pub const WIDTH: usize = 80;

/// `text` in lines of at most [`WIDTH`] columns, the first after `prefix`, the others as far
/// to the right; with a newline at the end of each. A word that is longer is broken.
pub fn wrap(prefix: &str, text: &str) -> String {
    let indent = prefix.chars().count();
    let room = WIDTH.saturating_sub(indent).max(1);
    let (mut lines, mut used) = (prefix.to_owned(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length <= room {
            lines.push(' ');
            used += 1;
        } else if used > 0 {
            used = room;
        }
        for c in word.chars() {
            if used == room {
                lines.push('\n');
                lines.extend(std::iter::repeat_n(' ', indent));
                used = 0;
            }
            lines.push(c);
            used += 1;
        }
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::{printable, wrap};

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(printable("ünï \"code\" \\o/"), "ünï \"code\" \\o/");
        assert_eq!(
            printable("a\nb\x1b[2J\r\t\u{9b}"),
            "a\\nb\\u{1b}[2J\\r\\t\\u{9b}"
        );
        assert_eq!(printable("a\u{202e}b\u{2028}"), "a\\u{202e}b\\u{2028}");
    }

    #[test]
    fn long_text_goes_on_below() {
        let text = "word ".repeat(40);
        let wrapped = wrap("  name  ", text.trim());
        assert!(wrapped.lines().all(|line| line.len() <= 80), "{wrapped}");
        assert_eq!(wrapped.lines().count(), 3);
        assert!(wrapped.starts_with("  name  word") && wrapped.ends_with("word\n"));
        assert!(
            wrapped
                .lines()
                .skip(1)
                .all(|line| line.starts_with("        word"))
        );
        assert_eq!(wrap("a ", "b"), "a b\n");
        let broken = wrap("a ", &format!("b {}", "c".repeat(100)));
        assert_eq!(
            broken,
            format!("a b\n  {}\n  {}\n", "c".repeat(78), "c".repeat(22))
        );
    }
}
