//! CPU state that ring 3 can change and `fxsave64` does not save: that of AVX and AVX-512.
//!
//! The kernel changes none of it: it is built without AVX, and SSE leaves the upper parts of
//! the registers alone. So a trap saves nothing of it. What is done with it is done when
//! another thread runs, and at signals, `fork` and `exec`; and to components in use only,
//! which `xgetbv` names in one instruction. XCR0 has nothing that is not saved: no AMX, whose
//! state has 11,008 bytes and which Linux grants only to programs that request it, and no
//! protection keys, for which there are no system calls.
//!
//! An area has the standard format, as frames of signal handlers have it too (Intel SDM
//! vol. 1 13.4). Rejected: `xsaveopt` and `xsavec`, which few kinds of processors lack. Asked
//! for components in use only, `xsave` stores no more than they do.
//!
//! Software-backed KVM runs ring 3 with the host's CR4 and XCR0 whatever the guest's are, and
//! cannot emulate `xsave` in ring 0. There the VMM saves and loads the state, in pages that
//! the kernel names (`abi::ports::EXTENDED_STATE`), with PKRU, which ring 3 has unannounced.
//! AMX is not saved, though its instructions work: tiles and their configuration are lost, or
//! another program's, after any switch. Rejected: AMX in the guest's CPUID, so that KVM would
//! hand it out; XCR0 without AVX-512 by KVM_SET_XCRS, which that KVM never loads; `xsave`
//! completed by the VMM's emulator, which has neither AVX-512 nor PKRU.

use core::arch::{asm, x86_64::__cpuid_count};
use core::cell::UnsafeCell;

use abi::ports::{EXTENDED_STATE, EXTENDED_STATE_LOAD};
use abi::virtual_map::PAGE_SIZE;
use x86::{XCr0Flags, fx, xsave};

use crate::at_boot::AtBoot;
use crate::paging::{DIRECT_MAP, physical};
use crate::port;

/// What `fxsave64` saves; always in XCR0.
pub const LEGACY: XCr0Flags = XCr0Flags::X87.union(XCr0Flags::SSE);
/// What the kernel saves where the CPU has it.
const SAVED: XCr0Flags = LEGACY
    .union(XCr0Flags::AVX)
    .union(XCr0Flags::OPMASK)
    .union(XCr0Flags::ZMM_HI256)
    .union(XCr0Flags::HI16_ZMM);

/// The CPU's state as the kernel has set it up.
#[derive(Clone, Copy)]
struct SetUp {
    /// XCR0; 0 if there is none.
    components: u64,
    /// Those of them that may be in use always.
    untold: u64,
    /// Those of which `xgetbv` says whether they are.
    told: u64,
    /// Bytes of an area.
    size: usize,
    /// Whether the VMM saves and loads.
    by_port: bool,
}

static SET_UP: AtBoot<SetUp> = AtBoot::new(SetUp {
    components: 0,
    untold: 0,
    told: 0,
    size: fx::LEN,
    by_port: false,
});

/// An area all of zeros, which is the state after reset.
#[repr(C, align(4096))]
struct Reset(UnsafeCell<[u8; PAGE_SIZE as usize]>);

// SAFETY: nobody writes to it.
unsafe impl Sync for Reset {}

static RESET: Reset = Reset(UnsafeCell::new([0; PAGE_SIZE as usize]));

/// Enables what the CPU has and the kernel saves. CR4.OSXSAVE is set.
pub(crate) fn enable(by_port: bool) {
    const LEAF: u32 = 0xd;
    const XGETBV_1: u32 = 1 << 2;
    let wanted = match by_port {
        true => SAVED.union(XCr0Flags::MPK),
        false => SAVED,
    };
    let components = u64::from(__cpuid_count(LEAF, 0).eax) & wanted.bits();
    // SAFETY: CR4.OSXSAVE is set, the CPU has these components, and the kernel uses none.
    unsafe {
        asm!(
            "xsetbv",
            in("ecx") 0,
            in("eax") components as u32,
            in("edx") 0,
            options(nomem, nostack, preserves_flags)
        );
    }
    // That of the components in XCR0.
    let size = __cpuid_count(LEAF, 0).ebx as usize;
    // Where QEMU emulates SVM, the hypervisor learns nothing of `xsetbv` and undoes it.
    let components = match size {
        xsave::YMM_HIGH_AT => LEGACY.bits(),
        _ => components,
    };
    let extended = components & !LEGACY.bits();
    let tells = __cpuid_count(LEAF, 1).eax & XGETBV_1 != 0 && !by_port;
    let set_up = SetUp {
        components,
        untold: if tells { 0 } else { extended },
        told: if tells { extended } else { 0 },
        size,
        by_port,
    };
    // SAFETY: the CPU that starts is the only one that runs: all others wait for it.
    unsafe { SET_UP.set(set_up) };
}

