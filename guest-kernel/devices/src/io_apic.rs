//! The I/O APIC: which interrupt line is delivered as which vector (Intel 82093AA
//! datasheet), and the handlers of these.
//!
//! The layers above register their functions, so that the scheduler, which serves the
//! interrupts, need not know the devices. A line is set up when its driver asks: a machine
//! that reads no input has no I/O APIC accesses at all.

use core::cell::Cell;

use abi::{ports::IO_APIC, virtual_map::KERNEL_BASE};
use arch::trap::vector::FIRST_INTERRUPT;
use single_cpu::SingleCpu;

/// The boot page tables map devices at their GPA with all high bits set.
const WINDOW: u64 = IO_APIC | KERNEL_BASE;
/// The index register selects what the data register shows.
const INDEX: u64 = WINDOW;
const DATA: u64 = WINDOW + 0x10;
/// Two registers for each line from here on: low half, high half.
const REDIRECTION: u32 = 0x10;

/// Lines that can be connected: the PC's 16, and 8 that are usual for other devices.
const LINES: usize = 24;

/// The registered handlers.
type Handler = Cell<Option<fn()>>;

static HANDLERS: SingleCpu<[Handler; LINES]> =
    SingleCpu::new([const { Handler::new(None) }; LINES]);

/// Unmasks interrupt line `gsi`, each edge of which calls `handler`.
///
/// A line that the I/O APIC does not have never calls it.
pub fn connect(gsi: u32, handler: fn()) {
    let Some(place) = HANDLERS.get(gsi as usize) else {
        return;
    };
    place.set(Some(handler));
    let entry = REDIRECTION + 2 * gsi;
    // Destination 0 is the first CPU. Then the rest: fixed delivery of the vector, active
    // high, edge-triggered, not masked, all of which are zeros.
    write(entry + 1, 0);
    write(entry, u32::from(FIRST_INTERRUPT) + gsi);
}

/// Calls the handler of the interrupt with this vector; the caller acknowledges it.
pub fn serve(vector: u8) {
    let line = vector
        .checked_sub(FIRST_INTERRUPT)
        .map(|line| line as usize);
    if let Some(handler) = line.and_then(|line| HANDLERS.get(line)?.get()) {
        handler();
    }
}

fn write(register: u32, value: u32) {
    // SAFETY: the boot tables map the window, and a line that interrupts with a device's
    // vector cannot harm memory.
    unsafe {
        (INDEX as *mut u32).write_volatile(register);
        (DATA as *mut u32).write_volatile(value);
    }
}
