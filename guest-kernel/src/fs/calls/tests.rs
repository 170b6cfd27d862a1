use mm::frames;

use super::*;
use crate::fs::archives::archive;
use crate::fs::path::Rules;
use crate::fs::ramfs;
use crate::fs::transfer::KernelBytes;
use crate::fs::transfer::tests::Buffer;

const CREATE: u32 = linux::O_CREAT | linux::O_RDWR;

/// A tree of its own for each test, which runs on a thread of its own.
fn root() -> Start {
    let files = [
        ("dir/file", 0o100_755, &b"contents"[..]),
        ("dir/plain", 0o100_644, &b""[..]),
    ];
    ramfs::start(archive(&files).leak(), false);
    Start::of_tree().expect("there is memory")
}

/// Paths from this directory.
fn at(directory: &Shared<Node>) -> Start {
    let root = ramfs::root().expect("there is memory");
    Start {
        directory: Location {
            node: directory.clone(),
            ..root.clone()
        },
        root,
        rules: Rules::empty(),
    }
}

fn found(start: &Start, path: &str) -> Shared<Node> {
    find(start, path.as_bytes(), Links::Kept).expect("it is there")
}

fn opened(start: &Start, path: &str, flags: u32) -> Result<Shared<OpenFile>, Errno> {
    open(start, path.as_bytes(), flags, 0o644)
}

fn text(start: &Start, path: &str) -> Result<String, Errno> {
    let mut target = Buffer::room(100);
    opened(start, path, 0)?.read(&mut target)?;
    Ok(String::from_utf8(target.bytes).expect("it was text"))
}

fn names(directory: &Shared<Node>) -> Vec<String> {
    let mut names = Vec::new();
    let end = list(directory, 0, |listed| {
        names.push(String::from_utf8_lossy(listed.entry.name).into_owned());
        true
    });
    assert_eq!(list(directory, end.expect("it lists"), |_| false), end);
    names.split_off(2)
}

#[test]
fn files_of_the_initramfs_can_be_written() {
    let root = root();
    assert_eq!(text(&root, "/dir/file"), Ok("contents".into()));
    let file = opened(&root, "dir/file", linux::O_RDWR | linux::O_APPEND);
    let file = file.expect("it is there");
    assert_eq!(file.write(&mut KernelBytes(b"!")), Ok(1));
    assert_eq!(text(&root, "dir/../dir//./file"), Ok("contents!".into()));
    assert!(opened(&root, "dir/file", linux::O_RDWR | linux::O_TRUNC).is_ok());
    assert_eq!(text(&root, "dir/file"), Ok(String::new()));
    assert_eq!(truncate(&root, b"dir/file", 3), Ok(()));
    assert_eq!(text(&root, "dir/file"), Ok("\0\0\0".into()));
}

#[test]
fn an_unlinked_file_lives_as_long_as_it_is_open() {
    let root = root();
    let before = frames::free();
    let file = opened(&root, "new", CREATE).expect("it can be made");
    assert_eq!(remove_file(&root, b"new"), Ok(()));
    assert_eq!(opened(&root, "new", 0).err(), Some(Errno::ENOENT));
    assert_eq!(file.write(&mut KernelBytes(b"still")), Ok(5));
    assert!(frames::free() < before);
    drop(file);
    assert_eq!(frames::free(), before);
}

#[test]
fn opening_says_what_is_wrong() {
    let root = root();
    let error = |path, flags| opened(&root, path, flags).err();
    assert_eq!(error("none", 0), Some(Errno::ENOENT));
    assert_eq!(error("none/new", CREATE), Some(Errno::ENOENT));
    assert_eq!(error("dir/file/new", CREATE), Some(Errno::ENOTDIR));
    assert_eq!(error("dir/file/", 0), Some(Errno::ENOTDIR));
    assert_eq!(error("new/", CREATE), Some(Errno::EISDIR));
    assert_eq!(error("dir", linux::O_RDWR), Some(Errno::EISDIR));
    assert_eq!(
        error("dir/file", CREATE | linux::O_EXCL),
        Some(Errno::EEXIST)
    );
    assert_eq!(error("dir/file", linux::O_DIRECTORY), Some(Errno::ENOTDIR));
    assert_eq!(error("/proc/new", CREATE), Some(Errno::EROFS));
    assert_eq!(error("/proc/uptime", linux::O_RDWR), Some(Errno::EACCES));
    assert_eq!(error("", 0), Some(Errno::ENOENT));
}

