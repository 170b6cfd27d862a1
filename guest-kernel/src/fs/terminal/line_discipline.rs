//! The line discipline between a terminal and the programs that read it: echo, line
//! editing, the characters that end input and send signals (Linux, termios(3)).
//!
//! ```text
//!           | lines that programs may read | line being edited | free |
//!  head ----^                       head + ready          head + len
//! ```
//!
//! The position of each line's end is kept beside the bytes: the characters that end a line
//! can change while it is queued, and the character that ends input is not itself read.

use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory};

use crate::fs::terminal::settings::Settings;

/// Capacity of the queue in bytes; the longest line is one less.
const CAPACITY: usize = FRAME_SIZE;
const WORD_BITS: usize = u64::BITS as usize;

/// Bytes of a line that is shown again that go to the terminal at once, and most that one
/// character becomes.
const PIECE: usize = 64;
const WIDEST: usize = 2;

/// Stands in the queue for the end of input, with its place marked as a line's end. No
/// other line ends with it.
const END_OF_INPUT: u8 = 0;

/// The effect of a byte beside being queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// There is more to read.
    Readable,
    /// The interrupt key (SIGINT).
    Interrupt,
    /// The quit key (SIGQUIT).
    Quit,
    /// The suspend key (SIGTSTP).
    Suspend,
    /// The key that stops output.
    Stop,
    /// The key that lets it go on.
    Start,
}

/// A terminal's input.
pub struct LineDiscipline {
    settings: Settings,
    /// What of them most bytes need: see [`Settings::special`].
    special: [u64; 4],
    /// `None` before anything can be typed.
    bytes: Option<Frame>,
    /// The next byte is not a control character, whatever it is.
    is_quoting: bool,
    /// A bit for each byte that ends a line.
    ends: [u64; CAPACITY / WORD_BITS],
    head: usize,
    ready: usize,
    len: usize,
}

