use super::*;
use crate::fs::archives::{archive, with_fields};
use mm::frames;

fn make(files: &[(&str, u32, &[u8])]) -> Shared<Node> {
    start(archive(files).leak(), false);
    root().expect("there is memory").node
}

fn find(root: &Shared<Node>, path: &str) -> Result<Shared<Node>, Errno> {
    let start = Start::of_tree()?;
    assert!(Shared::is_same(&start.root.node, root));
    path::walk(&start, path.as_bytes(), Links::Kept)?
        .node()
        .cloned()
}

#[test]
fn files_are_where_their_paths_say() {
    let root = make(&[
        ("bin", 0o040_700, b""),
        ("bin/a", 0o100_711, b"first"),
        ("./deep/er/b", 0o100_644, b""),
        ("bin/a", 0o100_644, b"second"),
        ("link", 0o120_777, b"bin/a"),
        (".", 0o040_755, b""),
    ]);
    let a = find(&root, "/bin/a").expect("it is there");
    assert!(matches!(a.kind(), Kind::File(pages) if pages.len() == 5));
    assert_eq!(a.mode(), 0o100_711);
    assert_eq!(find(&root, "bin").map(|node| node.mode()), Ok(0o040_700));
    assert!(find(&root, "/deep/er/b").is_ok());
    let link = find(&root, "/link").expect("it is there");
    assert!(matches!(link.kind(), Kind::Link(target) if target.text() == Ok(b"bin/a")));
    assert!(find(&root, "/link/").is_err_and(|errno| errno == Errno::ENOTDIR));
    let null = find(&root, "/dev/null").expect("devices are there");
    assert!(matches!(null.kind(), Kind::Characters(number) if *number == Device::Null.number()));
    assert!(find(&root, "/proc/sys/fs/file-nr").is_ok());
}

#[test]
fn an_archive_does_not_hide_what_the_kernel_has() {
    let root = make(&[
        ("proc", 0o040_755, b""),
        ("dev", 0o040_755, b""),
        ("dev/null", 0o100_644, b"file"),
        ("dev/own", 0o100_644, b"file"),
        ("proc/1/x", 0o100_644, b"file"),
    ]);
    let kind = |path: &str| find(&root, path).expect("it is there");
    assert!(matches!(kind("/dev/null").kind(), Kind::Characters(_)));
    assert!(matches!(kind("/dev/own").kind(), Kind::File(_)));
    assert_eq!(kind("/proc").mode(), linux::S_IFDIR | 0o555);
    assert!(find(&root, "/proc/sys/fs/file-nr").is_ok());
    assert_eq!(find(&root, "/proc/1/x").err(), Some(Errno::ENOENT));
}

#[test]
fn entries_of_one_node_are_its_names() {
    let identity = [7, 0, 3];
    let archive = [
        with_fields(("a", 0o100_644, b""), 2, identity),
        with_fields(("dir/b", 0o100_644, b"contents"), 2, identity),
        with_fields(("c", 0o100_644, b"other"), 2, [8, 0, 3]),
    ];
    start(archive.concat().leak(), false);
    let root = root().expect("there is memory").node;
    let [a, b] = ["/a", "/dir/b"].map(|path| find(&root, path).expect("it is there"));
    assert!(Shared::is_same(&a, &b) && a.links() == 2);
    assert!(a.pages().is_some_and(|pages| pages.len() == 8));
    assert_eq!((a.user(), a.group()), (100, 200));
    let time = Time {
        seconds: 1_000_000_000,
        nanoseconds: 0,
    };
    assert_eq!(a.times().modified.get(), Stamp::Told(time));
    assert_eq!(find(&root, "/c").map(|node| node.links()), Ok(1));
}

#[test]
fn links_lead_to_where_entries_are() {
    let root = make(&[
        ("usr/lib", 0o040_700, b""),
        ("lib", 0o120_777, b"usr/lib"),
        ("lib/a", 0o100_644, b"a"),
        ("usr/lib", 0o040_755, b""),
        ("dir/../x", 0o100_644, b""),
    ]);
    assert!(find(&root, "/usr/lib/a").is_ok());
    assert_eq!(
        find(&root, "usr/lib").map(|node| node.mode()),
        Ok(0o040_755)
    );
    assert_eq!(find(&root, "x").err(), Some(Errno::ENOENT));
}

#[test]
fn the_tree_is_made_once() {
    let first = make(&[("a", 0o100_644, b"")]);
    let again = root().expect("it is there").node;
    assert!(Shared::is_same(&first, &again));
    assert!(find(&again, "/a").is_ok());
}

#[test]
fn without_memory_it_is_made_later() {
    let names: Vec<_> = (0..40).map(|n| format!("dir{n}/file")).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (&**name, 0o100_644, &b"x"[..]))
        .collect();
    start(archive(&files).leak(), false);
    let mut frames: Vec<_> = std::iter::from_fn(mm::Frame::allocate).collect();
    let mut failures = 0;
    let root = loop {
        match root() {
            Ok(root) => break root.node,
            Err(errno) => failures += i32::from(errno == Errno::ENOMEM),
        }
        frames.pop();
    };
    assert!(failures > 3);
    drop(frames);
    assert!(frames::free() > 0);
    for name in &names {
        assert!(find(&root, name).is_ok(), "{name}");
    }
    assert!(find(&root, "/dev/zero").is_ok());
}
