//! Handlers of signals that the host raises for an instruction, beside those that were there
//! before.
//!
//! The signals are the process's, and its other threads, or the program that uses this
//! library, may want them too: what a handler here does not know it passes on. A handler that
//! is installed later must do the same.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

/// A handler that gets what the kernel tells of the signal.
pub type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// What a signal did before.
pub type Before = OnceLock<libc::sigaction>;

/// Installs `handler` for `signal`; `before` becomes what was there.
pub fn install(signal: libc::c_int, handler: Handler, before: &Before) {
    let [mut action, mut old] = [MaybeUninit::<libc::sigaction>::zeroed(); 2];
    // SAFETY: zeros are an action; its handler has the signature that SA_SIGINFO asks for, and
    // does nothing that a handler must not do.
    unsafe {
        let (action, old) = (action.assume_init_mut(), old.assume_init_mut());
        libc::sigaction(signal, ptr::null(), old);
        let _ = before.set(*old);
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        // Else handlers nest on the thread's stack for signals, which has room for few.
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(signal, action, ptr::null_mut());
    }
}

/// Whether somebody sent the signal that `info` tells of: no instruction raised it.
///
/// # Safety
/// `info` is what the kernel has passed to a handler.
pub unsafe fn is_sent(info: *const libc::siginfo_t) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*info).si_code <= 0 }
}

/// Has the signal do what it did `before`. A handler is called, and this one stays; the default
/// action, which ends the process, follows on return: an instruction that raised the signal
/// raises it again, and one that was sent is sent again.
pub fn pass_on(
    before: &libc::sigaction,
    is_sent: bool,
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    type Plain = extern "C" fn(libc::c_int);
    // SAFETY: the action was in force before, so its handler is one of the two, as its flags
    // say; the calls are allowed in handlers.
    unsafe {
        match before.sa_sigaction {
            libc::SIG_IGN if is_sent => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::sigaction(signal, before, ptr::null_mut());
                if is_sent {
                    libc::raise(signal);
                }
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                std::mem::transmute::<usize, Handler>(handler)(signal, info, context);
            }
            handler => std::mem::transmute::<usize, Plain>(handler)(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::pass_on;

    static CALLED: AtomicI32 = AtomicI32::new(0);

    extern "C" fn plain(signal: libc::c_int) {
        CALLED.fetch_add(signal, Ordering::Relaxed);
    }

    extern "C" fn with_info(signal: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        CALLED.fetch_add(signal << 8, Ordering::Relaxed);
    }

    #[test]
    fn a_handler_from_before_is_called() {
        for is_sent in [true, false] {
            for (handler, flags, called) in [
                (plain as *const () as usize, 0, 1),
                (with_info as *const () as usize, libc::SA_SIGINFO, 1 << 8),
            ] {
                // SAFETY: zeros are an action.
                let mut before: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
                (before.sa_sigaction, before.sa_flags) = (handler, flags);
                CALLED.store(0, Ordering::Relaxed);
                pass_on(&before, is_sent, 1, ptr::null_mut(), ptr::null_mut());
                assert_eq!(CALLED.load(Ordering::Relaxed), called);
            }
        }
    }
}
