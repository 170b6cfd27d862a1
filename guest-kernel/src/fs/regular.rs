//! Reading and writing files at an offset.

use abi::Errno;
use mm::file_pages::{FilePages, MAX_LEN};
use mm::frames::FRAME_SIZE;

use crate::fs::seal::{self, Seals};
use crate::fs::transfer::{self, Source, Step, Target};

/// Reads from `offset` on; 0 at the end.
///
/// # Errors
/// EFAULT.
pub fn read(file: &FilePages, offset: u64, target: &mut dyn Target) -> Result<u64, Errno> {
    transfer::run(target, |target, done| {
        file.with_run(offset.saturating_add(done), target.left(), |bytes| {
            Ok(match bytes.len() {
                0 => Step::stop(),
                wanted => Step::copied(target.put(bytes), wanted),
            })
        })
    })
}

/// Writes from `offset` on; the file grows as needed.
///
/// # Errors
/// EFBIG, EPERM if it is sealed, ENOSPC if memory is short, EFAULT; all before anything is written.
pub fn write(file: &FilePages, offset: u64, source: &mut dyn Source) -> Result<u64, Errno> {
    transfer::run(source, |source, done| {
        let at = offset.saturating_add(done);
        if at >= MAX_LEN {
            return Err(Errno::EFBIG);
        }
        let left = check_seals(file, at, source.left())?;
        let mut wanted = 0;
        let moved = file.write_run(at, left, |place| {
            wanted = place.len().min(left);
            source.take(&mut place[..wanted])
        });
        Ok(Step::copied(moved.map_err(|_| Errno::ENOSPC)?, wanted))
    })
}

/// Makes a hole from `offset` on.
///
/// # Errors
/// EPERM: it is sealed. ENOSPC: memory is short; some may have been cleared.
pub fn punch(file: &FilePages, offset: u64, len: u64) -> Result<(), Errno> {
    if seal::has(file, Seals::WRITE | Seals::FUTURE_WRITE) {
        return Err(Errno::EPERM);
    }
    file.punch(offset, len).map_err(|_| Errno::ENOSPC)
}

/// How many of `len` bytes may be written at once. As Linux, page by page: what fits is written
/// (mm/shmem.c).
fn check_seals(file: &FilePages, at: u64, len: usize) -> Result<usize, Errno> {
    if file.seals().is_none() {
        return Ok(len);
    }
    let on_page = (FRAME_SIZE - at as usize % FRAME_SIZE).min(len);
    let grows = || at + on_page as u64 > file.len();
    if seal::has(file, Seals::WRITE | Seals::FUTURE_WRITE)
        || (seal::has(file, Seals::GROW) && grows())
    {
        return Err(Errno::EPERM);
    }
    Ok(on_page)
}

#[cfg(test)]
mod tests {
    use super::{MAX_LEN, read, write};
    use crate::fs::transfer::tests::Buffer;
    use abi::Errno;
    use mm::file_pages::FilePages;

    #[test]
    fn reads_and_writes_cross_pages_and_faults() {
        let file = FilePages::new(b"");
        let text: Vec<_> = (0..10_000).map(|n| (n % 253) as u8).collect();
        let mut source = Buffer::new(&text).with_faults(&[0, 5000, 9999]);
        assert_eq!(write(&file, 100, &mut source), Ok(10_000));
        assert_eq!(file.len(), 10_100);
        let mut target = Buffer::room(20_000).with_faults(&[0, 4096]);
        assert_eq!(read(&file, 100, &mut target), Ok(10_000));
        assert_eq!(target.bytes, text);
        assert_eq!(read(&file, 10_100, &mut Buffer::room(1)), Ok(0));
        assert_eq!(read(&file, u64::MAX, &mut Buffer::room(1)), Ok(0));
    }

    #[test]
    fn a_bad_buffer_changes_nothing() {
        let file = FilePages::new(b"old");
        let mut source = Buffer::new(b"new").with_end(0);
        assert_eq!(write(&file, 3, &mut source), Err(Errno::EFAULT));
        assert_eq!(file.len(), 3);
    }

    #[test]
    fn there_is_a_largest_file() {
        let file = FilePages::new(b"");
        let mut source = Buffer::new(b"ab");
        assert_eq!(write(&file, MAX_LEN - 1, &mut source), Ok(1));
        let mut source = Buffer::new(b"ab");
        assert_eq!(write(&file, u64::MAX, &mut source), Err(Errno::EFBIG));
    }
}
