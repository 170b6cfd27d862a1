//! Scripts: files that name the program that is to run them (Linux, fs/binfmt_script.c and
//! execve(2)).
//!
//! ```text
//! #!/bin/sh -e          run as "./script a b" becomes
//! ...                   "/bin/sh" "-e" "./script" "a" "b"
//! ```

use core::ops::Range;

use abi::Errno;
use mm::frames::FRAME_SIZE;
use mm::{FilePages, Frame, OutOfMemory};

/// How the first line starts.
const MARK: &[u8] = b"#!";
/// Bytes of the first line that count; the last of them never does.
const LINE_MAX: usize = 256;

/// The first line of a script.
#[derive(Debug)]
pub struct Line {
    bytes: [u8; LINE_MAX],
    path: Range<usize>,
    argument: Option<Range<usize>>,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether a path or argument ends before `byte`.
fn ends_word(byte: u8) -> bool {
    is_blank(byte) || byte == 0
}

impl Line {
    /// That of `file`, if it is a script.
    ///
    /// # Errors
    /// ENOEXEC: it names no program, or not the whole path is within the first 255 bytes.
    pub fn of(file: &FilePages) -> Result<Option<Self>, Errno> {
        let mut bytes = [0; LINE_MAX];
        file.copy_at(0, &mut bytes[..MARK.len()]);
        if !bytes.starts_with(MARK) {
            return Ok(None);
        }
        file.copy_at(0, &mut bytes);
        let newline = bytes.iter().position(|&byte| byte == b'\n');
        let end = newline.unwrap_or(LINE_MAX - 1);
        // The first byte of `range` that is like this.
        let find = |range: Range<usize>, is_like: &dyn Fn(u8) -> bool| {
            let found = bytes[range.clone()].iter().position(|&byte| is_like(byte));
            found.map(|place| range.start + place)
        };
        let last = bytes[..end].iter().rposition(|&byte| !is_blank(byte));
        let end = last.map_or(0, |last| last + 1);
        let start = find(MARK.len()..end.max(MARK.len()), &|byte| !is_blank(byte));
        let start = start.ok_or(Errno::ENOEXEC)?;
        let path_end = find(start..end, &ends_word);
        if newline.is_none() && path_end.is_none() && end == LINE_MAX - 1 {
            return Err(Errno::ENOEXEC);
        }
        let path = start..path_end.unwrap_or(end);
        // A zero ends the line.
        let blank = path_end.filter(|&place| bytes[place] != 0);
        let argument = blank.and_then(|place| find(place..end, &|byte| !is_blank(byte)));
        let argument = argument.map(|start| {
            let zero = find(start..end, &|byte| byte == 0);
            start..zero.unwrap_or(end)
        });
        Ok(Some(Self {
            bytes,
            path,
            argument: argument.filter(|argument| !argument.is_empty()),
        }))
    }

    /// Path of the program.
    pub fn path(&self) -> &[u8] {
        &self.bytes[self.path.clone()]
    }

    /// Its first argument, if there is one: all that follows the path.
    pub fn argument(&self) -> Option<&[u8]> {
        self.argument.clone().map(|argument| &self.bytes[argument])
    }
}

/// Scripts, each of which is run by the next, and the last by a program.
const MOST_SCRIPTS: usize = 5;
const _: () = assert!(MOST_SCRIPTS * LINE_MAX <= FRAME_SIZE);

/// What comes before the path of a script in the arguments of the program that runs it.
#[derive(Default)]
pub struct Interpreters {
    /// Strings at its end, each with its zero.
    strings: Option<Frame>,
    len: usize,
    scripts: usize,
}

impl Interpreters {
    /// Puts what another script names before all else.
    ///
    /// # Errors
    /// ELOOP: too many. ENOMEM.
    pub fn add(&mut self, line: &Line) -> Result<(), Errno> {
        if self.scripts == MOST_SCRIPTS {
            return Err(Errno::ELOOP);
        }
        self.scripts += 1;
        if self.strings.is_none() {
            self.strings = Some(Frame::allocate().ok_or(OutOfMemory)?);
        }
        for word in line.argument().into_iter().chain([line.path()]) {
            self.push_front(word);
        }
        Ok(())
    }

