//! The kernel's command line, whose words are those of [`abi::command_line`].

use abi::command_line as word;
use abi::words::{Word, Words};
use arch::boot::CpuOptions;
use devices::virtio_console::{WINDOWS, Window};
use mm::frames::Contents;

const DEFAULT_TICK_NS: u64 = 10_000_000;
const DEFAULT_INIT: Word<'_> = Word::new(b"/bin/hello");

/// Where files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// The initramfs.
    Initramfs,
    /// The host, and where that has none the initramfs.
    Both,
    /// The host.
    Host,
}

/// What the standard streams of the first program are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardStreams {
    /// Standard input is the input stream, not a terminal.
    pub input_is_stream: bool,
    /// Standard output is no terminal.
    pub output_is_stream: bool,
    /// Standard error.
    pub errors: StandardErrors,
}

/// What standard error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardErrors {
    /// The same as standard output.
    WithOutput,
    /// The terminal, by a port of its own.
    Terminal,
    /// A port of its own and no terminal.
    Stream,
}

impl StandardStreams {
    /// All are the console, and that is a terminal.
    pub const CONSOLE: Self = Self {
        input_is_stream: false,
        output_is_stream: false,
        errors: StandardErrors::WithOutput,
    };
}

/// A parsed command line.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    /// Path of the first program.
    pub init: Word<'a>,
    /// How many CPUs there are, if it says so.
    pub cpus: Option<usize>,
    /// Time between timer ticks.
    pub tick_ns: u64,
    /// Nanoseconds since 1970 when the time-stamp counter was zero.
    pub realtime_ns: u64,
    /// How far ring 3's time-stamp counter is behind, if that is known.
    pub user_tsc: Option<u64>,
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
    /// Where files come from.
    pub files: Files,
    /// What the machine is called, if that is said.
    pub host_name: Option<Word<'a>>,
    /// Whether the host gets files at the end.
    pub saves: bool,
    /// Init's working directory, if it is not the root.
    pub directory: Option<Word<'a>>,
    /// Init's user and group.
    pub owner: [u32; 2],
    /// From the first word about the environment on.
    environment: Words<'a>,
    /// Whether the VMM has virtio consoles.
    pub has_virtio_consoles: bool,
    /// Other virtio devices.
    pub virtio: [Option<Window>; WINDOWS],
    arguments: Words<'a>,
}

impl<'a> CommandLine<'a> {
    /// Parses `line`, which may be any bytes.
    #[inline]
    pub fn parse(text: &'a [u8]) -> Self {
        let mut line = Self {
            init: DEFAULT_INIT,
            cpus: None,
            tick_ns: DEFAULT_TICK_NS,
            realtime_ns: 0,
            user_tsc: Some(0),
            cpu: CpuOptions {
                sysret: true,
                smap: true,
                extended_state: false,
                copies: false,
            },
            ram_contents: Contents::Unknown,
            streams: StandardStreams::CONSOLE,
            has_keyboard: false,
            log_apart: false,
            files: Files::Initramfs,
            host_name: None,
            saves: false,
            directory: None,
            owner: [0; 2],
            environment: Words::new(&[]),
            has_virtio_consoles: false,
            virtio: [None; WINDOWS],
            arguments: Words::new(&[]),
        };
        let mut words = Words::new(text);
        let mut rest = words;
        while let Some(next) = words.next() {
            let written = next.written();
            if written == word::SEPARATOR {
                line.arguments = words;
                break;
            }
            if environment_string(written).is_some() && line.environment.clone().next().is_none() {
                line.environment = rest;
            }
            line.apply(written);
            rest = words;
        }
        line
    }

    /// What is to be in init's environment.
    pub fn environment(&self) -> impl Iterator<Item = Word<'a>> {
        self.environment
            .map(Word::written)
            .take_while(|&written| written != word::SEPARATOR)
            .filter_map(environment_string)
            .map(Word::new)
    }

    /// Init's arguments after its name.
    pub fn arguments(&self) -> Words<'a> {
        self.arguments
    }

    fn apply(&mut self, text: &'a [u8]) {
        let Some(equals) = text.iter().position(|&byte| byte == b'=') else {
            return;
        };
        let (name, value) = (&text[..equals], &text[equals + 1..]);
        match name {
            word::INIT => self.init = Word::new(value),
            word::CPUS => {
                let cpus = number(value).and_then(|cpus| usize::try_from(cpus).ok());
                self.cpus = cpus.or(self.cpus);
            }
            word::TICK_US => {
                if let Some(us) = number(value).filter(|us| word::TICK_US_RANGE.contains(us)) {
                    self.tick_ns = us * 1000;
                }
            }
            word::REALTIME_NS => self.realtime_ns = number(value).unwrap_or(self.realtime_ns),
            word::USER_TSC => self.user_tsc = number(value),
            word::SYSRET => self.cpu.sysret = value != word::OFF,
            word::EXTENDED_STATE => self.cpu.extended_state = value == word::PORT,
            word::COPIES => self.cpu.copies = value == word::PORT,
            word::SMAP => self.cpu.smap = value != word::OFF,
            word::STDIN => {
                self.streams.input_is_stream = value == word::STREAM;
                self.has_keyboard = value == word::TERMINAL;
            }
            word::STDOUT => self.streams.output_is_stream = value == word::STREAM,
            word::STDERR => {
                self.streams.errors = match value {
                    word::STREAM => StandardErrors::Stream,
                    word::TERMINAL => StandardErrors::Terminal,
                    _ => self.streams.errors,
                }
            }
            word::FILES if value == word::HOST => self.files = Files::Both,
            word::ROOT if value == word::HOST => self.files = Files::Host,
            word::SAVE | word::SAVE_ALWAYS => self.saves = true,
            word::HOSTNAME => self.host_name = Some(Word::new(value)),
            word::DIRECTORY => self.directory = Some(Word::new(value)),
            word::USER => self.owner = owner(value).unwrap_or(self.owner),
            word::LOG => self.log_apart = value == word::SERIAL,
            word::VIRTIO => self.has_virtio_consoles = value == word::CONSOLES,
            word::VIRTIO_DEVICE => {
                if let Some(place) = self.virtio.iter_mut().find(|place| place.is_none()) {
                    *place = window(value);
                }
            }
            word::RAM if value == word::ZERO => self.ram_contents = Contents::Zero,
            _ => {}
        }
    }
}

