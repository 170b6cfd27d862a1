mod interprocessor;

use abi::debug_exit::GuestExit;
use abi::ports::{
    DEBUG_EXIT, IO_APIC, LINK, LINK_GSI, LOCAL_APIC, SERIAL, SERIAL_GSI, VIRTIO_CONSOLE,
    VIRTIO_ERRORS,
};
use fastrand::Rng;
use x86::msr;

use super::console::tests::{ClosedPipe, Recorder};
use super::{
    ApicMode, Devices, DevicesConfig, Gp, GuestRam, HostInput, HostStreams, LinkEnd, MachineEnd,
    Msi,
};

const IER: u16 = SERIAL + 1;
const VECTOR: u8 = 0x24;

fn board(apic: ApicMode) -> (Devices, Recorder) {
    board_with_link(apic, None)
}

fn board_with_link(apic: ApicMode, link: Option<LinkEnd>) -> (Devices, Recorder) {
    let recorder = Recorder::default();
    let devices = Devices::new(DevicesConfig {
        apic,
        cpus: 1,
        tsc_khz: 1_000_000,
        streams: HostStreams {
            output: Box::new(recorder.clone()),
            input: HostInput::HandedIn,
            ..HostStreams::none()
        },
        virtio: None,
        link,
        files: None,
    });
    (devices, recorder)
}

/// Sends the serial line's interrupts to `VECTOR` at APIC ID 0, and asks for received data.
fn enable_serial_interrupt(devices: &mut Devices) {
    let index = 0x10 + 2 * SERIAL_GSI;
    devices.mmio_write(IO_APIC, &index.to_le_bytes(), 0);
    devices.mmio_write(IO_APIC + 0x10, &u32::from(VECTOR).to_le_bytes(), 0);
    devices.pio_write(IER, 1, &[1]);
}

#[test]
fn output_is_seen_by_the_line_and_at_idle() {
    let (mut devices, recorder) = board(ApicMode::Kernel);
    for byte in *b"hello\n$ " {
        assert_eq!(devices.pio_write(SERIAL, 1, &[byte]), None);
    }
    assert_eq!(recorder.writes(), [b"hello\n"]);
    devices.flush_output();
    assert_eq!(recorder.writes()[1], b"$ ");
    assert!(devices.take_output_error().is_none());
}

/// A board with a virtio console whose queue for output is at 0x1000, 0x2000 and 0x3000.
fn virtio_board() -> (Devices, Recorder, GuestRam) {
    let recorder = Recorder::default();
    let ram = GuestRam::new(1 << 20).expect("memory");
    let mut devices = Devices::new(DevicesConfig {
        apic: ApicMode::Kernel,
        cpus: 1,
        tsc_khz: 1_000_000,
        streams: HostStreams {
            output: Box::new(recorder.clone()),
            ..HostStreams::none()
        },
        virtio: Some(ram.clone()),
        link: None,
        files: None,
    });
    let set_up = [
        (0x70, 3),
        (0x24, 1),
        (0x20, 1),
        (0x70, 11),
        (0x30, 1),
        (0x80, 0x1000),
        (0x90, 0x2000),
        (0xa0, 0x3000),
        (0x44, 1),
        (0x70, 15),
    ];
    for (offset, value) in set_up {
        let value: u32 = value;
        devices.mmio_write(VIRTIO_CONSOLE + offset, &value.to_le_bytes(), 0);
    }
    (devices, recorder, ram)
}

