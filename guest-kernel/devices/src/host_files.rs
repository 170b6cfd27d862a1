//! Asking the VMM for files of the host: see [`abi::host_files`].

use core::cell::RefCell;

use abi::Errno;
use abi::host_files::{BUFFER_LEN, Operation, Record, Reply, Request};
use abi::ports::HOST_FILES;
use abi::virtual_map::PAGE_SIZE;
use arch::paging::physical;
use arch::port;
use single_cpu::SingleCpu;

#[repr(C, align(4096))]
struct Buffer([u8; BUFFER_LEN]);

static BUFFER: SingleCpu<RefCell<Buffer>> = SingleCpu::new(RefCell::new(Buffer([0; BUFFER_LEN])));

/// Asks `operation` about `node`, and gives `take` the position and the bytes of the answer.
/// It must not ask in turn. One VM exit.
///
/// # Errors
/// Those of the VMM; EIO if it answers what it must not; ENAMETOOLONG.
pub fn ask<R>(
    operation: Operation,
    node: u64,
    position: u64,
    name: &[u8],
    take: impl FnOnce(u64, &[u8]) -> R,
) -> Result<R, Errno> {
    let Buffer(buffer) = &mut *BUFFER.borrow_mut();
    let rest = &mut buffer[Request::LEN..];
    let place = rest.get_mut(..name.len()).ok_or(Errno::ENAMETOOLONG)?;
    place.copy_from_slice(name);
    let request = Request {
        operation: operation as u64,
        node,
        position,
        len: name.len() as u64,
    };
    request.write(buffer);
    answer(buffer);
    let reply = Reply::read(buffer).ok_or(Errno::EIO)?;
    if reply.error != 0 {
        return Err(Errno::new(reply.error));
    }
    let len = usize::try_from(reply.len).map_err(|_| Errno::EIO)?;
    let bytes = buffer[Reply::LEN..].get(..len).ok_or(Errno::EIO)?;
    Ok(take(reply.position, bytes))
}

/// Has the VMM answer in the buffer.
fn answer(buffer: &mut [u8; BUFFER_LEN]) {
    let frame = physical(buffer.as_mut_ptr().expose_provenance() as u64) / PAGE_SIZE;
    // SAFETY: the VMM writes this buffer only, which is borrowed exclusively.
    unsafe { port::request(HOST_FILES, frame as u32) };
}
