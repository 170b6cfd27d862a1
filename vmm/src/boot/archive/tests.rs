use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Archive, Flaw};
use crate::boot::Initramfs;

const ROOM: u64 = 1 << 20;

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Initramfs::new();
    archive.directory("bin");
    for (path, contents) in files {
        archive.executable(path, contents);
    }
    archive.finish()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn unpack(bytes: &[u8]) -> Result<Archive, Flaw> {
    Archive::unpack(bytes.to_vec().into(), ROOM)
}

#[track_caller]
fn has(archive: &Archive, path: &str, contents: &[u8]) {
    let entry = archive.find(path.as_bytes()).expect("it is there");
    assert_eq!(entry.contents, contents);
}

#[test]
fn files_are_found_by_path() {
    let archive = unpack(&archive(&[("bin/a", b"one"), ("./bin/b", b"")])).expect("it is whole");
    has(&archive, "bin/a", b"one");
    has(&archive, "/bin/b", b"");
    assert!(archive.find(b"bin/c").is_none());
    assert!(!archive.find(b"bin").expect("a folder").may_run());
}

#[test]
fn the_end_has_one_name() {
    let name = "./TRAILER!!!";
    let archive = unpack(&archive(&[(name, b"a file"), ("bin/a", b"one")])).expect("it is whole");
    has(&archive, name, b"a file");
    has(&archive, "bin/a", b"one");
}

#[test]
fn archives_follow_each_other_and_the_last_counts() {
    let one = archive(&[("bin/a", b"one"), ("bin/b", b"b")]);
    let two = archive(&[("bin/a", b"two, longer")]);
    let three = archive(&[("bin/c", b"c")]);
    let packed = [&one[..], &[0; 512], &gzip(&two), &gzip(&three), &[0; 9]].concat();
    let archive = unpack(&packed).expect("it is whole");
    has(&archive, "bin/a", b"two, longer");
    has(&archive, "bin/b", b"b");
    has(&archive, "bin/c", b"c");
}

#[test]
fn a_stream_may_be_in_parts() {
    let whole = archive(&[("bin/a", &[7; 1000])]);
    let (head, tail) = whole.split_at(500);
    let archive = unpack(&[gzip(head), gzip(tail)].concat()).expect("it is whole");
    has(&archive, "bin/a", &[7; 1000]);
}

#[test]
fn what_is_cut_or_damaged_is_said_to_be() {
    let whole = archive(&[("bin/a", &[7; 1000])]);
    let packed = gzip(&whole);
    // The last bytes are the end marker's name and padding.
    for length in [7, 109, 115, 240, 1230, whole.len() - 8] {
        let flaw = unpack(&whole[..length]).expect_err("it is cut");
        assert!(matches!(flaw, Flaw::Truncated(_)), "{length}: {flaw}");
    }
    for length in [3, 20, packed.len() - 1] {
        let flaw = unpack(&packed[..length]).expect_err("it is cut");
        assert!(flaw.to_string().contains("truncated"), "{length}: {flaw}");
    }
    // A digit of each field, but for the sum that such archives do not have.
    for (field, wrong) in (0..12).zip(b"x+ -\0g~G/:@`".iter()) {
        let mut damaged = whole.clone();
        damaged[116 + 6 + 8 * field + field % 8] = *wrong;
        let flaw = unpack(&damaged).expect_err("a field that is no number");
        assert_eq!(flaw, Flaw::Damaged(Some("bin".to_owned())));
    }
}

#[test]
fn foreign_files_are_named() {
    for (bytes, part) in [
        (&b"hello"[..], "not a cpio archive"),
        (b"\xfd7zXZ\0 and so on", "xz"),
        (b"070707000", "cpio -H newc"),
        (&[0; 100], "empty"),
        (b"", "empty"),
    ] {
        let flaw = unpack(bytes).expect_err("it is foreign");
        assert!(flaw.to_string().contains(part), "{flaw}");
    }
    let behind = [&archive(&[])[..], b"junk"].concat();
    let flaw = unpack(&behind).expect_err("it goes on with something else");
    assert!(flaw.to_string().contains("at byte"), "{flaw}");
    assert!(unpack(&gzip(&gzip(&archive(&[])))).is_err());
}

#[test]
fn a_small_file_does_not_unpack_to_a_large_one() {
    let bomb = gzip(&vec![0; 64 * ROOM as usize]);
    assert!(bomb.len() < ROOM as usize);
    assert_eq!(unpack(&bomb), Err(Flaw::TooLarge(ROOM)));
}
