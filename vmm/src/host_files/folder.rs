//! A folder of the host, with all that is below it.
//!
//! A node is a name in a parent, not a descriptor: a guest must not use up the host's. The
//! kernel walks the path from the folder's descriptor down (`openat2`), and refuses to leave it
//! or to follow a link, whatever is renamed meanwhile. Regular files with several names are one
//! node, by device and inode.
//!
//! Folders of pseudo file systems are empty: the guest has `/proc` and `/sys` of its own, and
//! reading those of the host can have effects.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use abi::Errno;
use abi::host_files::Attributes;

use super::small::nanoseconds;
use super::{KIND, MAX_NODES, NAME_MAX, Opened, Source, Visit, check_name, check_regular, errno};

/// Longest path that the kernel takes, with its end.
const PATH_MAX: usize = libc::PATH_MAX as usize;
/// Longest target of a symbolic link.
const LINK_MAX: usize = PATH_MAX;
/// Bytes of entries that are read at a time.
const ENTRIES: usize = 0x4000;

/// File systems that have no files (`statfs.f_type`; linux/magic.h and the file systems' own).
const PSEUDO: [i64; 22] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x1cd1,      // devpts
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0xcafe_4a11, // bpf
    0x7363_6673, // securityfs
    0x6265_6570, // configfs
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x1980_0202, // mqueue
    0x6e73_6673, // nsfs
    0x4249_4e4d, // binfmt_misc
    0x6573_5543, // fusectl
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0x0765_5821, // resctrl
    0x9584_58f6, // hugetlbfs
    0x0187,      // autofs
];

/// A folder of the host.
pub struct Folder {
    root: OwnedFd,
    /// Its path, for messages.
    path: String,
    nodes: Vec<Node>,
    /// Regular files with several names, by device and inode.
    linked: HashMap<(u64, u64), u32>,
}

/// Where something was last found.
struct Node {
    parent: u32,
    name: Arc<[u8]>,
    /// Its kind.
    kind: u32,
    /// What has been found in it.
    children: HashMap<Arc<[u8]>, u32>,
}

/// The folder itself.
const TOP: u32 = 0;

impl Folder {
    /// The folder at `path`.
    ///
    /// # Errors
    /// Those of the host: there is none, for example.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = open_folder(path)?;
        // Says what the host lacks, before a guest runs.
        open_beneath(&root, c".", libc::O_PATH)?;
        Ok(Self {
            root,
            path: path.display().to_string(),
            nodes: vec![Node {
                parent: TOP,
                name: Arc::default(),
                kind: libc::S_IFDIR,
                children: HashMap::new(),
            }],
            linked: HashMap::new(),
        })
    }

    fn node(&self, node: u64) -> Result<(u32, &Node), Errno> {
        let index = u32::try_from(node).map_err(|_| Errno::EINVAL)?;
        let found = self.nodes.get(index as usize).ok_or(Errno::EINVAL)?;
        Ok((index, found))
    }

    /// The path of a node from the folder on.
    fn path_of(&self, node: u64) -> Result<CString, Errno> {
        let (mut at, mut found) = self.node(node)?;
        let (mut names, mut len) = (Vec::new(), 0);
        while at != TOP {
            names.push(&*found.name);
            len += found.name.len() + 1;
            if len > PATH_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            at = found.parent;
            found = &self.nodes[at as usize];
        }
        names.reverse();
        let path = match names.is_empty() {
            true => b".".to_vec(),
            false => names.join(&b'/'),
        };
        CString::new(path).map_err(|_| Errno::EINVAL)
    }

    fn open_node(&self, node: u64, flags: libc::c_int) -> Result<OwnedFd, Errno> {
        let path = self.path_of(node)?;
        open_beneath(&self.root, &path, flags).map_err(|error| errno(&error))
    }

    /// Opens a folder; `None` if it is to be empty.
    fn open_folder(&self, node: u64, flags: libc::c_int) -> Result<Option<OwnedFd>, Errno> {
        let folder = self.open_node(node, libc::O_DIRECTORY | flags)?;
        Ok((!is_pseudo(&folder)?).then_some(folder))
    }

    /// What `name` in `folder` is, which is open: its attributes, with its node, which may be
    /// new.
    fn find(&mut self, parent: u32, folder: &OwnedFd, name: &CStr) -> Result<Attributes, Errno> {
        let found = stat(folder, name)?;
        let kind = found.st_mode & KIND;
        let inode = (found.st_dev, found.st_ino);
        let is_linked = kind == libc::S_IFREG && found.st_nlink > 1;
        let name = name.to_bytes();
        let known = match is_linked {
            true => self.linked.get(&inode).copied(),
            false => self.nodes[parent as usize].children.get(name).copied(),
        };
        // What has become something else is another node.
        let known = known.filter(|&node| self.nodes[node as usize].kind == kind);
        let node = match known {
            Some(node) if is_linked => {
                // The name that it had may be gone.
                if *self.nodes[node as usize].name != *name {
                    self.nodes[node as usize].name = name.into();
                }
                self.nodes[node as usize].parent = parent;
                node
            }
            Some(node) => node,
            None => self.add(parent, name, kind, is_linked.then_some(inode))?,
        };
        Ok(attributes(&found, node.into()))
    }

    fn add(
        &mut self,
        parent: u32,
        name: &[u8],
        kind: u32,
        inode: Option<(u64, u64)>,
    ) -> Result<u32, Errno> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Errno::ENFILE);
        }
        let (node, name) = (self.nodes.len() as u32, Arc::<[u8]>::from(name));
        match inode {
            Some(inode) => self.linked.insert(inode, node),
            None => {
                let children = &mut self.nodes[parent as usize].children;
                children.insert(Arc::clone(&name), node)
            }
        };
        self.nodes.push(Node {
            parent,
            name,
            kind,
            children: HashMap::new(),
        });
        Ok(node)
    }
}

