//! Page tables: 4 levels, long mode (Intel SDM vol. 3A 5.5).
//!
//! Tables are reached through the direct map. The upper half of every address space is
//! the same two entries: direct map and kernel.

use core::arch::asm;

use abi::virtual_map::{DIRECT_MAP, KERNEL_BASE, PAGE_SIZE, USER_END};
use bitflags::bitflags;

use super::cpu;

bitflags! {
    /// Bits of a page table entry.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u64 {
        /// The entry counts.
        const PRESENT = 1 << 0;
        /// Writes are allowed.
        const WRITABLE = 1 << 1;
        /// Ring 3 is allowed.
        const USER = 1 << 2;
        /// Set by the CPU on any use.
        const ACCESSED = 1 << 5;
        /// Set by the CPU on a write.
        const DIRTY = 1 << 6;
        /// In an upper table: maps memory, not a table.
        const LARGE = 1 << 7;
        /// The translation outlives a load of CR3.
        const GLOBAL = 1 << 8;
        /// Instruction fetches are not allowed.
        const NO_EXECUTE = 1 << 63;
    }
}

const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;
const ENTRIES: usize = 512;
const TOP_LEVEL: u32 = 3;
const GIB: u64 = 1 << 30;
const LARGE_PAGE: u64 = 2 << 20;

/// Entries of the top table that all address spaces share.
const SHARED_ENTRIES: [usize; 2] = [index(DIRECT_MAP, TOP_LEVEL), index(KERNEL_BASE, TOP_LEVEL)];

/// Preset, so that the CPU need not write the entry at first use.
const USED: Flags = Flags::ACCESSED.union(Flags::DIRTY);

const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize % ENTRIES
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Entry(u64);

impl Entry {
    const fn new(address: u64, flags: Flags) -> Self {
        Self(address | flags.bits())
    }

    fn is_present(self) -> bool {
        self.0 & Flags::PRESENT.bits() != 0
    }

    fn address(self) -> u64 {
        self.0 & ADDRESS_MASK
    }
}

/// A page table, by physical address.
#[derive(Clone, Copy)]
struct Table(u64);

impl Table {
    /// # Safety
    /// The table is one, and stays so while it is used through this value.
    const unsafe fn at(address: u64) -> Self {
        Self(address)
    }

    fn slot(self, index: usize) -> *mut Entry {
        ((DIRECT_MAP + self.0) as *mut Entry).wrapping_add(index % ENTRIES)
    }

    fn get(self, index: usize) -> Entry {
        // SAFETY: `at` promises a table, and the slot is inside it.
        unsafe { self.slot(index).read_volatile() }
    }

    fn set(self, index: usize, entry: Entry) {
        // SAFETY: as for `get`; what the entry means is its caller's concern.
        unsafe { self.slot(index).write_volatile(entry) }
    }

    /// The table that entry `index` leads to, made by `allocate` if there is none.
    fn child(
        self,
        index: usize,
        flags: Flags,
        allocate: &mut dyn FnMut() -> Option<u64>,
    ) -> Option<Self> {
        let entry = self.get(index);
        if entry.is_present() {
            return Some(Self(entry.address()));
        }
        let address = allocate()?;
        self.set(index, Entry::new(address, flags));
        Some(Self(address))
    }
}

bitflags! {
    /// What a page of ring 3 may be used for; reading always.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u8 {
        const WRITE = 1 << 0;
        const EXECUTE = 1 << 1;
    }
}

/// The page tables of one address space.
pub struct PageTables {
    root: u64,
}

impl PageTables {
    /// Tables with nothing in the user half, in the zeroed frame at `root`.
    ///
    /// # Safety
    /// The frame is zero and belongs to these tables from now on.
    pub unsafe fn new(root: u64) -> Self {
        // SAFETY: the caller's promise; boot.S has made the boot table.
        let (table, boot) = unsafe { (Table::at(root), Table::at(physical(boot_pml4()))) };
        for index in SHARED_ENTRIES {
            table.set(index, boot.get(index));
        }
        Self { root }
    }

    /// Makes the CPU use these tables.
    ///
    /// # Safety
    /// They live until others are activated.
    pub unsafe fn activate(&self) {
        // SAFETY: the kernel's half is the same in all tables; the caller promises life.
        unsafe { load(self.root) }
    }

    /// Maps the user page at `page` to the frame at `frame`; `allocate` gives zeroed
    /// frames for tables. `None` if it has no more.
    ///
    /// # Safety
    /// Programs may have the frame, and no translation of the page is cached: it was
    /// never mapped, or has been flushed.
    pub unsafe fn map(
        &mut self,
        page: u64,
        frame: u64,
        access: Access,
        allocate: &mut dyn FnMut() -> Option<u64>,
    ) -> Option<()> {
        assert!(page < USER_END, "{page:#x} is not a user page");
        let mut flags = Flags::PRESENT | Flags::USER | USED;
        flags.set(Flags::WRITABLE, access.contains(Access::WRITE));
        flags.set(Flags::NO_EXECUTE, !access.contains(Access::EXECUTE));
        let tables = Flags::PRESENT | Flags::WRITABLE | Flags::USER | Flags::ACCESSED;
        map(self.root, page, Entry::new(frame, flags), tables, allocate)
    }
}

fn map(
    root: u64,
    page: u64,
    entry: Entry,
    tables: Flags,
    allocate: &mut dyn FnMut() -> Option<u64>,
) -> Option<()> {
    // SAFETY: every root is one of PageTables or of boot.S.
    let mut table = unsafe { Table::at(root) };
    for level in (1..=TOP_LEVEL).rev() {
        table = table.child(index(page, level), tables, allocate)?;
    }
    table.set(index(page, 0), entry);
    Some(())
}

