//! All devices of a machine, by any accesses of its CPUs, at any time, in any order: serial lines,
//! input, link, local APICs, I/O APIC, virtio queues in memory that the guest fills.
//!
//! Checked: a local APIC delivers no vector below 16, none whose class is not above what is in
//! service, and what is ended is what was highest; devices say what they have written; output is
//! no longer than what was sent.

use abi::ports;
use vmm::devices::{
    ApicMode, Devices, DevicesConfig, HostInput, HostStreams, LinkEnd, LocalApic, Msi, ScreenSize,
};
use vmm::memory::GuestRam;

use crate::Input;

const RAM: u64 = 1 << 20;
const TSC_KHZ: u32 = 1_000_000;
/// A guest cannot make one access last longer than this many bytes.
const LONGEST_ITEMS: usize = 64;
/// Reserved to exceptions.
const FIRST_VECTOR: u8 = 16;

/// Registers of a local APIC, by their offset: those of vectors in service begin at the second.
const END_OF_INTERRUPT: u64 = 0xb0;
const IN_SERVICE: u64 = 0x100;
/// The MSR of the first register, where they are MSRs (Intel SDM vol. 3A, table 11-6).
const X2APIC: u32 = 0x800;

const PORTS: &[u16] = &[
    ports::SERIAL,
    ports::ERRORS,
    ports::LOG,
    ports::INPUT,
    ports::LINK,
    ports::HOST_FILES,
    ports::DEBUG_EXIT,
    ports::TRACE_DOORBELL,
    ports::SLEEP_CONTROL,
    ports::RESET_CONTROL,
    ports::KEYBOARD_COMMAND,
    0,
];
const WINDOWS: &[u64] = &[
    ports::LOCAL_APIC,
    ports::IO_APIC,
    ports::VIRTIO_CONSOLE,
    ports::VIRTIO_ERRORS,
];
const CPUS: &[u8] = &[1, 2, 4, 32];

struct Board {
    devices: Devices,
    ram: GuestRam,
    cpus: u8,
    now_ns: u64,
    /// The other machine.
    peer: LinkEnd,
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut board = Board::new(&mut input);
    while !input.is_empty() {
        board.access(&mut input);
        board.check();
    }
}

impl Board {
    fn new(input: &mut Input) -> Self {
        let ram = GuestRam::new(RAM).expect("memory");
        let [own, peer] = LinkEnd::pair();
        let (cpus, options) = (input.pick(CPUS), input.u8());
        let devices = Devices::new(DevicesConfig {
            apic: match options & 1 {
                0 => ApicMode::User,
                _ => ApicMode::Kernel,
            },
            cpus,
            tsc_khz: TSC_KHZ,
            streams: HostStreams {
                errors: (options & 2 != 0).then(|| Box::new(std::io::sink()) as _),
                log: (options & 4 != 0).then(|| Box::new(std::io::sink()) as _),
                input: HostInput::HandedIn,
                screen: (options & 8 != 0).then_some(ScreenSize {
                    columns: 80,
                    rows: 25,
                }),
                ..HostStreams::none()
            },
            virtio: Some(ram.clone()),
            link: Some(own),
            files: None,
        });
        Self {
            devices,
            ram,
            cpus,
            now_ns: 0,
            peer,
        }
    }

    fn access(&mut self, input: &mut Input) {
        let now = self.now_ns;
        let size = input.pick(&[1, 2, 4]);
        match input.u8() % 16 {
            0 => self.devices.select(usize::from(input.u8() % self.cpus)),
            1 => self.now_ns = now.saturating_add(input.number() >> 8),
            2 | 3 => {
                let port = input.pick(PORTS).wrapping_add(u16::from(input.u8() % 9));
                let mut items = vec![0; size * (1 + usize::from(input.u8() % 16))];
                self.devices.pio_read(port, size as u8, &mut items);
            }
            4 | 5 => {
                let port = input.pick(PORTS).wrapping_add(u16::from(input.u8() % 9));
                let len = usize::from(input.u8()) % LONGEST_ITEMS;
                let items = input.take(len / size * size);
                self.devices.pio_write(port, size as u8, items);
            }
            6 => {
                let mut bytes = vec![0; 1 + usize::from(input.u8() % 8)];
                let gpa = window(input);
                self.devices.mmio_read(gpa, &mut bytes, now);
            }
            7..=9 => {
                let gpa = window(input);
                let len = input.pick(&[4, 4, 4, 8, 1]);
                self.devices
                    .mmio_write(gpa, &input.number().to_le_bytes()[..len], now);
            }
            10 => drop(self.devices.msr_read(msr(input), now)),
            11 => drop(self.devices.msr_write(msr(input), input.number(), now)),
            12 => {
                // What a guest has in memory: descriptors, rings, addresses near RAM's end.
                let gpa = input.number() % RAM;
                let len = usize::from(input.u8() % 64);
                let _ = self.ram.write(gpa, input.take(len));
            }
            13 => self.host(input),
            14 => self.interrupt(input),
            _ => self.devices.set_cr8(input.u8() & 0xf),
        }
    }

