//! The initramfs: a cpio archive in the "newc" format, read where it lies (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst).

const MAGIC: &[u8] = b"070701";
/// Six bytes of magic and thirteen fields of eight hexadecimal digits.
const HEADER_SIZE: usize = 110;
const FIELD_NODE: usize = 0;
const FIELD_MODE: usize = 1;
const FIELD_USER: usize = 2;
const FIELD_GROUP: usize = 3;
const FIELD_LINKS: usize = 4;
const FIELD_TIME: usize = 5;
const FIELD_FILE_SIZE: usize = 6;
const FIELD_DISK: usize = 7;
const FIELD_DEVICE: usize = 9;
const FIELD_NAME_SIZE: usize = 11;
const TRAILER: &[u8] = b"TRAILER!!!";
/// Names and contents start at multiples of this.
const ALIGNMENT: usize = 4;

/// The contents of the file with this absolute path; whether names in the archive start
/// with `/`, `./` or nothing does not matter.
#[inline]
pub fn find<'a>(archive: &'a [u8], path: &[u8]) -> Option<&'a [u8]> {
    let path = relative(path);
    entries(archive)
        .find(|(name, _)| *name == path)
        .map(|(_, contents)| contents)
}

/// A file, directory, link or device of an archive.
pub struct Entry<'a> {
    /// Its path, relative to the root; empty for the root itself.
    pub path: &'a [u8],
    /// Type and permissions, as `stat` has them.
    pub mode: u32,
    /// Owner and group.
    pub owner: [u32; 2],
    /// Last change, in seconds after 1970.
    pub time: u32,
    /// What entries have in common that are one node: its number, and major and minor number
    /// of the disk. `None` if this is the only name.
    pub identity: Option<[u32; 3]>,
    /// Major and minor number, if it is a device.
    pub device: [u32; 2],
    /// Its bytes; of a symbolic link, where it leads.
    pub contents: &'a [u8],
}

/// A place in an archive.
#[derive(Clone, Copy, Debug)]
pub struct Position<'a> {
    archive: &'a [u8],
    offset: usize,
}

impl<'a> Position<'a> {
    /// Where `archive` starts.
    pub const fn start(archive: &'a [u8]) -> Self {
        Self { archive, offset: 0 }
    }

    /// The entry that is here, and what comes after it. `None` at the end of the archive or
    /// at the first invalid entry.
    #[inline]
    pub fn entry(self) -> Option<(Entry<'a>, Self)> {
        let (path, contents, next) = entry(self.archive, self.offset)?;
        let header = self.archive.get(self.offset..)?.first_chunk()?;
        let number = |index| Some(field(header, index)? as u32);
        let has_other_names = number(FIELD_LINKS)? > 1;
        let identity = || {
            Some([
                number(FIELD_NODE)?,
                number(FIELD_DISK)?,
                number(FIELD_DISK + 1)?,
            ])
        };
        let entry = Entry {
            path: relative(path),
            mode: number(FIELD_MODE)?,
            owner: [number(FIELD_USER)?, number(FIELD_GROUP)?],
            time: number(FIELD_TIME)?,
            identity: has_other_names.then(identity).flatten(),
            device: [number(FIELD_DEVICE)?, number(FIELD_DEVICE + 1)?],
            contents,
        };
        let after = Self {
            offset: next,
            ..self
        };
        (path != TRAILER).then_some((entry, after))
    }
}

/// Names, relative to the root, and contents of an archive's files, up to its end or the
/// first invalid entry.
#[inline]
fn entries(archive: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut offset = 0;
    core::iter::from_fn(move || {
        let (name, contents, next) = entry(archive, offset)?;
        offset = next;
        (name != TRAILER).then_some((relative(name), contents))
    })
}

#[inline]
fn entry(archive: &[u8], start: usize) -> Option<(&[u8], &[u8], usize)> {
    let header: &[u8; HEADER_SIZE] = archive.get(start..)?.first_chunk()?;
    if !header.starts_with(MAGIC) {
        return None;
    }
    let name_start = start + HEADER_SIZE;
    let name_end = name_start.checked_add(field(header, FIELD_NAME_SIZE)?)?;
    let start = name_end.checked_next_multiple_of(ALIGNMENT)?;
    let end = start.checked_add(field(header, FIELD_FILE_SIZE)?)?;
    // The name's size counts its zero, and any more zeros that align the contents.
    let name = archive.get(name_start..name_end)?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or(name);
    let next = end.checked_next_multiple_of(ALIGNMENT)?;
    Some((name, archive.get(start..end)?, next))
}

#[inline]
fn field(header: &[u8; HEADER_SIZE], number: usize) -> Option<usize> {
    let start = MAGIC.len() + number * 8;
    let digits = header[start..].first_chunk()?;
    hexadecimal(*digits).map(|value| value as usize)
}

