//! Page walks and their permission checks.
//!
//! Tables have one of three formats (AMD APM vol. 2 5.2 and 5.3), whose facts are constants
//! of a [`Format`]: the walk is one text.
//!
//! | format | when | levels | entries of |
//! |---|---|---|---|
//! | [`FourLevel`] | long mode | 4 | 8 bytes |
//! | [`Pae`] | CR4.PAE | 2, under four pointers in registers | 8 bytes |
//! | [`TwoLevel`] | else | 2 | 4 bytes |

use x86::{PageFaultErrorCode, PageTableFlags, vector};

use crate::emu::arithmetic::value::{Int, Plain};
use crate::emu::memory::ram::Ram;
use crate::emu::state::control::{Control, Privilege, bits};
use crate::emu::state::exception::Exception;

/// Bits of a guest-physical address, as CPUID reports.
pub const PHYSICAL_BITS: u32 = 48;
/// Bits of CR3 that must be zero.
pub const CR3_RESERVED: u64 = !((1 << PHYSICAL_BITS) - 1);

/// Bits of CR3 that are the identifier of a process, with CR4.PCIDE (AMD APM vol. 2 5.5.1).
pub const PCID: u64 = 0xfff;

/// The rights that an access needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Read,
    Write,
    Fetch,
}

/// Bits of page table entries.
mod pte {
    use super::PageTableFlags as Flags;

    pub const PRESENT: u64 = Flags::PRESENT.bits();
    pub const WRITE: u64 = Flags::WRITABLE.bits();
    pub const USER: u64 = Flags::USER_ACCESSIBLE.bits();
    pub const ACCESSED: u64 = Flags::ACCESSED.bits();
    pub const DIRTY: u64 = Flags::DIRTY.bits();
    pub const LARGE: u64 = Flags::HUGE_PAGE.bits();
    pub const GLOBAL: u64 = Flags::GLOBAL.bits();
    pub const NX: u64 = Flags::NO_EXECUTE.bits();
    /// Address of a table or small page.
    pub const ADDRESS: u64 = x86::PAGE_ADDRESS;
    /// Bits above the physical address width.
    pub const TOO_HIGH: u64 = ADDRESS & !((1 << super::PHYSICAL_BITS) - 1);
    /// Bits for the system in four-level tables, which others must clear.
    pub const AVAILABLE_HIGH: u64 = 0x7ff << 52;
}

/// Bits that must be zero in a present pointer of [`Pae`].
const PDPTE_RESERVED: u64 = pte::TOO_HIGH
    | pte::AVAILABLE_HIGH
    | pte::NX
    | pte::WRITE
    | pte::USER
    | pte::ACCESSED
    | pte::DIRTY
    | pte::LARGE
    | pte::GLOBAL;

/// The facts of a format of page tables.
trait Format {
    /// An entry.
    type Entry: Int;
    const LEVELS: usize;
    /// Bits of an address that a table translates.
    const INDEX_BITS: u32;
    /// Bits that must be zero in each present entry.
    const RESERVED: u64;
    /// The first table for `la`; none where its pointer is not present.
    fn root(control: &Control, la: u64) -> Option<u64>;
    /// Whether entries of `level` can be of large pages.
    fn has_large(control: &Control, level: usize) -> bool;
    /// The address bits of a large page's entry that must be zero, where `offset` is the
    /// mask of the offsets in the page.
    fn large_reserved(offset: u64) -> u64 {
        // The lowest is the PAT bit.
        offset & pte::ADDRESS & !(1 << 12)
    }
    /// The address of the large page of `entry`.
    fn large_page(entry: u64, offset: u64) -> u64 {
        entry & pte::ADDRESS & !offset
    }
}

/// Long mode: 4 KiB, 2 MiB and 1 GiB.
struct FourLevel;
/// 4 KiB and 2 MiB. The pointers are read when CR3 is loaded.
struct Pae;
/// 4 KiB and, with CR4.PSE, 4 MiB.
struct TwoLevel;

impl Format for FourLevel {
    type Entry = u64;
    const LEVELS: usize = 4;
    const INDEX_BITS: u32 = 9;
    const RESERVED: u64 = pte::TOO_HIGH;
    #[inline(always)]
    fn root(control: &Control, _: u64) -> Option<u64> {
        Some(control.cr3 & pte::ADDRESS)
    }
    #[inline(always)]
    fn has_large(_: &Control, level: usize) -> bool {
        level != Self::LEVELS - 1
    }
}

