//! Memory (k0): frames, address spaces, kernel objects, and access to user memory.
//!
//! Above `arch` and `devices`; with them the ground of the kernel, which has all of its unsafe
//! code.

#![cfg_attr(feature = "image", no_std)]
#![deny(missing_docs, unsafe_code)]
// The kernel has no use of it.
#![allow(clippy::len_without_is_empty)]

pub mod address_space;
pub mod area;
mod area_tree;
pub mod extended_state;
pub mod fault;
pub mod file_pages;
pub mod frames;
pub mod host_files;
pub mod inspect;
pub mod kernel_stacks;
pub mod mapping;
pub mod page_tables;
pub mod pool;
pub mod quota;
pub mod spaces;
#[cfg(test)]
mod test_support;
pub mod user_memory;

pub use address_space::AddressSpace;
pub use fault::FaultCause;
pub use file_pages::FilePages;
pub use frames::Frame;
pub use pool::{Owned, Shared, Weak};
pub use user_memory::{UserPtr, UserSlice};

use abi::Errno;
use abi::virtual_map::KERNEL_LOAD;
use arch::{paging, pvh};

/// How many frames are available, including those of stacks without a thread.
pub fn free_frames() -> u64 {
    frames::free() + kernel_stacks::idle_frames()
}

/// There are no frames left. Whoever gets this has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl From<OutOfMemory> for Errno {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        Self::ENOMEM
    }
}

/// Whether the kernel may make an object more that a program asks for and that no other limit
/// bounds.
///
/// # Errors
/// Memory is short.
pub fn check_object() -> Result<(), OutOfMemory> {
    quota::check_file()
}

/// Takes over all memory that the image and the boot loader's data do not occupy.
///
/// # Panics
/// It has been taken over before, or is too small.
#[allow(unsafe_code)]
pub fn start(info: &pvh::BootInfo, ram_contents: frames::Contents) {
    let image_end = paging::physical(paging::image::end());
    let reserved = [
        // The first MiB has reserved regions of a PC, and boot loaders put their start info
        // there.
        (0, KERNEL_LOAD),
        (KERNEL_LOAD, image_end),
        pvh::physical_range(info.initramfs),
        pvh::physical_range(info.command_line),
        pvh::physical_range(info.memory_map),
    ];
    let ram = info.memory_map.iter().filter_map(pvh::MemoryMapEntry::ram);
    let end = ram.clone().map(|(_, end)| end).max().unwrap_or(0);
    // SAFETY: the boot loader's memory map says what is RAM, and the kernel uses none but
    // what is reserved. The VMM promises the contents, on the command line.
    unsafe { frames::start(ram, &reserved, ram_contents) };
    paging::protect_image();
    let end = end.min(paging::DIRECT_MAP_LIMIT);
    // SAFETY: `for_tables` allocates frames of zeros, which nobody frees.
    unsafe { paging::extend_direct_map(0..end, &mut frames::for_tables) }
        .expect("enough memory to map all memory");
}
