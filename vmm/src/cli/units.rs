//! Sizes, durations and numbers of CPUs as people write them.

use std::thread;
use std::time::Duration;

use vmm::cpu::emu::Emulator;
use vmm::layout::{MAX_RAM, MIN_RAM, PAGE};
use vmm::size::Size;
use vmm::vm::TICK_RANGE;

/// `64M`, `1G`, `512K`, `4096`: bytes, with binary units.
fn size(text: &str) -> Result<u64, String> {
    parse_size::Config::new()
        .with_binary()
        .parse_size(text)
        .map_err(|error| {
            format!("{error}: write a number of bytes with an optional unit, as 64M or 1G")
        })
}

/// The CPUs of a machine: with `auto` as many as this process may use, as far as that goes.
pub fn cpus(text: &str) -> Result<u8, String> {
    const MOST: u8 = Emulator::MOST;
    let count = match text {
        "auto" => {
            let count = thread::available_parallelism();
            let count = count.map_err(|error| format!("the host's CPUs are not known: {error}"))?;
            u8::try_from(count.get()).unwrap_or(MOST).min(MOST)
        }
        number => number.parse().unwrap_or(0),
    };
    match (1..=MOST).contains(&count) {
        true => Ok(count),
        false => Err(format!("give between 1 and {MOST}, or auto")),
    }
}

/// The memory of a machine, in bytes.
pub fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if (MIN_RAM..=MAX_RAM).contains(&bytes) && bytes.is_multiple_of(PAGE) {
        return Ok(bytes);
    }
    let (least, most) = (Size(MIN_RAM), Size(MAX_RAM));
    Err(format!("give between {least} and {most}, in units of 4K"))
}

/// The period of a machine's timer tick.
pub fn tick(text: &str) -> Result<Duration, String> {
    let period = duration(text)?;
    if TICK_RANGE.contains(&period) {
        return Ok(period);
    }
    Err("give between 1ms and 1s".to_owned())
}

/// `10ms`, `1s`, `2m 30s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a number with its unit, as 10ms or 1.5s or 2m"))
}
