use mm::frames;

use super::*;
use crate::fs::archives::archive;
use crate::fs::calls;
use crate::fs::path::{Links, Start};
use crate::fs::ramfs;

/// A tree of its own for each test, which runs on a thread of its own.
fn start() -> Start {
    let files = [("tmp/file", 0o100_644, &b"below"[..])];
    ramfs::start(archive(&files).leak(), false);
    Start::of_tree().expect("there is memory")
}

fn at(start: &Start, path: &str) -> Opened {
    calls::find_opened(start, path.as_bytes(), Links::Followed).expect("it is there")
}

fn mount_memory(start: &Start, path: &str) -> Result<(), Errno> {
    let wanted = Wanted {
        kind: Kind::Memory,
        source: b"none",
        flags: MountFlags::empty(),
        options: Options::NONE,
    };
    mount_new(FIRST, at(start, path), &wanted)
}

fn unmount_at(start: &Start, path: &str, flags: u32) -> Result<(), Errno> {
    let Opened { mount, .. } = at(start, path);
    unmount(FIRST, mount, flags)
}

#[test]
fn a_tree_ends_with_its_last_mount() {
    let start = start();
    let before = frames::free();
    assert_eq!(mount_memory(&start, "/tmp"), Ok(()));
    let mut deep = start.clone();
    deep.directory = at(&start, "/tmp").location();
    for _ in 0..2000 {
        assert_eq!(calls::make_directory(&deep, b"deeper", 0o755), Ok(()));
        assert_eq!(calls::make_directory(&deep, b"beside", 0o755), Ok(()));
        let link = calls::make_link(&deep, b"link", &[b'x'; 100]);
        assert_eq!(link, Ok(()));
        deep.directory = at(&deep, "deeper").location();
    }
    assert_eq!(unmount_at(&start, "/tmp", 0), Err(Errno::EBUSY));
    drop(deep);
    assert_eq!(unmount_at(&start, "/tmp", 0), Ok(()));
    assert_eq!(frames::free(), before);
    assert_eq!(unmount_at(&start, "/tmp", 0), Err(Errno::EBUSY));
    assert!(calls::find(&start, b"/tmp/file", Links::Kept).is_ok());
}

#[test]
fn there_can_be_so_many() {
    let start = start();
    let count = || list::all().count();
    let first = count();
    assert_eq!(mount_memory(&start, "/tmp"), Ok(()));
    for _ in 0..8 {
        let tree = at(&start, "/tmp");
        let copied = bind(FIRST, &at(&start, "/"), tree, true);
        if copied == Err(Errno::ENOSPC) {
            break;
        }
        assert_eq!(copied, Ok(()));
    }
    let some = count();
    assert!(some > first + 3 && some <= list::MOST);
    let refused = bind(FIRST, &at(&start, "/"), at(&start, "/tmp"), true);
    assert_eq!((refused, count()), (Err(Errno::ENOSPC), some));
    let copy = Namespace::copy(FIRST, &start);
    match copy {
        Ok((namespace, there)) => {
            assert_eq!(count(), 2 * some);
            drop((namespace, there));
        }
        Err(errno) => assert_eq!(errno, Errno::ENOSPC),
    }
    assert_eq!(count(), some);
    while unmount_at(&start, "/tmp", linux::MNT_DETACH) == Ok(()) {}
    assert_eq!(count(), first);
}