impl LineDiscipline {
    /// Nothing typed yet.
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            special: settings.special(),
            bytes: None,
            is_quoting: false,
            ends: [0; CAPACITY / WORD_BITS],
            head: 0,
            ready: 0,
            len: 0,
        }
    }

    /// Has room for input from now on.
    ///
    /// # Errors
    /// There is no memory.
    pub fn prepare(&mut self) -> Result<(), OutOfMemory> {
        if self.bytes.is_none() {
            self.bytes = Some(Frame::allocate().ok_or(OutOfMemory)?);
        }
        Ok(())
    }

    /// What is done with input.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Changes that. Leaving canonical mode makes the line being edited readable.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        self.special = settings.special();
        if !settings.is_canonical() {
            self.ready = self.len;
        }
    }

    /// Discards all input.
    pub fn flush(&mut self) {
        (self.head, self.ready, self.len) = (0, 0, 0);
        self.is_quoting = false;
    }

    /// Bytes that can be read at once.
    pub fn readable(&self) -> usize {
        self.ready
    }

    /// How many bytes more should be taken from the device. While there is input to read,
    /// a full queue leaves them in the device; a line that is too long to be completed must
    /// continue, though the excess is lost.
    pub fn room(&self) -> usize {
        match (CAPACITY - 1).saturating_sub(self.len) {
            0 if self.ready == 0 => 1,
            room => room,
        }
    }

    /// Whether another byte should be.
    pub fn accepts(&self) -> bool {
        self.room() > 0
    }

    /// Takes a byte from the device. What should appear on the terminal goes to `echo`.
    pub fn input(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
        let is_special = self.special[usize::from(byte) / 64] >> (byte % 64) & 1 != 0;
        if !is_special && !self.is_quoting {
            return self.add(byte, echo);
        }
        self.input_special(byte, echo)
    }

    /// Takes a byte that may be more than itself.
    fn input_special(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
        let settings = self.settings;
        let byte = match settings.input(linux::ISTRIP) {
            true => byte & 0x7f,
            false => byte,
        };
        if core::mem::take(&mut self.is_quoting) {
            return self.add(byte, echo);
        }
        let byte = match byte {
            b'\r' if settings.input(linux::IGNCR) => return Effect::None,
            b'\r' if settings.input(linux::ICRNL) => b'\n',
            b'\n' if settings.input(linux::INLCR) => b'\r',
            byte => byte,
        };
        if settings.input(linux::IXON) {
            if settings.is(byte, linux::VSTART) {
                return Effect::Start;
            }
            if settings.is(byte, linux::VSTOP) {
                return Effect::Stop;
            }
        }
        if settings.local(linux::ISIG) {
            for (index, effect) in [
                (linux::VINTR, Effect::Interrupt),
                (linux::VQUIT, Effect::Quit),
                (linux::VSUSP, Effect::Suspend),
            ] {
                if settings.is(byte, index) {
                    self.echo(byte, echo);
                    if !settings.local(linux::NOFLSH) {
                        self.flush();
                    }
                    return effect;
                }
            }
        }
        if settings.is_canonical() {
            return self.edit(byte, echo);
        }
        self.add(byte, echo)
    }

    /// Adds a byte as it is.
    fn add(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
        self.echo(byte, echo);
        if self.settings.is_canonical() {
            // What exceeds the longest line is shown, and lost, as under Linux.
            self.push(byte, false, CAPACITY - 1);
        } else if self.push(byte, false, CAPACITY) {
            self.ready = self.len;
            return Effect::Readable;
        }
        Effect::None
    }

    /// Canonical mode.
    fn edit(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) -> Effect {
        let settings = self.settings;
        let is_extension = |index| settings.local(linux::IEXTEN) && settings.is(byte, index);
        if settings.is(byte, linux::VERASE) {
            self.erase(echo);
        } else if is_extension(linux::VWERASE) {
            self.erase_word(echo);
        } else if is_extension(linux::VLNEXT) {
            self.is_quoting = true;
            if settings.local(linux::ECHO | linux::ECHOCTL) {
                echo(b"^\x08");
            }
        } else if is_extension(linux::VREPRINT) {
            self.reprint(byte, echo);
        } else if settings.is(byte, linux::VKILL) {
            while self.len > self.ready {
                self.erase(echo);
            }
        } else if settings.is(byte, linux::VEOF) {
            return self.end_line(END_OF_INPUT);
        } else if byte == b'\n' || settings.is(byte, linux::VEOL) || is_extension(linux::VEOL2) {
            if settings.local(linux::ECHO) || settings.local(linux::ECHONL) {
                echo(b"\n");
            }
            return self.end_line(byte);
        } else {
            return self.add(byte, echo);
        }
        Effect::None
    }

    fn end_line(&mut self, byte: u8) -> Effect {
        // `push` keeps the last place free for this; after a change of settings there may
        // be none, but then there is also much to read.
        if !self.push(byte, true, CAPACITY) {
            return Effect::None;
        }
        self.ready = self.len;
        Effect::Readable
    }

    /// Shows the line being edited again.
    fn reprint(&self, key: u8, echo: &mut dyn FnMut(&[u8])) {
        if self.settings.local(linux::ECHO) {
            self.echo(key, echo);
            echo(b"\n");
            let (mut shown, mut len) = ([0; PIECE], 0);
            for at in self.ready..self.len {
                self.echo(self.byte(at), &mut |bytes| {
                    shown[len..][..bytes.len()].copy_from_slice(bytes);
                    len += bytes.len();
                });
                if len > PIECE - WIDEST {
                    echo(&shown[..core::mem::take(&mut len)]);
                }
            }
            echo(&shown[..len]);
        }
    }

    /// Takes back the last word of the line being edited, and what is after it.
    fn erase_word(&mut self, echo: &mut dyn FnMut(&[u8])) {
        let mut has_letter = false;
        while self.len > self.ready {
            let byte = self.byte(self.len - 1);
            let is_letter = byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
            if has_letter && !is_letter {
                break;
            }
            has_letter |= is_letter;
            self.erase(echo);
        }
    }

    /// Takes back the last character of the line being edited.
    fn erase(&mut self, echo: &mut dyn FnMut(&[u8])) {
        if self.len == self.ready {
            return;
        }
        self.len -= 1;
        let mut byte = self.byte(self.len);
        let goes_on = |byte: u8| byte & 0xc0 == 0x80;
        while self.settings.input(linux::IUTF8) && goes_on(byte) && self.len > self.ready {
            self.len -= 1;
            byte = self.byte(self.len);
        }
        if self.settings.local(linux::ECHO | linux::ECHOE) {
            let width = self.width(byte);
            for _ in 0..width {
                echo(b"\x08 \x08");
            }
        }
    }

    /// Shows a byte as it was typed.
    fn echo(&self, byte: u8, echo: &mut dyn FnMut(&[u8])) {
        if !self.settings.local(linux::ECHO) {
            return;
        }
        if self.width(byte) == 2 {
            echo(&[b'^', byte ^ 0x40]);
        } else {
            echo(&[byte]);
        }
    }

    /// Columns that a byte takes when echoed.
    fn width(&self, byte: u8) -> usize {
        let control = byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n');
        1 + usize::from(control && self.settings.local(linux::ECHOCTL))
    }

    /// The byte at this place of the queue.
    fn byte(&self, offset: usize) -> u8 {
        let bytes = self.bytes.as_ref();
        bytes.map_or(0, |bytes| bytes.bytes()[self.place(offset)])
    }

    fn place(&self, offset: usize) -> usize {
        (self.head + offset) % CAPACITY
    }

    fn push(&mut self, byte: u8, ends_line: bool, limit: usize) -> bool {
        if self.len >= limit {
            return false;
        }
        let place = self.place(self.len);
        let Some(bytes) = &mut self.bytes else {
            return false;
        };
        bytes.bytes_mut()[place] = byte;
        let bit = 1 << (place % WORD_BITS);
        if ends_line {
            self.ends[place / WORD_BITS] |= bit;
        } else {
            self.ends[place / WORD_BITS] &= !bit;
        }
        self.len += 1;
        true
    }

    fn is_end(&self, offset: usize) -> bool {
        let place = self.place(offset);
        self.ends[place / WORD_BITS] & 1 << (place % WORD_BITS) != 0
    }

    fn is_end_of_input(&self, offset: usize) -> bool {
        offset < self.ready && self.is_end(offset) && self.byte(offset) == END_OF_INPUT
    }

    fn drop_front(&mut self, count: usize) {
        self.head = self.place(count);
        self.ready -= count;
        self.len -= count;
    }

    /// The bytes that come next, in one piece: in canonical mode at most to the end of the
    /// line, and none at the end of input. There is something to read.
    pub fn front(&self) -> &[u8] {
        let piece = (CAPACITY - self.head).min(self.ready);
        let mut len = 0;
        while len < piece && !self.is_end_of_input(len) {
            len += 1;
            if self.settings.is_canonical() && self.is_end(len - 1) {
                break;
            }
        }
        let bytes = self.bytes.as_ref();
        bytes.map_or(&[], |bytes| &bytes.bytes()[self.head..][..len])
    }

    /// Drops `count` bytes of the [front](Self::front), which a program has read, and says
    /// whether its read ends here: with the line, or for want of more.
    pub fn consume(&mut self, count: usize) -> bool {
        let line_ended = self.settings.is_canonical() && count > 0 && self.is_end(count - 1);
        self.drop_front(count);
        if !line_ended && self.is_end_of_input(0) {
            // The mark is removed with its line, even an empty one.
            self.drop_front(1);
            return true;
        }
        line_ended || self.ready == 0
    }
}

#[cfg(test)]
mod tests;
