//! Paging: tables of 4 levels, long mode (Intel SDM vol. 3A 5.5), and the kernel's own.
//!
//! Tables are reached through the direct map. The upper half of every address space is the
//! same two entries: direct map and kernel. The lower half is managed by `mm`.

mod table;

use core::arch::asm;
use core::ops::Range;

use abi::virtual_map::{self, KERNEL_BASE, PAGE_SIZE};

use crate::{boot, cpu, processors};

pub use table::{DIRECT_MAP, ENTRIES, Entry, Flags, TOP_LEVEL, Table, USED, index};

const GIB: u64 = 1 << 30;
const LARGE_PAGE: u64 = 2 << 20;

/// Entries of the top table that all address spaces share.
const SHARED_ENTRIES: [usize; 2] = [
    index(virtual_map::DIRECT_MAP, TOP_LEVEL),
    index(KERNEL_BASE, TOP_LEVEL),
];

/// Flags of entries of the kernel's upper tables.
pub(crate) const KERNEL_TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::ACCESSED);
/// Flags of entries that map large pages for the kernel.
pub(crate) const KERNEL_LARGE: Flags = Flags::PRESENT
    .union(Flags::WRITABLE)
    .union(USED)
    .union(Flags::HUGE_PAGE)
    .union(Flags::GLOBAL);
/// Further flags of those that map devices.
pub(crate) const UNCACHED: Flags = Flags::WRITE_THROUGH.union(Flags::NO_CACHE);

/// The table that entry `index` of one of the kernel's tables leads to, made in a zeroed
/// frame that `allocate` gives if there is none.
fn kernel_child(
    table: Table,
    index: usize,
    allocate: &mut dyn FnMut() -> Option<u64>,
) -> Option<Table> {
    if let Some(child) = table.child(index) {
        return Some(child);
    }
    let address = allocate()?;
    // SAFETY: the frame is zero, so nothing new is mapped yet, and it is kept for good.
    unsafe {
        table.set(index, Entry::new(address, KERNEL_TABLE));
        Some(Table::at(address))
    }
}

/// Pages for kernel stacks and the guards between them.
pub const STACK_REGION_PAGES: usize = 256 * ENTRIES;
/// Tables for them that are part of the image.
pub const STACK_TABLES: usize = 4;

/// Makes the table for page `page` of the region for kernel stacks, in a zeroed frame that
/// `allocate` gives if there is none; `None` if it gives none.
///
/// # Safety
/// `allocate` gives frames of zeros, for good.
///
/// # Panics
/// The region has only [`STACK_REGION_PAGES`].
pub unsafe fn make_stack_table(
    page: usize,
    allocate: &mut dyn FnMut() -> Option<u64>,
) -> Option<()> {
    assert!(page < STACK_REGION_PAGES, "no page {page} for stacks");
    kernel_child(boot_table(pd_stacks()), page / ENTRIES, allocate).map(|_| ())
}

/// Maps the frame at `frame` at page `page` of the region for kernel stacks, in every
/// address space.
///
/// # Safety
/// Nothing is mapped there, and the frame is the kernel's.
///
/// # Panics
/// There is no table for it: see [`make_stack_table`].
pub unsafe fn map_stack_page(page: usize, frame: u64) {
    let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE | Flags::GLOBAL | USED;
    let (table, index) = stack_table(page);
    // SAFETY: the caller's promise.
    unsafe { table.set(index, Entry::new(frame, flags)) };
}

/// Undoes [`map_stack_page`] and returns the frame; `address` is the page's.
///
/// # Safety
/// The page is unused.
///
/// # Panics
/// As for [`map_stack_page`].
pub unsafe fn unmap_stack_page(page: usize, address: u64) -> u64 {
    let (table, index) = stack_table(page);
    let frame = table.get(index).address();
    // SAFETY: the caller's promise.
    unsafe { table.set(index, Entry::EMPTY) };
    forget_page(address);
    processors::flush_kernel_elsewhere();
    frame
}

/// The table that has a page for kernel stacks, and where.
fn stack_table(page: usize) -> (Table, usize) {
    let table = boot_table(pd_stacks()).child(page / ENTRIES);
    (table.expect("a table for the stack"), page % ENTRIES)
}

/// Tables of 2 MiB each that map the kernel's image and what is below it; see `kernel.ld`.
pub const IMAGE_TABLES: usize = 2;

/// Flags of pages of the image that hold variables.
pub(crate) const IMAGE_DATA: Flags = IMAGE_RODATA.union(Flags::WRITABLE);
/// Those of constants.
pub(crate) const IMAGE_RODATA: Flags = IMAGE_TEXT.union(Flags::NO_EXECUTE);
/// Those of code.
pub(crate) const IMAGE_TEXT: Flags = Flags::PRESENT.union(Flags::GLOBAL).union(USED);

