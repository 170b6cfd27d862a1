//! Mounting and unmounting (Linux, mount(2), umount(2), pivot_root(2)).

use arch::trap::Arguments;
use linux_raw_sys::general as linux;

use crate::fs::mount::{self, Kind, MountFlags, Options, Wanted};
use crate::fs::opened::Opened;
use crate::fs::path::Links;
use crate::fs::{self, calls};
use crate::proc::capability::Capability;
use crate::proc::current;
use crate::syscall::path::{HERE, Path, start};
use crate::syscall::{Errno, SyscallResult};

/// How mounts of one namespace appear in others: here they do not, whatever is asked for.
const SHARING: u32 = linux::MS_SHARED | linux::MS_PRIVATE | linux::MS_SLAVE | linux::MS_UNBINDABLE;
/// Flags that say when reads are noted: a mount keeps what it has, if none is given.
const ACCESS_TIMES: MountFlags = MountFlags::NO_ACCESS_TIMES
    .union(MountFlags::NO_DIRECTORY_TIMES)
    .union(MountFlags::ALL_ACCESS_TIMES);

/// `mount(source, target, type, flags, data)`
pub fn mount(&[source, target, kind, flags, data, ..]: &Arguments) -> SyscallResult {
    let (kind, source, data) = (text(kind)?, text(source)?, text(data)?);
    let flags = match flags as u32 {
        old if old & linux::MS_MGC_MSK == linux::MS_MGC_VAL => old & !linux::MS_MGC_MSK,
        flags => flags,
    };
    let target = find(target, Links::Followed)?;
    check_privileged()?;
    let namespace = fs::mounts_number(current());
    let has = |flag: u32| flags & flag != 0;
    let data = bytes(&data);
    if has(linux::MS_REMOUNT) {
        let here = target.location();
        let wanted = after_remount(flags, here.mount.flags());
        match has(linux::MS_BIND) {
            true => mount::set_flags(namespace, &here, wanted)?,
            false => mount::remount(namespace, &here, wanted, data)?,
        }
    } else if has(linux::MS_BIND) {
        let source = find_source(&source)?;
        mount::bind(namespace, &source, target, has(linux::MS_REC))?;
    } else if has(SHARING) {
        let is_one = (flags & SHARING).is_power_of_two();
        let others = flags & !(SHARING | linux::MS_REC | linux::MS_SILENT);
        if !is_one || others != 0 || !target.location().is_top() {
            return Err(Errno::EINVAL);
        }
    } else if has(linux::MS_MOVE) {
        let source = find_source(&source)?;
        mount::move_mount(namespace, &source.location(), target)?;
    } else {
        let name = kind.as_ref().ok_or(Errno::EINVAL)?.bytes();
        let found = Kind::ALL
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name);
        let kind = found.ok_or(Errno::ENODEV)?;
        let source = match &source {
            Some(source) => source.bytes(),
            None => b"none",
        };
        let wanted = Wanted {
            kind,
            source,
            flags: mount_flags(flags),
            options: Options::NONE.changed(kind, data)?,
        };
        mount::mount_new(namespace, target, &wanted)?;
    }
    Ok(0)
}

/// `umount2(target, flags)`
pub fn umount2(&[target, flags, ..]: &Arguments) -> SyscallResult {
    /// Nothing has to be forced: nobody waits for a disk.
    const KNOWN: u32 = linux::MNT_DETACH | linux::MNT_FORCE | linux::UMOUNT_NOFOLLOW;
    let flags = flags as u32;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let links = match flags & linux::UMOUNT_NOFOLLOW {
        0 => Links::Followed,
        _ => Links::Kept,
    };
    let here = find(target, links)?.location().seen();
    check_privileged()?;
    if !here.is_top() {
        return Err(Errno::EINVAL);
    }
    // All else that has led to the mount is gone by now, and does not use it.
    mount::unmount(fs::mounts_number(current()), here.mount, flags)?;
    Ok(0)
}

/// `pivot_root(new, old)`
pub fn pivot_root(&[new, old, ..]: &Arguments) -> SyscallResult {
    check_privileged()?;
    let new = calls::directory(find(new, Links::Followed)?.location())?;
    let old = find(old, Links::Followed)?;
    calls::directory(old.location())?;
    let root = fs::here()?.root.clone();
    mount::pivot(fs::mounts_number(current()), &root, &new, old)?;
    fs::move_all(&root, &new);
    Ok(0)
}

fn check_privileged() -> Result<(), Errno> {
    current().require(Capability::SysAdmin)
}

/// A string that need not be there.
fn text(address: u64) -> Result<Option<Path>, Errno> {
    match address {
        0 => Ok(None),
        _ => Path::read(address).map(Some).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::EINVAL,
            errno => errno,
        }),
    }
}

fn bytes(text: &Option<Path>) -> &[u8] {
    text.as_ref().map_or(&[], Path::bytes)
}

/// What the path at an address leads to.
fn find(path: u64, links: Links) -> Result<Opened, Errno> {
    let path = Path::read(path)?;
    calls::find_opened(&*start(HERE, path.bytes())?, path.bytes(), links)
}

/// The same of what is to be seen elsewhere.
fn find_source(path: &Option<Path>) -> Result<Opened, Errno> {
    let path = path
        .as_ref()
        .map(Path::bytes)
        .filter(|path| !path.is_empty());
    let path = path.ok_or(Errno::EINVAL)?;
    calls::find_opened(&*start(HERE, path)?, path, Links::Followed)
}

fn mount_flags(flags: u32) -> MountFlags {
    let flags = MountFlags::from_bits_truncate(flags);
    match flags.contains(MountFlags::ALL_ACCESS_TIMES) {
        true => flags - MountFlags::NO_ACCESS_TIMES,
        false => flags,
    }
}

/// What a mount with flags `before` has after a remount with `flags`.
fn after_remount(flags: u32, before: MountFlags) -> MountFlags {
    let wanted = mount_flags(flags);
    match flags & (ACCESS_TIMES.bits() | linux::MS_RELATIME) {
        0 => wanted | before & ACCESS_TIMES,
        _ => wanted,
    }
}