/// Whether ring 3 has what the kernel has not enabled.
#[inline]
pub fn is_exposed() -> bool {
    SET_UP.get().by_port
}

/// XCR0: the components of the state, with x87 and SSE; 0 if there is nothing to save.
pub fn components() -> u64 {
    SET_UP.get().components
}

/// Bytes of an area, at most a page: x87 and SSE, the header, and the rest. Only those of
/// x87 and SSE if there is no more.
pub fn size() -> usize {
    SET_UP.get().size
}

/// The components that are in use, or may be; x87 and SSE are not among them.
#[inline]
pub fn in_use() -> u64 {
    let SetUp { told, untold, .. } = SET_UP.get();
    if told == 0 {
        return untold;
    }
    let in_use: u32;
    // SAFETY: CPUID announces this use of the instruction, and CR4.OSXSAVE is set. All
    // components have numbers below 32.
    unsafe {
        asm!(
            "xgetbv",
            in("ecx") 1,
            out("eax") in_use,
            out("edx") _,
            options(nomem, nostack, preserves_flags)
        );
    }
    told & u64::from(in_use)
}

/// Saves these components, which are some of those [`in_use`], in the page at this physical
/// address; the others are as after reset there.
///
/// # Safety
/// The caller has the page to itself, and the area's header is zero but for the components.
pub unsafe fn save(page: u64, components: u64) {
    if SET_UP.get().by_port {
        return request(page, 0);
    }
    let area = DIRECT_MAP + page;
    // SAFETY: the page is in the direct map and the caller's. The area fits it, is aligned,
    // and the rest of its header is zero; CR4.OSXSAVE is set, or nothing is in use.
    unsafe {
        ((area + xsave::IN_USE_AT as u64) as *mut u64).write(0);
        if components != 0 {
            asm!(
                "xsave64 [{}]",
                in(reg) area,
                in("eax") components as u32,
                in("edx") 0,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// Loads the state from the page at this physical address, except x87 and SSE.
///
/// # Safety
/// [`save`] left the area there, or it has been checked: its header names no components that
/// XCR0 does not have, and is zero but for that.
pub unsafe fn load(page: u64) {
    match SET_UP.get().by_port {
        true => request(page, EXTENDED_STATE_LOAD),
        // SAFETY: the page is in the direct map; the caller answers for its contents.
        false => unsafe { restore((DIRECT_MAP + page) as *const u8) },
    }
}

/// Makes the state as it is after reset.
pub fn reset() {
    let area = RESET.0.get().cast::<u8>();
    match SET_UP.get().by_port {
        true => request(physical(area as u64), EXTENDED_STATE_LOAD),
        // SAFETY: a header of zeros is valid.
        false => unsafe { restore(area) },
    }
}

/// # Safety
/// A valid area is there.
unsafe fn restore(area: *const u8) {
    let components = SET_UP.get().components & !LEGACY.bits();
    if components == 0 {
        return;
    }
    // SAFETY: CR4.OSXSAVE is set, since there are components, and the caller answers for the
    // area. No register that Rust code uses is changed but MXCSR, which every return to
    // ring 3 loads.
    unsafe {
        asm!(
            "xrstor64 [{}]",
            in(reg) area,
            in("eax") components as u32,
            in("edx") 0,
            options(readonly, nostack, preserves_flags)
        );
    }
}

fn request(page: u64, operation: u32) {
    let number = (page / PAGE_SIZE) as u32;
    // SAFETY: the VMM reads or writes that page only, and writes it only for `save`, whose
    // caller has it to itself. A save changes no register. A load changes none that Rust code
    // uses: x87 and SSE stay, and the kernel is built without AVX.
    unsafe { port::request(EXTENDED_STATE, number << 1 | operation) };
}
