//! The root of the file tree: `/dev` and `/proc`, the files of the host or of the initramfs or
//! both, and what programs make of them.
//!
//! The tree is made at its first use, since the first program is found without it. If
//! memory runs out, the next use continues.

mod skeleton;

use core::cell::{Cell, RefCell};

use abi::Errno;
use formats::initramfs::{Entry, Position};
use linux_raw_sys::general as linux;
use mm::file_pages::FilePages;
use mm::{OutOfMemory, Shared};
use single_cpu::SingleCpu;

use crate::fs::bytes::{Bytes, NAME_MAX};
use crate::fs::device::{Device, DeviceNumber};
use crate::fs::directory::{self, Directory, Entries, Entry as Linked};
use crate::fs::fifo::Fifo;
use crate::fs::link_target::LinkTarget;
use crate::fs::mount::{self, Location};
use crate::fs::node::{Kind, Node};
use crate::fs::outside::ROOT_NUMBER;
use crate::fs::path::{self, Links, Rules, Start};
use crate::fs::stamp::{Stamp, Time};

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
    root: RefCell<Option<Location>>,
    /// Paths that start there.
    top: RefCell<Option<Shared<Start>>>,
    devices: RefCell<Option<Shared<Node>>>,
    /// The rest of the archive; `None` when all is done.
    rest: Cell<Option<Position<'static>>>,
    /// Whether the host has files.
    has_host: Cell<bool>,
    /// Nodes of the archive that may have more names to come, by their identities.
    linked: RefCell<Entries>,
}

/// Sets where the initial files come from: those of an archive, and of the host if it
/// `has_host`, which come before.
pub fn start(archive: &'static [u8], has_host: bool) {
    tree().rest.set(Some(Position::start(archive)));
    tree().has_host.set(has_host);
}

/// The root directory, as the first process sees it.
///
/// # Errors
/// There is no memory to make the tree.
pub fn root() -> Result<Location, Errno> {
    tree().root()
}

/// The start of paths there, for all who have no other.
///
/// # Errors
/// There is no memory to make the tree.
pub fn top() -> Result<Shared<Start>, Errno> {
    if let Some(top) = &*tree().top.borrow() {
        return Ok(top.clone());
    }
    let top = Shared::new(Start::of_tree()?)?;
    tree().top.replace(Some(top.clone()));
    Ok(top)
}

/// The directory of the devices, wherever it is now.
///
/// # Errors
/// There is no memory to make the tree.
pub fn devices() -> Result<Shared<Node>, Errno> {
    root()?;
    tree().devices.borrow().clone().ok_or(Errno::ENOENT)
}

impl Tree {
    const fn new() -> Self {
        Self {
            root: RefCell::new(None),
            top: RefCell::new(None),
            devices: RefCell::new(None),
            rest: Cell::new(None),
            has_host: Cell::new(false),
            linked: RefCell::new(Entries::EMPTY),
        }
    }

    fn root(&self) -> Result<Location, Errno> {
        let root = self.root.borrow().clone();
        let root = match root {
            Some(root) => root,
            None => {
                let directory = match self.has_host.get() {
                    true => Directory::of_host(ROOT_NUMBER),
                    false => Directory::empty(),
                };
                let root = Node::new(Kind::Directory(directory), DIRECTORY_MODE)?;
                let root = mount::make_top(&root)?;
                self.root.borrow_mut().insert(root).clone()
            }
        };
        if self.rest.get().is_some() {
            self.make(&root)?;
        }
        Ok(root)
    }