impl Source for Folder {
    fn attributes(&mut self, node: u64) -> Result<Attributes, Errno> {
        let file = self.open_node(node, libc::O_PATH)?;
        Ok(attributes(&stat(&file, c"")?, node))
    }

    fn look_up(&mut self, folder: u64, name: &[u8]) -> Result<Attributes, Errno> {
        check_name(name)?;
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let (parent, _) = self.node(folder)?;
        let opened = self.open_folder(folder, libc::O_PATH)?;
        self.find(parent, &opened.ok_or(Errno::ENOENT)?, &name)
    }

    fn list(&mut self, folder: u64, from: u64, visit: Visit<'_>) -> Result<bool, Errno> {
        let (parent, _) = self.node(folder)?;
        let Some(opened) = self.open_folder(folder, libc::O_RDONLY)? else {
            return Ok(true);
        };
        // SAFETY: a call without pointers.
        if unsafe { libc::lseek(opened.as_raw_fd(), from as libc::off_t, libc::SEEK_SET) } < 0 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; ENTRIES];
        loop {
            let read = read_entries(&opened, &mut bytes)?;
            if read.is_empty() {
                return Ok(true);
            }
            for (name, next) in entries(read) {
                if matches!(name.to_bytes(), b"." | b"..") || name.count_bytes() > NAME_MAX {
                    continue;
                }
                let found = match self.find(parent, &opened, name) {
                    // Gone meanwhile.
                    Err(Errno::ENOENT) => continue,
                    found => found?,
                };
                if visit(name.to_bytes(), found, next).is_break() {
                    return Ok(false);
                }
            }
        }
    }

    fn read_link(&mut self, node: u64) -> Result<Vec<u8>, Errno> {
        let link = self.open_node(node, libc::O_PATH)?;
        let mut target = vec![0; LINK_MAX];
        // SAFETY: the path ends with a zero; the buffer is as long as is said.
        let len = unsafe {
            let to = target.as_mut_ptr().cast();
            libc::readlinkat(link.as_raw_fd(), c"".as_ptr(), to, target.len())
        };
        // What is no link has no such name, says this call.
        target.truncate(usize::try_from(len).map_err(|_| Errno::EINVAL)?);
        Ok(target)
    }

    fn open(&mut self, node: u64) -> Result<Opened, Errno> {
        // Opening a device can have an effect.
        check_regular(self.node(node)?.1.kind)?;
        let path = self.path_of(node)?;
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = open_beneath(&self.root, &path, flags).map_err(|error| errno(&error))?;
        let found = stat(&file, c"")?;
        check_regular(found.st_mode)?;
        if is_pseudo(&file)? {
            return Err(Errno::EACCES);
        }
        Ok(Opened {
            file: Arc::new(File::from(file)),
            offset: 0,
            attributes: attributes(&found, node),
            name: format!(
                "{}/{}",
                self.path.trim_end_matches('/'),
                path.to_string_lossy()
            ),
        })
    }
}

