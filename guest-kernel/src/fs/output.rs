//! Output as a stream of bytes: by a virtio console where there is one, else by a serial port.
//!
//! The console reads a program's memory where it is, so that a write of any size costs an
//! exit for each 64 pages, and no copy. A port costs an exit a byte.

use core::cell::RefCell;

use abi::Errno;
use devices::serial::SerialPort;
use devices::virtio_console::{self, VirtioConsole};
use single_cpu::SingleCpu;

use crate::fs::transfer::{self, Source, Step};

/// Bytes that go to a port at a time.
const CHUNK: usize = 256;

/// Buffer of output. Not on the stack, where it would have to be cleared for every call.
static BUFFER: SingleCpu<RefCell<[u8; CHUNK]>> = SingleCpu::new(RefCell::new([0; CHUNK]));

/// Writes everything to `port`, or to the console beside it.
///
/// # Errors
/// EFAULT, before anything is written.
pub fn send(port: SerialPort, source: &mut dyn Source) -> Result<u64, Errno> {
    if let Some(console) = virtio_console::beside(port, source.left()) {
        return transfer::run(source, |source, _| Ok(send_some(console, source)));
    }
    transfer::run(source, |source, _| {
        let mut buffer = BUFFER.borrow_mut();
        let wanted = source.left().min(CHUNK);
        let moved = source.take(&mut buffer[..wanted]);
        port.send(&buffer[..moved]);
        Ok(Step::copied(moved, wanted))
    })
}

/// Sends one message of what is left.
fn send_some(console: &VirtioConsole, source: &mut dyn Source) -> Step {
    let left = source.left();
    let (mut message, mut is_full) = (console.message(), false);
    let lent = source.read_in_place(&mut |address, len| {
        is_full = !message.add(address, len);
        !is_full
    });
    message.send();
    match lent {
        Some(moved) if is_full => Step::copied(moved, moved),
        Some(moved) => Step::copied(moved, left),
        None => {
            let mut wanted = 0;
            let moved = console.send_copied(|buffer| {
                wanted = left.min(buffer.len());
                source.take(&mut buffer[..wanted])
            });
            Step::copied(moved, wanted)
        }
    }
}

/// Writes a few bytes of the kernel's own: by port where that comes out at the same place,
/// since a message takes more instructions than a byte or two.
pub fn echo(port: SerialPort, bytes: &[u8]) {
    let console = virtio_console::instead_of(port);
    let Some(console) = console else {
        return port.send(bytes);
    };
    for piece in bytes.chunks(CHUNK) {
        console.send_copied(|buffer| {
            buffer[..piece.len()].copy_from_slice(piece);
            piece.len()
        });
    }
}
