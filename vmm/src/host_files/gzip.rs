//! Decompression of an archive into a file in memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;

use super::archive::ArchiveError;

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The contents of `file`, decompressed if they are compressed by gzip.
///
/// # Errors
/// Damaged data, or more than half of the host's memory.
pub fn decompressed(file: File) -> Result<File, ArchiveError> {
    let mut magic = [0; MAGIC.len()];
    let read = file.read_at(&mut magic, 0)?;
    match read == MAGIC.len() && magic == MAGIC {
        true => decompress(&file, half_of_memory()),
        false => Ok(file),
    }
}

/// The same with this many bytes at most.
pub fn decompress(file: &File, limit: u64) -> Result<File, ArchiveError> {
    // SAFETY: the name ends with a zero; the descriptor is new, if there is one.
    let mut into = unsafe {
        match libc::memfd_create(c"archive".as_ptr(), libc::MFD_CLOEXEC) {
            fd @ 0.. => File::from_raw_fd(fd),
            _ => return Err(io::Error::last_os_error().into()),
        }
    };
    let mut from = MultiGzDecoder::new(file);
    let (mut bytes, mut len) = (vec![0; 1 << 18], 0);
    loop {
        let count = from.read(&mut bytes)?;
        if count == 0 {
            return Ok(into);
        }
        len += count as u64;
        if len > limit {
            return Err(ArchiveError::Bomb(limit));
        }
        into.write_all(&bytes[..count])?;
    }
}

fn half_of_memory() -> u64 {
    let mut found = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: zeros are one, which the call may fill in.
    let found = unsafe {
        libc::sysinfo(found.as_mut_ptr());
        found.assume_init()
    };
    found.totalram * u64::from(found.mem_unit) / 2
}
