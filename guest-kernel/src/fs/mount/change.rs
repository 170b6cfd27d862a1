//! What `mount`, `umount2` and `pivot_root` do. Each is given the number of the namespace of who
//! calls; what is in another one is EINVAL.

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;

use super::copying::{Copies, make_one};
use super::list::{self, New};
use super::{FileSystem, Kind, Location, Mount, MountFlags, Options};
use crate::fs::bytes::Bytes;
use crate::fs::mapped;
use crate::fs::node;
use crate::fs::opened::Opened;
use crate::fs::proc_files::ProcFile;

/// What is mounted anew.
pub struct Wanted<'w> {
    /// What it is.
    pub kind: Kind,
    /// What is said to be mounted.
    pub source: &'w [u8],
    /// What the mount forbids.
    pub flags: MountFlags,
    /// What its file system is like.
    pub options: Options,
}

/// Mounts a file system on `target`.
///
/// # Errors
/// ENOTDIR, ENOENT, EINVAL, ENOSPC; ENOMEM.
pub fn mount_new(namespace: u64, target: Opened, wanted: &Wanted<'_>) -> Result<(), Errno> {
    let target = find_place(namespace, target)?;
    if !target.node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    list::check_room()?;
    let file_system = FileSystem::make(wanted.kind, wanted.options)?;
    let is_read_only = wanted.flags.contains(MountFlags::READ_ONLY);
    if wanted.kind == Kind::Memory {
        file_system.set_read_only(is_read_only);
    }
    let mount = list::new(New {
        top: file_system.top().clone(),
        file_system,
        top_place: None,
        source: Bytes::new(wanted.source)?,
        flags: wanted.flags,
    })?;
    list::enter(&mount, namespace, Some(target));
    Ok(())
}

/// Shows what is at `source` at `target` too, with all that is mounted in it if this is
/// `recursive`.
///
/// # Errors
/// ENOTDIR: only one of them is a directory. ENOENT, EINVAL, ENOSPC; ENOMEM.
pub fn bind(namespace: u64, source: &Opened, target: Opened, recursive: bool) -> Result<(), Errno> {
    check_own(namespace, &source.mount)?;
    let target = find_place(namespace, target)?;
    // It would be another one each time.
    if let node::Kind::Proc(ProcFile::Link(_)) = source.node.kind() {
        return Err(Errno::EINVAL);
    }
    match (source.node.is_directory(), target.node.is_directory()) {
        (true, true) => {
            Copies::make(&source.location(), recursive, namespace, Some(target)).map(drop)
        }
        (false, false) => make_one(source, namespace, target),
        _ => Err(Errno::ENOTDIR),
    }
}

/// Has what is mounted at `source` cover `target` instead.
///
/// # Errors
/// EINVAL, ENOENT; ELOOP: the target is seen through it, or through what is on it.
pub fn move_mount(namespace: u64, source: &Location, target: Opened) -> Result<(), Errno> {
    check_own(namespace, &source.mount)?;
    let target = find_place(namespace, target)?;
    let is_kind_kept = source.node.is_directory() == target.node.is_directory();
    if !source.is_top() || source.mount.parent().is_none() || !is_kind_kept {
        return Err(Errno::EINVAL);
    }
    if source.mount.carries(&target.mount) {
        return Err(Errno::ELOOP);
    }
    list::set_place(&source.mount, Some(target));
    Ok(())
}

/// Changes what the mount at `target` forbids.
///
/// # Errors
/// EINVAL: nothing is mounted there. EBUSY: files are open for writing.
pub fn set_flags(namespace: u64, target: &Location, flags: MountFlags) -> Result<(), Errno> {
    check_top(namespace, target)?;
    let mount = &target.mount;
    let ends_writing = flags.contains(MountFlags::READ_ONLY) && !mount.is_read_only();
    if ends_writing && mount.writers.get() != 0 {
        return Err(Errno::EBUSY);
    }
    mount.flags.set(flags);
    Ok(())
}