#[test]
fn directories_go_when_they_are_empty() {
    let root = root();
    assert_eq!(make_directory(&root, b"dir", 0o755), Err(Errno::EEXIST));
    assert_eq!(make_directory(&root, b"dir/sub/", 0o700), Ok(()));
    assert_eq!(remove_directory(&root, b"dir"), Err(Errno::ENOTEMPTY));
    assert_eq!(remove_file(&root, b"dir/sub"), Err(Errno::EISDIR));
    assert_eq!(remove_directory(&root, b"dir/sub/."), Err(Errno::EINVAL));
    assert_eq!(
        remove_directory(&root, b"dir/sub/.."),
        Err(Errno::ENOTEMPTY)
    );
    assert_eq!(remove_directory(&root, b"/"), Err(Errno::EBUSY));
    let sub = at(&found(&root, "dir/sub"));
    assert_eq!(remove_directory(&sub, b".."), Err(Errno::ENOTEMPTY));
    let mut buffer = [0; 20];
    assert_eq!(path_of(&sub, &mut buffer), Ok(&b"/dir/sub"[..]));
    assert_eq!(path_of(&root, &mut buffer), Ok(&b"/"[..]));
    assert_eq!(path_of(&sub, &mut [0; 7]), Err(Errno::ERANGE));
    assert_eq!(remove_directory(&root, b"dir/sub"), Ok(()));
    assert_eq!(path_of(&sub, &mut buffer), Err(Errno::ENOENT));
    assert_eq!(opened(&sub, "new", CREATE).err(), Some(Errno::ENOENT));
    assert_eq!(remove_directory(&root, b"dir/file"), Err(Errno::ENOTDIR));
}

#[test]
fn renaming_replaces_what_is_alike() {
    let root = root();
    let to = |from: &str, to: &str| rename((&root, from.as_bytes()), (&root, to.as_bytes()), 0);
    assert_eq!(make_directory(&root, b"other", 0o755), Ok(()));
    assert_eq!(to("dir/file", "dir/plain"), Ok(()));
    assert_eq!(text(&root, "dir/plain"), Ok("contents".into()));
    assert_eq!(to("dir/plain", "other"), Err(Errno::EISDIR));
    assert_eq!(to("other", "dir/plain"), Err(Errno::ENOTDIR));
    assert_eq!(to("other", "dir"), Err(Errno::ENOTEMPTY));
    assert_eq!(to("dir", "dir/in/itself"), Err(Errno::ENOENT));
    assert_eq!(to("dir", "dir/itself"), Err(Errno::EINVAL));
    assert_eq!(to("dir", "other"), Ok(()));
    assert_eq!(to("other/plain", "other/plain"), Ok(()));
    assert_eq!(to(".", "x"), Err(Errno::EBUSY));
    assert_eq!(to("other", "/proc/x"), Err(Errno::EXDEV));
    let keep = rename((&root, b"other"), (&root, b"dev"), linux::RENAME_NOREPLACE);
    assert_eq!(keep, Err(Errno::EEXIST));
    assert_eq!(names(&found(&root, "other")), ["plain"]);
}

#[test]
fn listings_have_everything_once() {
    let root = root();
    assert_eq!(
        names(&root.directory.node)[..4],
        ["dev", "proc", "dir", "tmp"]
    );
    let dev = found(&root, "dev");
    assert_eq!(
        names(&dev)[..5],
        ["console", "tty", "ptmx", "ttyS1", "null"]
    );
    assert_eq!(names(&found(&root, "proc/sys/net")), ["core", "ipv4"]);
    let file = found(&root, "dir/file");
    assert_eq!(list(&file, 5, |_| true), Err(Errno::ENOTDIR));
}

#[test]
fn only_files_that_may_be_run_are_run() {
    let root = root();
    let run = |path: &str| {
        executable(&find_opened(&root, path.as_bytes(), Links::Kept)?).map(|pages| pages.len())
    };
    assert_eq!(run("dir/file"), Ok(8));
    assert_eq!(run("dir/plain"), Err(Errno::EACCES));
    assert_eq!(run("dir"), Err(Errno::EACCES));
    let access =
        |path: &str, mode| check_access(&locate(&root, path.as_bytes(), Links::Kept)?, mode);
    assert_eq!(access("dir/plain", 1), Err(Errno::EACCES));
    assert_eq!(access("dir", 7), Ok(()));
    assert_eq!(access("dir", 8), Err(Errno::EINVAL));
}

