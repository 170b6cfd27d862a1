//! Opening what a path names, and making it.

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;
use mm::file_pages::FilePages;

use crate::fs::bytes::Bytes;
use crate::fs::calls::{is_stored, naming};
use crate::fs::device;
use crate::fs::mount::{Location, MountFlags};
use crate::fs::node::{Kind, Node};
use crate::fs::notify;
use crate::fs::open_file::{self, Object, OpenFile};
use crate::fs::opened::Opened;
use crate::fs::path::{self, Last, Links, Place, Start};
use crate::fs::permission::{self, READ, WRITE};
use crate::fs::proc_files::ProcFile;

/// What counts beside `O_PATH`.
const PATH_FLAGS: u32 = linux::O_PATH | linux::O_DIRECTORY | linux::O_NOFOLLOW | linux::O_CLOEXEC;

/// Opens what is at `path`, or makes a file there with the permissions `mode`, as `flags`
/// say.
///
/// # Errors
/// As for [`find`](super::find); EEXIST, EISDIR, ENXIO (no such device), EACCES, ENFILE,
/// EROFS, EINVAL (flags), ELOOP (a link that shall not be followed), ETXTBSY.
pub fn open(start: &Start, path: &[u8], flags: u32, mode: u32) -> Result<Shared<OpenFile>, Errno> {
    if open_file::count() >= open_file::limit() {
        return Err(Errno::ENFILE);
    }
    let flags = match flags & linux::O_PATH {
        0 => flags,
        _ => flags & PATH_FLAGS,
    };
    if flags & linux::O_TMPFILE == linux::O_TMPFILE {
        return open_without_name(start, path, flags, mode);
    }
    const NEITHER: u32 = linux::O_CREAT | linux::O_DIRECTORY;
    if flags & NEITHER == NEITHER {
        return Err(Errno::EINVAL);
    }
    const MAKE_ANEW: u32 = linux::O_CREAT | linux::O_EXCL;
    let links = match flags & linux::O_NOFOLLOW != 0 || flags & MAKE_ANEW == MAKE_ANEW {
        true => Links::Kept,
        false => Links::Followed,
    };
    let place = path::walk(start, path, links)?;
    let is_new = flags & linux::O_CREAT != 0 && place.found.is_none();
    let node = match flags & linux::O_CREAT {
        0 => place.node()?.clone(),
        _ => find_or_create(&place, flags, mode)?,
    };
    let opened = Opened {
        mount: place.mount.clone(),
        node,
        directory: place.directory.clone(),
        name: Bytes::name(place.name())?,
    };
    // There is nothing in a new file to be cut off.
    let flags = match is_new {
        true => flags & !linux::O_TRUNC,
        false => flags,
    };
    if !is_new {
        check_permission(&opened, flags)?;
    }
    // O_LARGEFILE is always reported of what can be used.
    let large = match flags & linux::O_PATH {
        0 => linux::O_LARGEFILE,
        _ => 0,
    };
    let file = open_node(opened, flags | large)?;
    notify::file(&file, notify::OPEN);
    if flags & linux::O_TRUNC != 0 && file.regular().is_some() {
        notify::file(&file, notify::MODIFY);
    }
    Ok(file)
}

/// Fails unless the process may open what is there like this.
fn check_permission(opened: &Opened, flags: u32) -> Result<(), Errno> {
    let node = &opened.node;
    if flags & linux::O_PATH != 0 || matches!(node.kind(), Kind::Link(_)) {
        return Ok(());
    }
    let wanted = match flags & linux::O_ACCMODE {
        linux::O_RDONLY => READ,
        linux::O_WRONLY => WRITE,
        _ => READ | WRITE,
    };
    let wanted = match flags & linux::O_TRUNC {
        0 => wanted,
        _ => wanted | WRITE,
    };
    permission::check(node, wanted)?;
    if wanted & WRITE != 0 && is_stored(node) {
        opened.mount.check_writable()?;
    }
    match flags & linux::O_NOATIME {
        0 => Ok(()),
        _ => permission::check_owner(node),
    }
}

fn find_or_create(place: &Place<'_>, flags: u32, mode: u32) -> Result<Shared<Node>, Errno> {
    if place.last != Last::Name || place.must_be_directory {
        return Err(Errno::EISDIR);
    }
    match &place.found {
        None => {
            let file = Kind::File(Shared::new(FilePages::new(&[]))?);
            naming::create(place, file, mode)
        }
        Some(_) if flags & linux::O_EXCL != 0 => Err(Errno::EEXIST),
        Some(node) if node.is_directory() => Err(Errno::EISDIR),
        Some(node) => Ok(node.clone()),
    }
}

/// Opens a new file that has no name yet, in the directory at `path`.
fn open_without_name(
    start: &Start,
    path: &[u8],
    flags: u32,
    mode: u32,
) -> Result<Shared<OpenFile>, Errno> {
    if flags & linux::O_ACCMODE == linux::O_RDONLY {
        return Err(Errno::EINVAL);
    }
    let Location {
        mount,
        node: directory,
    } = super::locate(start, path, Links::Followed)?;
    let file = Kind::File(Shared::new(FilePages::new(&[]))?);
    let node = naming::create_without_name((&mount, &directory), file, mode)?;
    if flags & linux::O_EXCL == 0 {
        node.make_linkable();
    }
    let opened = Opened {
        mount,
        node,
        directory,
        name: Bytes::InPlace(b""),
    };
    open_node(opened, flags & !linux::O_DIRECTORY | linux::O_LARGEFILE)
}

fn open_node(opened: Opened, flags: u32) -> Result<Shared<OpenFile>, Errno> {
    let node = &opened.node;
    if flags & linux::O_DIRECTORY != 0 && !node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if flags & linux::O_PATH != 0 {
        return OpenFile::at(Object::Node(node.clone()), flags, opened);
    }
    let writes = flags & linux::O_ACCMODE != linux::O_RDONLY;
    let object = match node.kind() {
        Kind::Link(_) => return Err(Errno::ELOOP),
        Kind::Directory(_) if writes => return Err(Errno::EISDIR),
        Kind::Proc(ProcFile::Link(link)) => match flags & linux::O_NOFOLLOW {
            0 => return link.reopen(flags),
            _ => return Err(Errno::ELOOP),
        },
        Kind::Proc(file) if writes && !file.is_writable() => return Err(Errno::EACCES),
        Kind::Characters(_) | Kind::Blocks(_) if opened.mount.has(MountFlags::NO_DEVICES) => {
            return Err(Errno::EACCES);
        }
        Kind::Characters(number) => device::open(*number, flags)?,
        Kind::Fifo(fifo) => fifo.open(flags)?,
        Kind::Blocks(_) | Kind::Socket => return Err(Errno::ENXIO),
        Kind::File(pages) => {
            if writes || flags & linux::O_TRUNC != 0 {
                node.check_not_running()?;
            }
            if flags & linux::O_TRUNC != 0 {
                permission::note_write(node);
                open_file::set_len(node, pages, 0)?;
            }
            pages.bring_in()?;
            Object::Node(node.clone())
        }
        Kind::Proc(file) => {
            file.check_access()?;
            Object::Node(node.clone())
        }
        Kind::Directory(_) => Object::Node(node.clone()),
    };
    OpenFile::at(object, flags, opened)
}