impl Format for Pae {
    type Entry = u64;
    const LEVELS: usize = 2;
    const INDEX_BITS: u32 = 9;
    const RESERVED: u64 = pte::TOO_HIGH | pte::AVAILABLE_HIGH;
    fn root(control: &Control, la: u64) -> Option<u64> {
        let pointer = control.pdptes[(la >> 30 & 3) as usize];
        (pointer & pte::PRESENT != 0).then_some(pointer & pte::ADDRESS)
    }
    fn has_large(_: &Control, _: usize) -> bool {
        true
    }
}

impl Format for TwoLevel {
    type Entry = u32;
    const LEVELS: usize = 2;
    const INDEX_BITS: u32 = 10;
    const RESERVED: u64 = 0;
    fn root(control: &Control, _: u64) -> Option<u64> {
        Some(control.cr3 & 0xffff_f000)
    }
    fn has_large(control: &Control, _: usize) -> bool {
        control.cr4 & bits::CR4_PSE != 0
    }
    fn large_reserved(_: u64) -> u64 {
        1 << 21
    }
    /// Bits 39 to 32 are where the offset would be (AMD APM vol. 2 5.2.2).
    fn large_page(entry: u64, offset: u64) -> u64 {
        entry & !offset | (entry >> 13 & 0xff) << 32
    }
}

/// The pointers that [`Pae`] walks begin with, as CR3 points to them.
///
/// # Errors
/// #GP(0) if bits are set that must be zero.
pub fn read_pdptes(ram: &Ram, cr3: u64) -> Result<[u64; 4], Exception> {
    let table = cr3 & 0xffff_ffe0;
    let pointers = [0, 8, 16, 24].map(|offset| ram.read(table + offset).unwrap_or(u64::MAX));
    let bad = |pointer: &u64| pointer & pte::PRESENT != 0 && pointer & PDPTE_RESERVED != 0;
    if pointers.iter().any(bad) {
        return Err(Exception::GP);
    }
    Ok(pointers)
}

/// The result of a page walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Guest-physical address.
    pub gpa: u64,
    /// Writes would be allowed without another walk: permitted, and the dirty bit set.
    pub writable: bool,
    pub global: bool,
    /// The page is larger than 4 KiB.
    pub large: bool,
    /// Entries of page tables whose accessed or dirty bit the walk has set, by address.
    pub marked: [Option<u64>; LEVELS],
}

/// Most levels of page tables.
const LEVELS: usize = FourLevel::LEVELS;

/// Whether there are page tables to walk.
pub fn is_paging(control: &Control) -> bool {
    control.cr0 & bits::CR0_PG != 0
}

/// Translates `la` for an access by the page tables of `control`, whose accessed and dirty
/// bits it sets.
///
/// # Errors
/// #PF. CR2 is for the caller to set.
pub fn walk(
    ram: &Ram,
    control: &Control,
    la: u64,
    want: Want,
    privilege: Privilege,
) -> Result<Translation, Exception> {
    if !is_paging(control) {
        return Ok(Translation {
            gpa: la & 0xffff_ffff,
            writable: true,
            global: false,
            large: false,
            marked: [None; LEVELS],
        });
    }
    if control.long_mode() {
        walk_tables::<FourLevel>(ram, control, la, want, privilege)
    } else if control.cr4 & bits::CR4_PAE != 0 {
        walk_tables::<Pae>(ram, control, la, want, privilege)
    } else {
        walk_tables::<TwoLevel>(ram, control, la, want, privilege)
    }
}

fn walk_tables<F: Format>(
    ram: &Ram,
    control: &Control,
    la: u64,
    want: Want,
    privilege: Privilege,
) -> Result<Translation, Exception> {
    let fault = |code| Err(page_fault(control, want, privilege, code));
    let Some(mut table) = F::root(control, la) else {
        return fault(PageFaultErrorCode::empty());
    };
    let (mut rights, mut nx) = (pte::WRITE | pte::USER, 0);
    let mut path = [0; LEVELS];
    let mut level = F::LEVELS - 1;
    loop {
        let shift = 12 + F::INDEX_BITS * level as u32;
        let index = la >> shift & ((1 << F::INDEX_BITS) - 1);
        let at = table + index * F::Entry::SIZE;
        path[level] = at;
        let entry = read_entry::<F>(ram, at);
        if entry & pte::PRESENT == 0 {
            return fault(PageFaultErrorCode::empty());
        }
        let large = level != 0 && entry & pte::LARGE != 0 && F::has_large(control, level);
        let offset = (1 << shift) - 1;
        if entry & reserved::<F>(control, level, large, offset) != 0 {
            return fault(
                PageFaultErrorCode::PROTECTION_VIOLATION | PageFaultErrorCode::MALFORMED_TABLE,
            );
        }
        rights &= entry;
        nx |= entry & pte::NX;
        if large || level == 0 {
            if !permits(control, rights, nx != 0, want, privilege) {
                return fault(PageFaultErrorCode::PROTECTION_VIOLATION);
            }
            let (dirty, marked) =
                mark::<F>(ram, &path[level..F::LEVELS], entry, want == Want::Write);
            let page = match large {
                true => F::large_page(entry, offset),
                false => entry & pte::ADDRESS,
            };
            return Ok(Translation {
                gpa: page | (la & offset),
                writable: dirty && permits(control, rights, false, Want::Write, privilege),
                global: entry & pte::GLOBAL != 0 && control.cr4 & bits::CR4_PGE != 0,
                large,
                marked,
            });
        }
        table = entry & pte::ADDRESS;
        level -= 1;
    }
}

