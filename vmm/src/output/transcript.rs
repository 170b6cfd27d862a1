//! The output of a guest, in bounded memory, to compare any number of runs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes kept as they are, to show where two outputs differ.
const HEAD_LEN: usize = 64 << 10;
/// Bytes of a line that are shown.
const SHOWN: usize = 60;

/// Console output: its beginning, and length and hash of all of it. A guest that prints
/// without end takes no more memory than that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    head: Vec<u8>,
    len: u64,
    hash: u64,
}

impl Transcript {
    /// Bytes printed.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// That of something that has printed `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut recorder = Recorder::default();
        recorder.write_all(bytes).expect("never fails");
        recorder.transcript()
    }

    /// All of it, if that is text and all is known.
    pub fn whole(&self) -> Option<String> {
        let is_whole = self.len == self.head.len() as u64;
        let text = is_whole.then(|| String::from_utf8(self.head.clone()));
        text?.ok()
    }

    /// Whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The beginning as text, all of it unless it is longer than 64 KiB.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    /// Whether `other` has the same lines in another order; not known of more than 64 KiB.
    pub fn is_reordered(&self, other: &Self) -> bool {
        fn lines(head: &[u8]) -> Vec<&[u8]> {
            let mut lines: Vec<_> = head.split(|&byte| byte == b'\n').collect();
            lines.sort_unstable();
            lines
        }
        let is_whole = self.len == self.head.len() as u64 && self.len == other.len;
        is_whole && self != other && lines(&self.head) == lines(&other.head)
    }

    /// Where `other` first differs, for a person; `None` if they are the same.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        Some(match self.differing_line(other) {
            Some((number, [a, b])) => format!("line {number} is {a} and {b}"),
            None => format!(
                "past the first {HEAD_LEN} bytes ({} and {} bytes in all)",
                self.len, other.len
            ),
        })
    }

    /// The number of the first line in which `other` differs, and that line of both; `None` if
    /// they are the same up to where they are no more known.
    pub fn differing_line(&self, other: &Self) -> Option<(usize, [String; 2])> {
        let mut theirs = other.head.split(|&byte| byte == b'\n');
        let mut ours = self.head.split(|&byte| byte == b'\n');
        for number in 1.. {
            let lines = [ours.next(), theirs.next()];
            match lines {
                [None, None] => return None,
                [a, b] if a != b => return Some((number, lines.map(show))),
                _ => {}
            }
        }
        None
    }
}

fn show(line: Option<&[u8]>) -> String {
    match line {
        None => "missing".to_owned(),
        Some(line) if line.len() > SHOWN => {
            format!("{:?}...", String::from_utf8_lossy(&line[..SHOWN]))
        }
        Some(line) => format!("{:?}", String::from_utf8_lossy(line)),
    }
}

/// Writes a transcript; clones write the same one.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    transcript: Transcript,
    hasher: DefaultHasher,
}

impl Recorder {
    /// What was written until now.
    pub fn transcript(&self) -> Transcript {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Transcript {
            hash: state.hasher.finish(),
            ..state.transcript.clone()
        }
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { transcript, hasher } = &mut *state;
        let room = HEAD_LEN - transcript.head.len().min(HEAD_LEN);
        transcript
            .head
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        transcript.len += bytes.len() as u64;
        // Byte by byte: the hash must not depend on how the output was cut into writes.
        for byte in bytes {
            byte.hash(hasher);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD_LEN, Recorder, Transcript, Write};

    fn transcript(writes: &[&[u8]]) -> Transcript {
        let mut recorder = Recorder::default();
        for bytes in writes {
            recorder.write_all(bytes).expect("never fails");
        }
        recorder.transcript()
    }

    #[test]
    fn how_output_was_cut_does_not_matter() {
        assert_eq!(transcript(&[b"one", b"\n"]).text(), "one\n");
        assert_eq!(
            transcript(&[b"one\ntwo"]),
            transcript(&[b"one", b"\nt", b"wo"])
        );
        assert!(transcript(&[]).is_empty());
    }

    #[test]
    fn the_first_line_that_differs_is_shown() {
        let one = transcript(&[b"one\ntwo\n"]);
        assert_eq!(one.difference(&one), None);
        assert_eq!(
            one.difference(&transcript(&[b"one\n2\n"])).as_deref(),
            Some(r#"line 2 is "two" and "2""#)
        );
        assert_eq!(
            one.difference(&transcript(&[b"one"])).as_deref(),
            Some(r#"line 2 is "two" and missing"#)
        );
    }

    #[test]
    fn lines_in_another_order_are_told_from_others() {
        let one = transcript(&[b"one\ntwo\n"]);
        assert!(one.is_reordered(&transcript(&[b"two\none\n"])));
        assert!(!one.is_reordered(&one));
        assert!(!one.is_reordered(&transcript(&[b"one\n222\n"])));
        assert!(!one.is_reordered(&transcript(&[b"two\none\none\n"])));
    }

    #[test]
    fn endless_output_takes_bounded_memory_and_is_still_told_apart() {
        let long = vec![b'x'; 3 * HEAD_LEN];
        let (one, other) = (transcript(&[&long, b"a"]), transcript(&[&long, b"b"]));
        assert_eq!(one.head.len(), HEAD_LEN);
        let difference = one.difference(&other).expect("they differ");
        assert!(
            difference.starts_with("past the first 65536 bytes"),
            "{difference}"
        );
    }
}
