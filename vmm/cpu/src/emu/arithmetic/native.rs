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
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::{Once, OnceLock};

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

/// Has `run` call a stub under the MXCSR `control`: an exception that is not masked returns
/// from it.
pub fn stopping_at_exceptions(control: u32, run: impl FnOnce()) {
    if control & MASKS != MASKS {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(catch);
    }
    IN_STUB.set(true);
    run();
    IN_STUB.set(false);
}

/// What SIGFPE did before [`catch`].
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Has SIGFPE end the stub that raised it.
fn catch() {
    let [mut action, mut before] = [MaybeUninit::<libc::sigaction>::zeroed(); 2];
    // SAFETY: zeros are an action; its handler has the signature that SA_SIGINFO asks for, and
    // does nothing that a handler must not do.
    unsafe {
        let (action, before) = (action.assume_init_mut(), before.assume_init_mut());
        libc::sigaction(libc::SIGFPE, ptr::null(), before);
        let _ = BEFORE.set(*before);
        action.sa_sigaction = on_exception as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGFPE, action, ptr::null_mut());
    }
}

extern "C" fn on_exception(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes what it tells of the signal, and the context of what it
    // interrupts: with a positive code, the instruction that raised the exception.
    let (code, registers) = unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        ((*info).si_code, &mut context.uc_mcontext.gregs)
    };
    let is_sent = code <= 0;
    if is_sent || !IN_STUB.get() {
        pass_on(signal, is_sent);
        return;
    }
    let stack = registers[libc::REG_RSP as usize];
    // SAFETY: a stub leaves the stack as it is called, so its return address is on top.
    registers[libc::REG_RIP as usize] = unsafe { *ptr::with_exposed_provenance(stack as usize) };
    registers[libc::REG_RSP as usize] = stack + size_of::<u64>() as i64;
}

/// Has the signal do what it did before, when the handler returns: an instruction that raised
/// it does so again, and one that was sent is sent again.
fn pass_on(signal: libc::c_int, is_sent: bool) {
    let Some(before) = BEFORE.get() else { return };
    if is_sent && before.sa_sigaction == libc::SIG_IGN {
        return;
    }
    // SAFETY: the action was in force before; both calls are allowed in handlers.
    unsafe {
        libc::sigaction(signal, before, ptr::null_mut());
        if is_sent {
            libc::raise(signal);
        }
    }
}
