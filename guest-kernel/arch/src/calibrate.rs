//! Measures frequencies where no CPUID leaf has them (QEMU's TCG): channel 2 of the 8254
//! timer, which every PC has and whose end can be read without an interrupt.

use crate::clock::{Frequencies, counter};
use crate::cpu::Features;
use crate::{local_apic, port};

const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
/// Channel 2, both bytes, mode 0 (output rises at zero), binary.
const COUNT_DOWN_ONCE: u8 = 0b1011_0000;
/// System control port B: bit 0 gates channel 2, bit 1 is the speaker, bit 5 reads
/// channel 2's output.
const CONTROL: u16 = 0x61;
const GATE: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;
const OUTPUT: u8 = 1 << 5;

const PIT_HZ: u64 = 1_193_182;
/// 10 ms.
const PIT_COUNTS: u16 = (PIT_HZ / 100) as u16;

/// Measures for 10 ms.
///
/// Both counters are read together, so a delay of this code (a slow emulator) does not
/// change their ratio.
///
/// # Panics
/// The machine has neither the CPUID leaf nor the timer.
pub(crate) fn measure(features: Features) -> Frequencies {
    let bus = local_apic::start_measuring(features);
    let start = counter();
    let counts = count_while_timer_runs();
    let tsc_counts = counter() - start;
    let bus_counts = bus.elapsed();
    let tsc = counts * PIT_HZ / u64::from(PIT_COUNTS) / 1000;
    let bus = (u128::from(tsc) * u128::from(bus_counts) / u128::from(tsc_counts.max(1))) as u64;
    assert!(
        tsc > 1000 && bus > 0,
        "no clock: neither CPUID leaf 0x40000010 nor an 8254 timer"
    );
    Frequencies { tsc, bus }
}

fn count_while_timer_runs() -> u64 {
    let [low, high] = PIT_COUNTS.to_le_bytes();
    // SAFETY: the timer's channel 2 drives nothing but the speaker, which is off.
    unsafe {
        let control = port::read_u8(CONTROL) & !(GATE | SPEAKER);
        port::write_u8(CONTROL, control | GATE);
        port::write_u8(COMMAND, COUNT_DOWN_ONCE);
        port::write_u8(CHANNEL_2, low);
        port::write_u8(CHANNEL_2, high);
        let start = counter();
        while port::read_u8(CONTROL) & OUTPUT == 0 {}
        counter() - start
    }
}
