//! What tests of memory need on the host.

#![allow(unsafe_code)]

use crate::Frame;
use crate::frames::FRAME_SIZE;

/// Pages of RAM that are never free, one full of each of these bytes: they stand for part
/// of an initramfs.
pub fn pages(bytes: &[u8]) -> &'static [u8] {
    let frames = bytes
        .iter()
        .map(|_| Frame::allocate().expect("there is memory"));
    let mut addresses: Vec<_> = frames.map(Frame::into_address).collect();
    addresses.sort_unstable();
    let first = addresses[0] as *mut u8;
    let size = bytes.len() * FRAME_SIZE;
    assert_eq!(
        addresses[bytes.len() - 1] as usize,
        first as usize + size - FRAME_SIZE
    );
    // SAFETY: the frames follow each other and belong to nobody else.
    let pages = unsafe { std::slice::from_raw_parts_mut(first, size) };
    for (page, byte) in pages.chunks_mut(FRAME_SIZE).zip(bytes) {
        page.fill(*byte);
    }
    pages
}
