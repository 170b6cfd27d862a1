//! What the machines of several targets have.

use cpu::emu::{Clock, EmuConfig, Emulator, Engine};
use vmm::cpu::{Segment, Vcpu};
use vmm::memory::GuestRam;

/// An emulator whose time is its instructions. It translates whatever it executes.
pub fn emulator(ram: GuestRam) -> Emulator {
    emulator_by(Engine::Translator { after: 0 }, ram)
}

/// The same by a certain engine.
pub fn emulator_by(engine: Engine, ram: GuestRam) -> Emulator {
    let config = EmuConfig {
        clock: Clock::Instructions,
        engine,
        ..EmuConfig::default()
    };
    Emulator::new(ram, config)
}

/// Instructions that it has executed.
pub fn retired(emulator: &Emulator) -> u64 {
    let counts = emulator.instructions().expect("it counts");
    counts.ring0 + counts.ring3
}

/// The segment of a task that runs, at `base`.
pub fn task(base: u64) -> Segment {
    Segment {
        selector: 0x28,
        base,
        limit: 0x67,
        attributes: 0x8b,
    }
}

/// Writes bytes that fit into RAM.
pub fn put(ram: &GuestRam, at: u64, bytes: &[u8]) {
    ram.write(at, bytes).expect("RAM");
}

/// Writes a word that fits.
pub fn put_u64(ram: &GuestRam, at: u64, value: u64) {
    put(ram, at, &value.to_le_bytes());
}
