use fastrand::Rng;
use vm_memory::{Bytes, GuestAddress};

use super::{QUEUE_SIZE, ScreenSize, VirtioConsole};
use crate::memory::GuestRam;

const RAM: u64 = 1 << 20;
const STATUS: u64 = 0x70;
const FEATURES_OK: u32 = 8;
const ALL_OK: u32 = 15;
const NEEDS_RESET: u32 = 64;
/// Flags of descriptors.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;
const SCREEN: ScreenSize = ScreenSize {
    columns: 80,
    rows: 25,
};

/// A driver that does what the tests want.
struct Driver {
    console: VirtioConsole,
    ram: GuestRam,
    sent: Vec<u8>,
    made_available: [u16; 2],
}

/// Where the descriptors, the available and the used ring of a queue are.
fn places(queue: u32) -> [u64; 3] {
    [0x1000, 0x2000, 0x3000].map(|place| place + 0x4000 * u64::from(queue))
}

impl Driver {
    fn new() -> Self {
        let ram = GuestRam::new(RAM).expect("memory");
        let console = VirtioConsole::new(ram.clone(), Some(SCREEN));
        Self {
            console,
            ram,
            sent: Vec::new(),
            made_available: [0; 2],
        }
    }

    fn ready() -> Self {
        let mut driver = Self::new();
        driver.set_up();
        driver
    }

    fn set_up(&mut self) {
        self.made_available = [0; 2];
        for (offset, value) in [(STATUS, 0), (STATUS, 3), (0x24, 1), (0x20, 1), (STATUS, 11)] {
            self.write(offset, value);
        }
        assert_eq!(self.read(STATUS), 11);
        for queue in [RECEIVE, TRANSMIT] {
            self.write(0x30, queue);
            assert_eq!(self.read(0x34), u32::from(QUEUE_SIZE));
            for (offset, place) in [0x80, 0x90, 0xa0].into_iter().zip(places(queue)) {
                self.put(place, &[0; 0x1000]);
                self.write(offset, place as u32);
            }
            self.write(0x44, 1);
            assert_eq!(self.read(0x44), 1);
        }
        self.write(STATUS, ALL_OK);
    }

