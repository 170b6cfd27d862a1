//! Calls that tell about files and directories.

use core::mem::{offset_of, size_of};

use abi::virtual_map::USER_END;
use arch::trap::Arguments;
use linux_raw_sys::general::{self as linux, stat, statx as statx_facts};
use mm::UserSlice;
use mm::frames::FRAME_SIZE;

use crate::fs::calls;
use crate::fs::device::DeviceNumber;
use crate::fs::mount::Location;
use crate::fs::node::Kind;
use crate::fs::open_file::Object;
use crate::fs::path::Links;
use crate::fs::proc_files::ProcFile;
use crate::fs::stamp::Time;
use crate::fs::terminal::Terminal;
use crate::fs::{self, OpenFile};
use crate::proc::current;
use crate::syscall::path::{HERE, Path, start};
use crate::syscall::time::of_stamp;
use crate::syscall::{Errno, SyscallResult};

/// What `st_blocks` counts in.
const BLOCK: u64 = 512;

/// Minor number of what pipes and others without a path are on; the major one is 0, as of all
/// that is no disk.
const PIPES: u32 = 3;

/// What `stat` tells.
#[derive(Default)]
struct Facts {
    /// Minor number of what the node is on.
    disk: u32,
    number: u64,
    mode: u32,
    links: u32,
    user: u32,
    group: u32,
    device: DeviceNumber,
    size: u64,
    frames: u64,
    accessed: Time,
    modified: Time,
    changed: Time,
}

/// A number that no other object has that is there at the same time: programs take files with
/// the same one for the same file.
fn number_of<T>(object: &T) -> u64 {
    core::ptr::from_ref(object).addr() as u64 % USER_END
}

impl Facts {
    fn of_node(Location { mount, node }: &Location) -> Self {
        let times = node.times();
        let facts = Self {
            disk: mount.file_system().device(),
            number: node.number(),
            mode: node.mode(),
            links: node.links(),
            user: node.user(),
            group: node.group(),
            accessed: of_stamp(times.accessed.get()),
            modified: of_stamp(times.modified.get()),
            changed: of_stamp(times.changed.get()),
            ..Self::default()
        };
        match node.kind() {
            Kind::File(pages) => Self {
                size: pages.len(),
                frames: pages.page_count(),
                ..facts
            },
            Kind::Link(target) => Self {
                size: target.len(),
                ..facts
            },
            Kind::Characters(device) | Kind::Blocks(device) => Self {
                device: *device,
                ..facts
            },
            Kind::Directory(_) | Kind::Proc(_) | Kind::Fifo(_) | Kind::Socket => facts,
        }
    }

    fn of_file(file: &OpenFile) -> Self {
        /// Files that are not told apart have this number.
        const NUMBER: u64 = 0;
        if let Ok(location) = file.location() {
            return Self::of_node(&location);
        }
        let facts = Self {
            disk: PIPES,
            number: NUMBER,
            mode: linux::S_IFIFO | 0o600,
            links: 1,
            ..Self::default()
        };
        match file.object() {
            // Nothing but a path leads to one.
            Object::Node(_) => facts,
            Object::Device(device) => Self {
                mode: linux::S_IFCHR | device.mode(),
                device: device.number(),
                ..facts
            },
            Object::Slave(_) | Object::Master(_) => Self {
                mode: linux::S_IFCHR | 0o620,
                device: file
                    .terminal()
                    .map_or_else(|_| DeviceNumber::default(), Terminal::number),
                ..facts
            },
            Object::Socket(socket) => Self {
                number: number_of(&**socket.endpoint()),
                mode: linux::S_IFSOCK | 0o777,
                ..facts
            },
            Object::Event(_) => Self {
                mode: 0o600,
                ..facts
            },
            Object::Namespace(namespace) => Self {
                number: namespace.number(),
                mode: linux::S_IFREG | 0o444,
                ..facts
            },
            Object::Input | Object::Output(_) => Self {
                number: number_of(file),
                ..facts
            },
            Object::ReadEnd(_) | Object::WriteEnd(_) | Object::BothEnds(..) => Self {
                number: file.pipe().map_or(NUMBER, number_of),
                ..facts
            },
        }
    }

