//! Calls that move bytes from one open file to another.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{Shared, UserPtr};

use crate::fs::copying::{self, Place, Side};
use crate::fs::transfer::{Transfer, UserBytes};
use crate::fs::{self, OpenFile};
use crate::proc::current;
use crate::syscall::file::{MAX_COUNT, offset, written};
use crate::syscall::{Errno, SyscallResult};

/// A pointer to an offset, or null for the file's own.
struct OffsetPointer(Option<UserPtr<u64>>);

impl OffsetPointer {
    fn new(address: u64) -> Self {
        Self((address != 0).then(|| UserPtr::new(address)))
    }

    fn is_null(&self) -> bool {
        self.0.is_none()
    }

    fn read(&self) -> Result<Place, Errno> {
        match &self.0 {
            Some(pointer) => Ok(Place::At(offset(pointer.read(&current().space())?)?)),
            None => Ok(Place::Offset),
        }
    }

    fn advance(&self, from: Place, count: u64) -> Result<(), Errno> {
        if let (Some(pointer), Place::At(at)) = (&self.0, from) {
            pointer.write(&current().space(), &(at + count))?;
        }
        Ok(())
    }
}

fn require(allowed: bool, errno: Errno) -> Result<(), Errno> {
    match allowed {
        true => Ok(()),
        false => Err(errno),
    }
}

/// `sendfile(output, input, start, count)`
pub fn sendfile(&[output, input, start, count, ..]: &Arguments) -> SyscallResult {
    let input = fs::file(input)?;
    require(input.is_readable(), Errno::EBADF)?;
    let start = OffsetPointer::new(start);
    let place = start.read()?;
    require(start.is_null() || input.is_seekable(), Errno::ESPIPE)?;
    let output = fs::file(output)?;
    require(output.is_writable(), Errno::EBADF)?;
    let is_directory = input.node().is_some_and(|node| node.is_directory());
    require(input.is_seekable() && !is_directory, Errno::EINVAL)?;
    require(!output.appends(), Errno::EINVAL)?;
    let from = Side {
        file: &input,
        place,
    };
    let to = Side {
        file: &output,
        place: Place::Offset,
    };
    let done = written(copying::from_file(from, to, count.min(MAX_COUNT), false))?;
    start.advance(place, done)?;
    Ok(done)
}

