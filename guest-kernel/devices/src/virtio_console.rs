//! Virtio consoles over MMIO (VIRTIO 1.2, 4.2 and 5.3): as serial ports are, but a VM exit
//! carries as much as there is.
//!
//! ```text
//!   CONSOLE  the first such device of the machine   output, input, size of the screen
//!   ERRORS   the second                             output of programs to standard error
//! ```
//!
//! The driver works synchronously: what was written is out when [`Message::send`]
//! returns, in order with what other ports are sent. Bytes are not copied: the device reads
//! them where they are.
//!
//! Setting a device up costs as many exits as some bytes by a serial port. So where both come
//! out at the same place, which our VMM says, little is sent by port.
//!
//! Rejected: one device with several ports (VIRTIO_CONSOLE_F_MULTIPORT), which needs two more
//! queues, and messages on them before each port can be used.

use core::cell::{Cell, UnsafeCell};

use abi::ports;
use abi::virtio_mmio::interrupt::CONFIGURATION_CHANGED;
use abi::virtio_mmio::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET};
use abi::virtio_mmio::{
    CONSOLE as DEVICE_ID, FEATURE_SIZE, FEATURE_VERSION_1, MAGIC, RECEIVE, TRANSMIT, VERSION,
    register,
};
use abi::virtual_map::KERNEL_BASE;
use arch::paging::{DEVICES, physical};
use single_cpu::SingleCpu;

use crate::io_apic;
use crate::serial::SerialPort;
use crate::virtqueue::{SIZE, Virtqueue};

/// Registers of the parts of a queue: descriptors, available and used ring. The high halves
/// follow.
const QUEUE_PARTS: [u64; 3] = [
    register::DESCRIPTORS_LOW,
    register::AVAILABLE_LOW,
    register::USED_LOW,
];
/// Columns in the low half, rows in the high one.
const SCREEN: u64 = register::CONFIGURATION;

/// Devices that the machine can have.
pub const WINDOWS: usize = 4;
/// Bytes that are sent by port before a device is set up, where that is allowed: about as
/// many as that costs exits.
const BY_PORT: usize = 64;
/// Bytes of the driver's own on their way out.
const BOUNCE: usize = 1024;
/// Bytes that are received at once.
const RECEIVED: usize = 32 << 10;

/// Where a device is, as the command line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Guest-physical address of its registers.
    pub address: u64,
    /// Its interrupt line.
    pub gsi: u32,
}

static FOUND: SingleCpu<[Cell<Option<Window>>; WINDOWS]> =
    SingleCpu::new([const { Cell::new(None) }; WINDOWS]);
/// Whether the devices are our VMM's.
static IS_LATE: SingleCpu<Cell<bool>> = SingleCpu::new(Cell::new(false));

/// Notes a virtio device of any kind. Those past the first [`WINDOWS`], and any that is not
/// where the boot tables map devices, are ignored.
pub fn add(window: Window) {
    let is_mapped = DEVICES.contains(&window.address) && window.address.is_multiple_of(4);
    let mut places = FOUND.iter();
    if let Some(place) = places.find(|place| place.get().is_none() && is_mapped) {
        place.set(Some(window));
    }
}

/// Notes the consoles of our VMM, whose output comes out where that of serial ports does.
pub fn add_consoles() {
    let console = (ports::VIRTIO_CONSOLE, ports::VIRTIO_CONSOLE_GSI);
    let errors = (ports::VIRTIO_ERRORS, ports::VIRTIO_ERRORS_GSI);
    for (address, gsi) in [console, errors] {
        add(Window { address, gsi });
    }
    IS_LATE.set(true);
}

/// The device that takes the output of `port`, if there is one and it is to be used for
/// `len` bytes that come next.
pub fn beside(port: SerialPort, len: usize) -> Option<&'static VirtioConsole> {
    let console = match port {
        SerialPort::CONSOLE => SingleCpu::value(&CONSOLE),
        SerialPort::ERRORS => SingleCpu::value(&ERRORS),
        _ => return None,
    };
    let sent = console.sent_by_port.get().saturating_add(len);
    if IS_LATE.get() && !console.is_started() && sent <= BY_PORT {
        console.sent_by_port.set(sent);
        return None;
    }
    console.start().then_some(console)
}

/// The device that takes the output of `port`, if it comes out elsewhere than that of the port.
pub fn instead_of(port: SerialPort) -> Option<&'static VirtioConsole> {
    match IS_LATE.get() {
        true => None,
        false => beside(port, 0),
    }
}

