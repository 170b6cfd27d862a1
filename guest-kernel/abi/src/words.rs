//! The words of the kernel's command line, as they are written and read back.
//!
//! Words are separated by blanks. Double quotes keep blanks in a word (`""` is an empty
//! one), and a backslash takes the next byte as it is, within quotes too. A word may have
//! any bytes but zeros, which end the whole line.
//!
//! Reader and writer are side by side so that they stay consistent. Neither allocates.

use core::iter;

const BLANK: u8 = b' ';
const QUOTE: u8 = b'"';
const ESCAPE: u8 = b'\\';

/// Whether `byte` is special within quotes.
fn is_special(byte: u8) -> bool {
    matches!(byte, QUOTE | ESCAPE)
}

/// `text` as one word that reads back the same: as it is if it has only plain characters,
/// else in quotes.
pub fn quoted(text: &[u8]) -> impl Iterator<Item = u8> {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !is_special(*byte);
    let needs_quotes = text.is_empty() || !text.iter().all(is_plain);
    let quote = needs_quotes.then_some(QUOTE);
    let escaped = text.iter().flat_map(|&byte| {
        let escape = is_special(byte).then_some(ESCAPE);
        escape.into_iter().chain(iter::once(byte))
    });
    quote.into_iter().chain(escaped).chain(quote)
}

/// The words of what is left of a line.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    /// The words of `line`, which may be any bytes.
    pub const fn new(line: &'a [u8]) -> Self {
        Self(line)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let start = self.0.iter().position(|&byte| byte != BLANK)?;
        let text = &self.0[start..];
        // Most words have no special bytes, and booting should take few instructions.
        let plain = plain_len(text);
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = text[plain..].iter().position(|&byte| {
            match byte {
                _ if is_escaped => is_escaped = false,
                ESCAPE => is_escaped = true,
                QUOTE => is_quoted = !is_quoted,
                BLANK => return !is_quoted,
                _ => {}
            }
            false
        });
        let len = end.map_or(text.len(), |end| plain + end);
        let (word, rest) = text.split_at(len);
        self.0 = rest;
        Some(Word(word))
    }
}

/// One word, or a part of one, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a>(&'a [u8]);

impl<'a> Word<'a> {
    /// A word that is written like this.
    pub const fn new(written: &'a [u8]) -> Self {
        Self(written)
    }

    /// As it is written: with quotes and backslashes.
    pub const fn written(self) -> &'a [u8] {
        self.0
    }

    /// Its bytes, unquoted.
    pub fn bytes(self) -> impl Iterator<Item = u8> + 'a {
        self.pieces().flatten().copied()
    }

    /// The same, as the pieces in which they are written.
    pub fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let mut written = self.0;
        iter::from_fn(move || {
            let (piece, rest) = loop {
                match written {
                    [] => return None,
                    [QUOTE, rest @ ..] => written = rest,
                    [ESCAPE, rest @ ..] => break rest.split_at(rest.len().min(1)),
                    _ => {
                        let special = written.iter().position(|&byte| is_special(byte));
                        break written.split_at(special.unwrap_or(written.len()));
                    }
                }
            };
            written = rest;
            Some(piece)
        })
    }

    /// Calls `use_bytes` with its unquoted bytes, in one piece; `None` if that is longer
    /// than `MAX` bytes.
    pub fn with_bytes<const MAX: usize, R>(self, use_bytes: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if !self.0.iter().any(|&byte| is_special(byte)) {
            return (self.0.len() <= MAX).then(|| use_bytes(self.0));
        }
        let mut buffer = [0; MAX];
        let mut len = 0;
        for byte in self.bytes() {
            *buffer.get_mut(len)? = byte;
            len += 1;
        }
        Some(use_bytes(&buffer[..len]))
    }
}

/// A number of bytes at the front of `text` that are neither blanks nor special: all of them, but
/// maybe the last seven of `text`, for eight are looked at together.
fn plain_len(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Marks bytes below `limit`, at most 128, and maybe bytes above the lowest such one (Warren,
    // Hacker's Delight, 6-1).
    let below = |bytes: u64, limit: u8| bytes.wrapping_sub(ONES * u64::from(limit)) & !bytes & HIGH;
    let (chunks, _) = text.as_chunks();
    for (number, &chunk) in chunks.iter().enumerate() {
        let bytes = u64::from_le_bytes(chunk);
        let marks = below(bytes, QUOTE + 1) | below(bytes ^ (ONES * u64::from(ESCAPE)), 1);
        if marks != 0 {
            return 8 * number + marks.trailing_zeros() as usize / 8;
        }
    }
    8 * chunks.len()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use fastrand::Rng;

    use super::{Words, quoted};

    fn read(line: &[u8]) -> Vec<Vec<u8>> {
        Words::new(line)
            .map(|word| word.bytes().collect())
            .collect()
    }

    #[test]
    fn quotes_group_and_backslashes_escape() {
        assert_eq!(
            read(br#"a  "b c" d" e"f "" \"x\" \\ g\ h"#),
            [&b"a"[..], b"b c", b"d ef", b"", b"\"x\"", b"\\", b"g h"]
        );
    }

    #[test]
    fn an_open_quote_or_a_last_backslash_ends_with_the_line() {
        assert_eq!(read(br#"a "b c"#), [&b"a"[..], b"b c"]);
        assert_eq!(read(b"a\\"), [b"a"]);
        assert!(read(b"   ").is_empty());
    }

    #[test]
    fn plain_words_are_written_as_they_are() {
        let written = |text: &[u8]| quoted(text).collect::<Vec<_>>();
        assert_eq!(written(b"/bin/a-b=c"), b"/bin/a-b=c");
        assert_eq!(written(b""), b"\"\"");
        assert_eq!(written(b"say \"hi\" \\"), br#""say \"hi\" \\""#);
    }

    #[test]
    fn words_may_be_too_long_in_one_piece() {
        for (written, expected) in [
            (&b"abcd"[..], Some(&b"abcd"[..])),
            (b"abcde", None),
            (b"\"a\\\"cd\"", Some(b"a\"cd")),
            (b"\"a cde\"", None),
        ] {
            let word = super::Word::new(written);
            let bytes = word.with_bytes::<4, _>(<[u8]>::to_vec);
            assert_eq!(bytes.as_deref(), expected);
        }
    }

    /// Any byte but zero; special ones are frequent.
    fn byte(random: &mut Rng) -> u8 {
        match random.u8(..3) {
            0 => b" \"\\-=\n\t"[random.usize(..7)],
            _ => random.u8(1..),
        }
    }

    #[test]
    fn whatever_is_written_reads_back_the_same() {
        let mut random = Rng::with_seed(5);
        for _ in 0..20_000 {
            let count = random.u64(..6);
            let words: Vec<Vec<u8>> = (0..count)
                .map(|_| {
                    let len = random.u64(..12);
                    (0..len).map(|_| byte(&mut random)).collect()
                })
                .collect();
            let mut line = Vec::new();
            for word in &words {
                line.extend(quoted(word));
                line.resize(line.len() + 1 + random.usize(..2), b' ');
            }
            assert_eq!(read(&line), words, "{}", line.escape_ascii());
        }
    }
}
