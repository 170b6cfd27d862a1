//! Page walks and their permission checks.
//!
//! Paging is off or has four levels (AMD APM vol. 2 5.3); the other modes end the run
//! before any access (see [`Control::missing_mode`]).

use x86::{PageFaultErrorCode, PageTableFlags, vector};

use crate::emu::memory::ram::Ram;
use crate::emu::state::control::{Control, Privilege, bits};
use crate::emu::state::exception::Exception;

/// Bits of a guest-physical address, as CPUID reports.
pub const PHYSICAL_BITS: u32 = 48;
/// Bits of CR3 that must be zero.
pub const CR3_RESERVED: u64 = !((1 << PHYSICAL_BITS) - 1);

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

/// Levels of page tables.
const LEVELS: usize = 4;

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
    let fault = |code| Err(page_fault(control, want, privilege, code));
    let mut table = control.cr3 & pte::ADDRESS;
    let (mut rights, mut nx) = (pte::WRITE | pte::USER, 0);
    let mut path = [0; LEVELS];
    let mut level = LEVELS - 1;
    loop {
        let shift = 12 + 9 * level as u32;
        let at = table + (la >> shift & 0x1ff) * 8;
        path[level] = at;
        // An address that no RAM backs reads as all ones, as on a bus.
        let entry = ram.read_u64(at).unwrap_or(u64::MAX);
        if entry & pte::PRESENT == 0 {
            return fault(PageFaultErrorCode::empty());
        }
        let leaf = level == 0 || entry & pte::LARGE != 0;
        if entry & reserved(control, level, leaf) != 0 {
            return fault(
                PageFaultErrorCode::PROTECTION_VIOLATION | PageFaultErrorCode::MALFORMED_TABLE,
            );
        }
        rights &= entry;
        nx |= entry & pte::NX;
        if leaf {
            if !permits(control, rights, nx != 0, want, privilege) {
                return fault(PageFaultErrorCode::PROTECTION_VIOLATION);
            }
            let (dirty, marked) = mark(ram, &path[level..], entry, want == Want::Write);
            let offset = (1 << shift) - 1;
            return Ok(Translation {
                gpa: (entry & pte::ADDRESS & !offset) | (la & offset),
                writable: dirty && permits(control, rights, false, Want::Write, privilege),
                global: entry & pte::GLOBAL != 0 && control.cr4 & bits::CR4_PGE != 0,
                large: level != 0,
                marked,
            });
        }
        table = entry & pte::ADDRESS;
        level -= 1;
    }
}

/// The bits that must be zero in a present entry of `level`, 0 for the last.
fn reserved(control: &Control, level: usize, leaf: bool) -> u64 {
    let mut reserved = pte::TOO_HIGH;
    if control.efer & bits::EFER_NXE == 0 {
        reserved |= pte::NX;
    }
    if level == LEVELS - 1 {
        reserved |= pte::LARGE;
    }
    if leaf && level != 0 {
        // Address bits below the page's size, but for the PAT bit.
        reserved |= ((1 << (12 + 9 * level)) - 1) & pte::ADDRESS & !(1 << 12);
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
fn mark(ram: &Ram, path: &[u64], leaf: u64, write: bool) -> (bool, [Option<u64>; LEVELS]) {
    let mut marked = [None; LEVELS];
    for (n, (&at, marked)) in path.iter().zip(&mut marked).enumerate() {
        let (entry, wanted) = match n {
            0 if write => (leaf, pte::ACCESSED | pte::DIRTY),
            0 => (leaf, pte::ACCESSED),
            _ => (ram.read_u64(at).unwrap_or(u64::MAX), pte::ACCESSED),
        };
        if entry & wanted != wanted {
            ram.write_u64(at, entry | wanted);
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
    let fetch_known = control.efer & bits::EFER_NXE != 0 || control.cr4 & bits::CR4_SMEP != 0;
    code.set(PageFaultErrorCode::CAUSED_BY_WRITE, want == Want::Write);
    code.set(
        PageFaultErrorCode::INSTRUCTION_FETCH,
        want == Want::Fetch && fetch_known,
    );
    Exception::coded(vector::PF, code.bits() as u16)
}
