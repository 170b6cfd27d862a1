//! The signal of kicks, which a thread lets in only while its guest runs.
//!
//! The vCPU's thread blocks one real-time signal, which `KVM_SET_SIGNAL_MASK` admits during
//! `KVM_RUN`. It is never delivered: the thread takes it back with `sigtimedwait`.

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use kvm_bindings::kvm_signal_mask;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::{errno, ioctl_iow_nr, signal};

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

/// A thread that takes the signal.
#[derive(Debug)]
pub struct Receiver(libc::pid_t);

/// Who has sent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// [`send`].
    Kick,
    /// Something else.
    Foreign,
}

/// Has this thread block the signal, but while the guest of `vcpu` runs.
pub fn admit(vcpu: &impl AsRawFd) -> Result<Receiver, errno::Error> {
    block_kick_signal()?;
    set_run_mask(vcpu)?;
    Ok(own_thread())
}

fn own_thread() -> Receiver {
    // SAFETY: a plain system call without arguments.
    Receiver(unsafe { libc::gettid() })
}

/// Sends it to a thread, which is alive; whether the host has let it.
pub fn send(to: &Receiver) -> bool {
    // SAFETY: a plain system call, to a thread of this process that blocks the signal.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), to.0, kick_signal()) };
    sent == 0
}

/// Takes one that is pending for this thread, if there is one. By the system call itself: the C
/// library's function reports `tgkill` as `kill`.
pub fn take() -> Option<Origin> {
    let set = 1_u64 << (kick_signal() - 1);
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: the kernel reads a set of `KERNEL_SIGSET_LEN` bytes and a time, and fills in
    // `info`, which is read only if the result is the signal. One by `tgkill` has its sender's
    // number.
    unsafe {
        let taken = libc::syscall(
            libc::SYS_rt_sigtimedwait,
            &raw const set,
            info.as_mut_ptr(),
            &raw const at_once,
            u64::from(KERNEL_SIGSET_LEN),
        );
        if taken != i64::from(kick_signal()) {
            return None;
        }
        let info = info.assume_init();
        match info.si_code == libc::SI_TKILL && info.si_pid() == libc::getpid() {
            true => Some(Origin::Kick),
            false => Some(Origin::Foreign),
        }
    }
}

/// Delivers one to this thread, as without a guest.
pub fn deliver() {
    // SAFETY: a plain system call, on this thread, which blocks the signal.
    unsafe { libc::raise(kick_signal()) };
    // Neither fails for a signal that exists. The first returns after the handler.
    let _ = signal::unblock_signal(kick_signal());
    let _ = signal::block_signal(kick_signal());
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
    use super::super::kick::KickTarget;
    use super::*;
    use crate::Kick;

    fn signals() -> usize {
        std::iter::from_fn(take).count()
    }

    #[test]
    fn one_signal_at_a_time_is_under_way() {
        block_kick_signal().expect("a real-time signal");
        let target = KickTarget::default();
        target.attach(own_thread());
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