#[test]
fn a_virtio_console_and_the_port_beside_it_keep_their_order() {
    let (mut devices, recorder, ram) = virtio_board();
    devices.pio_write(SERIAL, 1, b"by port, ");
    ram.write(0x9000, b"by queue\n").expect("RAM");
    let descriptor = [0x9000_u64, 9].map(u64::to_le_bytes);
    ram.write(0x1000, descriptor.as_flattened()).expect("RAM");
    ram.write(0x2000, &[0, 0, 1, 0]).expect("RAM");
    devices.mmio_write(VIRTIO_CONSOLE + 0x50, &[1, 0, 0, 0], 0);
    assert_eq!(recorder.writes(), [b"by port, by queue\n"]);
    // There is none for errors.
    let mut magic = [0; 4];
    devices.mmio_read(VIRTIO_CONSOLE, &mut magic, 0);
    assert_eq!(&magic, b"virt");
    devices.mmio_read(VIRTIO_ERRORS, &mut magic, 0);
    assert_eq!(magic, [0xff; 4]);
}

#[test]
fn a_closed_host_is_told_once() {
    let mut devices = Devices::new(DevicesConfig {
        apic: ApicMode::Kernel,
        cpus: 1,
        tsc_khz: 1_000_000,
        streams: HostStreams {
            output: Box::new(ClosedPipe),
            ..HostStreams::none()
        },
        virtio: None,
        link: None,
        files: None,
    });
    devices.pio_write(SERIAL, 1, b"a\nb\n");
    devices.pio_write(SERIAL, 1, b"c\n");
    assert!(devices.take_output_error().is_some());
    assert!(devices.take_output_error().is_none());
}

#[test]
fn the_first_item_written_to_debug_exit_counts() {
    let (mut devices, _) = board(ApicMode::Kernel);
    let killed = GuestExit::Killed(11).encode().to_le_bytes();
    assert_eq!(
        devices.pio_write(DEBUG_EXIT, 4, &killed),
        Some(MachineEnd::Guest(GuestExit::Killed(11)))
    );
    assert_eq!(
        devices.pio_write(DEBUG_EXIT + 3, 1, &[3, 4, 5]),
        Some(MachineEnd::Guest(GuestExit::Exited(3)))
    );
    let mut data = [0xee; 4];
    devices.pio_read(DEBUG_EXIT, 4, &mut data);
    assert_eq!(data, [0; 4]);
}

#[test]
fn what_nobody_claims_is_all_ones() {
    for mode in [ApicMode::Kernel, ApicMode::User] {
        let (mut devices, _) = board(mode);
        let mut data = [0; 8];
        devices.pio_read(0x60, 2, &mut data);
        assert_eq!(data, [0xff; 8]);
        assert_eq!(devices.pio_write(0x60, 1, &[1, 2, 3]), None);
        data = [0; 8];
        devices.mmio_read(0xd000_0000, &mut data, 0);
        assert_eq!(data, [0xff; 8]);
        devices.mmio_write(0xd000_0000, &data, 0);
    }
}

#[test]
fn input_becomes_a_message_for_kvm() {
    let (mut devices, _) = board(ApicMode::Kernel);
    enable_serial_interrupt(&mut devices);
    assert_eq!(devices.take_msi(), None);
    assert!(devices.wants_input());
    assert_eq!(devices.input(b"x"), 1);
    assert!(!devices.wants_input());
    assert_eq!(
        devices.take_msi(),
        Some(Msi::new(0, false, 0, VECTOR, false))
    );
    assert_eq!(devices.take_msi(), None);
    let mut byte = [0];
    devices.pio_read(SERIAL, 1, &mut byte);
    assert_eq!(byte, *b"x");
}

/// A level comes again at its end, as long as there is data.
#[test]
fn a_level_lasts_as_long_as_its_cause() {
    const LEVEL: u32 = 1 << 15;
    let (mut devices, _) = board(ApicMode::Kernel);
    enable_serial_interrupt(&mut devices);
    assert!(!devices.has_new_levels());
    let entry = LEVEL | u32::from(VECTOR);
    devices.mmio_write(IO_APIC + 0x10, &entry.to_le_bytes(), 0);
    assert!(devices.has_new_levels() && !devices.has_new_levels());
    let message = Msi::new(0, false, 0, VECTOR, true);
    assert_eq!(devices.levels(), [(message.address, message.data)]);
    assert_eq!(devices.input(b"xy"), 2);
    for _ in *b"xy" {
        assert_eq!(devices.take_msi(), Some(message));
        devices.pio_read(SERIAL, 1, &mut [0]);
        assert_eq!(devices.take_msi(), None, "its end was not told");
        devices.end_of_interrupt(VECTOR);
    }
    assert_eq!(devices.take_msi(), None);
}

