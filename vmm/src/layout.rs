//! The guest-physical address map.
//!
//! ```text
//! 0x0000_0000  unused, so that a null physical address hits nothing of value
//! 0x0000_6000  PVH start info (hvm_start_info), or Linux's boot parameters
//! 0x0000_7000  memory map, then the module list
//! 0x0000_8000  descriptors, from 0x9000 on page tables, for a bzImage's 64-bit entry
//! 0x0001_0000  kernel command line, zero-terminated, at most 64 KiB
//! 0x000e_0000  ACPI tables, for kernels that are not ours
//! 0x0010_0000  kernel image (abi::virtual_map::KERNEL_LOAD)
//!     ...      free RAM
//!     top      initramfs, page-aligned, at the end of RAM below the hole
//! 0xc000_0000  hole for devices: I/O APIC at 0xfec0_0000, local APIC at 0xfee0_0000;
//!              KVM on Intel keeps 4 pages for itself from 0xfeff_c000 on
//! 0x1_0000_0000  the rest of RAM, if there is more than 3 GiB
//!     ...      from the next GiB on, contents of files of the host: see file_window
//! ```

use std::ops::Range;

pub use cpu::memory::{DEVICE_HOLE, HIGH_RAM};

/// Where the PVH start info lies, or Linux's boot parameters.
pub const START_INFO: u64 = 0x6000;
/// Where the memory map that the start info names lies.
pub const MEMORY_MAP: u64 = 0x7000;
/// Where the module list that the start info names lies.
pub const MODULE_LIST: u64 = 0x7800;
/// Where the descriptors for a 64-bit entry lie.
pub const BOOT_GDT: u64 = 0x8000;
/// Where the page tables for a 64-bit entry lie, the top one first.
pub const BOOT_PAGE_TABLES: u64 = 0x9000;
/// Where the kernel's command line lies.
pub const COMMAND_LINE: u64 = 0x1_0000;
/// Bytes for the command line with its terminating zero.
pub const COMMAND_LINE_MAX: usize = 0x1_0000;
/// Where the ACPI tables lie, with the RSDP first.
pub const ACPI_TABLES: u64 = 0xe_0000;
/// What a PC has there instead of RAM: video memory and firmware.
pub const FIRMWARE_HOLE: Range<u64> = 0xa_0000..0x10_0000;
/// Smallest RAM that holds the map above, the bundled guest and a small program at work:
/// 6 MiB.
pub const MIN_RAM: u64 = 6 << 20;
/// Largest RAM: 1 TiB, well inside what 4-level paging maps directly.
pub const MAX_RAM: u64 = 1 << 40;
const GIB: u64 = 1 << 30;
/// Bytes of addresses for contents of files of the host, as far as there are so many.
const FILE_WINDOW: u64 = 64 << 30;
/// Where they end at the latest: the kernel maps no more.
const FILE_WINDOW_END: u64 = 512 << 30;
/// Unit of RAM sizes and placements, in bytes.
pub const PAGE: u64 = abi::virtual_map::PAGE_SIZE;

/// Guest-physical addresses for contents of files of the host, beside `ram` bytes of RAM, on a
/// processor with so many bits of addresses; `None` if there are too few.
pub fn file_window(ram: u64, address_bits: u32) -> Option<Range<u64>> {
    let start = (HIGH_RAM + ram.saturating_sub(DEVICE_HOLE)).next_multiple_of(GIB);
    let end = file_window_end(address_bits).min(start + FILE_WINDOW);
    (start < end).then_some(start..end)
}

/// Most RAM that leaves a GiB for them.
pub fn max_ram_with_files(address_bits: u32) -> u64 {
    file_window_end(address_bits) - GIB - HIGH_RAM + DEVICE_HOLE
}

fn file_window_end(address_bits: u32) -> u64 {
    FILE_WINDOW_END.min(1 << address_bits.clamp(36, 48))
}

#[cfg(test)]
mod tests {
    use super::{GIB, MAX_RAM, file_window, max_ram_with_files};

    #[test]
    fn files_are_above_ram_and_within_the_processors_reach() {
        assert_eq!(file_window(64 << 20, 48), Some(4 * GIB..68 * GIB));
        assert_eq!(file_window(3 * GIB + 1, 46), Some(5 * GIB..69 * GIB));
        assert_eq!(file_window(64 << 20, 36), Some(4 * GIB..64 * GIB));
        assert_eq!(file_window(MAX_RAM, 52), None);
        let most = max_ram_with_files(39);
        assert_eq!(file_window(most, 39), Some(511 * GIB..512 * GIB));
        assert_eq!(file_window(most + GIB, 39), None);
    }
}
