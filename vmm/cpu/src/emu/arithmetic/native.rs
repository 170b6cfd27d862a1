//! Calls of stubs, and what they raise.
//!
//! A stub is a function that executes one instruction, and uses no stack before that. One that
//! is made at run time gets the addresses of the guest's registers and of its operand in
//! memory, and ends by committing what it did. Under the guest's own MXCSR an unmasked
//! exception stops it before that: the host sends SIGFPE, whose handler returns from the stub.
//! So the flags are those of the processor, whatever the instruction. Rejected: all exceptions
//! masked, and the flags corrected by arithmetic; SSE's sums and products needed 300 lines of
//! that, and fused multiplications would need more.

use std::arch::asm;
use std::cell::Cell;
use std::ptr;
use std::sync::Once;

use crate::signals::{self, Before};

/// What is at a stub's address: `stub(registers, operand)`.
type Stub = unsafe extern "sysv64" fn(*mut u8, *mut u8);

/// Calls the stub at `address`.
///
/// # Safety
/// A stub is there, of an instruction that the host has; `registers` and `operand` are what it
/// wants.
#[inline(always)]
pub unsafe fn call(address: u64, registers: *mut u8, operand: *mut u8) {
    // SAFETY: the caller vouches for the address and the arguments.
    unsafe {
        let stub: Stub = std::mem::transmute(address as usize);
        stub(registers, operand);
    }
}

/// The exception flags of MXCSR, and their masks.
const FLAGS: u32 = 0x3f;
const MASKS: u32 = FLAGS << 7;

/// As [`call`], under the MXCSR `control`, whose exception flags are clear. Returns those that
/// are set then. If one of them is not masked, the stub has committed nothing.
///
/// # Safety
/// As for [`call`].
pub unsafe fn call_under(address: u64, registers: *mut u8, operand: *mut u8, control: u32) -> u32 {
    let mut mxcsr = [control, 0];
    // SAFETY: the caller vouches for the stub, which obeys the ABI; the host's own MXCSR is
    // saved and restored.
    stopping_at_exceptions(control, || unsafe {
        asm!(
            "stmxcsr [r12 + 4]",
            "ldmxcsr [r12]",
            "call rax",
            "stmxcsr [r12]",
            "ldmxcsr [r12 + 4]",
            // The stub keeps it.
            in("r12") mxcsr.as_mut_ptr(),
            in("rax") address,
            in("rdi") registers,
            in("rsi") operand,
            clobber_abi("sysv64"),
        );
    });
    mxcsr[0] & FLAGS
}

thread_local! {
    /// Whether this thread is in [`stopping_at_exceptions`].
    static IN_STUB: Cell<bool> = const { Cell::new(false) };
}

/// Whether [`catch`] has been called.
static HANDLER: Once = Once::new();

/// Has `run` call a stub under the MXCSR `control`: an exception that is not masked returns
/// from it.
pub fn stopping_at_exceptions(control: u32, run: impl FnOnce()) {
    if control & MASKS != MASKS {
        HANDLER.call_once(catch);
    }
    IN_STUB.set(true);
    run();
    IN_STUB.set(false);
}

/// What SIGFPE did before [`catch`].
static BEFORE: Before = Before::new();

/// Has SIGFPE end the stub that raised it.
fn catch() {
    signals::install(libc::SIGFPE, on_exception, &BEFORE);
}

extern "C" fn on_exception(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes what it tells of the signal.
    let is_sent = unsafe { signals::is_sent(info) };
    if is_sent || !IN_STUB.get() {
        if let Some(before) = BEFORE.get() {
            signals::pass_on(before, is_sent, signal, info, context);
        }
        return;
    }
    // SAFETY: it passes also the context of what it interrupts, here the instruction that
    // raised the exception.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let stack = registers[libc::REG_RSP as usize];
    // SAFETY: a stub leaves the stack as it is called, so its return address is on top.
    registers[libc::REG_RIP as usize] = unsafe { *ptr::with_exposed_provenance(stack as usize) };
    registers[libc::REG_RSP as usize] = stack + size_of::<u64>() as i64;
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;
    use std::ptr;

    use super::{HANDLER, catch, on_exception};

    #[test]
    fn the_handler_is_installed() {
        HANDLER.call_once(catch);
        let mut now = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: asks for the action only, and zeros are one.
        let now = unsafe {
            libc::sigaction(libc::SIGFPE, ptr::null(), now.as_mut_ptr());
            now.assume_init()
        };
        assert_eq!(now.sa_sigaction, on_exception as *const () as usize);
    }
}
