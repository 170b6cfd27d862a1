//! Sizes and durations as people write them.

use std::time::Duration;

/// `64M`, `1G`, `512K`, `4096`: bytes, with binary units.
pub fn size(text: &str) -> Result<u64, String> {
    parse_size::Config::new()
        .with_binary()
        .parse_size(text)
        .map_err(|error| {
            format!("{error}: write a number of bytes with an optional unit, as 64M or 1G")
        })
}

/// `10ms`, `1s`, `2m 30s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a number with its unit, as 10ms or 1.5s or 2m"))
}
