//! The boot loader's data: the PVH start info (Xen's `public/arch-x86/hvm/start_info.h`).
//!
//! It is read once, before any memory is allocated; what it refers to must lie in the
//! first 4 GiB, which the boot page tables map.

use core::slice;

use abi::virtual_map::DIRECT_MAP;

use crate::acpi;
use crate::paging::BOOT_MAPPED;

const MAGIC: u32 = 0x336e_c578;
/// First version with a memory map.
const VERSION_WITH_MEMORY_MAP: u32 = 1;
/// The command line ends here at the latest.
const COMMAND_LINE_LIMIT: usize = 64 * 1024;

// A boot loader compiled for 32 bits (qboot, of QEMU's microvm) aligns 64-bit fields, and so
// these structures, to 4 bytes only. The layouts are the same.
#[repr(C, packed(4))]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C, packed(4))]
struct Module {
    start: u64,
    size: u64,
    command_line: u64,
    reserved: u64,
}

/// A range of guest-physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(4))]
pub struct MemoryMapEntry {
    start: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

impl MemoryMapEntry {
    /// E820 type of usable memory.
    const RAM: u32 = 1;

    /// First and past-the-end address, if it is RAM.
    pub fn ram(&self) -> Option<(u64, u64)> {
        let end = self.start.checked_add(self.size)?;
        (self.kind == Self::RAM).then_some((self.start, end))
    }
}

/// The boot loader's data, in place. Only [`Self::read`] makes one: what it refers to is
/// neither free memory nor the kernel's.
#[non_exhaustive]
pub struct BootInfo {
    /// The kernel command line, without its terminating zero.
    pub command_line: &'static [u8],
    /// The initramfs; empty if there is none.
    pub initramfs: &'static [u8],
    /// All of the machine's memory.
    pub memory_map: &'static [MemoryMapEntry],
    /// Physical address of ACPI's first table; 0 if there is none.
    rsdp: u64,
}

impl BootInfo {
    /// Finds everything that the start info at physical `address` refers to.
    ///
    /// # Safety
    /// `address` is what a PVH boot loader left in ebx, and nothing has been written to
    /// memory outside the image since.
    ///
    /// # Panics
    /// What is there is not a start info that the kernel can use.
    pub unsafe fn read(address: u64) -> Self {
        // SAFETY: the protocol puts a start info there, and what it refers to stays until
        // the kernel itself gives that memory away, which `reserved` prevents.
        unsafe {
            let info = &slice_at::<StartInfo>(address, 1)[0];
            assert!(
                info.magic == MAGIC && info.version >= VERSION_WITH_MEMORY_MAP,
                "the boot loader does not speak PVH version 1"
            );
            let modules: &[Module] = slice_at(info.modules, info.module_count as usize);
            Self {
                command_line: text_at(info.command_line),
                initramfs: modules
                    .first()
                    .map_or(&[], |module| slice_at(module.start, module.size as usize)),
                memory_map: slice_at(info.memory_map, info.memory_map_entries as usize),
                rsdp: info.rsdp,
            }
        }
    }

    /// How many CPUs the tables of the firmware list, at most 32; `None` without such tables. Only
    /// before another CPU runs.
    #[cold]
    pub fn listed_cpus(&self) -> Option<usize> {
        acpi::cpus(self.rsdp, |address, len| {
            let end = address.checked_add(len as u64)?;
            // SAFETY: all that is below is mapped, whatever is there, and nobody writes to it while
            // it is looked at: this CPU runs alone, and has no device at work.
            (address != 0 && end <= BOOT_MAPPED).then(|| unsafe { slice_at(address, len) })
        })
    }
}

/// First and past-the-end physical address of a slice that [`BootInfo`] gave.
pub fn physical_range<T>(slice: &'static [T]) -> (u64, u64) {
    let range = slice.as_ptr_range();
    (
        (range.start as u64).saturating_sub(DIRECT_MAP),
        (range.end as u64).saturating_sub(DIRECT_MAP),
    )
}

/// # Safety
/// Physical memory from `address` holds `count` values of `T` that stay as they are.
unsafe fn slice_at<T>(address: u64, count: usize) -> &'static [T] {
    if count == 0 {
        return &[];
    }
    let end = (size_of::<T>() as u64)
        .checked_mul(count as u64)
        .and_then(|size| address.checked_add(size));
    assert!(
        address != 0 && end.is_some_and(|end| end <= BOOT_MAPPED),
        "boot data at {address:#x} is beyond the first 4 GiB"
    );
    let first = (DIRECT_MAP + address) as *const T;
    assert!(first.is_aligned(), "boot data at {address:#x} is unaligned");
    // SAFETY: the caller's promise; the range is inside the direct map, and aligned.
    unsafe { slice::from_raw_parts(first, count) }
}

/// # Safety
/// As for [`slice_at`], up to a zero byte.
unsafe fn text_at(address: u64) -> &'static [u8] {
    if address == 0 {
        return &[];
    }
    // SAFETY: the caller's promise; bytes past the zero are looked at but not kept.
    let bytes = unsafe { slice_at::<u8>(address, 1) }.as_ptr();
    // Eight bytes at a time: booting should take few instructions.
    let end_in = |offset: usize| {
        const EACH: u64 = 0x0101_0101_0101_0101;
        // SAFETY: every byte before was part of the text, so this one is in memory, and
        // memory does not end with the text.
        let word = unsafe { bytes.add(offset).cast::<u64>().read_unaligned() };
        let zeros = word.wrapping_sub(EACH) & !word & EACH << 7;
        (zeros != 0).then(|| offset + zeros.trailing_zeros() as usize / 8)
    };
    let len = (0..COMMAND_LINE_LIMIT).step_by(8).find_map(end_in);
    let len = len.expect("the command line ends within 64 KiB");
    // SAFETY: `len` bytes were just read.
    unsafe { slice::from_raw_parts(bytes, len) }
}
