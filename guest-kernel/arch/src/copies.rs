//! Long copies, which the VMM makes where ring 0 is slow: see [`abi::copies`].
//!
//! Elsewhere, and for what is short, they are the string instructions of `core_support.S` and
//! `trap.S`. One exit takes as long as `rep movsq` takes for some 400 bytes, as reads of 64 bytes
//! to 4 KiB show.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use abi::copies::{COPY, DONE, FILL, WORDS};
use abi::ports::COPIES;

use crate::paging::{self, physical};
use crate::port;

/// Bytes from which on an exit is worth it.
const LEAST: usize = 512;

/// A page of zeros.
pub static ZEROS: [u8; 4096] = [0; 4096];

static ARE_SLOW: AtomicBool = AtomicBool::new(false);

/// The request; there is never more than one.
static REQUEST: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

/// Says that the VMM is there for it.
pub(crate) fn enable() {
    ARE_SLOW.store(true, Relaxed);
}

/// Whether work of the kernel takes so long that it should save instructions where it can.
#[inline]
pub fn are_slow() -> bool {
    ARE_SLOW.load(Relaxed)
}

/// Copies `from` to `to`, which are of one length.
///
/// # Panics
/// They are not.
#[inline]
pub fn copy(to: &mut [u8], from: &[u8]) {
    assert!(
        to.len() == from.len(),
        "a copy has the length of the original"
    );
    // SAFETY: both are of that length, and `to` is borrowed exclusively.
    let done = unsafe { move_bytes(to.as_mut_ptr(), from.as_ptr(), from.len()) };
    if done < from.len() {
        to[done..].copy_from_slice(&from[done..]);
    }
}

/// Fills `bytes` with zeros.
#[inline]
pub fn clear(bytes: &mut [u8]) {
    // SAFETY: they are borrowed exclusively.
    let done = unsafe { clear_bytes(bytes.as_mut_ptr(), bytes.len()) };
    if done < bytes.len() {
        bytes[done..].fill(0);
    }
}

/// As [`move_bytes`], with zeros.
///
/// # Safety
/// The target is valid for `len` bytes, or user memory.
#[inline]
pub(crate) unsafe fn clear_bytes(to: *mut u8, len: usize) -> usize {
    match len >= LEAST && are_slow() {
        // SAFETY: the caller's promise.
        true => unsafe { ask_for_all(FILL, to as u64, 0, len) },
        false => 0,
    }
}

/// Copies bytes if they are many and the VMM is there for it; returns how many, from the first
/// on: none that `rep movsb` would fault at.
///
/// # Safety
/// Of source and target each is valid for `len` bytes, or user memory.
#[inline]
pub(crate) unsafe fn move_bytes(to: *mut u8, from: *const u8, len: usize) -> usize {
    match len >= LEAST && are_slow() {
        // SAFETY: the caller's promise.
        true => unsafe { ask_for_all(COPY, to as u64, from as u64, len) },
        false => 0,
    }
}

/// Asks until the VMM does no more.
///
/// # Safety
/// As for [`ask`].
#[cold]
unsafe fn ask_for_all(operation: u64, to: u64, from: u64, len: usize) -> usize {
    let mut done = 0;
    while len - done >= LEAST {
        let (to, from) = match operation {
            COPY => (to + done as u64, from + done as u64),
            _ => (to + done as u64, from),
        };
        // SAFETY: the caller's promise, for a part.
        let more = unsafe { ask(operation, to, from, (len - done) as u64) };
        if more == 0 {
            break;
        }
        done += more.min(len - done);
    }
    done
}

/// One request, one VM exit.
///
/// # Safety
/// What it asks for is done to memory.
unsafe fn ask(operation: u64, to: u64, from: u64, len: u64) -> usize {
    let words = [operation, paging::loaded(), to, from, len, 0];
    for (place, word) in REQUEST.iter().zip(words) {
        place.store(word, Relaxed);
    }
    let request = physical((&raw const REQUEST) as u64);
    // SAFETY: the caller's promise.
    unsafe { port::request(COPIES, request as u32) };
    REQUEST[DONE].load(Relaxed) as usize
}
