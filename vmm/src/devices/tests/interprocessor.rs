//! Messages between the CPUs of a board.

use abi::ports::{IO_APIC, LOCAL_APIC};

use super::super::{ApicMode, Devices, DevicesConfig, HostStreams, Startup};

const ICR_LOW: u64 = 0x300;
const ICR_HIGH: u64 = 0x310;
const SPURIOUS: u64 = 0xf0;
const TASK_PRIORITY: u64 = 0x80;
const VECTOR: u32 = 0x41;
const LOWEST_PRIORITY: u32 = 1 << 8;
const NMI: u32 = 4 << 8;
const INIT: u32 = 5 << 8 | 1 << 14;
const STARTUP: u32 = 6 << 8;
const ALL: u32 = 2 << 18;
const OTHERS: u32 = 3 << 18;

/// Three CPUs with their local APICs enabled; the first has its turn.
fn board() -> Devices {
    let mut devices = Devices::new(DevicesConfig {
        apic: ApicMode::User,
        cpus: 3,
        tsc_khz: 1_000_000,
        streams: HostStreams::none(),
        virtio: None,
        link: None,
        files: None,
    });
    for cpu in [2, 1, 0] {
        devices.select(cpu);
        write(&mut devices, SPURIOUS, 0x1ff);
    }
    devices
}

fn write(devices: &mut Devices, offset: u64, value: u32) {
    devices.mmio_write(LOCAL_APIC + offset, &value.to_le_bytes(), 0);
}

fn send(devices: &mut Devices, destination: u32, command: u32) {
    write(devices, ICR_HIGH, destination << 24);
    write(devices, ICR_LOW, command);
}

/// The vector that each CPU takes now.
fn taken(devices: &mut Devices) -> Vec<Option<u8>> {
    let apics = devices.local_apics().iter_mut();
    apics.map(|apic| apic.acknowledge()).collect()
}

#[test]
fn a_vector_reaches_whom_it_is_sent_to() {
    let some = Some(VECTOR as u8);
    for (destination, command, expected) in [
        (1, VECTOR, [None, some, None]),
        (0, VECTOR, [some, None, None]),
        (7, VECTOR, [None, None, None]),
        (0xff, VECTOR, [some, some, some]),
        (0, ALL | VECTOR, [some, some, some]),
        (0, OTHERS | VECTOR, [None, some, some]),
    ] {
        let mut devices = board();
        send(&mut devices, destination, command);
        assert_eq!(taken(&mut devices), expected, "{destination} {command:#x}");
    }
    let mut devices = board();
    devices.select(2);
    send(&mut devices, 0, OTHERS | VECTOR);
    assert_eq!(taken(&mut devices), [some, some, None]);
}

#[test]
fn the_lowest_priority_goes_to_the_least_busy() {
    let mut devices = board();
    for (cpu, priority) in [(0, 0x30), (1, 0x20), (2, 0x40)] {
        devices.select(cpu);
        write(&mut devices, TASK_PRIORITY, priority);
    }
    send(&mut devices, 0xff, LOWEST_PRIORITY | VECTOR);
    assert_eq!(taken(&mut devices), [None, Some(VECTOR as u8), None]);
    // One that software has disabled would lose it.
    devices.select(1);
    write(&mut devices, SPURIOUS, 0xff);
    send(&mut devices, 0xff, LOWEST_PRIORITY | VECTOR);
    assert_eq!(taken(&mut devices), [Some(VECTOR as u8), None, None]);
}

#[test]
fn a_line_reaches_the_cpu_that_the_io_apic_names() {
    let mut devices = board();
    let entry = 2 * abi::ports::SERIAL_GSI;
    for (index, value) in [(0x11 + entry, 1 << 24), (0x10 + entry, VECTOR)] {
        devices.mmio_write(IO_APIC, &index.to_le_bytes(), 0);
        devices.mmio_write(IO_APIC + 0x10, &value.to_le_bytes(), 0);
    }
    devices.raise_edge(abi::ports::SERIAL_GSI);
    assert_eq!(taken(&mut devices), [None, Some(VECTOR as u8), None]);
}

#[test]
fn a_cpu_is_started_as_by_firmware_and_stopped_by_init() {
    let mut devices = board();
    let waits = |devices: &mut Devices| {
        let apics = devices.local_apics().iter();
        apics.map(|apic| apic.waits()).collect::<Vec<_>>()
    };
    assert_eq!(waits(&mut devices), [false, true, true]);
    let startups = |devices: &mut Devices| {
        let apics = devices.local_apics().iter_mut();
        apics.map(|apic| apic.take_startup()).collect::<Vec<_>>()
    };
    send(&mut devices, 1, INIT);
    assert_eq!(startups(&mut devices), [None, Some(Startup::Wait), None]);
    send(&mut devices, 1, STARTUP | 0x9a);
    // It counts once.
    send(&mut devices, 1, STARTUP | 0x9b);
    let at = Some(Startup::At(0x9a));
    assert_eq!(startups(&mut devices), [None, at, None]);
    assert_eq!(waits(&mut devices), [false, false, true]);
    // The boot CPU is not started again; the level's end is not another INIT.
    send(&mut devices, 0, INIT);
    send(&mut devices, 1, 5 << 8 | 1 << 15);
    assert_eq!(startups(&mut devices), [None, None, None]);
    devices.select(1);
    send(&mut devices, 0, OTHERS | INIT);
    assert_eq!(waits(&mut devices), [false, false, true]);
    // What an APIC had is gone with INIT.
    devices.select(0);
    send(&mut devices, 1, VECTOR);
    send(&mut devices, 1, INIT);
    assert_eq!(taken(&mut devices), [None; 3]);
}

#[test]
fn an_nmi_is_for_those_that_run() {
    let mut devices = board();
    send(&mut devices, 0, ALL | NMI);
    let apics = devices.local_apics().iter_mut();
    let nmis: Vec<_> = apics.map(|apic| apic.take_nmi()).collect();
    assert_eq!(nmis, [true, false, false]);
}