/// The number that eight hexadecimal digits spell, all of them at once: one lookup per
/// file adds up over an archive.
#[inline]
fn hexadecimal(digits: [u8; 8]) -> Option<u32> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let text = u64::from_be_bytes(digits);
    // Letters have bit 6, digits do not; a letter's low bits count from 1 at ten.
    let letters = text >> 6 & EACH;
    let values = (text & (0x0f * EACH)) + 9 * letters;
    // Spell it again and compare, with letters in upper case.
    let letter_again = (values + 6 * EACH) >> 4 & EACH;
    let again = values + u64::from(b'0') * EACH + (u64::from(b'A' - b'9') - 1) * letter_again;
    let upper_case = text & !(0x20 * letters);
    if letter_again != letters || again != upper_case || values & (0xf0 * EACH) != 0 {
        return None;
    }
    // Pairs of digits, then of bytes, then of halves.
    let bytes = (values >> 4 | values) & 0x00ff_00ff_00ff_00ff;
    let halves = (bytes >> 8 | bytes) & 0x0000_ffff_0000_ffff;
    Some((halves >> 16 | halves) as u32)
}

#[inline]
fn relative(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b".").unwrap_or(path);
    path.strip_prefix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod samples;

#[cfg(test)]
mod tests {
    use super::samples::{archive, with_fields};
    use super::{Position, find, hexadecimal};

    #[test]
    fn files_are_found_by_path() {
        let archive = archive(&[
            ("bin", 0o040_755, b""),
            ("bin/a", 0o100_755, b"abc"),
            ("./bin/b", 0o100_755, b""),
            ("/c", 0o100_755, b"c"),
        ]);
        assert_eq!(find(&archive, b"/bin/a"), Some(&b"abc"[..]));
        assert_eq!(find(&archive, b"/bin/b"), Some(&b""[..]));
        assert_eq!(find(&archive, b"/c"), Some(&b"c"[..]));
        assert_eq!(find(&archive, b"/bin/d"), None);
        assert_eq!(find(&archive, b"/TRAILER!!!"), None);
    }

    #[test]
    fn names_may_be_padded_with_zeros() {
        let mut padded = archive(&[("bin/a---", 0o100_755, b"abc")]);
        padded[115..118].fill(0);
        assert_eq!(find(&padded, b"/bin/a"), Some(&b"abc"[..]));
    }

    #[test]
    fn a_broken_archive_ends_early() {
        let whole = archive(&[("a", 0, b"first"), ("b", 0, b"second")]);
        assert_eq!(find(&whole[..whole.len() - 130], b"/b"), None);
        assert_eq!(
            find(&whole[..whole.len() - 130], b"/a"),
            Some(&b"first"[..])
        );
        let mut huge = whole.clone();
        huge[54..62].fill(b'f');
        assert_eq!(find(&huge, b"/a"), None);
        huge[54..62].fill(b'x');
        assert_eq!(find(&huge, b"/a"), None);
        for len in 0..whole.len() {
            find(&whole[..len], b"/b");
        }
    }

    #[test]
    fn entries_follow_each_other() {
        let archive = archive(&[("bin", 0o040_700, b""), ("./bin/a", 0o100_755, b"abc")]);
        let first = Position::start(&archive).entry();
        let (entry, next) = first.expect("there is one");
        assert_eq!((entry.path, entry.mode), (&b"bin"[..], 0o040_700));
        let (entry, next) = next.entry().expect("there is another");
        assert_eq!((entry.path, entry.mode), (&b"bin/a"[..], 0o100_755));
        assert_eq!(entry.contents, b"abc");
        assert!(next.entry().is_none());
    }

    #[test]
    fn an_entry_says_whose_it_is() {
        for (links, identity) in [(1, None), (2, Some([7, 8, 9]))] {
            let archive = with_fields(("a", 0o100_644, b""), links, [7, 8, 9]);
            let (entry, _) = Position::start(&archive).entry().expect("there is one");
            assert_eq!((entry.owner, entry.time), ([100, 200], 1_000_000_000));
            assert_eq!(entry.identity, identity);
        }
    }

    #[test]
    fn numbers_are_read_at_once() {
        assert_eq!(hexadecimal(*b"00000000"), Some(0));
        assert_eq!(hexadecimal(*b"12345678"), Some(0x1234_5678));
        assert_eq!(hexadecimal(*b"9aBcDeF0"), Some(0x9abc_def0));
        assert_eq!(hexadecimal(*b"ffffffff"), Some(u32::MAX));
        for place in 0..8 {
            for byte in 0..=255_u8 {
                let mut digits = *b"00000000";
                digits[place] = byte;
                let value = char::from(byte).to_digit(16);
                let expected = value.map(|value| value << (28 - 4 * place));
                assert_eq!(hexadecimal(digits), expected, "{byte:#x} at {place}");
            }
        }
    }
}
