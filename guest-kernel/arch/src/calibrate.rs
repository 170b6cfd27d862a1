//! Measures frequencies where no CPUID leaf has them (QEMU's TCG): by channel 0 of the 8254
//! timer, which needs nothing else of a PC. The gate and the output of channel 2 would be in a port
//! of the speaker, which small machines (QEMU's microvm) lack.

use crate::clock::{Frequencies, counter};
use crate::cpu::Features;
use crate::{local_apic, port};

const CHANNEL_0: u16 = 0x40;
const COMMAND: u16 = 0x43;
/// Channel 0, both bytes, mode 0 (output rises at zero), binary.
const COUNT_DOWN_ONCE: u8 = 0b0011_0000;
/// Latch the status and the count of channel 0, to be read in this order.
const READ_BACK: u8 = 0b1100_0010;
/// Of the status: the output; whether the count is still to be loaded; and what was commanded.
const OUTPUT: u8 = 1 << 7;
const NOT_LOADED: u8 = 1 << 6;
const COMMANDED: u8 = 0b11_1111;

const PIT_HZ: u64 = 1_193_182;
/// 10 ms.
const PIT_COUNTS: u64 = PIT_HZ / 100;
/// Most that it can count, 55 ms.
const LONGEST: u16 = u16::MAX;

/// A span is exact if no more than one part in so many of it is uncertain.
const EXACT: u64 = 2000;
/// Spans that are measured until one is exact, which none may be where the machine's host does
/// something else meanwhile.
const ATTEMPTS: usize = 10;
/// Samples that are taken one after the other, of which the one counts that took least time.
const SAMPLES: usize = 5;

/// What all counters are at one time, which is between two of the time-stamp counter.
struct Sample {
    before: u64,
    pit: u16,
    bus: u32,
    after: u64,
}

/// What was counted between two samples.
struct Span {
    tsc: u64,
    pit: u64,
    bus: u64,
    /// Counts of the time-stamp counter in which the samples were taken.
    uncertain: u64,
}

/// Measures for 10 ms, or several times for as long.
///
/// # Panics
/// The machine has neither the CPUID leaf nor the timer.
pub(crate) fn measure(features: Features) -> Frequencies {
    let mut best: Option<Span> = None;
    for _ in 0..ATTEMPTS {
        // None if this machine stood still for longer than the timer can tell.
        let Some(span) = measure_once(features) else {
            continue;
        };
        let is_exact = span.uncertain * EXACT <= span.tsc;
        // Spans are about as long.
        if best
            .as_ref()
            .is_none_or(|best| span.uncertain < best.uncertain)
        {
            best = Some(span);
        }
        if is_exact {
            break;
        }
    }
    local_apic::stop_measuring();
    let frequencies = best.map(|span| Frequencies {
        tsc: span.tsc * PIT_HZ / span.pit / 1000,
        bus: span.bus * PIT_HZ / span.pit / 1000,
    });
    frequencies
        .filter(|found| found.tsc > 1000 && found.bus > 0)
        .expect("no clock: neither CPUID leaf 0x40000010 nor an 8254 timer")
}

fn measure_once(features: Features) -> Option<Span> {
    local_apic::start_measuring(features);
    restart();
    let first = sample()?;
    let (last, pit) = loop {
        let last = sample()?;
        let pit = u64::from(first.pit.wrapping_sub(last.pit));
        if pit >= PIT_COUNTS {
            break (last, pit);
        }
    };
    Some(Span {
        tsc: (last.before + last.after - first.before - first.after) / 2,
        pit,
        bus: first.bus.wrapping_sub(last.bus).into(),
        uncertain: first.after - first.before + last.after - last.before,
    })
}

/// The most certain of some samples; `None` if the timer has stopped or is none.
fn sample() -> Option<Sample> {
    let mut best: Option<Sample> = None;
    for _ in 0..SAMPLES {
        let before = counter();
        let (status, pit) = read();
        let bus = local_apic::count_left();
        let after = counter();
        if status & (OUTPUT | COMMANDED) != COUNT_DOWN_ONCE {
            return None;
        }
        let is_better = |best: &Sample| after - before < best.after - best.before;
        if status & NOT_LOADED == 0 && best.as_ref().is_none_or(is_better) {
            best = Some(Sample {
                before,
                pit,
                bus,
                after,
            });
        }
    }
    best
}

/// Has the timer count down from the start.
fn restart() {
    let [low, high] = LONGEST.to_le_bytes();
    // SAFETY: nobody listens to the timer: interrupts are off, and the kernel uses none of it.
    unsafe {
        port::write_u8(COMMAND, COUNT_DOWN_ONCE);
        port::write_u8(CHANNEL_0, low);
        port::write_u8(CHANNEL_0, high);
    }
}

/// Its status and count.
fn read() -> (u8, u16) {
    // SAFETY: as above; this only reads.
    unsafe {
        port::write_u8(COMMAND, READ_BACK);
        let status = port::read_u8(CHANNEL_0);
        let low = port::read_u8(CHANNEL_0);
        let high = port::read_u8(CHANNEL_0);
        (status, u16::from_le_bytes([low, high]))
    }
}
