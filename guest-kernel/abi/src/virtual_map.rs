//! The guest's virtual address map.
//!
//! ```text
//! 0x0000_0000_0000_0000 .. 0x0000_7fff_ffff_f000  user, one per process
//! 0xffff_8000_0000_0000 ..                        all physical memory (direct map)
//! 0xffff_ffff_8000_0000 + load address            kernel image
//! ```

/// First address past the part of the map that programs may use.
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;
/// Where the kernel maps all of physical memory: GPA `p` is at `DIRECT_MAP + p`.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// Added to a load address to make the kernel image's virtual address.
pub const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Guest-physical address at which the kernel image is linked to be loaded.
pub const KERNEL_LOAD: u64 = 0x10_0000;
/// Bytes in a small page.
pub const PAGE_SIZE: u64 = 4096;
