//! CPU state that ring 3 can change and `fxsave64` does not save.
//!
//! Elsewhere there is nothing: CR4.OSXSAVE and CR4.FSGSBASE are clear, so that programs
//! have no AVX, and bases of segments that only system calls change. Software-backed KVM
//! runs ring 3 with the host's CR4 and XCR0 whatever the guest's are, and cannot emulate
//! `xsave` in ring 0. There the VMM saves and loads this state, in pages that the kernel
//! names (`abi::ports::EXTENDED_STATE`): AVX, AVX-512 and PKRU. AMX is not saved, though
//! its instructions work: tiles and their configuration are lost, or another program's,
//! after any switch. Linux grants it only to programs that request it by `arch_prctl`,
//! which is refused here.
//!
//! Rejected: AMX in the guest's CPUID, so that KVM would hand it out. Its state has 11,008
//! bytes, more than a page and more than an ordinary alternate stack of a signal handler.
//!
//! Rejected: XCR0 without AVX by KVM_SET_XCRS, with CR4.OSXSAVE set. That KVM never loads it.

use core::arch::asm;
use core::cell::Cell;

use abi::ports::{EXTENDED_STATE, EXTENDED_STATE_LOAD};
use abi::virtual_map::PAGE_SIZE;

use crate::{SingleCpu, port};

static IS_EXPOSED: SingleCpu<Cell<bool>> = SingleCpu::new(Cell::new(false));

/// Declares that there is such state, and that the VMM saves it.
pub(crate) fn expose() {
    IS_EXPOSED.set(true);
}

/// Whether there is any.
#[inline]
pub fn is_exposed() -> bool {
    IS_EXPOSED.get()
}

/// Saves it in the page at this physical address, in the format of `xsave`.
///
/// # Safety
/// The caller has the page to itself.
pub unsafe fn save(page: u64) {
    request(page, 0);
}

/// Loads it from there, except x87 and SSE; zeros are the state after reset. An invalid
/// state changes nothing.
pub fn load(page: u64) {
    request(page, EXTENDED_STATE_LOAD);
}

/// The same; whether the state was valid.
pub fn try_load(page: u64) -> bool {
    load(page);
    // SAFETY: the VMM only says what became of the load.
    unsafe { port::read_u32(EXTENDED_STATE) == 1 }
}

fn request(page: u64, operation: u32) {
    let number = (page / PAGE_SIZE) as u32;
    let request = number << 1 | operation;
    // SAFETY: the VMM reads or writes that page only, and writes it only for `save`, whose
    // caller has it to itself. The compiler keeps no copy of it over this, which may touch
    // memory. A save changes no register. A load changes none that Rust code uses: x87 and
    // SSE stay, and the kernel is built without AVX.
    unsafe {
        asm!(
            "out dx, eax",
            in("dx") EXTENDED_STATE,
            in("eax") request,
            options(nostack, preserves_flags)
        );
    }
}
