//! Making `KVM_RUN` return from another thread, without a race and without a handler.
//!
//! The vCPU's thread blocks one real-time signal; `KVM_SET_SIGNAL_MASK` lets it in only
//! while the guest runs. A kick before `KVM_RUN` thus stays pending and ends it at once,
//! a kick during it interrupts it, and the signal is never delivered: the thread takes it
//! back with `sigtimedwait`. One signal at a time is under way: the host queues real-time
//! signals, and would keep each kick of a thread that does not take them.
//!
//! If others send the same signal, to the process or to this thread, the guest is interrupted
//! too: the thread then takes it as it would without a guest. Rejected: to pass it on to the
//! process, from which this thread may get it again and again. Rejected: `immediate_exit` set
//! from a signal handler, which needs a handler that reaches the vCPU's mapping through a
//! thread-local pointer.

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use kvm_bindings::kvm_signal_mask;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::{errno, ioctl_iow_nr, signal};

use crate::Kick;

ioctl_iow_nr!(
    KVM_SET_SIGNAL_MASK,
    kvm_bindings::KVMIO,
    0x8b,
    kvm_signal_mask
);

/// Bytes in the kernel's signal set on x86-64.
const KERNEL_SIGSET_LEN: u32 = 8;

fn kick_signal() -> libc::c_int {
    signal::SIGRTMIN()
}

/// Where kicks go. The thread is known from its first run until the vCPU is detached.
#[derive(Debug, Default)]
pub struct KickTarget {
    state: Mutex<TargetState>,
}

#[derive(Debug, Default)]
struct TargetState {
    thread: Option<libc::pid_t>,
    /// Whether a kick has not been taken: a signal to the thread, or, while no thread runs the
    /// vCPU, none yet.
    pending: bool,
}

impl Kick for KickTarget {
    fn kick(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.pending, true) {
            return;
        }
        if let Some(thread) = state.thread {
            // SAFETY: a plain system call. The thread is alive: the vCPU is detached from
            // it, under this lock, before it ends. And it blocks the signal.
            let sent =
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, kick_signal()) };
            // The host may be out of signals: the next kick tries again.
            state.pending = sent == 0;
        }
    }
}

impl KickTarget {
    /// Makes the calling thread the target; true if a kick came before.
    pub fn attach(&self, vcpu: &impl AsRawFd) -> Result<bool, errno::Error> {
        block_kick_signal()?;
        set_run_mask(vcpu)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: a plain system call without arguments.
        state.thread = Some(unsafe { libc::gettid() });
        Ok(std::mem::take(&mut state.pending))
    }

    /// Keeps kicks pending until a thread runs the vCPU again.
    pub fn detach(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.thread = None;
    }

    /// Takes back the signals that made `KVM_RUN` return. If one is no kick, it is delivered.
    pub fn acknowledge(&self) {
        // A kick must not be delivered, so there is none meanwhile.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending = false;
        // SAFETY: a plain system call without arguments.
        let own = unsafe { libc::getpid() };
        let mut is_foreign = false;
        while let Some(info) = take_kick_signal() {
            // SAFETY: a signal by `tgkill` has its sender's number.
            let is_kick = info.si_code == libc::SI_TKILL && unsafe { info.si_pid() } == own;
            is_foreign |= !is_kick;
        }
        if is_foreign {
            // SAFETY: a plain system call, on this thread, which blocks the signal.
            unsafe { libc::raise(kick_signal()) };
            // Neither fails for a signal that exists. The first returns after the handler.
            let _ = signal::unblock_signal(kick_signal());
            let _ = signal::block_signal(kick_signal());
        }
    }
}

/// Takes a kick signal that is pending for this thread, if there is one. By the system call
/// itself: the C library's function reports `tgkill` as `kill`.
fn take_kick_signal() -> Option<libc::siginfo_t> {
    let set = 1_u64 << (kick_signal() - 1);
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: the kernel reads a set of `KERNEL_SIGSET_LEN` bytes and a time, and fills in
    // `info`, which is read only if the result is the signal.
    unsafe {
        let taken = libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set,
            info.as_mut_ptr(),
            &raw const at_once,
            u64::from(KERNEL_SIGSET_LEN),
        );
        (taken == i64::from(kick_signal())).then(|| info.assume_init())
    }
}

fn block_kick_signal() -> Result<(), errno::Error> {
    match signal::block_signal(kick_signal()) {
        Ok(()) | Err(signal::Error::SignalAlreadyBlocked(_)) => Ok(()),
        Err(_) => Err(errno::Error::last()),
    }
}

/// Has KVM run the guest with this thread's mask, less the kick signal.
fn set_run_mask(vcpu: &impl AsRawFd) -> Result<(), errno::Error> {
    let blocked = signal::get_blocked_signals().map_err(|_| errno::Error::last())?;
    let mask = blocked
        .into_iter()
        .filter(|&number| number != kick_signal())
        .fold(0u64, |mask, number| mask | 1 << (number - 1));

    /// `struct kvm_signal_mask` with the set that follows it.
    #[repr(C)]
    struct SignalMask {
        header: kvm_signal_mask,
        set: [u8; KERNEL_SIGSET_LEN as usize],
    }
    let request = SignalMask {
        header: kvm_signal_mask {
            len: KERNEL_SIGSET_LEN,
            ..Default::default()
        },
        set: mask.to_ne_bytes(),
    };
    // SAFETY: the kernel reads the header and `len` bytes after it, which is `request`.
    let result = unsafe { ioctl_with_ref(vcpu, KVM_SET_SIGNAL_MASK(), &request) };
    if result == 0 {
        Ok(())
    } else {
        Err(errno::Error::last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals() -> usize {
        std::iter::from_fn(take_kick_signal).count()
    }

    #[test]
    fn one_signal_at_a_time_is_under_way() {
        block_kick_signal().expect("a real-time signal");
        let target = KickTarget::default();
        // SAFETY: a plain system call without arguments.
        let thread = unsafe { libc::gettid() };
        target.state.lock().expect("not poisoned").thread = Some(thread);
        for _ in 0..3 {
            (0..100).for_each(|_| target.kick());
            assert_eq!(signals(), 1);
            target.acknowledge();
        }
        (0..100).for_each(|_| target.kick());
        target.acknowledge();
        assert_eq!(signals(), 0);
    }
}