/// Maps each part of the kernel's image with its own permissions: boot.S maps all of it
/// with large pages, and has tables in which every page holds variables, as most do, beside
/// what code and constants have instead, since only the linker knows which those are. What
/// follows the image, up to the end of these tables, stays as in the direct map, but for a page
/// right behind it. Takes effect with the next load of CR3.
pub fn protect_image() {
    let parts = [
        (image::text_start(), image::rodata_start(), text_entries()),
        (image::rodata_start(), image::data_start(), rodata_entries()),
    ];
    let table_of = |number: usize| {
        let offset = (number * size_of::<[Entry; ENTRIES]>()) as u64;
        boot_table(pt_image() + offset)
    };
    for (start, end, entries) in parts {
        let [start, end] = [start, end].map(|page| (physical(page) / PAGE_SIZE) as usize);
        // SAFETY: the tables are not in use yet, and kernel.ld keeps the image within them.
        unsafe { table_of(0).set_all(start, &entries[start..end]) };
    }
    for guard in [boot::stack_guard(), image::end()] {
        if guard < KERNEL_BASE + IMAGE_TABLES as u64 * LARGE_PAGE {
            // SAFETY: nothing is there that is used.
            unsafe { table_of(index(guard, 1)).set(index(guard, 0), Entry::EMPTY) };
        }
    }
    let directory = boot_table(pd_image());
    for number in 0..IMAGE_TABLES {
        let entry = Entry::new(table_of(number).address(), KERNEL_TABLE);
        // SAFETY: every page of the image stays where it was.
        unsafe { directory.set(number, entry) };
    }
}

/// Adds a range of physical addresses, and what is around it up to whole GiB, to the direct
/// map; boot.S maps the first [`BOOT_MAPPED`] bytes. `None` if `allocate` has no more frames,
/// or the range goes past [`DIRECT_MAP_LIMIT`].
///
/// # Safety
/// `allocate` gives frames of zeros, for good.
pub unsafe fn extend_direct_map(
    range: Range<u64>,
    allocate: &mut dyn FnMut() -> Option<u64>,
) -> Option<()> {
    let range = range.start.max(BOOT_MAPPED)..range.end;
    if range.end > DIRECT_MAP_LIMIT {
        return None;
    }
    if range.is_empty() {
        return Some(());
    }
    let gib_pages = cpu::Features::has_gib_pages();
    let top = index(virtual_map::DIRECT_MAP, TOP_LEVEL);
    let directories = kernel_child(boot_table(boot_pml4()), top, allocate)?;
    // SAFETY: nothing is mapped there yet, and the direct map is the kernel's.
    let map =
        |table: Table, slot, address| unsafe { table.set(slot, Entry::new(address, KERNEL_LARGE)) };
    for gib in (range.start & !(GIB - 1)..range.end).step_by(GIB as usize) {
        let slot = index(virtual_map::DIRECT_MAP + gib, 2);
        if !directories.get(slot).is_empty() {
            continue;
        }
        if gib_pages {
            map(directories, slot, gib);
            continue;
        }
        let directory = kernel_child(directories, slot, allocate)?;
        for number in 0..ENTRIES {
            map(directory, number, gib + number as u64 * LARGE_PAGE);
        }
    }
    Some(())
}

/// Bytes of physical memory that the direct map of boot.S covers.
pub const BOOT_MAPPED: u64 = 4 * GIB;

/// Physical addresses of devices, which boot.S maps uncached at themselves with all high bits
/// set.
pub const DEVICES: Range<u64> = 3 * GIB..4 * GIB;

/// Past the last physical address that [`extend_direct_map`] can reach.
pub const DIRECT_MAP_LIMIT: u64 = GIB * ENTRIES as u64;

/// Unmaps the identity map of the boot code, as the lower half is for programs. The TLB
/// must not hold global entries yet.
pub(crate) fn forget_identity_map() {
    // SAFETY: nothing has used the identity map since the jump to the kernel's window.
    unsafe { boot_table(boot_pml4()).set(0, Entry::EMPTY) };
    activate_kernel_tables();
}

/// Maps the kernel in the zeroed top table at `root`.
///
/// # Safety
/// The table is one of an address space's own.
pub unsafe fn share_kernel(root: Table) {
    let boot = boot_table(boot_pml4());
    for index in SHARED_ENTRIES {
        // SAFETY: the caller's promise; the kernel's half is the same everywhere, and out
        // of reach for ring 3.
        unsafe { root.set(index, boot.get(index)) };
    }
}

/// Undoes [`share_kernel`].
///
/// # Safety
/// As for [`share_kernel`], and the CPU does not use the table.
pub unsafe fn unshare_kernel(root: Table) {
    for index in SHARED_ENTRIES {
        // SAFETY: the caller's promise: nothing is mapped through the table any more.
        unsafe { root.set(index, Entry::EMPTY) };
    }
}

/// Where those tables are.
pub(crate) fn kernel_tables() -> u64 {
    physical(boot_pml4())
}

