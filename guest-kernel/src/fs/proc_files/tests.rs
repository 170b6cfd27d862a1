use super::*;

#[test]
fn numbers_are_spelled_one_way() {
    assert_eq!(ProcName::number(0).bytes(), b"0");
    assert_eq!(ProcName::number(u32::MAX).bytes(), b"4294967295");
    assert_eq!(number(b"120"), Some(120));
    for name in [&b""[..], b"012", b"+1", b"-1", b"4294967296", b"1a"] {
        assert_eq!(number(name), None);
    }
}

#[test]
fn directories_list_what_they_find() {
    for directory in [
        ProcFile::Directory(ROOT),
        ProcFile::Process(7),
        ProcFile::Thread(7),
    ] {
        let mut place = 0;
        let mut count = 0;
        while let Some((at, file, name)) = directory.next(place) {
            assert_eq!(directory.named(name.bytes()), Some(file));
            (place, count) = (at + 1, count + 1);
        }
        assert!(count > 0);
        assert_eq!(directory.named(b"none"), None);
    }
}
