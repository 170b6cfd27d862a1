//! Standard input that is no terminal: bytes as they are, in order, to their end.
//!
//! The machine's port is first accessed when a program reads or polls. Bytes are fetched in
//! blocks, however few a program reads: each query and each block is a VM exit. They are
//! buffered here for the next reader; there is one stream, which all programs share.
//!
//! Who reads much gets the rest by the virtio console, if there is one: larger blocks, which
//! need no query before there are no bytes.

use core::cell::{Cell, RefCell};

use abi::Errno;
use devices::input::{self, Available};
use devices::virtio_console::{self, VirtioConsole};
use single_cpu::SingleCpu;

use crate::fs::poll::{self, Readiness};
use crate::fs::transfer::{self, Step, Target};
use crate::proc::wait_queue::WaitQueue;

/// Bytes that are fetched at a time: a page, which KVM fetches with the fewest exits.
const CHUNK: usize = 4096;
/// Blocks that are fetched by port before the console is used, which costs about as many
/// exits to set up.
const BY_PORT: usize = 8;

/// The machine's standard input.
pub static INPUT: SingleCpu<InputStream> = SingleCpu::new(InputStream::new(Port {
    available: input::available,
    read: input::read,
    enable_interrupt: || input::enable_interrupt(|| INPUT.changed()),
    console: Some(SingleCpu::value(&virtio_console::CONSOLE)),
}));

/// The source of the bytes.
struct Port {
    available: fn() -> Available,
    read: fn(&mut [u8]),
    enable_interrupt: fn(),
    console: Option<&'static VirtioConsole>,
}

/// A stream of input.
pub struct InputStream {
    port: Port,
    fetched: RefCell<Fetched>,
    /// Blocks that have been fetched from the port.
    blocks: Cell<usize>,
    readers: WaitQueue,
    /// The port interrupts when it has bytes again.
    interrupts: Cell<bool>,
    /// The port has said that there will be no more.
    has_ended: Cell<bool>,
}

/// Bytes that have been fetched and not read.
#[repr(C, align(4096))]
struct Fetched {
    bytes: [u8; CHUNK],
    start: usize,
    end: usize,
}

impl InputStream {
    const fn new(port: Port) -> Self {
        Self {
            port,
            fetched: RefCell::new(Fetched {
                bytes: [0; CHUNK],
                start: 0,
                end: 0,
            }),
            blocks: Cell::new(0),
            readers: WaitQueue::new(),
            interrupts: Cell::new(false),
            has_ended: Cell::new(false),
        }
    }

    /// Reads what there is, and waits for something unless `nonblocking`; 0 at the end.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        if target.left() == 0 {
            return Ok(0);
        }
        loop {
            match self.available() {
                Available::End => return Ok(0),
                Available::Bytes(0) if nonblocking => return Err(Errno::EAGAIN),
                Available::Bytes(0) => self.readers.sleep()?,
                Available::Bytes(_) => break,
            }
        }
        transfer::run(target, |target, done| {
            // No other thread has run since the loop found bytes.
            if done > 0 && !matches!(self.available(), Available::Bytes(1..)) {
                return Ok(Step::stop());
            }
            let mut step = Step::stop();
            self.with_front(|front| {
                let wanted = front.len().min(target.left());
                let moved = target.put(&front[..wanted]);
                step = Step::copied(moved, wanted);
                moved
            });
            Ok(step)
        })
    }

    /// Hands what is next to `read`, which says how much of it it has taken.
    fn with_front(&self, read: impl FnOnce(&[u8]) -> usize) {
        let mut fetched = self.fetched.borrow_mut();
        match self.console() {
            Some(console) if fetched.rest().is_empty() => {
                console.with_received(read);
            }
            _ => fetched.start += read(fetched.rest()),
        }
    }

    /// The console, once it brings the bytes.
    fn console(&self) -> Option<&'static VirtioConsole> {
        let console = self.port.console?;
        (self.blocks.get() >= BY_PORT && console.start()).then_some(console)
    }

    /// What can be read at once, which is fetched if it was not.
    pub fn available(&self) -> Available {
        let mut fetched = self.fetched.borrow_mut();
        if fetched.rest().is_empty() && !self.has_ended.get() {
            let received = self.console().map_or(0, VirtioConsole::available);
            if received > 0 {
                return Available::Bytes(received);
            }
            match self.ask() {
                Available::Bytes(count) => {
                    fetched.start = 0;
                    fetched.end = count.min(CHUNK);
                    let end = fetched.end;
                    (self.port.read)(&mut fetched.bytes[..end]);
                    self.blocks.set(self.blocks.get() + 1);
                }
                Available::End => self.has_ended.set(true),
            }
        }
        match fetched.rest().len() {
            0 if self.has_ended.get() => Available::End,
            count => Available::Bytes(count),
        }
    }

    fn ask(&self) -> Available {
        match (self.port.available)() {
            Available::Bytes(0) if !self.interrupts.replace(true) => {
                (self.port.enable_interrupt)();
                // Bytes that came before do not interrupt.
                (self.port.available)()
            }
            available => available,
        }
    }

    /// What a poll would find: as of a pipe.
    pub fn readiness(&self) -> Readiness {
        match self.available() {
            Available::End => Readiness::HANG_UP,
            Available::Bytes(0) => Readiness::empty(),
            Available::Bytes(_) => Readiness::READ,
        }
    }

    /// The port has bytes again, or has come to its end.
    fn changed(&self) {
        self.readers.wake_all();
        poll::changed();
    }
}