/// `copy_file_range(input, start, output, place, count, flags)`
pub fn copy_file_range(&[input, start, output, place, count, flags]: &Arguments) -> SyscallResult {
    let (input, output) = (fs::file(input)?, fs::file(output)?);
    let (start, place) = (OffsetPointer::new(start), OffsetPointer::new(place));
    let (from_place, to_place) = (start.read()?, place.read()?);
    require(flags == 0, Errno::EINVAL)?;
    for file in [&input, &output] {
        match file.node() {
            Some(node) if node.is_directory() => return Err(Errno::EISDIR),
            Some(node) if node.pages().is_some() => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    let may = input.is_readable() && output.is_writable() && !output.appends();
    require(may, Errno::EBADF)?;
    let at = |file: &OpenFile, place| match place {
        Place::Offset => file.offset(),
        Place::At(at) => at,
    };
    let (first, to_first) = (at(&input, from_place), at(&output, to_place));
    let count = count.min(MAX_COUNT).min(input.len().saturating_sub(first));
    let is_same = match (input.node(), output.node()) {
        (Some(one), Some(other)) => Shared::is_same(one, other),
        _ => false,
    };
    let overlaps = first < to_first.saturating_add(count) && to_first < first + count;
    require(!(is_same && overlaps), Errno::EINVAL)?;
    let side = |file, place| Side { file, place };
    let (from, to) = (side(&input, from_place), side(&output, to_place));
    let done = written(copying::from_file(from, to, count, false))?;
    start.advance(from_place, done)?;
    place.advance(to_place, done)?;
    Ok(done)
}

/// All flags of `splice` and its like; only that not to wait has an effect.
const SPLICE_FLAGS: u32 =
    linux::SPLICE_F_MOVE | linux::SPLICE_F_NONBLOCK | linux::SPLICE_F_MORE | linux::SPLICE_F_GIFT;

/// Whether a call with these flags does not wait for a pipe.
fn is_nonblocking(flags: u64) -> Result<bool, Errno> {
    let flags = flags as u32;
    require(flags & !SPLICE_FLAGS == 0, Errno::EINVAL)?;
    Ok(flags & linux::SPLICE_F_NONBLOCK != 0)
}

/// `splice(input, start, output, place, count, flags)`: one of both is a pipe.
pub fn splice(&[input, start, output, place, count, flags]: &Arguments) -> SyscallResult {
    if count == 0 {
        return Ok(0);
    }
    let nonblocking = is_nonblocking(flags)?;
    let (input, output) = (fs::file(input)?, fs::file(output)?);
    require(input.is_readable() && output.is_writable(), Errno::EBADF)?;
    let (start, place) = (OffsetPointer::new(start), OffsetPointer::new(place));
    let (read_end, write_end) = (input.pipe().ok(), output.pipe().ok());
    require(read_end.is_none() || start.is_null(), Errno::ESPIPE)?;
    require(write_end.is_none() || place.is_null(), Errno::ESPIPE)?;
    require(start.is_null() || input.is_seekable(), Errno::EINVAL)?;
    require(place.is_null() || output.is_seekable(), Errno::EINVAL)?;
    let is_same = match (read_end, write_end) {
        (None, None) => true,
        (Some(one), Some(other)) => core::ptr::eq(one, other),
        _ => false,
    };
    require(!is_same, Errno::EINVAL)?;
    require(!output.appends(), Errno::EINVAL)?;
    let can_splice = copying::can_splice(&input) && copying::can_splice(&output);
    require(can_splice, Errno::EINVAL)?;
    let (from_place, to_place) = (start.read()?, place.read()?);
    let to = Side {
        file: &output,
        place: to_place,
    };
    let count = count.min(MAX_COUNT);
    let nonblocking = nonblocking
        || read_end.is_some() && input.is_nonblocking()
        || write_end.is_some() && output.is_nonblocking();
    let done = match (copying::read_end(&input), output.write_end()) {
        (Some(end), _) => copying::from_pipe(end, to, count, nonblocking),
        (None, Some(end)) => {
            written(end.wait(nonblocking).map(|()| 0))?;
            let room = count.min(end.room() as u64);
            let from = Side {
                file: &input,
                place: from_place,
            };
            match input.is_seekable() {
                true => copying::from_file(from, to, room, nonblocking),
                false => copying::from_stream(&input, to, room),
            }
        }
        (None, None) => Err(Errno::EINVAL),
    };
    let done = written(done)?;
    start.advance(from_place, done)?;
    place.advance(to_place, done)?;
    Ok(done)
}

/// `tee(input, output, count, flags)`: both are pipes.
pub fn tee(&[input, output, count, flags, ..]: &Arguments) -> SyscallResult {
    let nonblocking = is_nonblocking(flags)?;
    if count == 0 {
        return Ok(0);
    }
    let (input, output) = (fs::file(input)?, fs::file(output)?);
    require(input.is_readable() && output.is_writable(), Errno::EBADF)?;
    let (Ok(one), Ok(other)) = (input.pipe(), output.pipe()) else {
        return Err(Errno::EINVAL);
    };
    require(!core::ptr::eq(one, other), Errno::EINVAL)?;
    let (Some(from), Some(_)) = (copying::read_end(&input), output.write_end()) else {
        return Err(Errno::EINVAL);
    };
    let to = Side {
        file: &output,
        place: Place::Offset,
    };
    let nonblocking = nonblocking || input.is_nonblocking() || output.is_nonblocking();
    written(copying::tee(from, to, count.min(MAX_COUNT), nonblocking))
}

/// `vmsplice(pipe, vectors, count, flags)`: bytes are copied.
pub fn vmsplice(&[fd, vectors, count, flags, ..]: &Arguments) -> SyscallResult {
    let nonblocking = is_nonblocking(flags)?;
    let file = fs::file(fd)?;
    let mut bytes = UserBytes::vectors(vectors, count)?;
    let nonblocking = nonblocking || file.is_nonblocking();
    match (file.write_end(), copying::read_end(&file)) {
        (Some(end), _) => {
            // As Linux, with what there is room for then (fs/splice.c, `iter_to_pipe`).
            if bytes.left() > 0 {
                written(end.wait(nonblocking).map(|()| 0))?;
            }
            written(end.write(&mut bytes, true, false))
        }
        (None, Some(end)) => end.read(&mut bytes, nonblocking),
        (None, None) => Err(Errno::EBADF),
    }
}