    fn read(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.console.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn write(&mut self, offset: u64, value: u32) -> bool {
        let sent = &mut self.sent;
        let send = |bytes: &[u8]| sent.extend(bytes);
        self.console.write(offset, &value.to_le_bytes(), send)
    }

    fn put(&self, gpa: u64, bytes: &[u8]) {
        self.ram.write(gpa, bytes).expect("it is RAM");
    }

    fn describe(&self, queue: u32, number: u16, descriptor: (u64, u32, u16, u16)) {
        let (address, len, flags, next) = descriptor;
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.put(places(queue)[0] + 16 * u64::from(number), &bytes);
    }

    /// Makes the chain from `first` on available, and notifies the device.
    fn publish(&mut self, queue: u32, first: u16) -> bool {
        let available = places(queue)[1];
        let index = &mut self.made_available[queue as usize];
        let slot = u64::from(*index % QUEUE_SIZE);
        *index = index.wrapping_add(1);
        let index = *index;
        self.put(available + 4 + 2 * slot, &first.to_le_bytes());
        self.put(available + 2, &index.to_le_bytes());
        self.write(0x50, queue)
    }

    /// How many chains the device has used, and the bytes written to the last.
    fn used(&self, queue: u32) -> (u16, u32) {
        let place = places(queue)[2];
        let ram = self.ram.mmap();
        let index: u16 = ram.read_obj(GuestAddress(place + 2)).expect("RAM");
        let slot = u64::from(index.wrapping_sub(1) % QUEUE_SIZE);
        let len = ram.read_obj(GuestAddress(place + 8 + 8 * slot));
        (index, len.expect("RAM"))
    }

    #[track_caller]
    fn assert_given_up(&mut self) {
        assert_eq!(self.read(STATUS) & NEEDS_RESET, NEEDS_RESET);
        assert!(!self.console.is_live() && self.console.take_interrupt());
        self.sent.clear();
        self.set_up();
        self.put(0x9000, b"works");
        self.describe(TRANSMIT, 0, (0x9000, 5, 0, 0));
        self.publish(TRANSMIT, 0);
        assert_eq!(self.sent, b"works");
    }
}

#[test]
fn a_chain_is_one_message() {
    let mut driver = Driver::ready();
    driver.put(0x9000, b"Hello, ");
    driver.put(0xa000, b"world\n");
    driver.describe(TRANSMIT, 5, (0x9000, 7, NEXT, 2));
    driver.describe(TRANSMIT, 2, (0xb000, 99, NEXT | WRITE, 1));
    driver.describe(TRANSMIT, 1, (0xa000, 6, 0, 0));
    assert!(!driver.publish(TRANSMIT, 5));
    assert_eq!(driver.sent, b"Hello, world\n");
    assert_eq!(driver.used(TRANSMIT), (1, 0));
    assert!(driver.console.take_interrupt() && driver.console.is_interrupting());
    assert_eq!(driver.read(0x60), 1);
    driver.write(0x64, 1);
    assert!(!driver.console.is_interrupting());
    // Who asks for none gets none.
    driver.put(places(TRANSMIT)[1], &1_u16.to_le_bytes());
    driver.publish(TRANSMIT, 1);
    assert_eq!(driver.sent, b"Hello, world\nworld\n");
    assert!(!driver.console.take_interrupt());
}

#[test]
fn input_waits_for_buffers() {
    let mut driver = Driver::ready();
    assert!(!driver.console.wants_input());
    assert_eq!(driver.console.receive(b"early"), 0);
    driver.describe(RECEIVE, 0, (0x9000, 4, NEXT | WRITE, 1));
    driver.describe(RECEIVE, 1, (0xa000, 2, WRITE, 0));
    assert!(driver.publish(RECEIVE, 0));
    assert_eq!(driver.console.receive(b"12345678"), 6);
    assert_eq!(driver.used(RECEIVE), (1, 6));
    assert!(driver.console.take_interrupt() && !driver.console.wants_input());
    assert_eq!(
        driver.console.take_written(),
        [0x9000..0x9004, 0xa000..0xa002]
    );
    let mut bytes = [0; 2];
    driver.ram.read(0xa000, &mut bytes).expect("RAM");
    assert_eq!(&bytes, b"56");
    driver.publish(RECEIVE, 0);
    assert_eq!(driver.console.receive(b"x"), 1);
    assert_eq!(driver.used(RECEIVE), (2, 1));
    // A buffer that cannot be written to takes nothing.
    driver.describe(RECEIVE, 3, (0x9000, 4, 0, 0));
    driver.publish(RECEIVE, 3);
    assert_eq!(driver.console.receive(b"x"), 0);
}

#[test]
fn a_screen_has_a_size_that_changes() {
    let mut driver = Driver::ready();
    assert_eq!(driver.read(0x100), 25 << 16 | 80);
    let mut rows = [0; 2];
    driver.console.read(0x102, &mut rows);
    assert_eq!(rows, [25, 0]);
    let generation = driver.read(0xfc);
    driver.console.set_screen(SCREEN);
    assert!(!driver.console.take_interrupt());
    driver.console.set_screen(ScreenSize { rows: 50, ..SCREEN });
    assert!(driver.console.take_interrupt());
    assert_eq!((driver.read(0x60), driver.read(0x100)), (2, 50 << 16 | 80));
    assert_ne!(driver.read(0xfc), generation);
    let without = VirtioConsole::new(driver.ram.clone(), None);
    let mut features = [0; 4];
    without.read(0x10, &mut features);
    assert_eq!(features, [0; 4]);
}

#[test]
fn features_must_be_agreed_on() {
    let mut driver = Driver::new();
    for (accepted, agreed) in [
        ([0, 0], false),
        ([0, 1], true),
        ([1, 1], true),
        ([2, 1], false),
    ] {
        for (half, features) in accepted.into_iter().enumerate() {
            driver.write(0x24, half as u32);
            driver.write(0x20, features);
        }
        driver.write(STATUS, 3);
        driver.write(STATUS, 11);
        assert_eq!(
            driver.read(STATUS) & FEATURES_OK != 0,
            agreed,
            "{accepted:?}"
        );
        driver.write(STATUS, 0);
    }
}

#[test]
fn senseless_chains_stop_the_device_until_it_is_reset() {
    let mut driver = Driver::ready();
    for chain in [
        // Outside RAM, in part and as a whole; around the end of addresses.
        (RAM - 1, 2, 0, 0),
        (1 << 40, 1, 0, 0),
        (u64::MAX, 2, 0, 0),
        // Too much: at once, and by a descriptor that goes on with itself.
        (0, u32::MAX, 0, 0),
        (0, 1 << 19, NEXT, 0),
    ] {
        driver.describe(TRANSMIT, 0, chain);
        driver.publish(TRANSMIT, 0);
        driver.assert_given_up();
        driver.describe(RECEIVE, 0, (chain.0, chain.1, chain.2 | WRITE, chain.3));
        driver.publish(RECEIVE, 0);
        let taken = driver.console.receive(&[7; 4096]);
        assert!(taken <= 4096);
        driver.console.take_interrupt();
        driver.set_up();
    }
    // More chains than there can be.
    driver.put(places(TRANSMIT)[1] + 2, &(QUEUE_SIZE + 1).to_le_bytes());
    driver.write(0x50, TRANSMIT);
    driver.assert_given_up();
}

#[test]
fn short_loops_and_absent_descriptors_end() {
    let mut driver = Driver::ready();
    driver.describe(TRANSMIT, 0, (0x9000, 1, NEXT, 1));
    driver.describe(TRANSMIT, 1, (0x9000, 1, NEXT, 0));
    driver.publish(TRANSMIT, 0);
    assert_eq!(driver.sent.len(), usize::from(QUEUE_SIZE));
    driver.publish(TRANSMIT, u16::MAX);
    driver.describe(TRANSMIT, 0, (0x9000, 1, NEXT, u16::MAX));
    driver.publish(TRANSMIT, 0);
    driver.write(0x50, 7);
    assert!(driver.read(STATUS) <= NEEDS_RESET | ALL_OK);
}

#[test]
fn queues_outside_ram_are_not_ready() {
    let mut driver = Driver::ready();
    driver.write(0x30, RECEIVE);
    driver.write(0x44, 0);
    for (offset, value) in [(0x80, RAM as u32 - 16), (0x94, 1), (0xa4, u32::MAX)] {
        let good = places(RECEIVE)[(offset as usize >> 4) - 8];
        let low = offset & !4;
        driver.write(offset, value);
        driver.write(0x44, 1);
        assert_eq!(driver.read(0x44), 0, "{offset:#x}");
        driver.write(offset, 0);
        driver.write(low, good as u32);
    }
    driver.write(0x44, 1);
    assert_eq!(driver.read(0x44), 1);
    // What is not there cannot be set up.
    driver.write(0x30, 2);
    driver.write(0x44, 1);
    assert_eq!((driver.read(0x34), driver.read(0x44)), (0, 0));
}

#[test]
fn any_accesses_are_survived() {
    let mut rng = Rng::with_seed(7);
    let mut driver = Driver::ready();
    for round in 0..20_000 {
        if round % 500 == 0 {
            driver.set_up();
            let bytes: Vec<u8> = (0..0x8000).map(|_| rng.u8(..)).collect();
            driver.put(0x1000, &bytes);
        }
        let offset = rng.u64(..0x120);
        let values = [0, 1, 3, 15, 0x50, rng.u32(..), rng.u32(..0x9000)];
        driver.write(offset, values[rng.usize(..values.len())]);
        driver.write(0x50, rng.u32(..3));
        driver.console.receive(&[9; 100]);
        driver.console.take_written();
        let mut wide = [0; 9];
        let len = rng.usize(..9);
        driver.console.read(rng.u64(..), &mut wide[..len]);
        driver.console.write(offset, &wide[..len], |_| {});
        driver.sent.clear();
    }
}