/// The machine's console.
pub static CONSOLE: SingleCpu<VirtioConsole> = SingleCpu::new(VirtioConsole::new(0));
/// Where standard error has one of its own.
pub static ERRORS: SingleCpu<VirtioConsole> = SingleCpu::new(VirtioConsole::new(1));

/// Memory that the device fills.
#[repr(C, align(4096))]
struct Received(UnsafeCell<[u8; RECEIVED]>);

/// Of [`CONSOLE`], which alone receives.
static INPUT: SingleCpu<Received> = SingleCpu::new(Received(UnsafeCell::new([0; RECEIVED])));

/// A device.
pub struct VirtioConsole {
    /// Which of the machine's consoles it is.
    number: usize,
    device: Cell<Device>,
    has_size: Cell<bool>,
    receive: Virtqueue,
    transmit: Virtqueue,
    bounce: UnsafeCell<[u8; BOUNCE]>,
    sent_by_port: Cell<usize>,
    /// What has been received and not been read: a range of [`INPUT`].
    unread: Cell<(usize, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    /// Not looked for yet.
    Unknown,
    /// There is none that works.
    Absent,
    /// Set up.
    Ready(Window),
}

impl VirtioConsole {
    const fn new(number: usize) -> Self {
        Self {
            number,
            device: Cell::new(Device::Unknown),
            has_size: Cell::new(false),
            receive: Virtqueue::new(true),
            transmit: Virtqueue::new(false),
            bounce: UnsafeCell::new([0; BOUNCE]),
            sent_by_port: Cell::new(0),
            unread: Cell::new((0, 0)),
        }
    }

    /// Whether it has been set up.
    pub fn is_started(&self) -> bool {
        matches!(self.device.get(), Device::Ready(_))
    }

    /// Sets it up, if that has not been done, and says whether the machine has it.
    pub fn start(&self) -> bool {
        if self.device.get() == Device::Unknown {
            let consoles = FOUND.iter().filter_map(Cell::get);
            let found = consoles.filter(is_console).nth(self.number);
            let ready = found.filter(|&window| self.set_up(window));
            self.device.set(ready.map_or(Device::Absent, Device::Ready));
        }
        self.is_started()
    }

    /// VIRTIO 1.2, 3.1.1. Whether the device agrees.
    fn set_up(&self, window: Window) -> bool {
        window.write(register::STATUS, 0);
        window.write(register::STATUS, ACKNOWLEDGE | DRIVER);
        window.write(register::DEVICE_FEATURES_SELECT, 0);
        let features = window.read(register::DEVICE_FEATURES) & FEATURE_SIZE as u32;
        window.write(register::DRIVER_FEATURES_SELECT, 0);
        window.write(register::DRIVER_FEATURES, features);
        window.write(register::DRIVER_FEATURES_SELECT, 1);
        window.write(register::DRIVER_FEATURES, (FEATURE_VERSION_1 >> 32) as u32);
        window.write(register::STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        self.has_size.set(features != 0);
        let agreed = window.read(register::STATUS) & FEATURES_OK != 0
            && (self.number > 0 || set_up_queue(window, RECEIVE, &self.receive))
            && set_up_queue(window, TRANSMIT, &self.transmit);
        if agreed {
            let all = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
            window.write(register::STATUS, all);
        }
        agreed
    }

    /// Calls `handler` at each interrupt: received bytes, or another size of the screen.
    pub fn enable_interrupt(&self, handler: fn()) {
        if let Device::Ready(window) = self.device.get() {
            io_apic::connect(window.gsi, handler);
        }
    }

    /// Acknowledges an interrupt; says whether the screen may have another size.
    pub fn acknowledge(&self) -> bool {
        let Device::Ready(window) = self.device.get() else {
            return false;
        };
        let causes = window.read(register::INTERRUPT_STATUS);
        window.write(register::INTERRUPT_ACKNOWLEDGE, causes);
        causes & CONFIGURATION_CHANGED != 0
    }

    /// Columns and rows of the screen, if the device knows.
    pub fn screen(&self) -> Option<(u16, u16)> {
        let Device::Ready(window) = self.device.get() else {
            return None;
        };
        if !self.has_size.get() {
            return None;
        }
        // One access reads both, so they belong together.
        let size = window.read(SCREEN);
        Some((size as u16, (size >> u16::BITS) as u16))
    }

    /// Starts a message of up to [`Message::PIECES`] pieces of memory.
    pub fn message(&self) -> Message<'_> {
        Message {
            console: self,
            pieces: 0,
        }
    }

    /// Sends what `fill` puts into the front of a buffer; it says how much that is.
    pub fn send_copied(&self, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        // SAFETY: nothing else refers to the buffer but the device, while `notify` waits for
        // it. `fill` must not send: then the message would be a mixture, but memory is safe.
        let buffer = unsafe { &mut *self.bounce.get() };
        let len = fill(buffer).min(BOUNCE);
        let mut message = self.message();
        message.add(physical(buffer.as_ptr() as u64), len);
        message.send();
        len
    }

