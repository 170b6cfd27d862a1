//! The console (VIRTIO 1.2, 5.3) with one port: bytes out, bytes in, the size of a screen.
//!
//! Rejected: several ports in one device (VIRTIO_CONSOLE_F_MULTIPORT): a device for each costs
//! no messages on control queues, and is there for drivers that know no ports.

use std::ops::Range;

use abi::virtio_mmio::{self, CONSOLE, FEATURE_SIZE};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::mmio::Transport;
use crate::memory::GuestRam;

const RECEIVE: usize = virtio_mmio::RECEIVE as usize;
const TRANSMIT: usize = virtio_mmio::TRANSMIT as usize;

/// The flag of an available ring that asks for no interrupts.
const NO_INTERRUPT: u16 = 1 << 0;

/// Bytes that a guest can send as one message, far more than drivers do.
const LONGEST: usize = 4 << 20;
/// Bytes that are copied from guest RAM at a time.
const CHUNK: usize = 1 << 16;

/// Size of a screen in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// The guest has put something into a queue that makes no sense.
#[derive(Debug)]
struct Senseless;

impl<E: std::error::Error> From<E> for Senseless {
    fn from(_: E) -> Self {
        Self
    }
}

/// The device.
pub struct VirtioConsole {
    transport: Transport<2>,
    ram: GuestRam,
    screen: Option<ScreenSize>,
    chunk: Vec<u8>,
    /// Whether there is guest memory that waits for input.
    wants_input: bool,
    written: Vec<Range<u64>>,
}

impl VirtioConsole {
    /// A device of a machine with this RAM, with the size of a screen if it ends at one.
    pub fn new(ram: GuestRam, screen: Option<ScreenSize>) -> Self {
        let features = if screen.is_some() { FEATURE_SIZE } else { 0 };
        Self {
            transport: Transport::new(CONSOLE, features),
            ram,
            screen,
            chunk: Vec::new(),
            wants_input: false,
            written: Vec::new(),
        }
    }

    /// Reads registers.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let ScreenSize { columns, rows } = self.screen.unwrap_or(ScreenSize {
            columns: 0,
            rows: 0,
        });
        let words = [columns, rows].map(u16::to_le_bytes);
        self.transport.read(offset, data, words.as_flattened());
    }

    /// Writes a register. What the guest sends goes to `send`, piece by piece. Returns whether
    /// it has made a buffer for input available.
    pub fn write(&mut self, offset: u64, data: &[u8], send: impl FnMut(&[u8])) -> bool {
        let notified = self.transport.write(offset, data, self.ram.mmap());
        match notified.map(|queue| queue as usize) {
            Some(RECEIVE) => {
                self.look_for_buffer();
                self.wants_input
            }
            Some(TRANSMIT) => {
                if self.transmit(send).is_err() {
                    self.transport.give_up();
                }
                false
            }
            _ => {
                self.wants_input &= self.transport.is_live();
                false
            }
        }
    }

    fn transmit(&mut self, mut send: impl FnMut(&[u8])) -> Result<(), Senseless> {
        let Some(queue) = self.transport.queue(TRANSMIT) else {
            return Ok(());
        };
        let memory = self.ram.mmap();
        self.chunk.resize(CHUNK, 0);
        let mut used = false;
        // A ring that refers to itself may seem to be full for ever.
        for _ in 0..queue.size() {
            let Some(chain) = queue.iter(memory)?.next() else {
                break;
            };
            let (head, mut sent, mut filled) = (chain.head_index(), 0, 0);
            for piece in chain.readable() {
                let (mut address, mut left) = (piece.addr().0, piece.len() as usize);
                sent += left;
                if sent > LONGEST {
                    return Err(Senseless);
                }
                while left > 0 {
                    let count = left.min(CHUNK - filled);
                    self.ram.read(address, &mut self.chunk[filled..][..count])?;
                    (filled, left) = (filled + count, left - count);
                    address += count as u64;
                    if filled == CHUNK {
                        send(&self.chunk);
                        filled = 0;
                    }
                }
            }
            send(&self.chunk[..filled]);
            queue.add_used(memory, head, 0)?;
            used = true;
        }
        if used && wants_interrupt(queue, &self.ram)? {
            self.transport.interrupt_for_queue();
        }
        Ok(())
    }

    /// Whether the guest's driver is ready.
    pub fn is_live(&self) -> bool {
        self.transport.is_live()
    }

    /// Whether the guest has memory ready for input.
    #[inline]
    pub fn wants_input(&self) -> bool {
        self.wants_input
    }

    fn look_for_buffer(&mut self) {
        let ram = &self.ram;
        self.wants_input = self.transport.queue(RECEIVE).is_some_and(|queue| {
            let index = queue.avail_idx(ram.mmap(), std::sync::atomic::Ordering::Acquire);
            index.is_ok_and(|index| index.0 != queue.next_avail())
        });
    }

    /// Hands `bytes` to the guest; returns how many it took, from the first on.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let taken = self.try_receive(bytes).unwrap_or_else(|Senseless| {
            self.transport.give_up();
            0
        });
        self.look_for_buffer();
        taken
    }

    fn try_receive(&mut self, bytes: &[u8]) -> Result<usize, Senseless> {
        let Some(queue) = self.transport.queue(RECEIVE) else {
            return Ok(0);
        };
        let memory = self.ram.mmap();
        let mut taken = 0;
        for _ in 0..queue.size() {
            if taken == bytes.len() {
                break;
            }
            let Some(chain) = queue.iter(memory)?.next() else {
                break;
            };
            let (head, start) = (chain.head_index(), taken);
            for piece in chain.writable() {
                let count = (piece.len() as usize).min(bytes.len() - taken);
                memory.write_slice(&bytes[taken..][..count], piece.addr())?;
                let address = piece.addr().0;
                self.written.push(address..address + count as u64);
                taken += count;
            }
            queue.add_used(memory, head, (taken - start) as u32)?;
        }
        if taken > 0 && wants_interrupt(queue, &self.ram)? {
            self.transport.interrupt_for_queue();
        }
        Ok(taken)
    }

    /// Says that the screen has another size.
    pub fn set_screen(&mut self, size: ScreenSize) {
        if self.screen.is_some_and(|before| before != size) {
            self.screen = Some(size);
            self.transport.change_configuration();
        }
    }

    /// The ranges of guest RAM that input has been put into since the last call.
    pub fn take_written(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.written)
    }

    /// Whether there are any.
    #[inline]
    pub fn has_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether an interrupt has become due since the last call.
    pub fn take_interrupt(&mut self) -> bool {
        self.transport.take_interrupt()
    }

    /// Whether the device asserts its interrupt line.
    pub fn is_interrupting(&self) -> bool {
        self.transport.is_interrupting()
    }
}

/// Whether the driver wants to be told of what has been used.
fn wants_interrupt(queue: &Queue, ram: &GuestRam) -> Result<bool, Senseless> {
    let flags: u16 = ram.mmap().read_obj(GuestAddress(queue.avail_ring()))?;
    Ok(flags & NO_INTERRUPT == 0)
}
