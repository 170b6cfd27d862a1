//! Names of translated code for `perf`, which has no other way to know what executes there: a
//! file with a line for each piece of code (Linux, tools/perf/Documentation/jit-interface.txt).
//!
//! It is made before the VMM confines itself, and written as code is translated. Code memory that
//! is full starts anew, so a long run may have two names for one place.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, PoisonError};

use crate::cpu::{TranslatedBlock, Translation, TranslationSink};
use crate::printable::printable;
use crate::report::Namer;

/// Bytes of the file at most: a guest can have code translated again for as long as it runs.
const MOST: usize = 64 << 20;

/// Such a file.
pub struct PerfMap {
    writer: Mutex<Writer>,
    namer: Namer,
}

struct Writer {
    file: BufWriter<Box<dyn Write + Send>>,
    /// Bytes that it may still get.
    left: usize,
    /// Why it gets no more.
    end: Option<io::Error>,
}

impl PerfMap {
    /// Where `perf` looks for that of this process.
    pub fn path() -> PathBuf {
        format!("/tmp/perf-{}.map", process::id()).into()
    }

    /// An empty one, in place of what an earlier process of this number has left there.
    ///
    /// # Errors
    /// The host refuses, as where somebody else has such a file.
    pub fn create(namer: Namer) -> io::Result<Self> {
        let path = Self::path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Others can write to the folder: no link is followed.
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Self::to(file, namer))
    }

    fn to(file: impl Write + Send + 'static, namer: Namer) -> Self {
        let writer = Writer {
            file: BufWriter::new(Box::new(file)),
            left: MOST,
            end: None,
        };
        Self {
            writer: Mutex::new(writer),
            namer,
        }
    }

    /// Writes all that there is. Returns why something is missing, if it is.
    pub fn finish(&self) -> Option<io::Error> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = writer.file.flush();
        writer.end.take().or(flushed.err())
    }
}

impl TranslationSink for PerfMap {
    fn add(&self, translation: Translation) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = None;
        for block in &translation.blocks {
            let place = name(translation.ring, block, &self.namer);
            writer.line(&translation, block.host(), &place);
            head.get_or_insert(place);
        }
        let rare = translation.rare..translation.code.len();
        let head = head.unwrap_or_default();
        writer.line(&translation, rare, &format!("{head}, ways out and in"));
    }
}

/// A block by its symbol, if it has one, and its address.
fn name(ring: u8, block: &TranslatedBlock, namer: &Namer) -> String {
    let address = block.address;
    match namer(ring, address, &block.code) {
        Some(symbol) => format!("{} [{address:#x}]", printable(&symbol.to_string())),
        None => format!("ring {ring} [{address:#x}]"),
    }
}

impl Writer {
    fn line(&mut self, translation: &Translation, part: Range<usize>, name: &str) {
        if self.end.is_some() || part.is_empty() {
            return;
        }
        let start = translation.address.wrapping_add(part.start as u64);
        let line = format!("{start:x} {:x} {name}\n", part.len());
        self.end = match self.left.checked_sub(line.len()) {
            Some(left) => {
                self.left = left;
                self.file.write_all(line.as_bytes()).err()
            }
            None => Some(io::Error::other("it has become too long")),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::PerfMap;
    use crate::cpu::{Piece, TranslatedBlock, Translation, TranslationSink};
    use crate::output::Recorder;
    use crate::report::Symbol;

    fn translation() -> Translation {
        let block = |address, host| TranslatedBlock {
            address,
            code: vec![0x90, 0xc3],
            pieces: vec![Piece { guest: 0..2, host }],
        };
        Translation {
            ns: 0,
            cpu: 0,
            ring: 3,
            code: vec![0xcc; 0x30],
            address: 0x7f00_0000_1000,
            blocks: vec![block(0x40_1000, 0..0x11), block(0x40_2000, 0x11..0x20)],
            rare: 0x20,
        }
    }

    /// A map of one function, and what is written to it.
    fn map() -> (PerfMap, Recorder) {
        let recorder = Recorder::default();
        let namer = |ring, address: u64, code: &[u8]| {
            assert_eq!((ring, code), (3, &[0x90, 0xc3][..]));
            (address < 0x40_2000).then(|| Symbol {
                image: "a\nb".to_owned(),
                name: "f".to_owned(),
                offset: address - 0x40_0ff0,
            })
        };
        (PerfMap::to(recorder.clone(), Arc::new(namer)), recorder)
    }

    #[test]
    fn each_part_has_a_line() {
        let (map, recorder) = map();
        map.add(translation());
        assert!(map.finish().is_none());
        let expected = "\
7f0000001000 11 a\\nb: f+0x10 [0x401000]
7f0000001011 f ring 3 [0x402000]
7f0000001020 10 a\\nb: f+0x10 [0x401000], ways out and in
";
        assert_eq!(recorder.transcript().text(), expected);
    }

    /// Anybody can put one into the folder.
    #[test]
    fn a_link_is_not_followed() {
        let (path, elsewhere) = (PerfMap::path(), PerfMap::path().with_extension("elsewhere"));
        symlink(&elsewhere, &path).expect("the folder is everybody's");
        let (map, _) = map();
        let map = PerfMap::create(map.namer).expect("it is ours to replace");
        map.add(translation());
        assert!(map.finish().is_none());
        assert!(!elsewhere.exists());
        let text = fs::read_to_string(&path).expect("it is there");
        fs::remove_file(&path).expect("ours");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn its_length_has_a_limit() {
        let (map, recorder) = map();
        map.writer.lock().expect("one thread").left = 50;
        map.add(translation());
        let why = map.finish().expect("there was no room");
        assert_eq!(why.to_string(), "it has become too long");
        assert_eq!(recorder.transcript().text().lines().count(), 1);
    }
}