    /// What comes from outside of the machine.
    fn host(&mut self, input: &mut Input) {
        match input.u8() % 6 {
            0 | 1 => {
                let len = usize::from(input.u8());
                let bytes = input.take(len);
                assert!(self.devices.input(bytes) <= bytes.len());
            }
            2 => self.devices.end_input(None),
            3 => self.devices.set_screen(ScreenSize {
                columns: input.u16(),
                rows: input.u16(),
            }),
            4 => self.devices.receive_link(),
            _ => self.devices.fill_console(),
        }
    }

    /// A message of a device, or what a CPU does between two instructions.
    fn interrupt(&mut self, input: &mut Input) {
        let choice = input.u8();
        let message = Msi {
            address: 0xfee0_0000 | u64::from(input.u32() & 0xf_ffff),
            data: u32::from(input.u16()),
        };
        let now = self.now_ns;
        let Some(apic) = self.devices.local_apic() else {
            self.devices.end_of_interrupt(choice);
            return;
        };
        if choice & 1 != 0 {
            apic.accept(message);
        }
        if apic.wants_tsc() {
            apic.tell_tsc(now, now);
        }
        apic.advance(now);
        let before = in_service(apic, now);
        let Some(vector) = apic.acknowledge() else {
            return;
        };
        assert!(vector >= FIRST_VECTOR, "{vector} is an exception's");
        let class = |vector: u8| vector >> 4;
        let highest = before.iter().copied().max();
        assert!(highest.is_none_or(|highest| class(highest) < class(vector)));
        let mut after = in_service(apic, now);
        assert!(after.contains(&vector));
        if choice & 2 != 0 {
            match apic.window() {
                Some(_) => apic.write_mmio(END_OF_INTERRUPT, &[0; 4], now),
                None => {
                    let index = X2APIC + (END_OF_INTERRUPT >> 4) as u32;
                    assert_eq!(apic.write_msr(index, 0, now), Ok(()));
                }
            }
            apic.take_eoi();
            after.retain(|&other| other != vector);
            assert_eq!(in_service(apic, now), after, "{vector} has ended");
        }
    }

    /// What holds between accesses, and what a run loop does there.
    fn check(&mut self) {
        for range in self.devices.take_written() {
            assert!(range.start <= range.end && range.end <= RAM, "{range:x?}");
        }
        let mut sent = 0;
        while self.devices.take_msi().is_some() {
            sent += 1;
            assert!(sent <= 64, "messages without end");
        }
        if self.devices.has_new_levels() {
            assert!(self.devices.levels().len() <= 24);
        }
        self.devices.take_woken();
        let now = self.now_ns;
        for apic in self.devices.local_apics() {
            assert!(apic.pending().is_none_or(|vector| vector >= FIRST_VECTOR));
            apic.take_startup();
            apic.take_news();
            apic.take_nmi();
            apic.advance(now);
            let next = apic.next_deadline();
            assert!(
                next.is_none_or(|next| next > now),
                "a deadline that has passed"
            );
        }
        self.devices.flush_output();
        self.peer.receive(<[u8]>::len);
    }
}

/// The vectors in service, in order, by window or by MSR.
fn in_service(apic: &mut LocalApic, now: u64) -> Vec<u8> {
    let mut vectors = Vec::new();
    for word in 0..8 {
        let bits = match apic.window() {
            Some(_) => {
                let mut bytes = [0; 4];
                apic.read_mmio(IN_SERVICE + 16 * word, &mut bytes, now);
                u32::from_le_bytes(bytes)
            }
            // Where there is no local APIC at all, nothing is in service.
            None => {
                let index = X2APIC + (IN_SERVICE >> 4) as u32 + word as u32;
                apic.read_msr(index, now).unwrap_or(0) as u32
            }
        };
        let set = (0..32).filter(|bit| bits >> bit & 1 != 0);
        vectors.extend(set.map(|bit| (32 * word + bit) as u8));
    }
    vectors
}

fn window(input: &mut Input) -> u64 {
    let base = input.pick(WINDOWS);
    // Most registers are multiples of four.
    match input.u8() {
        odd if odd >= 250 => base.wrapping_add(u64::from(input.u16())),
        low => base + 4 * u64::from(low),
    }
}

fn msr(input: &mut Input) -> u32 {
    match input.u8() % 4 {
        0 => 0x1b,
        1 => 0x6e0,
        _ => X2APIC + u32::from(input.u8() % 0x48),
    }
}