    fn make(&self, root: &Location) -> Result<(), Errno> {
        // First of all: others have directories of these names too.
        let dev = own_directory(&root.node, b"dev")?;
        self.devices.replace(Some(dev.clone()));
        for device in Device::ALL {
            let node = Node::new(Kind::Characters(device.number()), device.mode())?;
            insert_new(&dev, device.name(), &node)?;
        }
        mount::make_below(root, &own_directory(&dev, b"pts")?, mount::Kind::Terminals)?;
        mount::make_below(
            root,
            &own_directory(&root.node, b"proc")?,
            mount::Kind::Proc,
        )?;
        let mut archive = Unpacking {
            root,
            last_directory: (b"", root.node.clone()),
            linked: &self.linked,
        };
        while let Some((entry, next)) = self.rest.get().and_then(Position::entry) {
            match archive.add(&entry) {
                // It is tried again.
                Err(Errno::ENOMEM) => return Err(Errno::ENOMEM),
                // An entry that cannot be anywhere is skipped.
                Ok(()) | Err(_) => self.rest.set(Some(next)),
            }
        }
        let root_entries = match self.has_host.get() {
            true => &[][..],
            false => &skeleton::ROOT,
        };
        for entry in skeleton::DEV.iter().chain(root_entries) {
            archive.add_missing(entry)?;
        }
        self.rest.set(None);
        self.linked.replace(Entries::EMPTY);
        Ok(())
    }
}

/// An archive on its way into the tree.
struct Unpacking<'t> {
    root: &'t Location,
    /// The directory of the last entry, and its path.
    last_directory: (&'static [u8], Shared<Node>),
    linked: &'t RefCell<Entries>,
}

