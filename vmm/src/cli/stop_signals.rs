//! Signals that end a run in good order instead of killing the process.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use vmm::events::StopSource;

/// Catches SIGINT, SIGTERM and SIGHUP: each makes a descriptor readable.
///
/// # Errors
/// The host is out of descriptors.
pub fn catch() -> io::Result<Vec<StopSource>> {
    [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .map(|signal| {
            let (read, write) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(signal, write)?;
            Ok((Arc::new(read.into()), signal as u8))
        })
        .collect()
}