#[test]
fn input_becomes_a_pending_vector_in_our_local_apic() {
    let (mut devices, _) = board(ApicMode::User);
    devices.mmio_write(LOCAL_APIC + 0xf0, &0x1ffu32.to_le_bytes(), 0);
    enable_serial_interrupt(&mut devices);
    devices.input(b"x");
    assert_eq!(devices.take_msi(), None);
    let apic = devices.local_apic().expect("user mode has one");
    assert_eq!(apic.acknowledge(), Some(VECTOR));
}

#[test]
fn the_end_of_a_level_reaches_the_io_apic() {
    let (mut devices, _) = board(ApicMode::User);
    let level = 1 << 15 | u32::from(VECTOR);
    devices.mmio_write(LOCAL_APIC + 0xf0, &0x1ffu32.to_le_bytes(), 0);
    enable_serial_interrupt(&mut devices);
    devices.mmio_write(IO_APIC + 0x10, &level.to_le_bytes(), 0);
    let remote_irr = |devices: &mut Devices| {
        let mut entry = [0; 4];
        devices.mmio_read(IO_APIC + 0x10, &mut entry, 0);
        u32::from_le_bytes(entry) & 1 << 14 != 0
    };
    devices.input(b"x");
    assert!(remote_irr(&mut devices));
    let apic = devices.local_apic().expect("user mode has one");
    assert_eq!(apic.acknowledge(), Some(VECTOR));
    devices.pio_read(SERIAL, 1, &mut [0]);
    assert!(remote_irr(&mut devices));
    devices.mmio_write(LOCAL_APIC + 0xb0, &[0; 4], 0);
    assert!(!remote_irr(&mut devices));
}

#[test]
fn the_local_apic_is_ours_in_user_mode_only() {
    let (mut devices, _) = board(ApicMode::Kernel);
    let mut version = [0; 4];
    devices.mmio_read(LOCAL_APIC + 0x30, &mut version, 0);
    assert_eq!(version, [0xff; 4]);
    assert!(devices.local_apic().is_none());
    assert_eq!(devices.msr_read(msr::APIC_BASE, 0), Err(Gp));
    assert_eq!(devices.msr_write(msr::TSC_DEADLINE, 1, 0), Err(Gp));
    devices.set_cr8(5);

    let (mut devices, _) = board(ApicMode::User);
    devices.mmio_read(LOCAL_APIC + 0x30, &mut version, 0);
    assert_eq!(version, [0x14, 0, 5, 0]);
    devices.set_cr8(5);
    assert_eq!(devices.local_apic().map(|apic| apic.cr8()), Some(5));
    assert_eq!(devices.msr_write(msr::APIC_BASE, 0xfee0_0d00, 0), Ok(()));
    assert_eq!(devices.msr_read(0x808, 0), Ok(0x50));
    devices.mmio_read(LOCAL_APIC + 0x30, &mut version, 0);
    assert_eq!(version, [0xff; 4]);
    assert_eq!(devices.msr_read(msr::EFER, 0), Err(Gp));
}

/// An address near a device, or anywhere.
fn near(numbers: &mut Rng, base: u64) -> u64 {
    match numbers.u8(..8) {
        0 => numbers.u64(..),
        1 => base.wrapping_add(numbers.u64(..0x1000)),
        _ => base.wrapping_add(numbers.u64(..0x40) * 0x10),
    }
}

