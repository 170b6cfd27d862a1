//! Memory that a program asks for (R19, R20).

use linux_raw_sys::general as linux;
pub use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE,
};

use crate::file::Fd;
use crate::syscall::{Result, call};

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// New memory, zeroed, at an address that the kernel chooses.
pub fn map(len: usize, protection: u32) -> Result<*mut u8> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    let nowhere = u64::MAX;
    let arguments = [0, len as u64, protection.into(), flags.into(), nowhere, 0];
    // SAFETY: without an address the kernel takes one where nothing is.
    unsafe { call(linux::__NR_mmap, arguments) }.map(|address| address as *mut u8)
}

/// New memory, zeroed, that children of `fork` share.
pub fn map_shared(len: usize) -> Result<*mut u8> {
    let (protection, flags) = (PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
    let nowhere = u64::MAX;
    let arguments = [0, len as u64, protection.into(), flags.into(), nowhere, 0];
    // SAFETY: without an address the kernel takes one where nothing is.
    unsafe { call(linux::__NR_mmap, arguments) }.map(|address| address as *mut u8)
}

/// A private copy of a file from its start.
pub fn map_file(fd: Fd, len: usize, protection: u32) -> Result<*mut u8> {
    let flags = MAP_PRIVATE;
    let arguments = [0, len as u64, protection.into(), flags.into(), fd.into(), 0];
    // SAFETY: without an address the kernel takes one where nothing is.
    unsafe { call(linux::__NR_mmap, arguments) }.map(|address| address as *mut u8)
}

/// Unmaps memory.
///
/// # Safety
/// It is not used any more.
pub unsafe fn unmap(start: *mut u8, len: usize) -> Result<()> {
    // SAFETY: passed on to the caller.
    unsafe { call(linux::__NR_munmap, [start as u64, len as u64]) }.map(drop)
}

/// Changes the permissions of memory.
///
/// # Safety
/// No reference relies on permissions that are removed.
pub unsafe fn protect(start: *mut u8, len: usize, protection: u32) -> Result<()> {
    let arguments = [start as u64, len as u64, protection.into()];
    // SAFETY: passed on to the caller.
    unsafe { call(linux::__NR_mprotect, arguments) }.map(drop)
}

/// The end of the heap after an attempt to move it to `end` (0: where it is).
///
/// # Safety
/// Nothing uses memory of the heap past `end` any more.
pub unsafe fn brk(end: u64) -> u64 {
    // SAFETY: passed on to the caller.
    unsafe { call(linux::__NR_brk, [end]) }.unwrap_or(0)
}
