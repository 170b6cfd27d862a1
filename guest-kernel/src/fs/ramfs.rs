//! The root of the file tree: the files of the initramfs, `/dev` and `/proc`, and what
//! programs make of them.
//!
//! The tree is made at its first use, since the first program is found without it. If
//! memory runs out, the next use continues.

use core::cell::{Cell, RefCell};

use arch::SingleCpu;
use linux_raw_sys::general as linux;
use mm::file_pages::FilePages;
use mm::{OutOfMemory, Shared};

use crate::fs::device::Device;
use crate::fs::directory::Directory;
use crate::fs::initramfs::{Entry, Position};
use crate::fs::node::{Kind, Name, Node};
use crate::fs::proc_files::ProcFile;

const DIRECTORY_MODE: u32 = 0o755;

#[cfg(not(test))]
fn tree() -> &'static Tree {
    static TREE: SingleCpu<Tree> = SingleCpu::new(Tree::new());
    &TREE
}

/// Tests run at the same time and each has its own.
#[cfg(test)]
fn tree() -> &'static Tree {
    std::thread_local! {
        static TREE: &'static SingleCpu<Tree> = Box::leak(Box::new(SingleCpu::new(Tree::new())));
    }
    TREE.with(|tree| *tree)
}

/// The tree, as far as it has been made.
struct Tree {
    root: RefCell<Option<Shared<Node>>>,
    /// The rest of the archive; `None` when all is done.
    rest: Cell<Option<Position>>,
}

/// Sets the archive of the initial files.
pub fn start(archive: &'static [u8]) {
    tree().rest.set(Some(Position::start(archive)));
}

/// The root directory.
///
/// # Errors
/// There is no memory to make the tree.
pub fn root() -> Result<Shared<Node>, OutOfMemory> {
    tree().root()
}

impl Tree {
    const fn new() -> Self {
        Self {
            root: RefCell::new(None),
            rest: Cell::new(None),
        }
    }

    fn root(&self) -> Result<Shared<Node>, OutOfMemory> {
        let root = self.root.borrow().clone();
        let root = match root {
            Some(root) => root,
            None => {
                let root = new_directory(b"")?;
                self.root.borrow_mut().insert(root).clone()
            }
        };
        if self.rest.get().is_some() {
            self.make(&root)?;
        }
        Ok(root)
    }

    fn make(&self, root: &Shared<Node>) -> Result<(), OutOfMemory> {
        // First of all: an archive has directories of these names too, and they are empty.
        let dev = subdirectory(root, b"dev")?;
        for device in Device::ALL {
            let node = Node::new(
                Kind::Device(device),
                device.mode(),
                Name::InPlace(device.name()),
            )?;
            insert_new(&dev, node)?;
        }
        let proc = ProcFile::TOP;
        let proc = Node::new(Kind::Proc(proc), proc.mode(), Name::InPlace(b"proc"))?;
        insert_new(root, proc)?;
        let mut last_directory: (&[u8], Shared<Node>) = (b"", root.clone());
        while let Some((entry, next)) = self.rest.get().and_then(Position::entry) {
            add(root, &mut last_directory, &entry)?;
            self.rest.set(Some(next));
        }
        self.rest.set(None);
        Ok(())
    }
}

/// Adds an entry of the archive, and the directories that lead to it. Existing nodes stay;
/// entries that are neither file nor directory are skipped.
fn add(
    root: &Shared<Node>,
    last_directory: &mut (&'static [u8], Shared<Node>),
    entry: &Entry,
) -> Result<(), OutOfMemory> {
    let slash = entry.path.iter().rposition(|&byte| byte == b'/');
    let (parent_path, name) = match slash {
        Some(slash) => (&entry.path[..slash], &entry.path[slash + 1..]),
        None => (&b""[..], entry.path),
    };
    if parent_path != last_directory.0 {
        let mut parent = root.clone();
        for component in parent_path.split(|&byte| byte == b'/') {
            if !component.is_empty() {
                parent = subdirectory(&parent, component)?;
            }
        }
        *last_directory = (parent_path, parent);
    }
    let parent = &last_directory.1;
    if name.is_empty() || name == b"." || name == b".." {
        return Ok(());
    }
    let kind = match entry.mode & linux::S_IFMT {
        linux::S_IFDIR => Kind::Directory(Directory::default()),
        linux::S_IFREG => Kind::File(Shared::new(FilePages::new(entry.contents))?),
        _ => return Ok(()),
    };
    let node = Node::new(kind, entry.mode, Name::InPlace(name))?;
    insert_new(parent, node)
}

/// Puts `node` into `parent` unless something there has its name, or `parent` is no
/// directory.
fn insert_new(parent: &Shared<Node>, node: Shared<Node>) -> Result<(), OutOfMemory> {
    let Kind::Directory(entries) = parent.kind() else {
        return Ok(());
    };
    if node.with_name(|name| entries.find(name)).is_some() {
        return Ok(());
    }
    entries.insert(parent, node)
}

/// The directory of this name in `parent`, made if there is nothing.
fn subdirectory(parent: &Shared<Node>, name: &'static [u8]) -> Result<Shared<Node>, OutOfMemory> {
    let Kind::Directory(entries) = parent.kind() else {
        return Ok(parent.clone());
    };
    if let Some(node) = entries.find(name) {
        return Ok(node);
    }
    let node = new_directory(name)?;
    entries.insert(parent, node.clone())?;
    Ok(node)
}

fn new_directory(name: &'static [u8]) -> Result<Shared<Node>, OutOfMemory> {
    let kind = Kind::Directory(Directory::default());
    Node::new(kind, DIRECTORY_MODE, Name::InPlace(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::initramfs::tests::archive;
    use crate::fs::path;
    use abi::Errno;
    use mm::frames;

    fn make(files: &[(&str, u32, &[u8])]) -> Shared<Node> {
        start(archive(files).leak());
        root().expect("there is memory")
    }

    fn find(root: &Shared<Node>, path: &str) -> Result<Shared<Node>, Errno> {
        path::walk(root, root, path.as_bytes())
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
        assert_eq!(find(&root, "/link").err(), Some(Errno::ENOENT));
        let null = find(&root, "/dev/null").expect("devices are there");
        assert!(matches!(null.kind(), Kind::Device(Device::Null)));
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
        assert!(matches!(
            kind("/dev/null").kind(),
            Kind::Device(Device::Null)
        ));
        assert!(matches!(kind("/dev/own").kind(), Kind::File(_)));
        assert!(matches!(kind("/proc").kind(), Kind::Proc(_)));
        assert!(find(&root, "/proc/sys/fs/file-nr").is_ok());
        assert_eq!(find(&root, "/proc/1/x").err(), Some(Errno::ENOENT));
    }

    #[test]
    fn the_tree_is_made_once() {
        let first = make(&[("a", 0o100_644, b"")]);
        let again = root().expect("it is there");
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
        start(archive(&files).leak());
        let mut frames: Vec<_> = std::iter::from_fn(mm::Frame::allocate).collect();
        let mut failures = 0;
        let root = loop {
            match root() {
                Ok(root) => break root,
                Err(OutOfMemory) => failures += 1,
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
}
