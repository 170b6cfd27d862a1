//! A terminal's settings: Linux's `termios`.
//!
//! Only supported flags are ever set: a program that sets others reads back the rest.
//! Output is never processed: the host's terminal knows how lines end.

use linux_raw_sys::general::{self as linux, termios};

/// Control characters that there are places for.
const CHARACTERS: usize = linux::NCCS as usize;

const INPUT_FLAGS: u32 = linux::ICRNL | linux::INLCR | linux::IGNCR;
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

/// What to do with input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    input: u32,
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
            control: CONTROL_FLAGS,
            local: LOCAL_FLAGS & !linux::ECHONL & !linux::NOFLSH & !linux::TOSTOP,
            characters,
        }
    };

    /// For a line with a machine at its other end: every byte as it comes.
    pub const RAW: Self = Self {
        input: 0,
        local: 0,
        ..Self::COOKED
    };

    /// From what a program wants.
    pub fn from_linux(wanted: &termios) -> Self {
        Self {
            input: wanted.c_iflag & INPUT_FLAGS,
            control: wanted.c_cflag,
            local: wanted.c_lflag & LOCAL_FLAGS,
            characters: wanted.c_cc,
        }
    }

    /// What a program is told.
    pub fn to_linux(self) -> termios {
        termios {
            c_iflag: self.input,
            c_oflag: 0,
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

    /// Whether `byte` is the control character at `index`; 0 there means none.
    pub fn is(&self, byte: u8, index: u32) -> bool {
        byte != 0 && self.characters[index as usize % CHARACTERS] == byte
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
    use super::{Settings, linux};

    #[test]
    fn programs_read_back_what_is_done() {
        let mut wanted = Settings::COOKED.to_linux();
        wanted.c_iflag |= linux::IXON;
        wanted.c_oflag |= linux::OPOST;
        wanted.c_lflag &= !linux::ECHO;
        let settings = Settings::from_linux(&wanted);
        assert!(settings.is_canonical() && !settings.local(linux::ECHO));
        let told = settings.to_linux();
        assert_eq!((told.c_iflag, told.c_oflag), (linux::ICRNL, 0));
        assert_eq!(Settings::from_linux(&told), settings);
    }

    #[test]
    fn a_character_that_is_zero_is_none() {
        assert!(Settings::COOKED.is(3, linux::VINTR));
        assert!(!Settings::COOKED.is(0, linux::VEOL));
    }
}
