//! Calls that tell about file systems.

use core::mem::{offset_of, size_of};

use arch::trap::Arguments;
use linux_raw_sys::general::{self as linux, statfs64 as StatFs};
use mm::frames::FRAME_SIZE;
use mm::{Shared, UserPtr};

use crate::fs::bytes::NAME_MAX;
use crate::fs::device::DeviceNumber;
use crate::fs::mount::{self, Mount, MountFlags};
use crate::fs::path::Links;
use crate::fs::{self, calls, proc_files};
use crate::proc::current;
use crate::syscall::path::{HERE, Path, start};
use crate::syscall::stat::{encode, tell};
use crate::syscall::{Errno, SyscallResult};

/// That the flags are known, and reads are noted as after `relatime` (Linux, linux/statfs.h).
const ST_VALID: u64 = 0x20;
const ST_RELATIME: u64 = 0x1000;
/// The numbers of those flags that differ from the mount's own.
const OTHER_NUMBERS: [(MountFlags, u64); 2] = [
    (MountFlags::NO_ACCESS_TIMES, 0x400),
    (MountFlags::NO_DIRECTORY_TIMES, 0x800),
];

/// `statfs(path, facts)`
pub fn statfs(&[path, facts, ..]: &Arguments) -> SyscallResult {
    let path = Path::read(path)?;
    let start = start(HERE, path.bytes())?;
    let location = calls::locate(&start, path.bytes(), Links::Followed)?;
    tell(facts, &of_mount(&location.mount))
}

/// `fstatfs(fd, facts)`
pub fn fstatfs(&[fd, facts, ..]: &Arguments) -> SyscallResult {
    let facts_of = match fs::any_file(fd)?.location() {
        Ok(location) => of_mount(&location.mount),
        Err(_) => bytes(linux::PIPEFS_MAGIC, (0, 0), 0),
    };
    tell(facts, &facts_of)
}

/// `ustat(device, facts)`: what is free on the file system with this number.
pub fn ustat(&[device, facts, ..]: &Arguments) -> SyscallResult {
    /// `struct ustat`: blocks and nodes that are free, and names that no file system has.
    type Facts = [u64; 4];
    let number = |mount: &Shared<Mount>| {
        encode(DeviceNumber {
            major: 0,
            minor: mount.file_system().device(),
        })
    };
    let has_number = |mount: &Shared<Mount>| number(mount) == u64::from(device as u32);
    let mount = mount::all().find(has_number).ok_or(Errno::EINVAL)?;
    let (_, free) = mount.file_system().frames();
    let words: Facts = [free & u64::from(u32::MAX), free, 0, 0];
    UserPtr::new(facts).write(&current().space(), &words)?;
    Ok(0)
}

/// `sysfs(what, argument, name)`: the numbers and names of kinds of file systems, and how many
/// there are.
pub fn sysfs(&[what, argument, name, ..]: &Arguments) -> SyscallResult {
    const NUMBER: u32 = 1;
    const NAME: u32 = 2;
    const COUNT: u32 = 3;
    let mut kinds = proc_files::file_systems();
    match what as u32 {
        NUMBER => {
            let path = Path::read(argument)?;
            let number = kinds.position(|kind| kind.as_bytes() == path.bytes());
            number.map(|number| number as u64).ok_or(Errno::EINVAL)
        }
        NAME => {
            let number = argument as u32 as usize;
            let kind = kinds.nth(number).ok_or(Errno::EINVAL)?;
            let mut text = [0; NAME_MAX];
            text[..kind.len()].copy_from_slice(kind.as_bytes());
            tell(name, &text[..=kind.len()])
        }
        COUNT => Ok(kinds.count() as u64),
        _ => Err(Errno::EINVAL),
    }
}

fn of_mount(mount: &Mount) -> [u8; size_of::<StatFs>()] {
    let file_system = mount.file_system();
    let has = mount.flags();
    let mut flags = ST_VALID;
    for (flag, number) in OTHER_NUMBERS {
        if has.contains(flag) {
            flags |= number;
        }
    }
    const SAME: MountFlags = MountFlags::NO_RIGHTS
        .union(MountFlags::NO_DEVICES)
        .union(MountFlags::NO_PROGRAMS);
    flags |= u64::from((has & SAME).bits());
    if mount.is_read_only() {
        flags |= u64::from(linux::MS_RDONLY);
    }
    if !has.intersects(MountFlags::NO_ACCESS_TIMES | MountFlags::ALL_ACCESS_TIMES) {
        flags |= ST_RELATIME;
    }
    bytes(file_system.kind().magic(), file_system.frames(), flags)
}

/// Of a file system of this kind, with so many frames and so many of them free.
fn bytes(kind: u32, (total, free): (u64, u64), flags: u64) -> [u8; size_of::<StatFs>()] {
    let mut bytes = [0; size_of::<StatFs>()];
    for (offset, value) in [
        (offset_of!(StatFs, f_type), kind.into()),
        (offset_of!(StatFs, f_bsize), FRAME_SIZE as u64),
        (offset_of!(StatFs, f_frsize), FRAME_SIZE as u64),
        (offset_of!(StatFs, f_blocks), total),
        (offset_of!(StatFs, f_bfree), free),
        (offset_of!(StatFs, f_bavail), free),
        // A node takes memory too, though less.
        (offset_of!(StatFs, f_files), total),
        (offset_of!(StatFs, f_ffree), free),
        (offset_of!(StatFs, f_namelen), NAME_MAX as u64),
        (offset_of!(StatFs, f_flags), flags),
    ] {
        bytes[offset..][..8].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}
