//! Port I/O.

use core::arch::asm;

/// # Safety
/// The device behind `port` must not be able to break memory safety with this value.
pub unsafe fn write_u8(port: u16, value: u8) {
    // SAFETY: `out` touches no memory; the caller answers for the device.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags));
    }
}

/// # Safety
/// As for [`write_u8`].
pub unsafe fn write_u32(port: u16, value: u32) {
    // SAFETY: `out` touches no memory; the caller answers for the device.
    unsafe {
        asm!(
            "out dx, eax",
            in("dx") port,
            in("eax") value,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// The same to a device that reads or writes memory: the compiler keeps no copy of any over this.
///
/// # Safety
/// What the device does to memory and registers is the caller's to answer for.
pub unsafe fn request(port: u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags));
    }
}

/// Writes each byte to the same port, by one instruction.
///
/// # Safety
/// As for [`write_u8`].
pub unsafe fn write_all(port: u16, bytes: &[u8]) {
    // SAFETY: reads exactly the slice; DF is clear in Rust code; the caller answers for
    // the device.
    unsafe {
        asm!(
            "rep outsb",
            in("dx") port,
            inout("rsi") bytes.as_ptr() => _,
            inout("rcx") bytes.len() => _,
            options(nostack, readonly, preserves_flags),
        );
    }
}

/// # Safety
/// Reading must not have an effect on the device that breaks memory safety.
pub unsafe fn read_u8(port: u16) -> u8 {
    let value;
    // SAFETY: `in` touches no memory; the caller answers for the device.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// # Safety
/// As for [`read_u8`].
pub unsafe fn read_u32(port: u16) -> u32 {
    let value;
    // SAFETY: `in` touches no memory; the caller answers for the device.
    unsafe {
        asm!(
            "in eax, dx",
            in("dx") port,
            out("eax") value,
            options(nomem, nostack, preserves_flags)
        );
    }
    value
}

/// Fills `bytes` from one port, by one instruction.
///
/// # Safety
/// As for [`read_u8`].
pub unsafe fn read_all(port: u16, bytes: &mut [u8]) {
    // SAFETY: writes exactly the slice; DF is clear in Rust code; the caller answers for
    // the device.
    unsafe {
        asm!(
            "rep insb",
            in("dx") port,
            inout("rdi") bytes.as_mut_ptr() => _,
            inout("rcx") bytes.len() => _,
            options(nostack, preserves_flags),
        );
    }
}
