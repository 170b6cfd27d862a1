//! What our guest's kernel asks by port writes, since it cannot do it itself, or slowly, where
//! KVM is software-backed.

use std::thread;

use abi::ports::{COPIES, EXTENDED_STATE_LOAD, YIELD};
use kvm_bindings::kvm_xsave;
use vm_memory::{Bytes, GuestAddress};

use super::KvmVcpu;
use crate::CpuError;
use crate::kvm::copies::Copies;
use crate::kvm::failed;
use crate::kvm::xsave::load_xsave;

impl KvmVcpu {
    /// Serves `request`, written to one of the ports for them: [`COPIES`], [`YIELD`] or
    /// [`EXTENDED_STATE`](abi::ports::EXTENDED_STATE).
    pub(super) fn serve_request(&mut self, port: u16, request: u32) -> Result<(), CpuError> {
        match port {
            YIELD => {
                thread::yield_now();
                self.remedy.count_yield();
            }
            COPIES => {
                Copies::new(&self.vm.ram).serve(request);
                self.remedy.count_copy();
            }
            _ => self.move_extended_state(request)?,
        }
        Ok(())
    }

    /// Saves or loads what the guest's ring 3 can change and its kernel cannot save, as the port
    /// has it: all but AMX, which KVM hands out only where the guest's CPUID has it. A page that
    /// is not RAM, and an invalid state, change nothing.
    fn move_extended_state(&mut self, request: u32) -> Result<(), CpuError> {
        const PAGE: usize = 4096;
        let page = GuestAddress(u64::from(request >> 1) * PAGE as u64);
        let ram = self.vm.ram.mmap();
        let mut xsave: kvm_xsave = self.fd.get_xsave().map_err(failed("KVM_GET_XSAVE"))?;
        let mut bytes = [0; PAGE];
        let words = bytes.chunks_exact_mut(size_of::<u32>());
        if request & EXTENDED_STATE_LOAD == 0 {
            for (bytes, word) in words.zip(xsave.region) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            // The guest's own mistake, if it is not RAM.
            let _ = ram.write_slice(&bytes, page);
        } else if ram.read_slice(&mut bytes, page).is_ok() {
            load_xsave(&mut xsave, &bytes, self.pkru_word);
            // The guest's own mistake, if the CPU cannot have such a state.
            // SAFETY: no feature is enabled by arch_prctl, so KVM reads the 4,096 bytes that
            // `xsave` has, and it came from KVM_GET_XSAVE of the same vCPU.
            let _ = unsafe { self.fd.set_xsave(&xsave) };
        }
        Ok(())
    }
}
