//! A terminal's settings: Linux's `termios`.
//!
//! Only flags that have an effect are ever set: a program that sets others reads back the
//! rest. The console's output is never processed: the host's terminal knows how lines end.

use linux_raw_sys::general::{self as linux, termios};

/// Control characters that there are places for.
const CHARACTERS: usize = linux::NCCS as usize;

/// Flags that have an effect on a terminal, or of which what they are for never comes.
pub struct Supported {
    input: u32,
    output: u32,
    local: u32,
}

impl Supported {
    /// On a serial port.
    pub const PORT: Self = Self {
        input: linux::ICRNL | linux::INLCR | linux::IGNCR,
        output: 0,
        local: LOCAL_FLAGS,
    };

    /// On a pseudo-terminal, where breaks and errors of parity never come.
    pub const PSEUDO: Self = Self {
        input: Self::PORT.input
            | linux::IGNBRK
            | linux::BRKINT
            | linux::IGNPAR
            | linux::PARMRK
            | linux::INPCK
            | linux::ISTRIP
            | linux::IXON
            | linux::IXANY
            | linux::IUTF8,
        output: linux::OPOST | linux::ONLCR | linux::OCRNL | linux::ONLRET,
        local: LOCAL_FLAGS | linux::IEXTEN,
    };
}

const LOCAL_FLAGS: u32 = linux::ISIG
    | linux::ICANON
    | linux::ECHO
    | linux::ECHOE
    | linux::ECHOK
    | linux::ECHONL
    | linux::ECHOCTL
    | linux::ECHOKE
    | linux::NOFLSH
    | linux::TOSTOP;

/// N_TTY, the only one there is.
const LINE_DISCIPLINE: u8 = 0;

const CONTROL_FLAGS: u32 = linux::B38400 | linux::CS8 | linux::CREAD | linux::HUPCL;

/// What to do with input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    characters: [u8; CHARACTERS],
}

/// The byte of a letter's key with the control key held.
const fn control(letter: u8) -> u8 {
    letter & 0x1f
}

impl Settings {
    /// For a terminal with somebody in front of it: whole lines, echoed and edited.
    pub const COOKED: Self = {
        let mut characters = [0; CHARACTERS];
        characters[linux::VINTR as usize] = control(b'C');
        characters[linux::VQUIT as usize] = control(b'\\');
        characters[linux::VSUSP as usize] = control(b'Z');
        characters[linux::VERASE as usize] = 0x7f;
        characters[linux::VKILL as usize] = control(b'U');
        characters[linux::VEOF as usize] = control(b'D');
        characters[linux::VMIN as usize] = 1;
        Self {
            input: linux::ICRNL,
            output: 0,
            control: CONTROL_FLAGS,
            local: LOCAL_FLAGS & !linux::ECHONL & !linux::NOFLSH & !linux::TOSTOP,
            characters,
        }
    };

    /// For a pseudo-terminal, as Linux has it at first.
    pub const PSEUDO: Self = {
        let mut characters = Self::COOKED.characters;
        characters[linux::VSTART as usize] = control(b'Q');
        characters[linux::VSTOP as usize] = control(b'S');
        characters[linux::VREPRINT as usize] = control(b'R');
        characters[linux::VDISCARD as usize] = control(b'O');
        characters[linux::VWERASE as usize] = control(b'W');
        characters[linux::VLNEXT as usize] = control(b'V');
        Self {
            input: linux::ICRNL | linux::IXON,
            output: linux::OPOST | linux::ONLCR,
            control: linux::B38400 | linux::CS8 | linux::CREAD,
            local: Self::COOKED.local | linux::IEXTEN,
            characters,
        }
    };

    /// For a line with a machine at its other end: every byte as it comes.
    pub const RAW: Self = Self {
        input: 0,
        local: 0,
        ..Self::COOKED
    };

    /// From what a program wants, as far as it is supported.
    pub fn from_linux(wanted: &termios, supported: &Supported) -> Self {
        Self {
            input: wanted.c_iflag & supported.input,
            output: wanted.c_oflag & supported.output,
            control: wanted.c_cflag,
            local: wanted.c_lflag & supported.local,
            characters: wanted.c_cc,
        }
    }

    /// What a program is told.
    pub fn to_linux(self) -> termios {
        termios {
            c_iflag: self.input,
            c_oflag: self.output,
            c_cflag: self.control,
            c_lflag: self.local,
            c_line: LINE_DISCIPLINE,
            c_cc: self.characters,
        }
    }

    /// Whether all of these input flags are set.
    pub fn input(&self, flags: u32) -> bool {
        self.input & flags == flags
    }

    /// Whether all of these local flags are set.
    pub fn local(&self, flags: u32) -> bool {
        self.local & flags == flags
    }

