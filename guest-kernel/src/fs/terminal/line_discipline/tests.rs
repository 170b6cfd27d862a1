use super::*;
use crate::fs::terminal::settings::Supported;

/// A terminal with what its screen got.
struct Screen {
    terminal: LineDiscipline,
    shown: Vec<u8>,
}

impl Screen {
    fn new(settings: Settings) -> Self {
        let mut terminal = LineDiscipline::new(settings);
        assert_eq!(terminal.prepare(), Ok(()));
        Self {
            terminal,
            shown: Vec::new(),
        }
    }

    fn type_in(&mut self, bytes: &[u8]) -> Effect {
        let mut last = Effect::None;
        for &byte in bytes {
            let shown = &mut self.shown;
            last = self
                .terminal
                .input(byte, &mut |echo| shown.extend_from_slice(echo));
        }
        last
    }

    fn read(&mut self, len: usize) -> Vec<u8> {
        let mut read = Vec::new();
        loop {
            let front = self.terminal.front();
            let count = front.len().min(len - read.len());
            read.extend_from_slice(&front[..count]);
            if self.terminal.consume(count) || read.len() == len {
                return read;
            }
        }
    }
}

#[test]
fn a_line_is_readable_when_it_ends() {
    let mut screen = Screen::new(Settings::COOKED);
    assert_eq!(screen.type_in(b"ls"), Effect::None);
    assert_eq!(screen.terminal.readable(), 0);
    assert_eq!(screen.type_in(b"\r"), Effect::Readable);
    screen.type_in(b"cat\n");
    assert_eq!(screen.read(100), b"ls\n");
    assert_eq!(screen.read(2), b"ca");
    assert_eq!(screen.read(100), b"t\n");
    assert_eq!(screen.terminal.readable(), 0);
    assert_eq!(screen.shown, b"ls\ncat\n");
}

#[test]
fn lines_are_edited_and_the_screen_follows() {
    let mut screen = Screen::new(Settings::COOKED);
    screen.type_in(b"\x7fab\x7fc\x01\x7f\n");
    assert_eq!(screen.read(100), b"ac\n");
    assert_eq!(screen.shown, b"ab\x08 \x08c^A\x08 \x08\x08 \x08\n");
    screen.type_in(b"wrong\x15right\n");
    assert_eq!(screen.read(100), b"right\n");
    screen.type_in(b"kept\n\x7f\x15new\n");
    assert_eq!(screen.read(100), b"kept\n");
    assert_eq!(screen.read(100), b"new\n");
}

#[test]
fn the_end_of_input_is_an_empty_read() {
    let mut screen = Screen::new(Settings::COOKED);
    assert_eq!(screen.type_in(b"\x04"), Effect::Readable);
    assert_eq!(screen.read(100), b"");
    assert_eq!(screen.terminal.readable(), 0);
    screen.type_in(b"part\x04\x04");
    assert_eq!(screen.read(2), b"pa");
    assert_eq!(screen.read(2), b"rt");
    assert_eq!(screen.terminal.readable(), 1);
    assert_eq!(screen.read(4), b"");
    assert_eq!(screen.terminal.readable(), 0);
    assert_eq!(screen.shown, b"part");
}

#[test]
fn zeros_are_ordinary_bytes() {
    let mut screen = Screen::new(Settings::COOKED);
    screen.type_in(b"a\0b\n");
    assert_eq!(screen.read(100), b"a\0b\n");
}

#[test]
fn signals_drop_what_was_typed() {
    let mut screen = Screen::new(Settings::COOKED);
    assert_eq!(screen.type_in(b"line\nmore\x03"), Effect::Interrupt);
    assert_eq!(screen.terminal.readable(), 0);
    assert_eq!(screen.shown, b"line\nmore^C");
    assert_eq!(screen.type_in(b"\x1c"), Effect::Quit);
    assert_eq!(screen.type_in(b"gone\x1a"), Effect::Suspend);
    assert_eq!(screen.terminal.readable(), 0);
}

#[test]
fn raw_input_is_readable_at_once_and_as_it_is() {
    let mut screen = Screen::new(Settings::RAW);
    assert_eq!(screen.type_in(b"a\r\x03\x04\x7f\n"), Effect::Readable);
    assert_eq!(screen.read(100), b"a\r\x03\x04\x7f\n");
    assert!(screen.shown.is_empty());
}