/// The entry at `at`. An address that no RAM backs reads as all ones, as on a bus.
#[inline(always)]
fn read_entry<F: Format>(ram: &Ram, at: u64) -> u64 {
    let entry = ram.read(at).unwrap_or(F::Entry::truncate(u64::MAX));
    entry.zero_extend()
}

/// The bits that must be zero in a present entry of `level`, 0 for the last.
#[inline(always)]
fn reserved<F: Format>(control: &Control, level: usize, large: bool, offset: u64) -> u64 {
    let mut reserved = F::RESERVED;
    if control.efer & bits::EFER_NXE == 0 {
        reserved |= pte::NX;
    }
    if F::LEVELS == FourLevel::LEVELS && level == F::LEVELS - 1 {
        reserved |= pte::LARGE;
    }
    if large {
        reserved |= F::large_reserved(offset);
    }
    reserved
}

/// Whether a page with these rights admits an access.
fn permits(control: &Control, rights: u64, nx: bool, want: Want, privilege: Privilege) -> bool {
    let user_page = rights & pte::USER != 0;
    let by_privilege = match (privilege, want) {
        (Privilege::User, _) => user_page,
        (_, Want::Fetch) => !(user_page && control.cr4 & bits::CR4_SMEP != 0),
        (Privilege::Supervisor, _) => !(user_page && control.cr4 & bits::CR4_SMAP != 0),
        (Privilege::SupervisorAc, _) => true,
    };
    by_privilege
        && match want {
            Want::Read => true,
            Want::Fetch => !nx,
            Want::Write => {
                rights & pte::WRITE != 0
                    || (privilege != Privilege::User && control.cr0 & bits::CR0_WP == 0)
            }
        }
}

/// Sets the accessed bits along a walk (leaf first) and, if `write`, the leaf's dirty bit.
/// Returns whether the leaf is dirty, and the entries written.
#[inline(always)]
fn mark<F: Format>(
    ram: &Ram,
    path: &[u64],
    leaf: u64,
    write: bool,
) -> (bool, [Option<u64>; LEVELS]) {
    let mut marked = [None; LEVELS];
    for (n, (&at, marked)) in path.iter().zip(&mut marked).enumerate() {
        let (entry, wanted) = match n {
            0 if write => (leaf, pte::ACCESSED | pte::DIRTY),
            0 => (leaf, pte::ACCESSED),
            _ => (read_entry::<F>(ram, at), pte::ACCESSED),
        };
        if entry & wanted != wanted {
            ram.write(at, F::Entry::truncate(entry | wanted));
            *marked = Some(at);
        }
    }
    (write || leaf & pte::DIRTY != 0, marked)
}

/// A #PF; `page` tells of the page (AMD APM vol. 2 8.4.2).
#[cold]
fn page_fault(
    control: &Control,
    want: Want,
    privilege: Privilege,
    page: PageFaultErrorCode,
) -> Exception {
    let mut code = page;
    code.set(PageFaultErrorCode::USER_MODE, privilege == Privilege::User);
    let has_nx = control.efer & bits::EFER_NXE != 0 && control.cr4 & bits::CR4_PAE != 0;
    let fetch_known = has_nx || control.cr4 & bits::CR4_SMEP != 0;
    code.set(PageFaultErrorCode::CAUSED_BY_WRITE, want == Want::Write);
    code.set(
        PageFaultErrorCode::INSTRUCTION_FETCH,
        want == Want::Fetch && fetch_known,
    );
    Exception::coded(vector::PF, code.bits() as u16)
}