impl Unpacking<'_> {
    /// Adds an entry unless there is something in its place.
    fn add_missing(&mut self, entry: &Entry<'static>) -> Result<(), Errno> {
        let start = Start {
            root: self.root.clone(),
            directory: self.root.clone(),
            rules: Rules::empty(),
        };
        match path::walk(&start, entry.path, Links::Kept) {
            Ok(place) if place.found.is_some() => Ok(()),
            Err(Errno::ENOMEM) => Err(Errno::ENOMEM),
            Ok(_) | Err(_) => match self.add(entry) {
                Err(Errno::ENOMEM) => Err(Errno::ENOMEM),
                // Something else is where its directory should be.
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }

    /// Adds an entry of the archive, and the directories that lead to it. Existing nodes
    /// stay.
    fn add(&mut self, entry: &Entry<'static>) -> Result<(), Errno> {
        let slash = entry.path.iter().rposition(|&byte| byte == b'/');
        let (parent_path, name) = match slash {
            Some(slash) => (&entry.path[..slash], &entry.path[slash + 1..]),
            None => (&b""[..], entry.path),
        };
        let parent = self.parent(parent_path)?;
        let is_directory = entry.mode & linux::S_IFMT == linux::S_IFDIR;
        let node = match name {
            b"" | b"." if is_directory => parent,
            b"" | b"." | b".." => return Err(Errno::EINVAL),
            _ => match directory::find(&parent, name) {
                Ok(found) if is_directory && directory::check_changeable(&found).is_ok() => found,
                Ok(_) => return Ok(()),
                Err(_) => {
                    let node = self.node(entry)?;
                    insert_new(&parent, name, &node)?;
                    node
                }
            },
        };
        let [user, group] = entry.owner;
        node.set_owner(user, group);
        node.set_mode(entry.mode);
        let time = Stamp::Told(Time {
            seconds: entry.time.into(),
            nanoseconds: 0,
        });
        node.times().tell(time, time);
        Ok(())
    }

    /// The directory with this path, made as far as it is not there.
    fn parent(&mut self, path: &'static [u8]) -> Result<Shared<Node>, Errno> {
        if path != self.last_directory.0 {
            let mut parent = self.root.node.clone();
            for component in path.split(|&byte| byte == b'/') {
                match component {
                    b"" | b"." => {}
                    b".." => return Err(Errno::EINVAL),
                    _ => parent = subdirectory(self.root, &parent, component)?,
                }
            }
            // One question to the host in place of one for each name.
            directory::complete(&parent)?;
            self.last_directory = (path, parent);
        }
        Ok(self.last_directory.1.clone())
    }

    /// The node of an entry: a new one, unless another name of it came before.
    fn node(&self, entry: &Entry<'static>) -> Result<Shared<Node>, Errno> {
        let identity = entry.identity.filter(|_| can_be_linked(entry.mode));
        let Some(identity) = identity else {
            return Ok(Node::new(kind(entry)?, entry.mode)?);
        };
        let [node, major, minor] = identity.map(u32::to_le_bytes);
        let key = [
            node,
            major,
            minor,
            (entry.mode & linux::S_IFMT).to_le_bytes(),
        ];
        let key = key.as_flattened();
        let mut linked = self.linked.borrow_mut();
        if let Some(Linked { node, .. }) = linked.find(key) {
            if let (Some(pages), false) = (node.pages(), entry.contents.is_empty()) {
                pages.replace(entry.contents)?;
            }
            return Ok(node.clone());
        }
        let node = Node::new(kind(entry)?, entry.mode)?;
        linked.insert(Linked {
            name: Bytes::name(key)?,
            node: node.clone(),
        })?;
        Ok(node)
    }
}

/// Whether nodes of this mode can have several names in an archive.
fn can_be_linked(mode: u32) -> bool {
    !matches!(mode & linux::S_IFMT, linux::S_IFDIR | linux::S_IFLNK)
}

fn kind(entry: &Entry<'static>) -> Result<Kind, Errno> {
    let [major, minor] = entry.device;
    let number = DeviceNumber { major, minor };
    Ok(match entry.mode & linux::S_IFMT {
        linux::S_IFDIR => Kind::Directory(Directory::empty()),
        linux::S_IFREG => Kind::File(Shared::new(FilePages::new(entry.contents))?),
        linux::S_IFLNK if !entry.contents.is_empty() => {
            Kind::Link(LinkTarget::known(Bytes::InPlace(entry.contents)))
        }
        linux::S_IFCHR => Kind::Characters(number),
        linux::S_IFBLK => Kind::Blocks(number),
        linux::S_IFIFO => Kind::Fifo(Fifo::new()),
        _ => return Err(Errno::EINVAL),
    })
}

/// The directory of this name in `parent`, made unless it has been.
fn own_directory(parent: &Shared<Node>, name: &'static [u8]) -> Result<Shared<Node>, Errno> {
    if let Some(found) = directory::find_in_memory(parent, name) {
        return Ok(found);
    }
    let made = new_directory()?;
    directory::put(parent, Bytes::InPlace(name), &made)?;
    Ok(made)
}

/// Puts `node` into `parent` unless something there has its name.
fn insert_new(
    parent: &Shared<Node>,
    name: &'static [u8],
    node: &Shared<Node>,
) -> Result<(), Errno> {
    match directory::find(parent, name) {
        Ok(_) => Ok(()),
        Err(Errno::ENOENT) if name.len() <= NAME_MAX => {
            directory::put(parent, Bytes::InPlace(name), node)
        }
        Err(Errno::ENOENT) => Err(Errno::ENAMETOOLONG),
        Err(errno) => Err(errno),
    }
}

/// The directory of this name in `parent`, made if there is nothing; a link is followed.
fn subdirectory(
    root: &Location,
    parent: &Shared<Node>,
    name: &'static [u8],
) -> Result<Shared<Node>, Errno> {
    match directory::find(parent, name) {
        Err(Errno::ENOENT) => {
            let node = new_directory()?;
            insert_new(parent, name, &node)?;
            Ok(node)
        }
        Ok(node) if node.is_directory() => Ok(node),
        Ok(_) => {
            let start = Start {
                root: root.clone(),
                directory: Location {
                    mount: root.mount.clone(),
                    node: parent.clone(),
                },
                rules: Rules::empty(),
            };
            let place = path::walk(&start, name, Links::Followed)?;
            let node = place.node()?.clone();
            node.directory()?;
            Ok(node)
        }
        Err(errno) => Err(errno),
    }
}

fn new_directory() -> Result<Shared<Node>, OutOfMemory> {
    Node::new(Kind::Directory(Directory::empty()), DIRECTORY_MODE)
}

#[cfg(test)]
mod tests;