#[test]
fn links_are_followed_as_far_as_asked() {
    let root = root();
    let link = |target: &str, path: &str| make_link(&root, path.as_bytes(), target.as_bytes());
    for (target, path) in [
        ("dir/file", "to-file"),
        ("dir", "to-dir"),
        ("../to-file", "dir/up"),
        ("/dir/new", "dangling"),
        ("loop", "loop"),
        ("to-dir/", "twice"),
    ] {
        assert_eq!(link(target, path), Ok(()));
    }
    for path in ["to-file", "twice/up", "to-dir/../to-dir/./file", "/to-file"] {
        assert_eq!(text(&root, path), Ok("contents".into()), "{path}");
    }
    let kind =
        |path: &str, links| find(&root, path.as_bytes(), links).map(|node| node.mode() >> 12);
    assert_eq!(kind("to-dir", Links::Kept), Ok(0o12));
    assert_eq!(kind("to-dir", Links::Followed), Ok(0o4));
    assert_eq!(kind("to-dir/", Links::Kept), Ok(0o4));
    assert_eq!(kind("to-file/", Links::Kept), Err(Errno::ENOTDIR));
    assert_eq!(kind("loop/x", Links::Kept), Err(Errno::ELOOP));
    assert_eq!(kind("dangling", Links::Followed), Err(Errno::ENOENT));
    let error = |path, flags| opened(&root, path, flags).err();
    assert_eq!(error("loop", CREATE), Some(Errno::ELOOP));
    assert_eq!(error("to-file", linux::O_NOFOLLOW), Some(Errno::ELOOP));
    assert_eq!(
        error("dangling", CREATE | linux::O_EXCL),
        Some(Errno::EEXIST)
    );
    assert_eq!(error("dangling", CREATE), None);
    assert_eq!(text(&root, "dir/new"), Ok(String::new()));
    assert_eq!(remove_directory(&root, b"to-dir/"), Err(Errno::ENOTDIR));
    assert_eq!(make_directory(&root, b"loop/", 0o755), Err(Errno::EEXIST));
    assert_eq!(link("", "x"), Err(Errno::ENOENT));
    assert_eq!(link("x", "none/"), Err(Errno::ENOENT));
    assert_eq!(link("x", "to-dir"), Err(Errno::EEXIST));
    assert_eq!(remove_file(&root, b"to-file"), Ok(()));
    assert_eq!(text(&root, "dir/file"), Ok("contents".into()));
}

#[test]
fn a_file_has_all_its_names() {
    let root = root();
    let link = |from: &str, to: &str| {
        let (from, to) = ((&root, from.as_bytes()), (&root, to.as_bytes()));
        super::link(from, to, Links::Kept)
    };
    assert_eq!(link("dir/file", "dir/other"), Ok(()));
    assert_eq!(link("dir", "again"), Err(Errno::EPERM));
    assert_eq!(link("/proc/uptime", "uptime"), Err(Errno::EXDEV));
    assert_eq!(link("dir/file", "dir/other"), Err(Errno::EEXIST));
    assert_eq!(link("dir/file", "/proc/x"), Err(Errno::EXDEV));
    let node = found(&root, "dir/other");
    assert_eq!(node.links(), 2);
    assert_eq!(remove_file(&root, b"dir/file"), Ok(()));
    assert_eq!(text(&root, "dir/other"), Ok("contents".into()));
    let unnamed = opened(&root, "dir", linux::O_TMPFILE | linux::O_RDWR).expect("it is made");
    let location = unnamed.location().expect("it has one");
    assert!(location.node.is_removed());
    assert_eq!(link_node(&location, (&root, b"named")), Ok(()));
    assert_eq!(location.node.links(), 1);
}

#[test]
fn names_can_be_exchanged() {
    let root = root();
    let exchange = |one: &str, other: &str| {
        let (one, other) = ((&root, one.as_bytes()), (&root, other.as_bytes()));
        rename(one, other, linux::RENAME_EXCHANGE)
    };
    assert_eq!(make_directory(&root, b"other", 0o755), Ok(()));
    assert_eq!(exchange("other", "dir/file"), Ok(()));
    assert_eq!(text(&root, "other"), Ok("contents".into()));
    assert_eq!(found(&root, "dir").links(), 3);
    let mut buffer = [0; 20];
    let moved = at(&found(&root, "dir/file"));
    assert_eq!(path_of(&moved, &mut buffer), Ok(&b"/dir/file"[..]));
    assert_eq!(exchange("dir", "dir/file"), Err(Errno::EINVAL));
    assert_eq!(exchange("dir", "none"), Err(Errno::ENOENT));
}
