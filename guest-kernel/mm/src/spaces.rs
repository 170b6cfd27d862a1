//! All address spaces, for what happens to a file to reach whoever has it mapped.
//!
//! Processes have the address spaces, and they are above: so they hand in a function. Rejected:
//! a list of mappings for each file, which every fault, fork and `munmap` would keep up to date
//! for the few files that are cut or written to while programs have pages of them.

use core::cell::Cell;

#[cfg(feature = "image")]
use single_cpu::SingleCpu;

use crate::{AddressSpace, FilePages};

/// Calls its argument with each address space, at least once.
pub type Visit = fn(&mut dyn FnMut(&AddressSpace));

#[cfg(feature = "image")]
static VISIT: SingleCpu<Cell<Option<Visit>>> = SingleCpu::new(Cell::new(None));

// Tests run at the same time and each has its own.
#[cfg(not(feature = "image"))]
std::thread_local! {
    static VISIT: Cell<Option<Visit>> = const { Cell::new(None) };
}

/// Says how to find all address spaces.
pub fn find_by(visit: Visit) {
    VISIT.set(Some(visit));
}

/// Calls `each` with each address space, none of which may be borrowed.
pub(crate) fn for_each(each: &mut dyn FnMut(&AddressSpace)) {
    if let Some(visit) = VISIT.get() {
        visit(each);
    }
}

/// Takes the vDSO's page from all programs, so that each gets it anew.
pub fn renew_vdso() {
    for_each(&mut |space| space.renew_vdso());
}

/// Whether anybody has a shared mapping of the file that is writable, or can be made so.
pub fn may_write_shared(file: &FilePages) -> bool {
    let mut found = false;
    for_each(&mut |space| found = found || space.may_write_shared(file));
    found
}

/// How many mappings there are of the file, in all address spaces; one that processes share
/// counts once for each.
pub fn count_mappings(file: &FilePages) -> u64 {
    let mut count = 0;
    for_each(&mut |space| count += space.count_mappings(file));
    count
}

/// Whether a file that `is_meant` is mapped in any address space.
pub fn is_any_mapped(mut is_meant: impl FnMut(&FilePages) -> bool) -> bool {
    let mut found = false;
    for_each(&mut |space| found = found || space.maps_any(&mut is_meant));
    found
}
