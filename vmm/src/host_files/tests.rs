use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::host_files::ROOT;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use super::archive::ArchiveError;
use super::gzip::decompress;
use super::{Addition, FilesConfig, FilesError, Root, Tree, Unresolved};

/// A folder of the host for one test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringfence-files-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        fs::create_dir_all(self.path(name)).expect("a folder");
        self.path(name)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).expect("a file");
        self.path(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An archive of entries: kind, name, target of a link, contents.
fn archive(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, name, target, contents) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_mtime(1_000_000_000);
        header.set_size(contents.len() as u64);
        let fields = header.as_gnu_mut().expect("it is one");
        for (field, text) in [(&mut fields.name, name), (&mut fields.linkname, target)] {
            let len = text.len().min(field.len());
            field[..len].copy_from_slice(&text.as_bytes()[..len]);
        }
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(contents);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn tree_of(root: &Path) -> Tree {
    let root = Some(Root::read(root).expect("a root"));
    let config = FilesConfig {
        root,
        added: Vec::new(),
    };
    config.open().expect("it was there a moment ago")
}

/// Why `bytes` are no archive.
fn refusal(bytes: &[u8]) -> String {
    let scratch = Scratch::new();
    let path = scratch.file("a.tar", bytes);
    match Root::read(&path) {
        Err(FilesError::Archive { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_archive_is_a_tree() {
    use EntryType as Kind;
    let scratch = Scratch::new();
    let bytes = archive(&[
        (Kind::Directory, "./", "", b""),
        (Kind::Regular, "./bin/tool", "", b"tool"),
        (Kind::Symlink, "usr/bin", "../bin", b""),
        (Kind::Link, "bin/again", "./bin/tool", b""),
        (Kind::Regular, "bin/.wh.gone", "", b""),
        (Kind::Regular, "usr/bin/through", "", b"left out"),
        (Kind::Link, "bin/nothing", "no/such", b""),
        (Kind::Char, "dev/null", "", b""),
        (Kind::GNULongName, "././@LongLink", "", &[b'n'; 200]),
        (Kind::Regular, "short", "", b"long"),
        (Kind::XHeader, "pax", "", b"14 path=named\n14 mtime=12.5\n"),
        (Kind::Regular, "unnamed", "", b"pax"),
    ]);
    let mut tree = tree_of(&scratch.file("a.tar", &bytes));
    let bin = tree.look_up(ROOT, b"bin").expect("it was made");
    assert_eq!((bin.mode, bin.links), (libc::S_IFDIR | 0o755, 2));
    let tool = tree.look_up(bin.node, b"tool").expect("it is there");
    let again = tree.look_up(bin.node, b"again").expect("it is there");
    assert_eq!((tool.node, tool.links, tool.size), (again.node, 2, 4));
    assert_eq!(tool.modified_ns, 1_000_000_000_000_000_000);
    for missing in [&b".wh.gone"[..], b"gone", b"nothing"] {
        assert_eq!(tree.look_up(bin.node, missing), Err(Errno::ENOENT));
    }
    let found = tree.resolve(b"/usr/bin/../bin/tool").expect("by the link");
    assert_eq!(
        (found.path, found.attributes),
        (b"/bin/tool".to_vec(), tool)
    );
    assert_eq!(tree.resolve(b"usr/bin/through"), Err(Unresolved::Missing));
    let null = tree.resolve(b"dev/null").expect("it is there").attributes;
    assert_eq!(tree.open(null.node).err(), Some(Errno::ENXIO));
    assert_eq!(tree.open(bin.node).err(), Some(Errno::EISDIR));
    assert_eq!(tree.look_up(ROOT, &[b'n'; 200]).map(|it| it.size), Ok(4));
    let named = tree.look_up(ROOT, b"named").expect("by pax");
    assert_eq!(named.modified_ns, 12_500_000_000);
    let opened = tree.open(tool.node).expect("a file");
    assert_eq!(&bytes[opened.offset as usize..][..4], b"tool");
    let mut names = Vec::new();
    assert_eq!(tree.list(ROOT, 0, 1 << 16, &mut names), Ok(0));
    assert_eq!(tree.read_link(bin.node), Err(Errno::EINVAL));
}

#[test]
fn a_hostile_archive_is_refused() {
    use EntryType::{GNULongName, GNUSparse, Regular, XHeader};
    let long = [&[b'n'; 300][..], b"\0"].concat();
    for (entry, why) in [
        ((Regular, "a/../../etc/passwd", "", &b""[..]), "leads out"),
        ((EntryType::Link, "a", "../../etc/passwd", b""), "leads out"),
        ((GNUSparse, "sparse", "", b""), "sparse"),
    ] {
        let text = refusal(&archive(&[(Regular, "first", "", b""), entry]));
        assert!(text.contains(why), "{text}");
    }
    let text = refusal(&archive(&[
        (GNULongName, "long", "", &long),
        (Regular, "first", "", b""),
    ]));
    assert!(text.contains("300 bytes"), "{text}");
    let lies = b"28 size=9223372036854775807\n";
    let text = refusal(&archive(&[
        (XHeader, "x", "", lies),
        (Regular, "first", "", b""),
    ]));
    assert!(text.contains("ends in the middle of \"first\""), "{text}");
    let whole = archive(&[(Regular, "first", "", &[1; 4000])]);
    assert!(refusal(&whole[..2000]).contains("ends in the middle"));
    let mut damaged = archive(&[(Regular, "first", "", b""), (Regular, "second", "", b"")]);
    damaged[512] ^= 1;
    assert!(refusal(&damaged).contains("damaged at byte 512"));
    assert!(refusal(b"#!/bin/sh\n").contains("docker export"));
    assert!(refusal(&[7; 5000]).contains("docker export"));
    assert!(refusal(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0]).contains("zstd"));
    let layers = archive(&[
        (Regular, "manifest.json", "", b"[]"),
        (Regular, "oci-layout", "", b"{}"),
    ]);
    assert!(refusal(&layers).contains("docker export CONTAINER"));
}

#[test]
fn absolute_names_are_below_the_root() {
    let scratch = Scratch::new();
    let bytes = archive(&[(EntryType::Regular, "/etc/passwd", "", b"mine")]);
    let mut tree = tree_of(&scratch.file("a.tar", &bytes));
    let found = tree.resolve(b"/etc/passwd").expect("it is there");
    assert_eq!(found.attributes.size, 4);
}

#[test]
fn a_compressed_archive_is_decompressed_and_bounded() {
    let scratch = Scratch::new();
    let bytes = archive(&[(EntryType::Regular, "file", "", b"contents")]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).expect("memory");
    let compressed = encoder.finish().expect("memory");
    let path = scratch.file("a.tar.gz", &compressed);
    let mut tree = tree_of(&path);
    assert_eq!(tree.look_up(ROOT, b"file").map(|it| it.size), Ok(8));
    let bomb = decompress(&File::open(&path).expect("it is there"), 1000);
    assert!(matches!(bomb, Err(ArchiveError::Bomb(1000))));
    let cut = scratch.file("cut.tar.gz", &compressed[..compressed.len() / 2]);
    assert!(matches!(Root::read(&cut), Err(FilesError::Host { .. })));
}

#[test]
fn folders_and_files_are_added_and_hide_what_was_there() {
    let scratch = Scratch::new();
    scratch.folder("root/etc");
    scratch.file("root/etc/hosts", b"old");
    scratch.folder("data");
    scratch.file("data/one", b"1");
    let hosts = scratch.file("hosts", b"new hosts");
    let add = |host: PathBuf, guest: &str| Addition {
        host,
        guest: guest.into(),
    };
    let mut config = FilesConfig {
        root: Some(Root::read(&scratch.path("root")).expect("a folder")),
        added: vec![
            add(hosts, "/etc/hosts"),
            add(scratch.path("data"), "/srv/deep/data"),
        ],
    };
    let mut tree = config.open().expect("all are there");
    let size = |tree: &mut Tree, path: &[u8]| {
        let found = tree.resolve(path).expect("it is there");
        (found.attributes.size, found.attributes.mode & libc::S_IFMT)
    };
    assert_eq!(size(&mut tree, b"/etc/hosts"), (9, libc::S_IFREG));
    assert_eq!(size(&mut tree, b"/srv/deep/data/one"), (1, libc::S_IFREG));
    assert_eq!(size(&mut tree, b"/srv/deep").1, libc::S_IFDIR);
    for (guest, why) in [
        ("/etc/hosts/below", "through a link or a file"),
        ("/", "--root"),
        ("/a/..", "invalid"),
    ] {
        config.added.truncate(2);
        config.added.push(add(scratch.path("data"), guest));
        let refused = config.open().err().expect("it cannot be added").to_string();
        assert!(refused.contains(why), "{refused}");
    }
    config.root = None;
    config.added = vec![add(scratch.path("no such"), "/x")];
    let missing = config.open().err().expect("it is missing").to_string();
    assert!(missing.contains("no such: No such file"), "{missing}");
    config.added = vec![add("/dev/null".into(), "/x")];
    let special = config.open().err().expect("it is a device").to_string();
    assert!(special.contains("neither a folder nor"), "{special}");
}
