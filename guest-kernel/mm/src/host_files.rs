//! Contents of the host's files, as memory.

#![allow(unsafe_code)]

use core::slice;

use abi::Errno;
use abi::host_files::{Attributes, Operation, Record};
use arch::paging::{DIRECT_MAP, DIRECT_MAP_LIMIT, extend_direct_map};
use devices::host_files::ask;

use crate::{OutOfMemory, frames};

/// Has the host map the contents of `node`, for good: all that it has now.
///
/// # Errors
/// Those of the host; ENOMEM: no memory for page tables; EFBIG: out of the kernel's reach.
pub fn map(node: u64) -> Result<&'static [u8], Errno> {
    let (address, attributes) = ask(Operation::Map, node, 0, b"", |address, bytes| {
        (address, Attributes::read(bytes))
    })?;
    let len = attributes.ok_or(Errno::EIO)?.size;
    if len == 0 {
        return Ok(&[]);
    }
    let end = address.checked_add(len).ok_or(Errno::EIO)?;
    if end > DIRECT_MAP_LIMIT {
        return Err(Errno::EFBIG);
    }
    // SAFETY: `for_tables` allocates frames of zeros, which nobody frees.
    unsafe { extend_direct_map(address..end, &mut frames::for_tables) }.ok_or(OutOfMemory)?;
    // SAFETY: the range is in the direct map, and the VMM promises that it stays, and is
    // nothing but this file. The kernel never writes there and only copies what it reads,
    // so it does not matter if somebody changes the file.
    Ok(unsafe { slice::from_raw_parts((DIRECT_MAP + address) as *const u8, len as usize) })
}
