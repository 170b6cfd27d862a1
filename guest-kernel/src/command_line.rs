//! The kernel command line: the contract with the VMM.
//!
//! Words are separated by blanks. Before a lone `--`:
//!
//! | word | meaning |
//! |---|---|
//! | `init=/bin/NAME` | the first program (default `/bin/hello`) |
//! | `tick_us=N` | timer tick in microseconds, 1000 to 1000000 (default 10000) |
//! | `realtime_ns=N` | nanoseconds since 1970 when the time-stamp counter was zero (default 0) |
//! | `stdin=stream` | standard input is the input stream, not a terminal |
//! | `stdin=terminal` | the console's keys send signals though nobody reads them |
//! | `stdout=stream` | standard output, which is the console, is not a terminal |
//! | `stderr=terminal`, `stderr=stream` | so is standard error, at a port of its own |
//! | `log=serial` | the kernel's own lines have a port of their own |
//! | `sysret=off` | return from `syscall` by `iretq` |
//! | `smap=off` | leave CR4.SMAP clear |
//! | `xstate=port` | ring 3 has AVX whatever the kernel says; the VMM saves it |
//! | `ram=zero` | RAM above 1 MiB is zero but for what is loaded: fresh frames are not cleared |
//!
//! Other words, and values that make no sense, are ignored, so that the kernel boots
//! under VMMs that have words of their own. After the `--` come init's arguments from
//! the second on; its first is the last component of its path. Words are those of
//! [`abi::words`]: what `init=` says, and every argument, may be quoted.

use abi::words::{Word, Words};
use arch::boot::CpuOptions;
use mm::frames::Contents;

use crate::fs::{StandardErrors, StandardStreams};

/// Bounds and default of the tick in nanoseconds.
const TICK_NS: core::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000;
const DEFAULT_TICK_NS: u64 = 10_000_000;
const DEFAULT_INIT: Word<'_> = Word::new(b"/bin/hello");
/// What separates the kernel's words from init's arguments.
const SEPARATOR: &[u8] = b"--";
/// Value of the words for standard streams that are no terminals.
const STREAM: &[u8] = b"stream";

/// Value of those that are.
const TERMINAL: &[u8] = b"terminal";

/// A parsed command line.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    /// Path of the first program.
    pub init: Word<'a>,
    /// Time between timer ticks.
    pub tick_ns: u64,
    /// Nanoseconds since 1970 when the time-stamp counter was zero.
    pub realtime_ns: u64,
    /// How the CPU is to be set up.
    pub cpu: CpuOptions,
    /// What is in RAM that the boot loader did not use.
    pub ram_contents: Contents,
    /// What the standard streams are.
    pub streams: StandardStreams,
    /// Whether the console receives from the start.
    pub has_keyboard: bool,
    /// Whether the kernel's own lines have a port of their own.
    pub log_apart: bool,
    arguments: Words<'a>,
}

impl<'a> CommandLine<'a> {
    /// Parses; any bytes will do.
    pub fn parse(text: &'a [u8]) -> Self {
        let mut line = Self {
            init: DEFAULT_INIT,
            tick_ns: DEFAULT_TICK_NS,
            realtime_ns: 0,
            cpu: CpuOptions {
                sysret: true,
                smap: true,
                extended_state: false,
            },
            ram_contents: Contents::Unknown,
            streams: StandardStreams::CONSOLE,
            has_keyboard: false,
            log_apart: false,
            arguments: Words::new(&[]),
        };
        let mut words = Words::new(text);
        while let Some(word) = words.next() {
            if word.written() == SEPARATOR {
                line.arguments = words;
                break;
            }
            line.apply(word.written());
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
            b"init" => self.init = Word::new(value),
            b"tick_us" => {
                let ns = number(value).and_then(|us| us.checked_mul(1000));
                if let Some(ns) = ns.filter(|ns| TICK_NS.contains(ns)) {
                    self.tick_ns = ns;
                }
            }
            b"realtime_ns" => self.realtime_ns = number(value).unwrap_or(self.realtime_ns),
            b"sysret" => self.cpu.sysret = value != b"off",
            b"xstate" => self.cpu.extended_state = value == b"port",
            b"smap" => self.cpu.smap = value != b"off",
            b"stdin" => {
                self.streams.input_is_stream = value == STREAM;
                self.has_keyboard = value == TERMINAL;
            }
            b"stdout" => self.streams.output_is_stream = value == STREAM,
            b"stderr" => {
                self.streams.errors = match value {
                    STREAM => StandardErrors::Stream,
                    TERMINAL => StandardErrors::Terminal,
                    _ => self.streams.errors,
                }
            }
            b"log" => self.log_apart = value == b"serial",
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

#[cfg(test)]
mod tests {
    use super::{CommandLine, Contents, StandardErrors, StandardStreams};

    fn arguments(line: &str) -> Vec<String> {
        CommandLine::parse(line.as_bytes())
            .arguments()
            .map(|word| String::from_utf8(word.bytes().collect()).expect("the test is text"))
            .collect()
    }

    fn init(line: &CommandLine) -> String {
        String::from_utf8(line.init.bytes().collect()).expect("the test is text")
    }

    #[test]
    fn an_empty_line_has_defaults() {
        let line = CommandLine::parse(b"");
        assert_eq!(init(&line), "/bin/hello");
        assert_eq!(
            (line.streams, line.log_apart),
            (StandardStreams::CONSOLE, false)
        );
        assert_eq!((line.tick_ns, line.realtime_ns), (10_000_000, 0));
        assert!(line.cpu.sysret && line.cpu.smap && !line.cpu.extended_state);
        assert_eq!(line.ram_contents, Contents::Unknown);
        assert_eq!(line.arguments().count(), 0);
    }

    #[test]
    fn words_are_taken_and_strange_ones_ignored() {
        let line = CommandLine::parse(
            b"  console=ttyS0 quiet init=/bin/spin tick_us=1000 realtime_ns=17 sysret=off \
              smap=off xstate=port ram=zero =",
        );
        assert_eq!(init(&line), "/bin/spin");
        assert_eq!((line.tick_ns, line.realtime_ns), (1_000_000, 17));
        assert!(!line.cpu.sysret && !line.cpu.smap && line.cpu.extended_state);
        assert_eq!(line.ram_contents, Contents::Zero);
    }

    #[test]
    fn what_init_is_called_may_be_quoted() {
        let line = CommandLine::parse(br#"init="/bin/a \"b\" c" tick_us=2000"#);
        assert_eq!((&*init(&line), line.tick_ns), ("/bin/a \"b\" c", 2_000_000));
    }

    #[test]
    fn streams_are_what_the_words_say() {
        let line = CommandLine::parse(b"stdin=stream stdout=stream stderr=stream log=serial");
        let streams = StandardStreams {
            input_is_stream: true,
            output_is_stream: true,
            errors: StandardErrors::Stream,
        };
        assert_eq!((line.streams, line.log_apart), (streams, true));
        let line = CommandLine::parse(b"stdin=tty stdout= stderr=terminal stderr=x log=");
        let streams = StandardStreams {
            errors: StandardErrors::Terminal,
            ..StandardStreams::CONSOLE
        };
        assert_eq!((line.streams, line.log_apart), (streams, false));
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
        let line = CommandLine::parse(b"-- init=/bin/b");
        assert_eq!(init(&line), "/bin/hello");
    }
}
