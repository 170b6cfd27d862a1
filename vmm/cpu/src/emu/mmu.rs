//! Address translation: page walks, their permission checks, and TLB fills.
//!
//! Paging is off or has four levels (AMD APM vol. 2 5.3); the other modes end the run
//! before any access (see [`super::state`]).

use super::cpu::{Cpu, bits};
use super::exception::{Exception, Stop, vector};
use super::exit::ExitKind;
use super::flags::rflags;
use super::ram::{PAGE, PAGE_MASK};
use super::tlb::{Table, TlbView};

/// Bits of a guest-physical address, as CPUID tells.
pub(super) const PHYSICAL_BITS: u32 = 48;

/// Work of a page walk.
const WALK_WORK: i64 = 8;
/// Places of a table that are looked at, one after the other, for a unit of work.
const PLACES_AT_ONCE: usize = 8;

/// What an access wants of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Write,
    Fetch,
}

/// With whose rights an access is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privilege {
    User = 0,
    /// Rings 0 to 2, and the processor itself.
    Supervisor = 1,
    /// Supervisor with RFLAGS.AC set, which lifts SMAP.
    SupervisorAc = 2,
}

/// The data TLBs, one for each [`Privilege`].
pub(super) struct Tlbs([Table; 3]);

impl Tlbs {
    pub(super) const fn new() -> Self {
        Self([const { Table::new() }; 3])
    }
    pub(super) fn view(&self, privilege: Privilege) -> TlbView {
        self.0[privilege as usize].view()
    }
}

/// Bits of page table entries.
mod pte {
    pub const PRESENT: u64 = 1;
    pub const WRITE: u64 = 1 << 1;
    pub const USER: u64 = 1 << 2;
    pub const ACCESSED: u64 = 1 << 5;
    pub const DIRTY: u64 = 1 << 6;
    pub const LARGE: u64 = 1 << 7;
    pub const GLOBAL: u64 = 1 << 8;
    pub const NX: u64 = 1 << 63;
    /// Address of a table or small page.
    pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    /// Bits above the physical address width.
    pub const TOO_HIGH: u64 = ADDRESS & !((1 << super::PHYSICAL_BITS) - 1);
}

/// Bits of a #PF error code (AMD APM vol. 2 8.4.2).
mod pf {
    pub const PRESENT: u16 = 1;
    pub const WRITE: u16 = 1 << 1;
    pub const USER: u16 = 1 << 2;
    pub const RESERVED: u16 = 1 << 3;
    pub const FETCH: u16 = 1 << 4;
}

/// A finished page walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Translation {
    /// Guest-physical address.
    pub(super) gpa: u64,
    /// Writes would be allowed without another walk: permitted, and the dirty bit set.
    writable: bool,
    pub(super) global: bool,
    /// The page is larger than 4 KiB.
    pub(super) large: bool,
}

impl Cpu {
    /// The rights of ordinary accesses now.
    pub(super) fn privilege(&self) -> Privilege {
        if self.cpl == 3 {
            Privilege::User
        } else if self.system_flags & rflags::AC != 0 {
            Privilege::SupervisorAc
        } else {
            Privilege::Supervisor
        }
    }

    /// Makes the fast path use the TLB that the privilege asks for, or none where every
    /// access has its alignment checked or is compared with breakpoints.
    pub(super) fn select_tlb(&mut self) {
        self.tlb = if self.checks_alignment() || self.watches() {
            TlbView::nothing()
        } else {
            self.tlbs.view(self.privilege())
        };
    }

    /// Whether misaligned accesses are #AC: in ring 3, if CR0.AM and RFLAGS.AC say so.
    pub(super) fn checks_alignment(&self) -> bool {
        self.cpl == 3 && self.system_flags & rflags::AC != 0 && self.cr0 & bits::CR0_AM != 0
    }

    /// Lets no entry write to the host page at `host` any more.
    pub(super) fn protect_page(&mut self, host: *mut u8) {
        let tables = self.tlbs.0.iter_mut();
        let looked_at = tables.map(|table| table.protect(host)).sum();
        self.charge_places(looked_at);
    }

    /// Charges for a look at so many places of tables, one after the other.
    fn charge_places(&mut self, looked_at: usize) {
        self.charge((looked_at / PLACES_AT_ONCE) as i64);
    }

    /// Forgets translations: all, or those of pages that are not global.
    pub(super) fn flush_tlb(&mut self, keep_global: bool) {
        let tables = self.tlbs.0.iter_mut();
        let looked_at = tables.map(|table| table.flush(keep_global)).sum();
        self.charge_places(looked_at);
        self.code.flush_fetch(keep_global);
        self.select_ctx();
    }

    /// Forgets the translation of one page (`invlpg`), global or not.
    pub(super) fn flush_page(&mut self, la: u64) {
        let tables = self.tlbs.0.iter_mut();
        let looked_at = tables.map(|table| table.flush_page(la)).sum();
        self.charge_places(looked_at);
        self.code.flush_fetch(false);
        self.select_ctx();
    }

    /// Whether bits 63 to 47 of `la` are equal; 32-bit addresses always pass.
    pub(super) fn canonical(la: u64) -> bool {
        ((la << 16) as i64 >> 16) as u64 == la
    }