    fn blocks(&self) -> u64 {
        self.frames * (FRAME_SIZE as u64 / BLOCK)
    }

    /// As a program has it in memory.
    fn to_stat(&self) -> [u8; size_of::<stat>()] {
        let mut bytes = [0; size_of::<stat>()];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..][..value.len()].copy_from_slice(value);
        };
        let disk = DeviceNumber {
            major: 0,
            minor: self.disk,
        };
        for (offset, value) in [
            (offset_of!(stat, st_dev), encode(disk)),
            (offset_of!(stat, st_ino), self.number),
            (offset_of!(stat, st_nlink), self.links.into()),
            (offset_of!(stat, st_rdev), encode(self.device)),
            (offset_of!(stat, st_size), self.size),
            (offset_of!(stat, st_blksize), FRAME_SIZE as u64),
            (offset_of!(stat, st_blocks), self.blocks()),
        ] {
            put(offset, &value.to_le_bytes());
        }
        for (offset, value) in [
            (offset_of!(stat, st_mode), self.mode),
            (offset_of!(stat, st_uid), self.user),
            (offset_of!(stat, st_gid), self.group),
        ] {
            put(offset, &value.to_le_bytes());
        }
        for (offset, time) in [
            (offset_of!(stat, st_atime), self.accessed),
            (offset_of!(stat, st_mtime), self.modified),
            (offset_of!(stat, st_ctime), self.changed),
        ] {
            put(offset, &time.seconds.to_le_bytes());
            put(offset + 8, &u64::from(time.nanoseconds).to_le_bytes());
        }
        bytes
    }

    /// As `statx` tells it.
    fn to_statx(&self) -> [u8; size_of::<statx_facts>()] {
        let mut bytes = [0; size_of::<statx_facts>()];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..][..value.len()].copy_from_slice(value);
        };
        for (offset, value) in [
            (offset_of!(statx_facts, stx_mask), linux::STATX_BASIC_STATS),
            (offset_of!(statx_facts, stx_blksize), FRAME_SIZE as u32),
            (offset_of!(statx_facts, stx_nlink), self.links),
            (offset_of!(statx_facts, stx_uid), self.user),
            (offset_of!(statx_facts, stx_gid), self.group),
            (offset_of!(statx_facts, stx_rdev_major), self.device.major),
            (offset_of!(statx_facts, stx_rdev_minor), self.device.minor),
            (offset_of!(statx_facts, stx_dev_minor), self.disk),
        ] {
            put(offset, &value.to_le_bytes());
        }
        put(
            offset_of!(statx_facts, stx_mode),
            &(self.mode as u16).to_le_bytes(),
        );
        for (offset, value) in [
            (offset_of!(statx_facts, stx_ino), self.number),
            (offset_of!(statx_facts, stx_size), self.size),
            (offset_of!(statx_facts, stx_blocks), self.blocks()),
        ] {
            put(offset, &value.to_le_bytes());
        }
        for (offset, time) in [
            (offset_of!(statx_facts, stx_atime), self.accessed),
            (offset_of!(statx_facts, stx_mtime), self.modified),
            (offset_of!(statx_facts, stx_ctime), self.changed),
        ] {
            put(offset, &time.seconds.to_le_bytes());
            put(offset + 8, &time.nanoseconds.to_le_bytes());
        }
        bytes
    }
}