/// Maps the kernel page at `page`, in every address space, to the frame at `frame`.
/// `None` if `allocate` has no more.
///
/// # Safety
/// The page was never mapped, the frame is the kernel's, and nothing else is kept there.
pub unsafe fn map_kernel(
    page: u64,
    frame: u64,
    allocate: &mut dyn FnMut() -> Option<u64>,
) -> Option<()> {
    let flags = Flags::PRESENT | Flags::WRITABLE | Flags::NO_EXECUTE | Flags::GLOBAL | USED;
    let tables = Flags::PRESENT | Flags::WRITABLE | Flags::ACCESSED;
    let root = physical(boot_pml4());
    map(root, page, Entry::new(frame, flags), tables, allocate)
}

/// Gives each part of the kernel's image its own permissions: boot.S maps all of it with
/// one large page. Takes effect with the next load of CR3.
pub fn protect_image() {
    let text = Flags::PRESENT | Flags::GLOBAL | USED;
    let rodata = text | Flags::NO_EXECUTE;
    let data = rodata | Flags::WRITABLE;
    let parts = [
        (image::text_start(), image::rodata_start(), text),
        (image::rodata_start(), image::data_start(), rodata),
        (image::data_start(), image::end(), data),
    ];
    // SAFETY: both tables are boot.S's own, which nothing else uses.
    let (table, directory) = unsafe {
        (
            Table::at(physical(pt_image())),
            Table::at(physical(pd_image())),
        )
    };
    for (start, end, flags) in parts {
        for page in (start..end).step_by(PAGE_SIZE as usize) {
            table.set(index(page, 0), Entry::new(physical(page), flags));
        }
    }
    let flags = Flags::PRESENT | Flags::WRITABLE | Flags::ACCESSED;
    directory.set(0, Entry::new(table.0, flags));
}

/// Makes the direct map reach `end`; boot.S maps the first
/// [`BOOT_MAPPED`] bytes. `None` if `allocate` has
/// no more frames.
pub fn extend_direct_map(end: u64, allocate: &mut dyn FnMut() -> Option<u64>) -> Option<()> {
    if end <= BOOT_MAPPED {
        return Some(());
    }
    let gib_pages = cpu::Features::has_gib_pages();
    let large = Flags::PRESENT | Flags::WRITABLE | Flags::LARGE | Flags::GLOBAL | USED;
    let tables = Flags::PRESENT | Flags::WRITABLE | Flags::ACCESSED;
    // SAFETY: boot.S's own tables.
    let boot = unsafe { Table::at(physical(boot_pml4())) };
    let directories = Table(boot.get(index(DIRECT_MAP, TOP_LEVEL)).address());
    for gib in (BOOT_MAPPED..end).step_by(GIB as usize) {
        let slot = index(DIRECT_MAP + gib, 2);
        if gib_pages {
            directories.set(slot, Entry::new(gib, large));
            continue;
        }
        let directory = directories.child(slot, tables, allocate)?;
        for number in 0..ENTRIES {
            let address = gib + number as u64 * LARGE_PAGE;
            directory.set(number, Entry::new(address, large));
        }
    }
    Some(())
}

/// Physical memory that the direct map reaches from the first instruction on.
pub const BOOT_MAPPED: u64 = 4 * GIB;

/// Past the last physical address that [`extend_direct_map`] can reach.
pub const DIRECT_MAP_LIMIT: u64 = GIB * ENTRIES as u64;

/// Address 0 and up become the programs' alone. The CPU must not have cached any
/// translation as global yet.
pub fn forget_identity_map() {
    let root = physical(boot_pml4());
    // SAFETY: boot.S's own table, which stays in use: only the identity map goes, that
    // nothing has used since the jump to the kernel's window.
    unsafe {
        Table::at(root).set(0, Entry(0));
        load(root);
    }
}

/// # Safety
/// `root` is a table that maps the kernel and lives until another is loaded.
unsafe fn load(root: u64) {
    // SAFETY: the caller's promise.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) }
}

/// Physical address of something in the image.
pub fn physical(address: u64) -> u64 {
    address - KERNEL_BASE
}

/// Where the parts of the image begin, in the kernel's window; see `kernel.ld`.
pub mod image {
    macro_rules! linker_symbols {
        ($($name:ident = $symbol:ident),* $(,)?) => {
            unsafe extern "C" {
                $(static $symbol: [u8; 0];)*
            }
            $(
                pub fn $name() -> u64 {
                    (&raw const $symbol) as u64
                }
            )*
        };
    }

    linker_symbols! {
        text_start = __text_start,
        rodata_start = __rodata_start,
        data_start = __data_start,
        end = __image_end,
    }
}

macro_rules! boot_tables {
    ($($name:ident = $symbol:literal),* $(,)?) => {
        $(
            fn $name() -> u64 {
                unsafe extern "C" {
                    #[link_name = $symbol]
                    static TABLE: [u64; ENTRIES];
                }
                (&raw const TABLE) as u64
            }
        )*
    };
}

boot_tables! {
    boot_pml4 = "boot_pml4",
    pd_image = "pd_image",
    pt_image = "pt_image",
}

#[cfg(test)]
mod tests {
    use super::{SHARED_ENTRIES, index};

    #[test]
    fn indices_are_the_manuals() {
        assert_eq!(SHARED_ENTRIES, [256, 511]);
        let address = 3 << 39 | 5 << 30 | 7 << 21 | 9 << 12 | 0xabc;
        assert_eq!(
            [3, 2, 1, 0].map(|level| index(address, level)),
            [3, 5, 7, 9]
        );
    }
}