/// Loads CR3 with tables whose user half is empty.
pub fn activate_kernel_tables() {
    // SAFETY: boot.S's table stays for good.
    unsafe { load(boot_table(boot_pml4())) }
}

/// Loads CR3 with the tables under `root`, which flushes the TLB entries of the user half.
///
/// # Safety
/// It maps the kernel, and lives until another is loaded.
#[inline]
pub unsafe fn load(root: Table) {
    // In tests no CPU uses the tables, and there is more than one.
    if cfg!(feature = "image") {
        processors::current().root.set(root.address());
        flush_user(root.address());
    }
}

/// The same, by the address of the top table, as a CPU whose own tables these are.
pub(crate) fn flush_user(root: u64) {
    // SAFETY: whoever has noted the address as that of the tables in use answers for it.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) }
}

/// Has all other CPUs that use the tables under `root` forget what they know of them, and waits
/// until they have.
#[inline(always)]
pub fn forget_elsewhere(root: Table) {
    processors::flush_elsewhere(root.address());
}

/// Whether another CPU uses the tables under `root`.
#[inline(always)]
pub fn is_elsewhere(root: Table) -> bool {
    processors::is_elsewhere(root.address())
}

/// Physical address of the top table that the CPU uses.
pub(crate) fn loaded() -> u64 {
    processors::current().root.get()
}

/// Whether the CPU uses the tables under `root`.
#[inline]
pub fn is_loaded(root: Table) -> bool {
    loaded() == root.address()
}

/// Invalidates the TLB entry of the page at `page`.
#[inline]
pub fn forget_page(page: u64) {
    if cfg!(feature = "image") {
        // SAFETY: without a TLB entry the CPU walks the tables, which are valid.
        unsafe { asm!("invlpg [{}]", in(reg) page, options(nostack, preserves_flags)) }
    }
}

/// One of boot.S's tables, by its address in the image.
fn boot_table(address: u64) -> Table {
    // SAFETY: only called for tables of boot.S, which stay for good.
    unsafe { Table::at(physical(address)) }
}

/// Physical address of something in the image.
pub fn physical(address: u64) -> u64 {
    address.wrapping_sub(KERNEL_BASE)
}

/// Physical address of kernel memory that is contiguous there too: all but stacks.
pub fn physical_of(bytes: &[u8]) -> Option<u64> {
    let address = bytes.as_ptr() as u64;
    if address >= KERNEL_BASE {
        return Some(physical(address));
    }
    let offset = address.checked_sub(DIRECT_MAP)?;
    (offset < DIRECT_MAP_LIMIT).then_some(offset)
}

/// Where the parts of the image begin, in the kernel's window; see `kernel.ld`.
pub mod image {
    macro_rules! linker_symbols {
        ($($(#[$about:meta])* $name:ident = $symbol:ident),* $(,)?) => {
            unsafe extern "C" {
                $(static $symbol: [u8; 0];)*
            }
            $(
                $(#[$about])*
                pub fn $name() -> u64 {
                    (&raw const $symbol) as u64
                }
            )*
        };
    }

    linker_symbols! {
        /// Code, and the image itself.
        text_start = __text_start,
        /// Constants.
        rodata_start = __rodata_start,
        /// Variables.
        data_start = __data_start,
        /// Past the last byte, at the end of a page.
        end = __image_end,
    }
}

/// What would map each page of the image as code, and as constants: see boot.S.
fn text_entries() -> &'static ImageEntries {
    // SAFETY: boot.S has so many there, and nothing writes to them.
    unsafe { &image_text }
}

fn rodata_entries() -> &'static ImageEntries {
    // SAFETY: as for `text_entries`.
    unsafe { &image_rodata }
}

type ImageEntries = [Entry; ENTRIES * IMAGE_TABLES];

unsafe extern "C" {
    static image_text: ImageEntries;
    static image_rodata: ImageEntries;
}

macro_rules! boot_tables {
    ($($name:ident = $symbol:literal),* $(,)?) => {
        $(
            #[cfg(feature = "image")]
            fn $name() -> u64 {
                unsafe extern "C" {
                    #[link_name = $symbol]
                    static TABLE: [u64; ENTRIES];
                }
                (&raw const TABLE) as u64
            }

            /// An empty table instead of the kernel's.
            #[cfg(not(feature = "image"))]
            fn $name() -> u64 {
                #[repr(align(4096))]
                struct Empty([u64; ENTRIES]);
                static TABLE: Empty = Empty([0; ENTRIES]);
                KERNEL_BASE.wrapping_add((&raw const TABLE.0) as u64)
            }
        )*
    };
}

boot_tables! {
    boot_pml4 = "boot_pml4",
    pd_image = "pd_image",
    pt_image = "pt_image",
    pd_stacks = "pd_stacks",
}

#[cfg(test)]
mod tests {
    use super::SHARED_ENTRIES;

    #[test]
    fn the_kernel_has_two_entries() {
        assert_eq!(SHARED_ENTRIES, [256, 511]);
    }
}