/// A device's number in one word (Linux, `new_encode_dev`).
pub fn encode(DeviceNumber { major, minor }: DeviceNumber) -> u64 {
    u64::from(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

pub(super) fn tell(address: u64, bytes: &[u8]) -> SyscallResult {
    UserSlice::new(address, bytes.len() as u64).copy_out(&current().space(), bytes)?;
    Ok(0)
}

/// `stat(path, facts)`
pub fn stat(&[path, facts, ..]: &Arguments) -> SyscallResult {
    tell(facts, &facts_at(HERE, path, 0)?.to_stat())
}

/// `lstat(path, facts)`
pub fn lstat(&[path, facts, ..]: &Arguments) -> SyscallResult {
    let told = facts_at(HERE, path, linux::AT_SYMLINK_NOFOLLOW)?;
    tell(facts, &told.to_stat())
}

/// `fstat(fd, facts)`
pub fn fstat(&[fd, facts, ..]: &Arguments) -> SyscallResult {
    tell(facts, &Facts::of_file(&*fs::any_file(fd)?).to_stat())
}

/// `newfstatat(directory, path, facts, flags)`
pub fn newfstatat(&[directory, path, facts, flags, ..]: &Arguments) -> SyscallResult {
    tell(facts, &facts_at(directory, path, flags as u32)?.to_stat())
}

/// `statx(directory, path, flags, mask, facts)`: all that is known, whatever the mask.
pub fn statx(&[directory, path, flags, mask, facts, ..]: &Arguments) -> SyscallResult {
    const SYNC: u32 = linux::AT_STATX_SYNC_TYPE;
    let (flags, mask) = (flags as u32, mask as u32);
    if mask & linux::STATX__RESERVED != 0 || flags & SYNC == SYNC {
        return Err(Errno::EINVAL);
    }
    let told = facts_at(directory, path, flags & !SYNC)?;
    tell(facts, &told.to_statx())
}

fn facts_at(directory: u64, path: u64, flags: u32) -> Result<Facts, Errno> {
    const KNOWN: u32 = linux::AT_SYMLINK_NOFOLLOW | linux::AT_NO_AUTOMOUNT | linux::AT_EMPTY_PATH;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    // Linux takes a null pointer for an empty path here.
    if path == 0 && flags & linux::AT_EMPTY_PATH != 0 {
        return facts_of(directory);
    }
    let path = Path::read(path)?;
    if path.bytes().is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
        return facts_of(directory);
    }
    let links = match flags & linux::AT_SYMLINK_NOFOLLOW {
        0 => Links::Followed,
        _ => Links::Kept,
    };
    let start = start(directory, path.bytes())?;
    let location = calls::locate(&start, path.bytes(), links)?;
    match location.node.kind() {
        // It leads to what is no node.
        Kind::Proc(ProcFile::Link(link)) if links == Links::Followed => {
            Ok(Facts::of_file(&*link.open_file()?))
        }
        _ => Ok(Facts::of_node(&location)),
    }
}

fn facts_of(fd: u64) -> Result<Facts, Errno> {
    Ok(match fd as i32 {
        linux::AT_FDCWD => Facts::of_node(&fs::here()?.directory),
        _ => Facts::of_file(&*fs::any_file(fd)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_where_linux_has_them() {
        let time = |seconds| Time {
            seconds,
            nanoseconds: 5,
        };
        let facts = Facts {
            disk: 1,
            number: 7,
            mode: 0o100_644,
            links: 1,
            user: 1000,
            group: 1001,
            device: DeviceNumber {
                major: 5,
                minor: 0x101,
            },
            size: 5000,
            frames: 2,
            accessed: time(-1),
            modified: time(1),
            changed: time(2),
        };
        let bytes = facts.to_stat();
        assert_eq!(bytes.len(), 144);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        assert_eq!([word(0), word(8), word(16), word(40)], [1, 7, 1, 0x10_0501]);
        assert_eq!([word(48), word(56), word(64)], [5000, 4096, 16]);
        assert_eq!([word(72), word(80), word(88)], [u64::MAX, 5, 1]);
        assert_eq!(word(24), 1000 << 32 | 0o100_644);
        let bytes = facts.to_statx();
        assert_eq!(bytes.len(), 256);
        let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        assert_eq!(
            [half(16), half(20), half(24), half(28)],
            [1, 1000, 1001, 0o100_644]
        );
        assert_eq!([half(32), half(40), half(48)], [7, 5000, 16]);
        assert_eq!(
            [half(112), half(120), half(128), half(132)],
            [1, 5, 5, 0x101]
        );
    }
}