    /// What has been received and not been read: asks the device if there is nothing, one VM
    /// exit. After 0 bytes an interrupt announces more.
    pub fn available(&self) -> usize {
        let (start, end) = self.unread.get();
        if start < end || !self.is_started() {
            return end - start;
        }
        if !self.receive.is_out() {
            let address = physical(INPUT.0.get() as u64);
            // SAFETY: the buffer is read in `with_received` alone, and only once it is back.
            unsafe { self.receive.set_writable(0, address, RECEIVED as u32) };
            self.receive.publish(1);
        } else if self.take_received() {
            return self.available();
        }
        self.notify(RECEIVE);
        self.take_received();
        let (start, end) = self.unread.get();
        end - start
    }

    fn take_received(&self) -> bool {
        let returned = self.receive.take_returned();
        if let Some(len) = returned {
            self.unread.set((0, RECEIVED.min(len as usize)));
        }
        returned.is_some()
    }

    /// Hands what is [available](Self::available) to `read`, which says how many bytes of it,
    /// from the first on, it has taken.
    pub fn with_received(&self, read: impl FnOnce(&[u8]) -> usize) -> usize {
        let (start, end) = self.unread.get();
        if start == end {
            return 0;
        }
        // SAFETY: the device has returned the buffer, and gets it back only when all of it
        // has been read.
        let bytes = unsafe { &(&*INPUT.0.get())[start..end] };
        let taken = read(bytes).min(bytes.len());
        self.unread.set((start + taken, end));
        taken
    }

    /// Whether the device has not given up.
    fn works(&self) -> bool {
        match self.device.get() {
            Device::Ready(window) => window.read(register::STATUS) & NEEDS_RESET == 0,
            Device::Unknown | Device::Absent => false,
        }
    }

    fn notify(&self, queue: u32) {
        if let Device::Ready(window) = self.device.get() {
            window.write(register::QUEUE_NOTIFY, queue);
        }
    }
}

/// Memory to be sent at once.
pub struct Message<'a> {
    console: &'a VirtioConsole,
    pieces: usize,
}

impl Message<'_> {
    /// The most that a message can have.
    pub const PIECES: usize = SIZE;

    /// Adds `len` bytes of physical memory, at most 4 GiB, and says whether there is room for
    /// another piece.
    ///
    /// # Panics
    /// There was none before.
    pub fn add(&mut self, address: u64, len: usize) -> bool {
        if len > 0 {
            let transmit = &self.console.transmit;
            transmit.set_readable(self.pieces, address, len as u32);
            self.pieces += 1;
        }
        self.pieces < Self::PIECES
    }

    /// Sends it: one VM exit. Returns when the device has taken all of it.
    pub fn send(self) {
        if self.pieces == 0 {
            return;
        }
        let transmit = &self.console.transmit;
        transmit.publish(self.pieces);
        self.console.notify(TRANSMIT);
        // Ours has taken it by now; others may be at work meanwhile.
        while transmit.take_returned().is_none() {
            assert!(self.console.works(), "the virtio console has given up");
        }
    }
}

fn is_console(window: &Window) -> bool {
    window.read(register::MAGIC) == MAGIC
        && window.read(register::VERSION) == VERSION
        && window.read(register::DEVICE_ID) == DEVICE_ID
}

/// Tells the device where a queue is; whether it can be as long as it is.
fn set_up_queue(window: Window, number: u32, queue: &Virtqueue) -> bool {
    window.write(register::QUEUE_SELECT, number);
    if window.read(register::QUEUE_SIZE_MAX) < SIZE as u32 {
        return false;
    }
    window.write(register::QUEUE_SIZE, SIZE as u32);
    for (register, address) in QUEUE_PARTS.into_iter().zip(queue.addresses()) {
        window.write(register, address as u32);
        window.write(register + 4, (address >> 32) as u32);
    }
    window.write(register::QUEUE_READY, 1);
    true
}

impl Window {
    fn read(&self, register: u64) -> u32 {
        let place = (KERNEL_BASE | self.address) + register;
        // SAFETY: `add` has checked that the boot tables map the window, which is a device's.
        unsafe { (place as *const u32).read_volatile() }
    }

    fn write(&self, register: u64, value: u32) {
        let place = (KERNEL_BASE | self.address) + register;
        // SAFETY: as for `read`; the memory that a value names to the device is the queues'.
        unsafe { (place as *mut u32).write_volatile(value) }
    }
}
