//! A vCPU that waits to be started, by a message to its local APIC in KVM.

use std::thread;
use std::time::{Duration, Instant};

use kvm_bindings::KVM_MP_STATE_UNINITIALIZED;

use super::KvmVcpu;
use crate::CpuError;
use crate::kvm::failed;
use crate::kvm::raw_exit::RawExit;

/// How long it stays away from KVM where what has come does not start it.
const UNASKED: Duration = Duration::from_millis(1);

impl KvmVcpu {
    /// Waits in KVM until an INIT has come, which is `None`; or until another exit, such as a
    /// kick.
    #[cold]
    pub(super) fn wait_for_start(&mut self) -> Result<Option<RawExit>, CpuError> {
        let since = Instant::now();
        let waited = loop {
            match self.fd.run() {
                Err(error) if error.errno() == libc::EAGAIN => {
                    if self.mp_state()? != KVM_MP_STATE_UNINITIALIZED {
                        self.unstarted = false;
                        break None;
                    }
                    // An NMI, say: it stays, and ends each wait at once.
                    thread::sleep(UNASKED);
                }
                result => {
                    let raw = RawExit::classify(result)?;
                    self.unstarted = matches!(raw, RawExit::Kicked);
                    break Some(raw);
                }
            }
        };
        self.unstarted_for += since.elapsed();
        Ok(waited)
    }

    /// One of KVM's `KVM_MP_STATE_`.
    pub(super) fn mp_state(&self) -> Result<u32, CpuError> {
        let state = self.fd.get_mp_state().map_err(failed("KVM_GET_MP_STATE"))?;
        Ok(state.mp_state)
    }
}
