//! Calls that tell about files and directories.

use core::mem::{offset_of, size_of};

use arch::trap::Arguments;
use linux_raw_sys::general::{self as linux, linux_dirent64, stat};
use mm::UserSlice;
use mm::frames::FRAME_SIZE;

use crate::fs::calls::{self, Listed};
use crate::fs::node::{Kind, NAME_MAX, Node};
use crate::fs::open_file::Object;
use crate::fs::{self, OpenFile};
use crate::proc::current;
use crate::syscall::path::{HERE, Path, start};
use crate::syscall::{Errno, SyscallResult};

/// What `st_blocks` counts in.
const BLOCK: u64 = 512;

/// What `stat` tells.
#[derive(Default)]
struct Facts {
    number: u64,
    mode: u32,
    links: u64,
    /// Major and minor number of a device.
    device: (u8, u8),
    size: u64,
    frames: u64,
}

impl Facts {
    fn of_node(node: &Node) -> Self {
        let facts = Self {
            number: node.number(),
            mode: node.mode(),
            links: match (node.is_removed(), node.is_directory()) {
                (true, _) => 0,
                (false, true) => 2,
                (false, false) => 1,
            },
            ..Self::default()
        };
        match node.kind() {
            Kind::File(pages) => Self {
                size: pages.len(),
                frames: pages.frame_count(),
                ..facts
            },
            Kind::Device(device) => Self {
                device: device.number(),
                ..facts
            },
            Kind::Directory(_) | Kind::Proc(_) => facts,
        }
    }

    fn of_file(file: &OpenFile) -> Self {
        /// Pipes and devices without a name have this number.
        const NUMBER: u64 = 0;
        match file.object() {
            Object::Node(node) => Self::of_node(node),
            Object::Device(device) => Self {
                number: NUMBER,
                mode: linux::S_IFCHR | device.mode(),
                links: 1,
                device: device.number(),
                ..Self::default()
            },
            Object::ReadEnd(_) | Object::WriteEnd(_) | Object::Input | Object::Output(_) => Self {
                number: NUMBER,
                mode: linux::S_IFIFO | 0o600,
                links: 1,
                ..Self::default()
            },
        }
    }

    /// As a program has it in memory.
    fn to_bytes(&self) -> [u8; size_of::<stat>()] {
        let mut bytes = [0; size_of::<stat>()];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..][..value.len()].copy_from_slice(value);
        };
        let (major, minor) = self.device;
        let device = u64::from(major) << 8 | u64::from(minor);
        for (offset, value) in [
            (offset_of!(stat, st_ino), self.number),
            (offset_of!(stat, st_nlink), self.links),
            (offset_of!(stat, st_rdev), device),
            (offset_of!(stat, st_size), self.size),
            (offset_of!(stat, st_blksize), FRAME_SIZE as u64),
            (
                offset_of!(stat, st_blocks),
                self.frames * (FRAME_SIZE as u64 / BLOCK),
            ),
        ] {
            put(offset, &value.to_le_bytes());
        }
        put(offset_of!(stat, st_mode), &self.mode.to_le_bytes());
        bytes
    }

    fn tell(&self, address: u64) -> SyscallResult {
        let bytes = self.to_bytes();
        UserSlice::new(address, bytes.len() as u64).copy_out(&current().space(), &bytes)?;
        Ok(0)
    }
}

/// `stat(path, facts)` and, without symbolic links, `lstat`.
pub fn stat(&[path, facts, ..]: &Arguments) -> SyscallResult {
    stat_at(HERE, path, facts, 0)
}

/// `fstat(fd, facts)`
pub fn fstat(&[fd, facts, ..]: &Arguments) -> SyscallResult {
    Facts::of_file(&*fs::file(fd)?).tell(facts)
}

/// `newfstatat(directory, path, facts, flags)`
pub fn newfstatat(&[directory, path, facts, flags, ..]: &Arguments) -> SyscallResult {
    stat_at(directory, path, facts, flags as u32)
}

