//! The console as a file.

use core::cell::RefCell;

use crate::arch::{SingleCpu, serial};
use crate::mm::{AddressSpace, UserSlice, user_memory::BadAddress};

/// Bytes that go out at a time.
const CHUNK: usize = 256;

/// Where they are on their way. Not on the stack, where it would have to be cleared for
/// every call.
static BUFFER: SingleCpu<RefCell<[u8; CHUNK]>> = SingleCpu::new(RefCell::new([0; CHUNK]));

/// Writes the bytes of a program to the console and returns how many.
///
/// # Errors
/// The range leaves user memory, or not even its first bytes can be read.
pub fn write(space: &mut AddressSpace, source: UserSlice) -> Result<u64, BadAddress> {
    source.check()?;
    let mut buffer = BUFFER.borrow_mut();
    let mut done = 0;
    while done < source.len() {
        let part = source.part(done, CHUNK as u64);
        match part.copy_in(space, &mut *buffer) {
            Ok(bytes) => serial::write(bytes),
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        done += part.len();
    }
    Ok(done)
}
