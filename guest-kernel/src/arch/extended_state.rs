//! What ring 3 can change of the CPU that `fxsave64` does not save.
//!
//! Elsewhere there is nothing: CR4.OSXSAVE and CR4.FSGSBASE are clear, so that programs have
//! no AVX, and bases of segments that only system calls change. Software-backed KVM runs
//! ring 3 with the host's CR4 and XCR0 whatever the guest's are, and cannot emulate `xsave`
//! in ring 0. There the VMM saves and loads everything that there is, in pages that the
//! kernel names (`abi::ports::EXTENDED_STATE`).
//!
//! Rejected: XCR0 without AVX by KVM_SET_XCRS, with CR4.OSXSAVE set. That KVM never loads it.

use core::cell::Cell;

use abi::ports::{EXTENDED_STATE, EXTENDED_STATE_LOAD};
use abi::virtual_map::PAGE_SIZE;

use super::{SingleCpu, port};

static IS_EXPOSED: SingleCpu<Cell<bool>> = SingleCpu::new(Cell::new(false));

/// Says that there is such state, and a VMM that saves it.
pub fn expose() {
    IS_EXPOSED.set(true);
}

/// Whether there is any.
pub fn is_exposed() -> bool {
    IS_EXPOSED.get()
}

/// Saves it in the page at this physical address, in the format of `xsave`.
pub fn save(page: u64) {
    request(page, 0);
}

/// Loads it from there; zeros are the state after reset. What the CPU cannot have changes
/// nothing. x87 and SSE change too, which the way to ring 3 loads again.
pub fn load(page: u64) {
    request(page, EXTENDED_STATE_LOAD);
}

fn request(page: u64, operation: u32) {
    let number = (page / PAGE_SIZE) as u32;
    // SAFETY: the VMM reads or writes that page only, which the caller has to itself.
    unsafe { port::write_u32(EXTENDED_STATE, number << 1 | operation) }
}