/// The same, and what its file system is like.
///
/// # Errors
/// As of [`set_flags`]; EINVAL: no such option.
pub fn remount(
    namespace: u64,
    target: &Location,
    flags: MountFlags,
    text: &[u8],
) -> Result<(), Errno> {
    check_top(namespace, target)?;
    let file_system = target.mount.file_system();
    let options = file_system.options().changed(file_system.kind(), text)?;
    let is_read_only = flags.contains(MountFlags::READ_ONLY);
    let shows_it = |mount: &Shared<Mount>| Shared::is_same(mount.file_system(), file_system);
    let is_written = |mount: Shared<Mount>| shows_it(&mount) && mount.writers.get() != 0;
    if is_read_only && !file_system.is_read_only() && list::all().any(is_written) {
        return Err(Errno::EBUSY);
    }
    file_system.set_options(options)?;
    file_system.set_read_only(is_read_only);
    target.mount.flags.set(flags);
    Ok(())
}

/// Ends `mount`; with `MNT_DETACH` also if it is used, for those who do not use it yet. Nobody
/// but the caller has it for this call.
///
/// # Errors
/// EBUSY, EINVAL.
pub fn unmount(namespace: u64, mount: Shared<Mount>, flags: u32) -> Result<(), Errno> {
    /// Owners of a mount that nobody uses: two in the list, and who calls.
    const OWNERS: usize = 3;
    check_own(namespace, &mount)?;
    let detaches = flags & linux::MNT_DETACH != 0;
    if mount.parent().is_none() {
        return Err(if detaches {
            Errno::EINVAL
        } else {
            Errno::EBUSY
        });
    }
    if !detaches && (Shared::owners(&mount) > OWNERS || mapped::is_used(&mount)) {
        return Err(Errno::EBUSY);
    }
    list::leave(&mount);
    Ok(())
}

/// Makes `new`, which something is mounted at, the root of the namespace in place of `root`, which
/// covers `old` from now on.
///
/// # Errors
/// EBUSY: `new` or `old` is on what is mounted at the root. EINVAL: one is no mount, or they are
/// not in each other.
pub fn pivot(namespace: u64, root: &Location, new: &Location, old: Opened) -> Result<(), Errno> {
    for location in [root, new, &old.location()] {
        check_own(namespace, &location.mount)?;
    }
    if new.node.is_removed() || old.node.is_removed() {
        return Err(Errno::ENOENT);
    }
    if [&new.mount, &old.mount].map(|mount| Shared::is_same(mount, &root.mount)) != [false; 2] {
        return Err(Errno::EBUSY);
    }
    let are_mounts = root.is_top() && new.is_top() && new.mount.parent().is_some();
    if !are_mounts || !old.location().is_inside(new) || !new.is_inside(root) {
        return Err(Errno::EINVAL);
    }
    let place = match root.mount.parent() {
        Some(_) => Some(root.mount.named_place().ok_or(Errno::ENOMEM)?),
        None => None,
    };
    list::set_place(&new.mount, place);
    list::set_place(&root.mount, Some(old));
    Ok(())
}

fn check_own(namespace: u64, mount: &Mount) -> Result<(), Errno> {
    match mount.namespace() == namespace {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

/// Fails unless something is mounted at `target`.
fn check_top(namespace: u64, target: &Location) -> Result<(), Errno> {
    check_own(namespace, &target.mount)?;
    match target.is_top() {
        true => Ok(()),
        false => Err(Errno::EINVAL),
    }
}

/// What is seen at `target`, if something can be mounted on it: what is generated is another node
/// each time.
fn find_place(namespace: u64, target: Opened) -> Result<Opened, Errno> {
    let Location { mount, node } = target.location().seen();
    let target = Opened {
        mount,
        node,
        ..target
    };
    check_own(namespace, &target.mount)?;
    if target.node.is_removed() {
        return Err(Errno::ENOENT);
    }
    match target.node.is_generated() && !target.location().is_top() {
        true => Err(Errno::EINVAL),
        false => Ok(target),
    }
}
