//! A tar archive as a root: all names that it lists are found again, and no two folders have the
//! same file in them by another name than the archive gives.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;

use abi::host_files::{Entry, ROOT, Record};
use vmm::host_files::{FilesConfig, Root, Tree};

/// Bytes of a list at a time.
const ROOM: usize = 4096;

pub fn run(data: &[u8]) {
    let (_file, path) = file(data);
    let Ok(root) = Root::read(&path) else {
        return;
    };
    let config = FilesConfig {
        root: Some(root),
        added: Vec::new(),
    };
    let mut tree = config.open().expect("an archive that has been read");
    visit(&mut tree, ROOT, 0);
}

/// Looks at all that is below a folder. Paths of an archive are short, so this ends.
fn visit(tree: &mut Tree, folder: u64, depth: usize) {
    assert!(depth <= 1 << 14, "a folder is in itself");
    let mut position = 0;
    loop {
        let mut entries = Vec::new();
        position = tree
            .list(folder, position, ROOM, &mut entries)
            .expect("a folder can be listed");
        assert!(entries.len() <= ROOM);
        let mut rest = &entries[..];
        while let Some(entry) = Entry::read(rest) {
            let len = entry.name_len as usize;
            let name = &rest[Entry::LEN..][..len];
            rest = &rest[Entry::LEN + len.next_multiple_of(8)..];
            assert!(!matches!(name, b"" | b"." | b"..") && !name.contains(&b'/'));
            let found = tree.look_up(folder, name).expect("what is listed is found");
            let node = found.node;
            assert_eq!(
                (node, found.mode),
                (entry.attributes.node, entry.attributes.mode)
            );
            match found.mode & libc::S_IFMT {
                libc::S_IFDIR => visit(tree, node, depth + 1),
                libc::S_IFLNK => drop(tree.read_link(node).expect("a link leads somewhere")),
                libc::S_IFREG => {
                    let opened = tree.open(node).expect("a file can be opened");
                    let end = opened.offset.checked_add(opened.attributes.size);
                    let len = opened.file.metadata().expect("it is open").len();
                    assert!(
                        end.is_some_and(|end| end <= len),
                        "a file ends in the archive"
                    );
                }
                _ => assert!(tree.open(node).is_err()),
            }
        }
        if position == 0 {
            return;
        }
    }
}

/// A file with these contents and without a name, and a path to it while it is open.
pub fn file(bytes: &[u8]) -> (File, PathBuf) {
    // SAFETY: the name is a string that ends.
    let fd = unsafe { libc::memfd_create(c"input".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "the host has descriptors");
    // SAFETY: it is a new descriptor, which nobody else has.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(bytes).expect("memory");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (file, path)
}
