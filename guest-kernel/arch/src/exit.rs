//! Ending the machine.

use core::arch::asm;

use abi::debug_exit::GuestExit;

use crate::port;

/// Tells the VMM how the guest ended. A VMM without the debug-exit device leaves the CPU
/// halted for good.
pub fn exit(end: GuestExit) -> ! {
    // SAFETY: the debug-exit device ends the machine and does nothing else.
    unsafe { port::write_u32(abi::ports::DEBUG_EXIT, end.encode()) };
    loop {
        // SAFETY: with interrupts off (and an NMI fatal) nothing runs any more.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
