//! Copies from one open file to another: of what lies together where the one that is written to
//! does not wait, so that what is copied may be borrowed; else through a frame.

use abi::Errno;
use mm::frames::FRAME_SIZE;
use mm::{FilePages, Frame, OutOfMemory, Shared};

use crate::fs::notify;
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

    /// Whether it can be [written at once](Self::put).
    fn can_put(self) -> bool {
        self.file.regular().is_some() || self.file.write_end().is_some()
    }

    /// Waits until there is room for something.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR, EPIPE.
    fn wait(self, nonblocking: bool) -> Result<(), Errno> {
        match self.file.write_end() {
            Some(end) => end.wait(nonblocking || self.file.is_nonblocking()),
            None => Ok(()),
        }
    }

    /// Writes without waiting, and says how much, and of how much: a pipe may take the rest of
    /// `bytes` with the next call. It is told of by [`tell`](Self::tell).
    ///
    /// # Errors
    /// EAGAIN: there is no room. Those of writing.
    fn put(self, bytes: &[u8]) -> Result<(u64, u64), Errno> {
        match self.file.write_end() {
            _ if bytes.is_empty() => Ok((0, 0)),
            Some(end) => end.put(bytes).map(|sent| (sent, sent)),
            None => Ok((self.write(bytes)?, bytes.len() as u64)),
        }
    }

    /// Tells who reads what was put there.
    fn tell(self) {
        if let Some(end) = self.file.write_end() {
            end.tell_reader();
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
/// fewer are written than could be. Waits for the first room in a pipe unless `nonblocking`.
///
/// # Errors
/// Those of reading and writing, if nothing was copied before.
pub fn from_file(
    from: Side<'_>,
    to: Side<'_>,
    count: u64,
    nonblocking: bool,
) -> Result<u64, Errno> {
    let is_other = |pages: &&Shared<FilePages>| match to.file.regular() {
        Some(other) => !Shared::is_same(pages, other),
        None => true,
    };
    if let Some(pages) = from.file.regular().filter(is_other)
        && to.can_put()
    {
        return from_pages(from, pages, to, count, nonblocking);
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

/// The same of a file's pages, to what is not the same file and can be written at once.
fn from_pages(
    from: Side<'_>,
    pages: &FilePages,
    to: Side<'_>,
    count: u64,
    nonblocking: bool,
) -> Result<u64, Errno> {
    // Whether it may be read, and when it was.
    from.read(0, &mut [])?;
    let start = from.at(0);
    let done = repeat(count, |done| {
        // As Linux, with what there is room for then (fs/splice.c, `splice_file_to_pipe`).
        if done == 0 {
            to.wait(nonblocking)?;
        }
        let left = usize::try_from(count - done).unwrap_or(usize::MAX);
        let to = to.after(done);
        let step = pages.with_run(start.saturating_add(done), left, |bytes| to.put(bytes));
        to.tell();
        step
    })?;
    if from.place == Place::Offset {
        from.file.set_offset(start.saturating_add(done));
    }
    if done > 0 {
        notify::file(from.file, notify::ACCESS);
    }
    Ok(done)
}

/// Makes `step`, which is told how much has been done, until that is `count`; it says how much
/// it has moved, and of how much. None comes after one that has moved nothing, or not all.
///
/// # Errors
/// Those of `step`, if nothing was moved before.
fn repeat(
    count: u64,
    mut step: impl FnMut(u64) -> Result<(u64, u64), Errno>,
) -> Result<u64, Errno> {
    let mut done = 0;
    while done < count {
        match step(done) {
            Ok((moved, wanted)) => {
                done += moved;
                if moved < wanted || moved == 0 {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
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
    if !wait_for_both(from, to, nonblocking)? {
        return Ok(0);
    }
    if !to.can_put() {
        let _held = from.hold();
        return through_frame(
            to,
            count,
            |_, buffer| Ok(from.peek(0, buffer)),
            |sent| from.skip(sent as usize),
        );
    }
    repeat(count, |done| {
        let left = usize::try_from(count - done).unwrap_or(usize::MAX);
        let to = to.after(done);
        let (sent, wanted) = from.with_first(|bytes| to.put(&bytes[..bytes.len().min(left)]))?;
        to.tell();
        from.skip(sent as usize);
        Ok((sent, wanted))
    })
}

/// Waits, unless `nonblocking`, until there are bytes in a pipe and room for something where they
/// go, both at once: others may take the ones while this waits for the other. Says whether there
/// are any bytes: there will be none without a writer.
///
/// # Errors
/// EAGAIN instead of waiting, EINTR, EPIPE.
fn wait_for_both(from: &ReadEnd, to: Side<'_>, nonblocking: bool) -> Result<bool, Errno> {
    loop {
        let can_come = from.wait(nonblocking)?;
        to.wait(nonblocking)?;
        let are_there = from.has_bytes();
        if are_there || !can_come {
            return Ok(are_there);
        }
    }
}

/// Copies up to `count` bytes that are in a pipe to another, and leaves them there. Waits for
/// the first unless `nonblocking`.
///
/// # Errors
/// As for [`from_pipe`].
pub fn tee(from: &ReadEnd, to: Side<'_>, count: u64, nonblocking: bool) -> Result<u64, Errno> {
    if !wait_for_both(from, to, nonblocking)? {
        return Ok(0);
    }
    let room = to.file.write_end().map_or(count, |end| end.room() as u64);
    let peek = |done, buffer: &mut [u8]| Ok(from.peek(done as usize, buffer));
    through_frame(to, count.min(room), peek, |_| {})
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
    repeat(count, |done| {
        let len = (count - done).min(FRAME_SIZE as u64) as usize;
        let len = read(done, &mut frame.bytes_mut()[..len])?;
        let sent = match len {
            0 => 0,
            _ => to.after(done).write(&frame.bytes()[..len])?,
        };
        take(sent);
        Ok((sent, len as u64))
    })
}

/// Whether `splice` may move bytes between `file` and a pipe: not if it is a directory, or has no
/// bytes but numbers.
pub fn can_splice(file: &OpenFile) -> bool {
    let is_directory = file.node().is_some_and(|node| node.is_directory());
    !is_directory && !matches!(file.object(), Object::Event(_) | Object::Namespace(_))
}

/// The pipe end that a file is, if bytes come out of it.
pub fn read_end(file: &OpenFile) -> Option<&ReadEnd> {
    match file.object() {
        Object::ReadEnd(end) | Object::BothEnds(end, _) => Some(end),
        _ => None,
    }
}