    /// Whether programs get whole lines.
    pub fn is_canonical(&self) -> bool {
        self.local(linux::ICANON)
    }

    /// The control character at `index`; 0 is none.
    pub fn character(&self, index: u32) -> u8 {
        self.characters[index as usize % CHARACTERS]
    }

    /// Whether `byte` is the control character at `index`.
    pub fn is(&self, byte: u8, index: u32) -> bool {
        byte != 0 && self.character(index) == byte
    }

    /// A bit for each byte that may be more than itself: control characters, whether or not
    /// they have an effect now, and ends of lines.
    pub const fn special(&self) -> [u64; 4] {
        const fn with(mut set: [u64; 4], byte: u8) -> [u64; 4] {
            set[byte as usize / 64] |= 1 << (byte % 64);
            set
        }
        let mut set = with(with([0; 4], b'\r'), b'\n');
        if self.input & linux::ISTRIP != 0 {
            (set[2], set[3]) = (u64::MAX, u64::MAX);
        }
        let mut at = 0;
        while at < CHARACTERS {
            set = with(set, self.characters[at]);
            at += 1;
        }
        set
    }

    /// Whether output can be stopped and started by the usual keys, so that who is at the other
    /// end may do that by himself.
    pub fn has_usual_flow(&self) -> bool {
        self.input(linux::IXON)
            && self.is(control(b'S'), linux::VSTOP)
            && self.is(control(b'Q'), linux::VSTART)
    }

    /// Calls `put` with what comes of `bytes` that a program writes, piece by piece.
    pub fn process_output(&self, bytes: &[u8], put: &mut dyn FnMut(&[u8])) {
        let has = |flag| self.output & (linux::OPOST | flag) == linux::OPOST | flag;
        let (ends_lines, ends_returns) = (has(linux::ONLCR), has(linux::OCRNL));
        let is_special = |&byte: &u8| ends_lines && byte == b'\n' || ends_returns && byte == b'\r';
        for piece in bytes.split_inclusive(is_special) {
            let (last, plain) = match piece.split_last() {
                Some((last, plain)) if is_special(last) => (Some(*last), plain),
                _ => (None, piece),
            };
            if !plain.is_empty() {
                put(plain);
            }
            match last {
                Some(b'\n') => put(b"\r\n"),
                Some(_) => put(b"\n"),
                None => {}
            }
        }
    }

    /// Bytes that a read outside canonical mode waits for.
    pub fn min(&self) -> usize {
        usize::from(self.characters[linux::VMIN as usize])
    }

    /// Tenths of a second that a read outside canonical mode waits if [`Self::min`] is 0.
    pub fn time(&self) -> u64 {
        u64::from(self.characters[linux::VTIME as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, Supported, linux};

    #[test]
    fn programs_read_back_what_is_done() {
        let mut wanted = Settings::COOKED.to_linux();
        wanted.c_iflag |= linux::IXON;
        wanted.c_oflag |= linux::OPOST;
        wanted.c_lflag &= !linux::ECHO;
        let settings = Settings::from_linux(&wanted, &Supported::PORT);
        assert!(settings.is_canonical() && !settings.local(linux::ECHO));
        let told = settings.to_linux();
        assert_eq!((told.c_iflag, told.c_oflag), (linux::ICRNL, 0));
        assert_eq!(Settings::from_linux(&told, &Supported::PORT), settings);
        let pseudo = Settings::PSEUDO.to_linux();
        let told = Settings::from_linux(&pseudo, &Supported::PSEUDO);
        assert_eq!(told, Settings::PSEUDO);
    }

    #[test]
    fn output_is_processed_if_it_is_to_be() {
        let processed = |output, bytes: &[u8]| {
            let settings = Settings {
                output,
                ..Settings::PSEUDO
            };
            let mut all = Vec::new();
            settings.process_output(bytes, &mut |piece| {
                assert!(!piece.is_empty());
                all.extend_from_slice(piece);
            });
            all
        };
        let lines = b"a\n\nb\rc\n";
        let both = linux::OPOST | linux::ONLCR;
        assert_eq!(processed(both, lines), b"a\r\n\r\nb\rc\r\n");
        assert_eq!(processed(both | linux::OCRNL, b"a\rb"), b"a\nb");
        assert_eq!(processed(linux::ONLCR, lines), lines);
        assert_eq!(processed(linux::OPOST, lines), lines);
        assert_eq!(processed(both, b""), b"");
    }

    #[test]
    fn a_character_that_is_zero_is_none() {
        assert!(Settings::COOKED.is(3, linux::VINTR));
        assert!(!Settings::COOKED.is(0, linux::VEOL));
    }
}