    /// Translates `la` for an access and fills the TLB if RAM is there.
    ///
    /// # Errors
    /// #PF, with CR2 set.
    pub(super) fn translate(
        &mut self,
        la: u64,
        want: Want,
        privilege: Privilege,
    ) -> Result<u64, Stop> {
        let found = self.walk(la, want, privilege)?;
        if want != Want::Fetch
            && let Some(host) = self.ram.host(found.gpa & PAGE_MASK)
        {
            let writable = found.writable && !self.code.holds(found.gpa);
            self.tlbs.0[privilege as usize].insert(la, host, writable, &found);
            self.select_tlb();
        }
        Ok(found.gpa)
    }

    /// Walks the page tables.
    ///
    /// # Errors
    /// #PF, with CR2 set.
    pub(super) fn walk(
        &mut self,
        la: u64,
        want: Want,
        privilege: Privilege,
    ) -> Result<Translation, Stop> {
        if self.cr0 & bits::CR0_PG == 0 {
            return Ok(Translation {
                gpa: la & 0xffff_ffff,
                writable: true,
                global: false,
                large: false,
            });
        }
        self.charge(WALK_WORK);
        let reserved_nx = if self.efer & bits::EFER_NXE == 0 {
            pte::NX
        } else {
            0
        };
        let mut table = self.cr3 & pte::ADDRESS;
        let mut rights = pte::WRITE | pte::USER;
        let mut nx = 0;
        let mut path = [0; 4];
        for level in (0..4).rev() {
            let shift = 12 + 9 * level as u32;
            let at = table + (la >> shift & 0x1ff) * 8;
            path[level] = at;
            // What no RAM backs reads as all ones, as on a bus.
            let entry = self.ram.read_u64(at).unwrap_or(u64::MAX);
            if entry & pte::PRESENT == 0 {
                return Err(self.page_fault(la, want, privilege, 0));
            }
            let leaf = level == 0 || entry & pte::LARGE != 0;
            let low = if leaf && level != 0 {
                // Address bits below the page's size, but for the PAT bit.
                ((1 << shift) - 1) & pte::ADDRESS & !(1 << 12)
            } else {
                0
            };
            let large_pml4 = if level == 3 { pte::LARGE } else { 0 };
            if entry & (pte::TOO_HIGH | reserved_nx | low | large_pml4) != 0 {
                return Err(self.page_fault(la, want, privilege, pf::PRESENT | pf::RESERVED));
            }
            rights &= entry;
            nx |= entry & pte::NX;
            if leaf {
                if !self.permits(rights, nx != 0, want, privilege) {
                    return Err(self.page_fault(la, want, privilege, pf::PRESENT));
                }
                let dirty = self.mark(&path[level..], entry, want == Want::Write);
                let offset = (1 << shift) - 1;
                return Ok(Translation {
                    gpa: (entry & pte::ADDRESS & !offset) | (la & offset),
                    writable: dirty && self.permits(rights, false, Want::Write, privilege),
                    global: entry & pte::GLOBAL != 0 && self.cr4 & bits::CR4_PGE != 0,
                    large: level != 0,
                });
            }
            table = entry & pte::ADDRESS;
        }
        self.exit.kind = ExitKind::Failed("a page walk without an end");
        Err(Stop::Exit)
    }

    /// Whether a page with these rights admits an access.
    fn permits(&self, rights: u64, nx: bool, want: Want, privilege: Privilege) -> bool {
        let user_page = rights & pte::USER != 0;
        let by_privilege = match (privilege, want) {
            (Privilege::User, _) => user_page,
            (_, Want::Fetch) => !(user_page && self.cr4 & bits::CR4_SMEP != 0),
            (Privilege::Supervisor, _) => !(user_page && self.cr4 & bits::CR4_SMAP != 0),
            (Privilege::SupervisorAc, _) => true,
        };
        by_privilege
            && match want {
                Want::Read => true,
                Want::Fetch => !nx,
                Want::Write => {
                    rights & pte::WRITE != 0
                        || (privilege != Privilege::User && self.cr0 & bits::CR0_WP == 0)
                }
            }
    }

    /// Sets the accessed bits along a walk (leaf first) and, if `write`, the leaf's dirty
    /// bit. Returns whether the leaf is dirty.
    fn mark(&mut self, path: &[u64], leaf: u64, write: bool) -> bool {
        let wanted = pte::ACCESSED | if write { pte::DIRTY } else { 0 };
        if leaf & wanted != wanted {
            self.write_entry(path[0], leaf | wanted);
        }
        for &at in &path[1..] {
            let entry = self.ram.read_u64(at).unwrap_or(u64::MAX);
            if entry & pte::ACCESSED == 0 {
                self.write_entry(at, entry | pte::ACCESSED);
            }
        }
        write || leaf & pte::DIRTY != 0
    }

    fn write_entry(&mut self, gpa: u64, value: u64) {
        self.ram.write_u64(gpa, value);
        if self.code.holds(gpa) {
            self.code_written(gpa, 8);
        }
    }

    /// Makes a #PF, with CR2 set. `code` has the bits that tell of the page.
    #[cold]
    fn page_fault(&mut self, la: u64, want: Want, privilege: Privilege, code: u16) -> Stop {
        self.cr2 = la;
        let user = if privilege == Privilege::User {
            pf::USER
        } else {
            0
        };
        let fetch_known = self.efer & bits::EFER_NXE != 0 || self.cr4 & bits::CR4_SMEP != 0;
        let want = match want {
            Want::Read => 0,
            Want::Write => pf::WRITE,
            Want::Fetch if fetch_known => pf::FETCH,
            Want::Fetch => 0,
        };
        Exception::coded(vector::PF, code | user | want).into()
    }
}

/// Bytes from `la` to the end of its page.
pub(super) fn to_page_end(la: u64) -> u64 {
    PAGE - (la & (PAGE - 1))
}