#[test]
fn a_link_carries_bytes_to_another_board() {
    let [(mut one, _), (mut other, _)] =
        LinkEnd::pair().map(|end| board_with_link(ApicMode::Kernel, Some(end)));
    one.pio_write(LINK, 1, b"a");
    let index = 0x10 + 2 * LINK_GSI;
    other.mmio_write(IO_APIC, &index.to_le_bytes(), 0);
    other.mmio_write(IO_APIC + 0x10, &u32::from(VECTOR).to_le_bytes(), 0);
    other.receive_link();
    assert_eq!(other.take_msi(), None);
    other.pio_write(LINK + 1, 1, &[1]);
    other.receive_link();
    assert_eq!(other.take_msi(), Some(Msi::new(0, false, 0, VECTOR, false)));
    let mut byte = [0];
    other.pio_read(LINK, 1, &mut byte);
    assert_eq!(byte, *b"a");
}

#[test]
fn without_a_link_its_ports_are_nobody_s() {
    let (mut devices, _) = board(ApicMode::Kernel);
    assert_eq!(devices.pio_write(LINK + 7, 1, &[0x55]), None);
    let mut byte = [0];
    devices.pio_read(LINK + 7, 1, &mut byte);
    assert_eq!(byte, [0xff]);
    devices.receive_link();
    assert_eq!(devices.take_msi(), None);
}

#[test]
fn nothing_that_a_guest_writes_panics() {
    for mode in [ApicMode::Kernel, ApicMode::User] {
        let [link, other_end] = LinkEnd::pair();
        let (mut devices, _) = board_with_link(mode, Some(link));
        let mut numbers = Rng::with_seed(mode as u64 + 1);
        let mut now = 0u64;
        for _ in 0..300_000 {
            let bytes = numbers.u64(..).to_le_bytes();
            let mut data = bytes;
            let len = numbers.usize(..9);
            let size = numbers.u8(..6);
            now += numbers.u64(..) >> numbers.u32(24..64);
            match numbers.u8(..12) {
                0 => devices.pio_read(near(&mut numbers, 0x3f8) as u16, size, &mut data[..len]),
                1 => {
                    let _ = devices.pio_write(near(&mut numbers, 0x3f8) as u16, size, &data[..len]);
                }
                2 => devices.mmio_read(near(&mut numbers, LOCAL_APIC), &mut data[..len], now),
                3 => devices.mmio_write(near(&mut numbers, LOCAL_APIC), &data[..len], now),
                4 => devices.mmio_read(near(&mut numbers, IO_APIC), &mut data[..len], now),
                5 => devices.mmio_write(IO_APIC + numbers.u64(..2) * 0x10, &data[..len], now),
                6 => {
                    let _ = devices.msr_read(0x800 + numbers.u32(..0x50), now);
                }
                7 => {
                    let index = [
                        msr::APIC_BASE,
                        msr::TSC_DEADLINE,
                        0x800 + numbers.u32(..0x50),
                    ];
                    let index = index[numbers.usize(..3)];
                    let value = u64::from_le_bytes(bytes) >> numbers.u32(..64);
                    let _ = devices.msr_write(index, value, now);
                }
                8 => assert!(devices.input(&data[..len]) <= len),
                10 => devices.pio_read(
                    near(&mut numbers, LINK.into()) as u16,
                    size,
                    &mut data[..len],
                ),
                11 => {
                    let _ = devices.pio_write(
                        near(&mut numbers, LINK.into()) as u16,
                        size,
                        &data[..len],
                    );
                    other_end.receive(|sent| sent.len() / 2);
                }
                _ => devices.set_cr8(bytes[0]),
            }
            while let Some(msi) = devices.take_msi() {
                assert_eq!((mode, msi.address >> 20), (ApicMode::Kernel, 0xfee));
            }
            if let Some(apic) = devices.local_apic() {
                apic.advance(now);
                assert!(apic.next_deadline().is_none_or(|next| next > now));
                assert!(apic.acknowledge().is_none_or(|vector| vector >= 16));
            }
        }
    }
}
