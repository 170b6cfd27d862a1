//! Pipes: bounded buffers between processes.
//!
//! The buffer is a frame, which is also the most that is written in one piece
//! (`PIPE_BUF`): such a write waits until all of it fits. Each end is one open file,
//! however many descriptors stand for it, so an end is closed when that goes.

use core::cell::RefCell;

use abi::Errno;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, Shared};

use crate::fs::poll::{self, Readiness};
use crate::fs::transfer::{self, Next, Source, Step, Target};
use crate::proc::wait_queue::WaitQueue;

/// Bytes that a pipe holds.
const CAPACITY: usize = FRAME_SIZE;
const _: () = assert!(CAPACITY >= linux_raw_sys::general::PIPE_BUF as usize);

/// A pipe, which both ends share.
struct Pipe {
    buffer: RefCell<Buffer>,
    /// Those who wait for bytes, or for the last writer to go.
    readers: WaitQueue,
    /// Those who wait for room, or for the last reader to go.
    writers: WaitQueue,
}

struct Buffer {
    frame: Frame,
    start: usize,
    len: usize,
    has_reader: bool,
    has_writer: bool,
}

/// The end that bytes come out of.
pub struct ReadEnd(Shared<Pipe>);

/// The end that bytes go into.
pub struct WriteEnd(Shared<Pipe>);

/// A new pipe.
///
/// # Errors
/// There is no memory.
pub fn pipe() -> Result<(ReadEnd, WriteEnd), OutOfMemory> {
    let buffer = Buffer {
        frame: Frame::allocate().ok_or(OutOfMemory)?,
        start: 0,
        len: 0,
        has_reader: true,
        has_writer: true,
    };
    let pipe = Shared::new(Pipe {
        buffer: RefCell::new(buffer),
        readers: WaitQueue::new(),
        writers: WaitQueue::new(),
    })?;
    Ok((ReadEnd(pipe.clone()), WriteEnd(pipe)))
}

impl Buffer {
    /// Moves what there is to `target`.
    fn read(&mut self, target: &mut dyn Target) -> Step {
        let end = (self.start + self.len).min(CAPACITY);
        let wanted = (end - self.start).min(target.left());
        let bytes = &self.frame.bytes()[self.start..][..wanted];
        let moved = target.put(bytes);
        self.len -= moved;
        self.start = match self.len {
            // The next write and read are one piece each.
            0 => 0,
            _ => (self.start + moved) % CAPACITY,
        };
        Step::copied(moved, wanted)
    }

    /// Moves what there is room for from `source`.
    fn write(&mut self, source: &mut dyn Source) -> Step {
        let place = (self.start + self.len) % CAPACITY;
        let room = (CAPACITY - self.len).min(CAPACITY - place);
        let wanted = room.min(source.left());
        let moved = source.take(&mut self.frame.bytes_mut()[place..][..wanted]);
        self.len += moved;
        Step::copied(moved, wanted)
    }

    fn room(&self) -> usize {
        CAPACITY - self.len
    }
}

impl ReadEnd {
    /// Reads what there is, and waits for something unless `nonblocking`; 0 at the end.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        let Pipe {
            buffer,
            readers,
            writers,
        } = &*self.0;
        while target.left() > 0 && buffer.borrow().len == 0 {
            if !buffer.borrow().has_writer {
                return Ok(0);
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            readers.sleep()?;
        }
        let result = transfer::run(target, |target, _| {
            let mut buffer = buffer.borrow_mut();
            Ok(match buffer.len {
                0 => Step::stop(),
                _ => buffer.read(target),
            })
        });
        if result.is_ok() {
            writers.wake_all();
            poll::changed();
        }
        result
    }

    /// Bytes that can be read at once.
    pub fn available(&self) -> usize {
        self.0.buffer.borrow().len
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let buffer = self.0.buffer.borrow();
        let mut ready = Readiness::empty();
        ready.set(Readiness::READ, buffer.len > 0);
        ready.set(Readiness::HANG_UP, !buffer.has_writer);
        ready
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        self.0.buffer.borrow_mut().has_reader = false;
        self.0.writers.wake_all();
        poll::changed();
    }
}