/// Two numbers with a colon between them.
fn owner(text: &[u8]) -> Option<[u32; 2]> {
    let colon = text.iter().position(|&byte| byte == b':')?;
    let id = |digits| u32::try_from(number(digits)?).ok();
    Some([id(&text[..colon])?, id(&text[colon + 1..])?])
}

/// `[SIZE]@ADDRESS:GSI[:ID]`, of which size and ID do not matter.
fn window(text: &[u8]) -> Option<Window> {
    let mut parts = text.split(|&byte| byte == b'@' || byte == b':').skip(1);
    let address = match parts.next()? {
        [b'0', b'x', digits @ ..] => u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?,
        digits => number(digits)?,
    };
    let gsi = u32::try_from(number(parts.next()?)?).ok()?;
    Some(Window { address, gsi })
}

/// What a word says of the environment.
fn environment_string(written: &[u8]) -> Option<&[u8]> {
    written.strip_prefix(word::ENVIRONMENT)?.strip_prefix(b"=")
}

fn number(digits: &[u8]) -> Option<u64> {
    /// As many digits never overflow, so that they need no check.
    const SURE: usize = u64::MAX.ilog10() as usize;
    if digits.is_empty() {
        return None;
    }
    let (sure, rest) = digits.split_at(digits.len().min(SURE));
    let digit = |byte: u8| Some(byte.wrapping_sub(b'0')).filter(|&digit| digit <= 9);
    let value = sure.iter().try_fold(0, |value: u64, &byte| {
        Some(value * 10 + u64::from(digit(byte)?))
    })?;
    rest.iter().try_fold(value, |value, &byte| {
        value.checked_mul(10)?.checked_add(u64::from(digit(byte)?))
    })
}

#[cfg(test)]
mod tests {
    use super::{CommandLine, Contents, Files, StandardErrors, StandardStreams, Window, Word};

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
        assert!(line.cpu.sysret && line.cpu.smap);
        assert!(!line.cpu.extended_state && !line.cpu.copies);
        assert_eq!(line.ram_contents, Contents::Unknown);
        assert_eq!(line.arguments().count(), 0);
    }

    #[test]
    fn init_may_be_somebody_else() {
        let owner = |line: &'static [u8]| CommandLine::parse(line).owner;
        assert_eq!(owner(b"user=1000:100"), [1000, 100]);
        for invalid in [
            &b"user=1000"[..],
            b"user=:",
            b"user=a:1",
            b"user=1:4294967296",
        ] {
            assert_eq!(owner(invalid), [0, 0]);
        }
    }

    #[test]
    fn words_are_taken_and_strange_ones_ignored() {
        let line = CommandLine::parse(
            b"  console=ttyS0 quiet init=/bin/spin tick_us=1000 realtime_ns=17 sysret=off \
              smap=off xstate=port copies=port ram=zero =",
        );
        assert_eq!(init(&line), "/bin/spin");
        assert_eq!((line.tick_ns, line.realtime_ns), (1_000_000, 17));
        assert!(!line.cpu.sysret && !line.cpu.smap);
        assert!(line.cpu.extended_state && line.cpu.copies);
        assert_eq!(line.ram_contents, Contents::Zero);
    }

    #[test]
    fn virtio_devices_are_as_linux_has_them() {
        let line = CommandLine::parse(
            b"virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=x virtio=consoles \
              virtio_mmio.device=4K@3489660928:5:1 virtio_mmio.device=@:",
        );
        let windows = [(0xfeb0_0e00, 12), (0xd000_0000, 5)];
        let windows = windows.map(|(address, gsi)| Some(Window { address, gsi }));
        assert_eq!((&line.virtio[..2], line.virtio[2]), (&windows[..], None));
        assert!(line.has_virtio_consoles);
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
    fn files_and_environment_are_what_the_words_say() {
        let line = CommandLine::parse(br#"files=host env=A=1 env="B=x y" cwd=/tmp -- env=C=2"#);
        let strings = line.environment().map(|word| word.bytes().collect());
        let strings: Vec<Vec<u8>> = strings.collect();
        assert_eq!(strings, [&b"A=1"[..], b"B=x y"]);
        assert_eq!((line.files, line.saves), (Files::Both, false));
        assert!(CommandLine::parse(b"save=/a").saves && CommandLine::parse(b"save_always=/").saves);
        assert_eq!(line.directory.map(Word::written), Some(&b"/tmp"[..]));
        let line = CommandLine::parse(b"files=host root=host cwd");
        assert_eq!((line.files, line.directory), (Files::Host, None));
        assert_eq!(CommandLine::parse(b"root=x").files, Files::Initramfs);
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