#[test]
fn leaving_canonical_mode_frees_the_line() {
    let mut screen = Screen::new(Settings::COOKED);
    screen.type_in(b"half");
    screen.terminal.set(Settings::RAW);
    assert_eq!(screen.read(100), b"half");
}

#[test]
fn too_long_a_line_keeps_its_front_and_its_end() {
    let mut screen = Screen::new(Settings::COOKED);
    screen.type_in(&[b'x'; CAPACITY + 10]);
    assert!(screen.terminal.accepts());
    assert_eq!(screen.type_in(b"\n"), Effect::Readable);
    assert!(!screen.terminal.accepts());
    let line = screen.read(CAPACITY * 2);
    assert_eq!((line.len(), line.last()), (CAPACITY, Some(&b'\n')));
    assert_eq!(screen.shown.len(), CAPACITY + 11);
    assert!(screen.terminal.accepts());
}

#[test]
fn a_full_queue_of_lines_waits_for_a_reader() {
    let mut screen = Screen::new(Settings::COOKED);
    let mut typed = 0;
    while screen.terminal.accepts() {
        screen.type_in(b"y\n");
        typed += 1;
    }
    for _ in 0..typed {
        assert_eq!(screen.read(8), b"y\n");
    }
    assert_eq!(screen.terminal.readable(), 0);
}

#[test]
fn the_queue_wraps_around() {
    let mut screen = Screen::new(Settings::COOKED);
    for length in 1..300 {
        let mut line = vec![b'a' + (length % 26) as u8; length];
        line.push(b'\n');
        screen.type_in(&line);
        assert_eq!(screen.read(CAPACITY), line);
    }
}

#[test]
fn the_end_of_input_waits_behind_a_full_queue() {
    for part in [CAPACITY, 512, 1000, 1] {
        let mut screen = Screen::new(Settings::COOKED);
        screen.type_in(&[b'x'; CAPACITY]);
        screen.type_in(b"\r");
        let mut typed = false;
        let mut read = 0;
        while read < CAPACITY {
            read += screen.read(part).len();
            if !typed && screen.terminal.accepts() {
                typed = true;
                assert_eq!(screen.type_in(b"\x04"), Effect::Readable, "{part}");
            }
        }
        assert_eq!(screen.terminal.readable(), 1, "{part}");
        assert!(screen.read(part).is_empty());
    }
}

#[test]
fn words_are_erased_and_keys_quoted() {
    let mut screen = Screen::new(Settings::PSEUDO);
    screen.type_in(b"ls /tmp/a-b  \x17\x17c\n");
    assert_eq!(screen.read(100), b"ls /tmp/c\n");
    screen.shown.clear();
    screen.type_in(b"a\x16\x03\x16\n\x16\x04b\n");
    assert_eq!(screen.read(100), b"a\x03\n\x04b\n");
    assert_eq!(screen.shown, b"a^\x08^C^\x08\n^\x08^Db\n");
    screen.shown.clear();
    screen.type_in(b"ab\x12c\n");
    assert_eq!(screen.read(100), b"abc\n");
    assert_eq!(screen.shown, b"ab^R\nabc\n");
}

#[test]
fn output_is_stopped_and_started() {
    let mut screen = Screen::new(Settings::PSEUDO);
    assert_eq!(screen.type_in(b"a\x13"), Effect::Stop);
    assert_eq!(screen.type_in(b"\x11"), Effect::Start);
    screen.type_in(b"b\n");
    assert_eq!(screen.read(100), b"ab\n");
    assert_eq!(screen.shown, b"ab\n");
    let mut screen = Screen::new(Settings::COOKED);
    assert_eq!(screen.type_in(b"\x13"), Effect::None);
}

#[test]
fn characters_of_several_bytes_are_erased_whole() {
    let mut wanted = Settings::PSEUDO.to_linux();
    wanted.c_iflag |= linux::IUTF8;
    let mut screen = Screen::new(Settings::from_linux(&wanted, &Supported::PSEUDO));
    screen.type_in("aé€\x7f\x7fb\n".as_bytes());
    assert_eq!(screen.read(100), b"ab\n");
    assert_eq!(screen.shown, "aé€\x08 \x08\x08 \x08b\n".as_bytes());
    screen.type_in(b"\x80\x80\x7fc\n");
    assert_eq!(screen.read(100), b"c\n");
}