impl WriteEnd {
    /// Writes everything, and waits for room unless `nonblocking`; then it writes what it
    /// can, but up to `PIPE_BUF` all or nothing.
    ///
    /// # Errors
    /// EPIPE if nobody can read it, EAGAIN instead of waiting, EINTR, EFAULT; all before
    /// anything is written.
    pub fn write(&self, source: &mut dyn Source, nonblocking: bool) -> Result<u64, Errno> {
        let Pipe {
            buffer,
            readers,
            writers,
        } = &*self.0;
        let mut atomic = source.left() <= CAPACITY;
        let mut written = false;
        let result = transfer::run(source, |source, _| {
            let mut pipe = buffer.borrow_mut();
            if !pipe.has_reader {
                return Err(Errno::EPIPE);
            }
            let needed = if atomic { source.left() } else { 1 };
            if pipe.room() >= needed {
                // Nobody else runs until all of it is written.
                atomic = false;
                let step = pipe.write(source);
                written |= step.moved > 0;
                return Ok(step);
            }
            drop(pipe);
            if written {
                readers.wake_all();
                poll::changed();
                written = false;
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            writers.sleep()?;
            Ok(Step {
                moved: 0,
                next: Next::More,
            })
        });
        if written {
            readers.wake_all();
            poll::changed();
        }
        result
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let buffer = self.0.buffer.borrow();
        let mut ready = Readiness::empty();
        ready.set(Readiness::WRITE, buffer.room() > 0);
        ready.set(Readiness::ERROR, !buffer.has_reader);
        ready
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        self.0.buffer.borrow_mut().has_writer = false;
        self.0.readers.wake_all();
        poll::changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::transfer::tests::Buffer as User;
    use mm::frames;

    fn new() -> (ReadEnd, WriteEnd) {
        pipe().expect("there is memory")
    }

    fn write(end: &WriteEnd, bytes: &[u8]) -> Result<u64, Errno> {
        end.write(&mut User::new(bytes), true)
    }

    fn read(end: &ReadEnd, len: usize) -> Result<Vec<u8>, Errno> {
        let mut target = User::room(len);
        end.read(&mut target, true)?;
        Ok(target.bytes)
    }

    #[test]
    fn bytes_come_out_in_order_however_they_wrap() {
        let (reader, writer) = new();
        let mut sent = 0_u8;
        let mut got = 0_u8;
        for round in 0..200 {
            let bytes: Vec<_> = (0..37 * round % 3000)
                .map(|_| {
                    sent = sent.wrapping_add(1);
                    sent
                })
                .collect();
            assert_eq!(write(&writer, &bytes), Ok(bytes.len() as u64));
            while reader.available() > 0 {
                for byte in read(&reader, 1000).expect("there is something") {
                    got = got.wrapping_add(1);
                    assert_eq!(byte, got);
                }
            }
        }
    }

    #[test]
    fn small_writes_are_all_or_nothing() {
        let (reader, writer) = new();
        assert_eq!(write(&writer, &[1; 4000]), Ok(4000));
        assert_eq!(write(&writer, &[2; 97]), Err(Errno::EAGAIN));
        assert_eq!(write(&writer, &[2; 96]), Ok(96));
        assert_eq!(write(&writer, &[2; 1]), Err(Errno::EAGAIN));
        assert!(!writer.readiness().contains(Readiness::WRITE));
        assert_eq!(read(&reader, 5000).map(|bytes| bytes.len()), Ok(4096));
    }

    #[test]
    fn large_writes_fill_what_there_is() {
        let (reader, writer) = new();
        assert_eq!(write(&writer, &[1; 10]), Ok(10));
        assert_eq!(write(&writer, &[2; 5000]), Ok(4086));
        assert_eq!(read(&reader, 11).map(|bytes| bytes[10]), Ok(2));
    }

    #[test]
    fn faults_are_resolved_on_both_sides() {
        let (reader, writer) = new();
        let mut source = User::new(b"abcdefgh").with_faults(&[0, 3]);
        assert_eq!(writer.write(&mut source, true), Ok(8));
        let mut target = User::room(100).with_faults(&[0, 5]);
        assert_eq!(reader.read(&mut target, true), Ok(8));
        assert_eq!(target.bytes, b"abcdefgh");
        let mut source = User::new(b"abcd").with_end(0);
        assert_eq!(writer.write(&mut source, true), Err(Errno::EFAULT));
        assert_eq!(reader.available(), 0);
    }

    #[test]
    fn each_end_sees_the_other_go() {
        let (reader, writer) = new();
        assert_eq!(read(&reader, 1), Err(Errno::EAGAIN));
        assert_eq!(write(&writer, b"x"), Ok(1));
        drop(writer);
        assert_eq!(reader.readiness(), Readiness::READ | Readiness::HANG_UP);
        assert_eq!(read(&reader, 9), Ok(b"x".to_vec()));
        assert_eq!(read(&reader, 9), Ok(vec![]));
        let (reader, writer) = new();
        drop(reader);
        assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
        assert!(writer.readiness().contains(Readiness::ERROR));
    }

    #[test]
    fn a_pipe_without_ends_takes_no_memory() {
        let before = frames::free();
        let (reader, writer) = new();
        assert!(frames::free() < before);
        drop((reader, writer));
        assert_eq!(frames::free(), before);
    }
}
