//! Lines for standard error that wait for nobody: what it does not take at once is lost. It is
//! opened beforehand: who says them may not open anything.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use vmm::output::Output;

static STDERR: OnceLock<Mutex<Box<dyn Write + Send>>> = OnceLock::new();

/// Opens standard error for [`say`].
///
/// # Errors
/// The host is out of descriptors.
pub fn open() -> io::Result<()> {
    let stderr = Output::stderr()?.without_waiting()?;
    let _ = STDERR.set(Mutex::new(stderr));
    Ok(())
}

/// Says a line, after the program's name. Nothing can be done if it cannot be written.
pub fn say(line: &dyn Display) {
    if let Some(stderr) = STDERR.get() {
        let mut stderr = stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(stderr, "vmm: {line}");
    }
}
