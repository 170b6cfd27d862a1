//! The kernel command line: the contract with the VMM.
//!
//! Words are separated by blanks. Before a lone `--`:
//!
//! | word | meaning |
//! |---|---|
//! | `init=/bin/NAME` | the first program (default `/bin/hello`) |
//! | `tick_us=N` | timer tick in microseconds, 1000 to 1000000 (default 10000) |
//! | `realtime_ns=N` | nanoseconds since 1970 at boot (default 0) |
//! | `sysret=off` | return from `syscall` by `iretq` |
//! | `smap=off` | leave CR4.SMAP clear |
//! | `ram=zero` | RAM above 1 MiB is zero but for image, initramfs, command line and memory map: fresh frames are not cleared |
//!
//! Other words, and values that make no sense, are ignored, so that the kernel boots
//! under VMMs that have words of their own. After the `--` come init's arguments from
//! the second on; its first is the last component of its path. Everywhere double quotes
//! keep blanks in a word (`""` is an empty one) and a backslash takes the next character
//! as it is, within quotes too.

use crate::mm::frames::Contents;

/// Bounds and default of the tick in nanoseconds.
const TICK_NS: core::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000;
const DEFAULT_TICK_NS: u64 = 10_000_000;
const DEFAULT_INIT: &[u8] = b"/bin/hello";
/// What separates the kernel's words from init's arguments.
const SEPARATOR: &[u8] = b"--";

/// A parsed command line.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    /// Path of the first program.
    pub init: &'a [u8],
    /// Time between timer ticks.
    pub tick_ns: u64,
    /// Nanoseconds since 1970 at boot.
    pub realtime_ns: u64,
    /// Whether `sysretq` works here.
    pub sysret: bool,
    /// Whether SMAP may be used, if the CPU has it.
    pub smap: bool,
    /// What is in RAM that the boot loader did not use.
    pub ram_contents: Contents,
    arguments: Words<'a>,
}

impl<'a> CommandLine<'a> {
    /// Parses; any bytes will do.
    pub fn parse(text: &'a [u8]) -> Self {
        let mut line = Self {
            init: DEFAULT_INIT,
            tick_ns: DEFAULT_TICK_NS,
            realtime_ns: 0,
            sysret: true,
            smap: true,
            ram_contents: Contents::Unknown,
            arguments: Words(&[]),
        };
        let mut words = Words(text);
        while let Some(word) = words.next() {
            if word.0 == SEPARATOR {
                line.arguments = words;
                break;
            }
            line.apply(word.0);
        }
        line
    }

    /// Init's arguments after its name.
    pub fn arguments(&self) -> Words<'a> {
        self.arguments
    }

    fn apply(&mut self, word: &'a [u8]) {
        let Some(equals) = word.iter().position(|&byte| byte == b'=') else {
            return;
        };
        let (name, value) = (&word[..equals], &word[equals + 1..]);
        match name {
            b"init" => self.init = value,
            b"tick_us" => {
                let ns = number(value).and_then(|us| us.checked_mul(1000));
                if let Some(ns) = ns.filter(|ns| TICK_NS.contains(ns)) {
                    self.tick_ns = ns;
                }
            }
            b"realtime_ns" => self.realtime_ns = number(value).unwrap_or(self.realtime_ns),
            b"sysret" => self.sysret = value != b"off",
            b"smap" => self.smap = value != b"off",
            b"ram" if value == b"zero" => self.ram_contents = Contents::Zero,
            _ => {}
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The words of what is left of a line.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let start = self.0.iter().position(|&byte| byte != b' ')?;
        let text = &self.0[start..];
        let (mut quoted, mut escaped) = (false, false);
        let end = text.iter().position(|&byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = !quoted,
                b' ' => return !quoted,
                _ => {}
            }
            false
        });
        let (word, rest) = text.split_at(end.unwrap_or(text.len()));
        self.0 = rest;
        Some(Word(word))
    }
}

/// One word, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a>(&'a [u8]);

impl<'a> Word<'a> {
    /// The bytes that it means: without quotes and backslashes.
    pub fn bytes(self) -> impl Iterator<Item = u8> + 'a {
        let mut raw = self.0.iter().copied();
        core::iter::from_fn(move || {
            loop {
                match raw.next()? {
                    b'"' => {}
                    b'\\' => return raw.next(),
                    byte => return Some(byte),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandLine, Contents};

    fn arguments(line: &str) -> Vec<String> {
        CommandLine::parse(line.as_bytes())
            .arguments()
            .map(|word| String::from_utf8(word.bytes().collect()).expect("the test is text"))
            .collect()
    }

    #[test]
    fn an_empty_line_has_defaults() {
        let line = CommandLine::parse(b"");
        assert_eq!(line.init, b"/bin/hello");
        assert_eq!((line.tick_ns, line.realtime_ns), (10_000_000, 0));
        assert!(line.sysret && line.smap);
        assert_eq!(line.ram_contents, Contents::Unknown);
        assert_eq!(line.arguments().count(), 0);
    }

    #[test]
    fn words_are_taken_and_strange_ones_ignored() {
        let line = CommandLine::parse(
            b"  console=ttyS0 quiet init=/bin/spin tick_us=1000 realtime_ns=17 sysret=off smap=off ram=zero =",
        );
        assert_eq!(line.init, b"/bin/spin");
        assert_eq!((line.tick_ns, line.realtime_ns), (1_000_000, 17));
        assert!(!line.sysret && !line.smap);
        assert_eq!(line.ram_contents, Contents::Zero);
    }

    #[test]
    fn senseless_numbers_change_nothing() {
        for value in ["", "999", "1000001", "-1", "10ms", "99999999999999999999"] {
            let text = format!("tick_us={value}");
            assert_eq!(CommandLine::parse(text.as_bytes()).tick_ns, 10_000_000);
        }
    }

    #[test]
    fn arguments_follow_the_separator() {
        assert_eq!(
            arguments("init=/bin/a -- init=/bin/b -- c"),
            ["init=/bin/b", "--", "c"]
        );
        assert_eq!(CommandLine::parse(b"-- init=/bin/b").init, b"/bin/hello");
    }

    #[test]
    fn quotes_group_and_backslashes_escape() {
        assert_eq!(
            arguments(r#"-- "a b" c" d"e "" \"x\" \\ f\ g"#),
            ["a b", "c de", "", "\"x\"", "\\", "f g"]
        );
        assert_eq!(arguments(r#"-- "a \" b" c"#), ["a \" b", "c"]);
    }

    #[test]
    fn an_open_quote_or_a_last_backslash_ends_with_the_line() {
        assert_eq!(arguments(r#"-- "a b"#), ["a b"]);
        assert_eq!(arguments("-- a\\"), ["a"]);
    }
}