    fn push_front(&mut self, word: &[u8]) {
        let Some(frame) = &mut self.strings else {
            return;
        };
        let end = FRAME_SIZE - self.len;
        let place = &mut frame.bytes_mut()[..end][end - word.len() - 1..];
        place[..word.len()].copy_from_slice(word);
        place[word.len()] = 0;
        self.len += word.len() + 1;
    }

    /// Whether the program runs no script.
    pub fn is_empty(&self) -> bool {
        self.scripts == 0
    }

    /// The strings, without their zeros.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let frame = self.strings.as_ref().map(Frame::bytes);
        let strings = frame.map_or(&[][..], |bytes| &bytes[FRAME_SIZE - self.len..]);
        strings.split_inclusive(|&byte| byte == 0).map(|string| {
            let (_, string) = string.split_last().unwrap_or((&0, &[]));
            string
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Words = Option<(String, Option<String>)>;

    fn line(text: &[u8]) -> Result<Words, Errno> {
        let text = text.to_vec();
        let line = Line::of(&FilePages::new(text.leak()))?;
        let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(line.map(|line| (string(line.path()), line.argument().map(string))))
    }

    fn words(path: &str, argument: Option<&str>) -> Result<Words, Errno> {
        Ok(Some((path.to_owned(), argument.map(str::to_owned))))
    }

    #[test]
    fn a_line_has_a_path_and_one_argument() {
        assert_eq!(line(b"#!/bin/sh\nexit"), words("/bin/sh", None));
        assert_eq!(line(b"#! \t/bin/sh \t\n"), words("/bin/sh", None));
        assert_eq!(line(b"#!/bin/a -b c \n"), words("/bin/a", Some("-b c")));
        assert_eq!(line(b"#!/bin/sh"), words("/bin/sh", None));
        assert_eq!(line(b"#!/bin/sh\0-x\n"), words("/bin/sh", None));
        assert_eq!(line(b"\x7fELF"), Ok(None));
        assert_eq!(line(b"#"), Ok(None));
        // What is past the end of a file counts as a zero.
        assert_eq!(line(b"#!"), words("", None));
        for empty in [&b"#!\n"[..], b"#! \t \n/bin/sh"] {
            assert_eq!(line(empty), Err(Errno::ENOEXEC));
        }
    }

    #[test]
    fn a_long_line_loses_its_argument_and_not_its_path() {
        let long = "x".repeat(300);
        let path = format!("#!/{long}\n");
        assert_eq!(line(path.as_bytes()), Err(Errno::ENOEXEC));
        let argument = format!("#!/sh {long}\n");
        let kept = &long[..LINE_MAX - 1 - "#!/sh ".len()];
        assert_eq!(line(argument.as_bytes()), words("/sh", Some(kept)));
        assert_eq!(
            line(&[b"#!", &[b' '; 300][..]].concat()),
            Err(Errno::ENOEXEC)
        );
    }

    #[test]
    fn interpreters_nest() {
        let mut interpreters = Interpreters::default();
        assert_eq!(interpreters.strings().count(), 0);
        for text in [&b"#!/b -x\n"[..], b"#!/a\n"] {
            let line = Line::of(&FilePages::new(text)).expect("it is well-formed");
            interpreters
                .add(&line.expect("it is a script"))
                .expect("few");
        }
        let strings: Vec<_> = interpreters.strings().collect();
        assert_eq!(strings, [&b"/a"[..], b"/b", b"-x"]);
        let line = Line::of(&FilePages::new(b"#!/a\n")).expect("it is well-formed");
        let line = line.expect("it is a script");
        let last = (0..MOST_SCRIPTS).map(|_| interpreters.add(&line)).last();
        assert_eq!(last, Some(Err(Errno::ELOOP)));
    }
}
