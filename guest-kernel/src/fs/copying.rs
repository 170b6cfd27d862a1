//! Copies from one open file to another, through a frame, so that nothing is borrowed while
//! the one that is written to waits.

use abi::Errno;
use mm::frames::FRAME_SIZE;
use mm::{FilePages, Frame, OutOfMemory, Shared};

use crate::fs::open_file::{Object, OpenFile};
use crate::fs::pipe::ReadEnd;
use crate::fs::transfer::{KernelBytes, KernelRoom};

/// Where one side of a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the file's offset is, which moves.
    Offset,
    /// There; the offset stays.
    At(u64),
}

impl Place {
    fn after(self, count: u64) -> Self {
        match self {
            Self::Offset => self,
            Self::At(at) => Self::At(at.saturating_add(count)),
        }
    }
}

/// One side of a copy.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The file.
    pub file: &'a OpenFile,
    /// Where in it.
    pub place: Place,
}

impl Side<'_> {
    fn write(self, bytes: &[u8]) -> Result<u64, Errno> {
        let mut source = KernelBytes(bytes);
        match self.place {
            Place::Offset => self.file.write(&mut source),
            Place::At(at) => self.file.write_at(at, &mut source),
        }
    }

    /// The same side once `count` bytes have been moved: the offset of a file has moved.
    fn after(self, count: u64) -> Self {
        let place = self.place.after(count);
        Self { place, ..self }
    }

    /// Where it is in the file, if `skip` bytes have been taken before.
    fn at(self, skip: u64) -> u64 {
        match self.place {
            Place::Offset => self.file.offset(),
            Place::At(at) => at.saturating_add(skip),
        }
    }

    /// The bytes from here on, `skip` of which have been taken before.
    fn read(self, skip: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let at = self.at(skip);
        let mut room = KernelRoom::new(buffer);
        let count = self.file.read_at(at, &mut room)?;
        Ok(count as usize)
    }
}

/// Copies up to `count` bytes of a file that has an offset; ends when there are no more, or
/// fewer are written than could be.
///
/// # Errors
/// Those of reading and writing, if nothing was copied before.
pub fn from_file(from: Side<'_>, to: Side<'_>, count: u64) -> Result<u64, Errno> {
    if let (Some(pages), Some(other)) = (from.file.regular(), to.file.regular())
        && !Shared::is_same(pages, other)
    {
        return between_files(from, pages, to, count);
    }
    through_frame(
        to,
        count,
        |done, buffer| from.read(done, buffer),
        |sent| {
            if from.place == Place::Offset {
                from.file
                    .set_offset(from.file.offset().saturating_add(sent));
            }
        },
    )
}

/// The same where both have pages, and not the same: nothing waits, so what is copied may be
/// borrowed.
fn between_files(
    from: Side<'_>,
    pages: &FilePages,
    to: Side<'_>,
    count: u64,
) -> Result<u64, Errno> {
    // Whether it may be read, and that it was.
    from.read(0, &mut [])?;
    let start = from.at(0);
    let mut done = 0;
    while done < count {
        let left = usize::try_from(count - done).unwrap_or(usize::MAX);
        let to = to.after(done);
        let step = pages.with_run(start.saturating_add(done), left, |bytes| match bytes {
            [] => Ok((0, 0)),
            bytes => Ok((to.write(bytes)?, bytes.len() as u64)),
        });
        match step {
            Ok((sent, wanted)) => {
                done += sent;
                if sent < wanted || wanted == 0 {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    if from.place == Place::Offset {
        from.file.set_offset(start.saturating_add(done));
    }
    Ok(done)
}

/// Copies up to `count` bytes, and no more than a page, of a file without an offset; all that
/// is read can be written.
///
/// # Errors
/// Those of reading and writing.
pub fn from_stream(from: &OpenFile, to: Side<'_>, count: u64) -> Result<u64, Errno> {
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let room = count.min(FRAME_SIZE as u64) as usize;
    let count = from.read(&mut KernelRoom::new(&mut frame.bytes_mut()[..room]))?;
    match count {
        0 => Ok(0),
        count => to.write(&frame.bytes()[..count as usize]),
    }
}

/// Copies up to `count` bytes that are in a pipe, and takes them out. Waits for the first
/// unless `nonblocking`.
///
/// # Errors
/// EAGAIN instead of waiting, EINTR, and those of writing, if nothing was copied before.
pub fn from_pipe(
    from: &ReadEnd,
    to: Side<'_>,
    count: u64,
    nonblocking: bool,
) -> Result<u64, Errno> {
    if !from.wait(nonblocking)? {
        return Ok(0);
    }
    through_frame(
        to,
        count,
        |_, buffer| Ok(from.peek(0, buffer)),
        |sent| from.skip(sent as usize),
    )
}

/// Copies up to `count` bytes that are in a pipe to another, and leaves them there. Waits for
/// the first unless `nonblocking`.
///
/// # Errors
/// As for [`from_pipe`].
pub fn tee(from: &ReadEnd, to: Side<'_>, count: u64, nonblocking: bool) -> Result<u64, Errno> {
    if !from.wait(nonblocking)? {
        return Ok(0);
    }
    let peek = |done, buffer: &mut [u8]| Ok(from.peek(done as usize, buffer));
    through_frame(to, count, peek, |_| {})
}

/// Calls `read` with what has been done and a buffer to fill, writes what is in it, and calls
/// `take` with how much that was; until there is no more.
fn through_frame(
    to: Side<'_>,
    count: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<usize, Errno>,
    mut take: impl FnMut(u64),
) -> Result<u64, Errno> {
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let mut done = 0;
    while done < count {
        let len = (count - done).min(FRAME_SIZE as u64) as usize;
        let step = read(done, &mut frame.bytes_mut()[..len]).and_then(|len| {
            let to = to.after(done);
            let sent = match len {
                0 => 0,
                _ => to.write(&frame.bytes()[..len])?,
            };
            Ok((len, sent))
        });
        match step {
            Ok((len, sent)) => {
                take(sent);
                done += sent;
                if len == 0 || sent < len as u64 {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// The pipe end that a file is, if bytes come out of it.
pub fn read_end(file: &OpenFile) -> Option<&ReadEnd> {
    match file.object() {
        Object::ReadEnd(end) | Object::BothEnds(end, _) => Some(end),
        _ => None,
    }
}