impl Fetched {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::transfer::Transfer;

    std::thread_local! {
        /// What the port says and has, one answer after the other; then it has ended.
        static ANSWERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
        static QUESTIONS: Cell<usize> = const { Cell::new(0) };
    }

    fn stream(answers: &[&[u8]]) -> InputStream {
        ANSWERS.set(answers.iter().rev().map(|bytes| bytes.to_vec()).collect());
        QUESTIONS.set(0);
        InputStream::new(Port {
            available: || {
                QUESTIONS.set(QUESTIONS.get() + 1);
                ANSWERS.with_borrow_mut(|answers| match answers.last() {
                    Some(bytes) if bytes.is_empty() => {
                        answers.pop();
                        Available::Bytes(0)
                    }
                    Some(bytes) => Available::Bytes(bytes.len()),
                    None => Available::End,
                })
            },
            read: |target| {
                if target.is_empty() {
                    return;
                }
                ANSWERS.with_borrow_mut(|answers| {
                    let mut bytes = answers.pop().expect("there are bytes");
                    target.copy_from_slice(&bytes[..target.len()]);
                    bytes.drain(..target.len());
                    if !bytes.is_empty() {
                        answers.push(bytes);
                    }
                });
            },
            enable_interrupt: || {},
            console: None,
        })
    }

    /// Room for `left` bytes; every put that has `fault` moves one byte and stops.
    struct Room {
        bytes: Vec<u8>,
        left: usize,
        faults: usize,
    }

    impl Transfer for Room {
        fn left(&self) -> usize {
            self.left
        }

        fn resolve(&mut self) -> Result<(), Errno> {
            self.faults -= 1;
            Ok(())
        }
    }

    impl Target for Room {
        fn put(&mut self, bytes: &[u8]) -> usize {
            let count = if self.faults > 0 { 1 } else { bytes.len() };
            self.bytes.extend_from_slice(&bytes[..count]);
            self.left -= count;
            count
        }
    }

    fn read(stream: &InputStream, len: usize, faults: usize) -> Result<Vec<u8>, Errno> {
        let mut room = Room {
            bytes: Vec::new(),
            left: len,
            faults,
        };
        let count = stream.read(&mut room, true)?;
        assert_eq!(room.bytes.len() as u64, count);
        Ok(room.bytes)
    }

    #[test]
    fn bytes_come_as_they_are_and_in_order() {
        let long: Vec<u8> = (0..3 * CHUNK).map(|n| (n % 251) as u8).collect();
        let stream = stream(&[&long, b"\x03\x04\0", b"", b"last"]);
        let mut all = Vec::new();
        for len in [1, 2, CHUNK, 3 * CHUNK] {
            all.extend(read(&stream, len, 3).expect("there is something"));
        }
        assert_eq!(all[..long.len()], long);
        assert_eq!(all[long.len()..], *b"\x03\x04\0last");
    }

    #[test]
    fn small_reads_ask_the_port_once() {
        let stream = stream(&[b"a line of it\n"]);
        for byte in *b"a line of it\n" {
            assert_eq!(read(&stream, 1, 0), Ok(vec![byte]));
        }
        assert_eq!(QUESTIONS.get(), 1);
    }

    #[test]
    fn the_end_is_read_again_and_again() {
        let stream = stream(&[b"x"]);
        assert_eq!(stream.readiness(), Readiness::READ);
        assert_eq!(read(&stream, 9, 0), Ok(b"x".to_vec()));
        for _ in 0..3 {
            assert_eq!(read(&stream, 9, 0), Ok(vec![]));
            assert_eq!(stream.readiness(), Readiness::HANG_UP);
        }
        assert_eq!(QUESTIONS.get(), 2);
    }

    #[test]
    fn nothing_yet_is_no_end() {
        let stream = stream(&[b"", b"", b"", b"x"]);
        assert_eq!(read(&stream, 9, 0), Err(Errno::EAGAIN));
        assert_eq!(stream.readiness(), Readiness::empty());
        assert_eq!(stream.available(), Available::Bytes(1));
    }
}