fn stat_at(directory: u64, path: u64, facts: u64, flags: u32) -> SyscallResult {
    const KNOWN: u32 = linux::AT_SYMLINK_NOFOLLOW | linux::AT_NO_AUTOMOUNT | linux::AT_EMPTY_PATH;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let path = Path::read(path)?;
    let is_itself = path.bytes().is_empty() && flags & linux::AT_EMPTY_PATH != 0;
    match is_itself {
        true if directory as i32 == linux::AT_FDCWD => Facts::of_node(&*fs::files().directory()?),
        true => Facts::of_file(&*fs::file(directory)?),
        false => {
            let start = start(directory, path.bytes())?;
            Facts::of_node(&*calls::find(&start, path.bytes())?)
        }
    }
    .tell(facts)
}

/// `getdents64(fd, buffer, size)`
pub fn getdents64(&[fd, buffer, size, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let Object::Node(node) = file.object() else {
        return Err(Errno::ENOTDIR);
    };
    let directory = calls::directory(node.clone())?;
    let buffer = UserSlice::new(buffer, size);
    let mut done = 0;
    let mut result = Ok(());
    let next = calls::list(&directory, file.offset(), |listed| {
        let mut bytes = [0; ENTRY_MAX];
        let entry = entry(listed, &mut bytes);
        let place = buffer.part(done, entry.len() as u64);
        if place.len() < entry.len() as u64 {
            result = result.and(if done == 0 {
                Err(Errno::EINVAL)
            } else {
                Ok(())
            });
            return false;
        }
        if place.copy_out(&current().space(), entry).is_err() {
            result = Err(Errno::EFAULT);
            return false;
        }
        done += entry.len() as u64;
        true
    })?;
    file.set_offset(next);
    if done == 0 {
        result?;
    }
    Ok(done)
}

const NAME_OFFSET: usize = offset_of!(linux_dirent64, d_name);
/// Longest entry of a directory: name, its zero, and what aligns the next.
const ENTRY_MAX: usize = (NAME_OFFSET + NAME_MAX + 1).next_multiple_of(8);

/// Makes a `linux_dirent64` at the front of `bytes`, which are all zeros.
fn entry<'b>(listed: &Listed<'_>, bytes: &'b mut [u8; ENTRY_MAX]) -> &'b [u8] {
    const TYPE_SHIFT: u32 = 12;
    let name = &listed.name[..listed.name.len().min(NAME_MAX)];
    let len = (NAME_OFFSET + name.len() + 1).next_multiple_of(8);
    let mut put = |offset: usize, value: &[u8]| {
        bytes[offset..][..value.len()].copy_from_slice(value);
    };
    put(
        offset_of!(linux_dirent64, d_ino),
        &listed.number.to_le_bytes(),
    );
    put(
        offset_of!(linux_dirent64, d_off),
        &listed.next.to_le_bytes(),
    );
    put(
        offset_of!(linux_dirent64, d_reclen),
        &(len as u16).to_le_bytes(),
    );
    // The types of entries are those of modes.
    let kind = (listed.mode & linux::S_IFMT) >> TYPE_SHIFT;
    put(offset_of!(linux_dirent64, d_type), &[kind as u8]);
    put(NAME_OFFSET, name);
    &bytes[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_where_linux_has_them() {
        let facts = Facts {
            number: 7,
            mode: 0o100_644,
            links: 1,
            device: (5, 1),
            size: 5000,
            frames: 2,
        };
        let bytes = facts.to_bytes();
        assert_eq!(bytes.len(), 144);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        assert_eq!([word(8), word(16), word(40)], [7, 1, 0x501]);
        assert_eq!([word(48), word(56), word(64)], [5000, 4096, 16]);
        assert_eq!(word(24) as u32, 0o100_644);
    }

    #[test]
    fn entries_are_aligned_and_end_with_zero() {
        let mut bytes = [0; ENTRY_MAX];
        let listed = Listed {
            name: b"abcde",
            number: 3,
            mode: linux::S_IFDIR | 0o755,
            next: 9,
        };
        let entry = entry(&listed, &mut bytes);
        assert_eq!(entry.len(), 32);
        assert_eq!((entry[0], entry[8], entry[16], entry[18]), (3, 9, 32, 4));
        assert_eq!(&entry[19..25], b"abcde\0");
    }
}
