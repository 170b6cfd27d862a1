//! The state of the CPU that programs can read.

use core::arch::asm;

/// The ring that this code runs in: the low bits of the code segment's selector.
pub fn privilege_level() -> u16 {
    let cs: u16;
    // SAFETY: reading a selector has no effect.
    unsafe { asm!("mov {:x}, cs", out(reg) cs, options(nomem, nostack, preserves_flags)) };
    cs & 3
}