fn attributes(found: &libc::stat, node: u64) -> Attributes {
    Attributes {
        node,
        size: found.st_size as u64,
        modified_ns: nanoseconds(found.st_mtime, found.st_mtime_nsec),
        mode: found.st_mode,
        links: u32::try_from(found.st_nlink).unwrap_or(u32::MAX),
        user: found.st_uid,
        group: found.st_gid,
    }
}

/// The folder at `path`, to look up names in.
pub fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path ends with a zero.
    owned(unsafe { libc::open(path.as_ptr(), flags) })
}

/// A new descriptor, or why there is none.
pub fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    match fd {
        0.. => {
            // SAFETY: the host has just made it, and nobody else has it.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Opens `path` below `root`, itself if it is a symbolic link.
pub fn open_beneath(root: &OwnedFd, path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: zeros are one.
    let mut how: libc::open_how = unsafe { MaybeUninit::zeroed().assume_init() };
    how.flags = (flags | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    let size = size_of_val(&how);
    loop {
        // SAFETY: the path ends with a zero, and `how` has the size that is said.
        let opened = unsafe {
            let (root, path) = (root.as_raw_fd(), path.as_ptr());
            libc::syscall(libc::SYS_openat2, root, path, &raw const how, size)
        };
        match owned(opened as libc::c_int) {
            // It was interrupted, or a rename elsewhere made it unsure.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {}
            result => return result,
        }
    }
}

/// What `name` in `folder` is, or `folder` itself if the name is empty.
fn stat(folder: &OwnedFd, name: &CStr) -> Result<libc::stat, Errno> {
    let mut found = MaybeUninit::uninit();
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT;
    // SAFETY: the name ends with a zero; `found` has room for what is written.
    let done =
        unsafe { libc::fstatat(folder.as_raw_fd(), name.as_ptr(), found.as_mut_ptr(), flags) };
    match done {
        // SAFETY: the call succeeded and so filled it in.
        0 => Ok(unsafe { found.assume_init() }),
        _ => Err(errno(&io::Error::last_os_error())),
    }
}

fn is_pseudo(file: &OwnedFd) -> Result<bool, Errno> {
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `found` has room for what is written.
    match unsafe { libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) } {
        0 => {
            // SAFETY: the call succeeded and so filled it in.
            let kind = unsafe { found.assume_init() }.f_type;
            Ok(PSEUDO.contains(&kind))
        }
        _ => Err(errno(&io::Error::last_os_error())),
    }
}

/// The next entries of a folder, as the kernel writes them; none at the end.
fn read_entries<'a>(folder: &OwnedFd, bytes: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    // SAFETY: the buffer is as long as is said.
    let len = unsafe {
        let (folder, to) = (folder.as_raw_fd(), bytes.as_mut_ptr());
        libc::syscall(libc::SYS_getdents64, folder, to, bytes.len())
    };
    match usize::try_from(len) {
        Ok(len) => Ok(&bytes[..len]),
        Err(_) => Err(errno(&io::Error::last_os_error())),
    }
}

/// Names in what the kernel has written, and where the entry after each is: `linux_dirent64`,
/// inode, next place, length, kind, name with a zero.
fn entries(mut bytes: &[u8]) -> impl Iterator<Item = (&CStr, u64)> {
    const LEN: usize = 16;
    const NAME: usize = 19;
    std::iter::from_fn(move || {
        let next = u64::from_ne_bytes(*bytes.get(8..LEN)?.first_chunk()?);
        let len = u16::from_ne_bytes(*bytes.get(LEN..)?.first_chunk()?);
        let name = CStr::from_bytes_until_nul(bytes.get(NAME..len.into())?).ok()?;
        bytes = bytes.get(len.into()..)?;
        Some((name, next))
    })
}
