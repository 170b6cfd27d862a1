//! The guest kernel's initramfs, which is any bytes: entries lie in it, one behind the other, and
//! are found by their paths; what the VMM lets pass is read to its end.

use std::collections::HashMap;
use std::ops::Range;

use formats::initramfs::{Position, find};
use vmm::boot::Archive;

const ROOM: u64 = 1 << 20;
const HEADER_SIZE: usize = 110;
/// Headers start at multiples of this.
const ALIGN: usize = 4;

pub fn run(data: &[u8]) {
    visit(data);
    if let Ok(archive) = Archive::unpack(data.to_vec().into(), ROOM) {
        let archive = archive.bytes();
        let end = visit(archive).next_multiple_of(ALIGN);
        let rest = archive.get(end + HEADER_SIZE..).unwrap_or(&[]);
        assert!(rest.starts_with(b"TRAILER!!!\0"), "not read to its end");
    }
}

/// Looks at all entries, and returns where the last one ends.
fn visit(archive: &[u8]) -> usize {
    let mut first = HashMap::new();
    let (mut position, mut end) = (Position::start(archive), 0);
    while let Some((entry, next)) = position.entry() {
        let path = place(archive, entry.path);
        let contents = place(archive, entry.contents);
        assert!(end <= path.start && path.end <= contents.start);
        end = contents.end;
        first.entry(entry.path).or_insert(contents);
        position = next;
    }
    for (path, contents) in first {
        let found = find(archive, &[b"/", path].concat());
        assert_eq!(found.map(|found| place(archive, found)), Some(contents));
    }
    end
}

/// Where bytes are that lie in others.
fn place(all: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - all.as_ptr().addr();
    assert!(start + part.len() <= all.len());
    start..start + part.len()
}
