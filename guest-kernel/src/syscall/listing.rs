//! Listing a directory.

use core::mem::offset_of;

use arch::trap::Arguments;
use linux_raw_sys::general::{self as linux, linux_dirent64};
use mm::UserSlice;

use crate::fs;
use crate::fs::bytes::NAME_MAX;
use crate::fs::calls::{self, ListedAt};
use crate::fs::mount::Location;
use crate::fs::notify;
use crate::proc::current;
use crate::syscall::{Errno, SyscallResult};

/// `getdents64(fd, buffer, size)`
pub fn getdents64(&[fd, buffer, size, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let Location {
        mount,
        node: directory,
    } = calls::directory(file.location()?)?;
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
    mount.note_access(&directory);
    file.set_offset(next);
    notify::file(&file, notify::ACCESS);
    if done == 0 {
        result?;
    }
    Ok(done)
}

const NAME_OFFSET: usize = offset_of!(linux_dirent64, d_name);
/// Longest entry of a directory: name, its zero, and what aligns the next.
const ENTRY_MAX: usize = (NAME_OFFSET + NAME_MAX + 1).next_multiple_of(8);

/// Makes a `linux_dirent64` at the front of `bytes`, which are all zeros.
fn entry<'b>(listed: &ListedAt<'_, '_>, bytes: &'b mut [u8; ENTRY_MAX]) -> &'b [u8] {
    const TYPE_SHIFT: u32 = 12;
    let ListedAt { entry, next } = listed;
    let name = &entry.name[..entry.name.len().min(NAME_MAX)];
    let len = (NAME_OFFSET + name.len() + 1).next_multiple_of(8);
    let mut put = |offset: usize, value: &[u8]| {
        bytes[offset..][..value.len()].copy_from_slice(value);
    };
    put(
        offset_of!(linux_dirent64, d_ino),
        &entry.number.to_le_bytes(),
    );
    put(offset_of!(linux_dirent64, d_off), &next.to_le_bytes());
    put(
        offset_of!(linux_dirent64, d_reclen),
        &(len as u16).to_le_bytes(),
    );
    // The types of entries are those of modes.
    let kind = (entry.mode & linux::S_IFMT) >> TYPE_SHIFT;
    put(offset_of!(linux_dirent64, d_type), &[kind as u8]);
    put(NAME_OFFSET, name);
    &bytes[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::directory::Listed;

    #[test]
    fn entries_are_aligned_and_end_with_zero() {
        let mut bytes = [0; ENTRY_MAX];
        let listed = ListedAt {
            entry: &Listed {
                name: b"abcde",
                number: 3,
                mode: linux::S_IFDIR | 0o755,
            },
            next: 9,
        };
        let entry = entry(&listed, &mut bytes);
        assert_eq!(entry.len(), 32);
        assert_eq!((entry[0], entry[8], entry[16], entry[18]), (3, 9, 32, 4));
        assert_eq!(&entry[19..25], b"abcde\0");
    }
}
