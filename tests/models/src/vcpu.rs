//! vCPUs that follow a script, and are kicked as KVM's or the emulator's are.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::thread;
use vmm::cpu::{
    AcceleratorCounters, CpuError, CpuState, GuestClock, InstructionCounts, Location, Vcpu,
};
use vmm::exit::VmExit;

use crate::Kick;
use crate::kicked::Kicked;
use crate::kvm::kick::KickTarget;
use crate::kvm::kick_signal;
use crate::sync::Arc;

/// What a guest does next. It has interrupts off but where it waits for one.
#[derive(Clone, Copy, PartialEq)]
pub enum Act {
    /// Writes an MSR.
    Write(u32, u64),
    /// `sti; hlt; cli`: waits for one interrupt.
    Wait,
    /// Halts with interrupts off.
    HaltForGood,
    /// Runs without exits, until it is kicked.
    Spin,
    /// Switches the machine off, with status zero.
    End,
}

/// How the vCPU is told to leave the guest.
pub trait Guest: Send {
    /// Whether a kick ends the run before the guest's next instruction.
    fn is_kicked(&mut self) -> bool;

    /// Runs until there is a kick.
    fn spin(&mut self);

    /// The vCPU leaves its thread.
    fn detach(&mut self) {}

    fn kicker(&self) -> Arc<dyn Kick>;
}

/// The emulator's: it looks between instructions.
#[derive(Default)]
pub struct Emulated(Arc<Kicked>);

impl Guest for Emulated {
    fn is_kicked(&mut self) -> bool {
        self.0.take()
    }

    fn spin(&mut self) {
        while !self.0.take() {
            thread::yield_now();
        }
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        self.0.clone()
    }
}

/// KVM's: a signal ends `KVM_RUN`.
#[derive(Default)]
pub struct OfKvm {
    target: Arc<KickTarget>,
    is_attached: bool,
}

impl Guest for OfKvm {
    fn is_kicked(&mut self) -> bool {
        if !self.is_attached {
            self.is_attached = true;
            return self.target.attach(kick_signal::admit());
        }
        let is_kicked = kick_signal::is_pending();
        if is_kicked {
            self.target.acknowledge();
        }
        is_kicked
    }

    fn spin(&mut self) {
        kick_signal::run();
        self.target.acknowledge();
    }

    fn detach(&mut self) {
        self.target.detach();
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        self.target.clone()
    }
}

/// One that follows a script.
pub struct Scripted {
    guest: Box<dyn Guest>,
    script: VecDeque<Act>,
    /// Whether it waits for an interrupt, with interrupts on.
    is_open: bool,
    is_window_wanted: bool,
    /// Interrupts that it has got.
    pub injected: Arc<AtomicUsize>,
    error: u8,
}

impl Scripted {
    pub fn new(guest: impl Guest + 'static, script: &[Act]) -> Self {
        Self {
            guest: Box::new(guest),
            script: script.iter().copied().collect(),
            is_open: false,
            is_window_wanted: false,
            injected: Arc::default(),
            error: 0,
        }
    }
}

impl Vcpu for Scripted {
    fn run(&mut self) -> Result<VmExit<'_>, CpuError> {
        let act = *self.script.front().expect("the script has an end");
        if self.guest.is_kicked() {
            if act == Act::Spin {
                self.script.pop_front();
            }
            return Ok(VmExit::Interrupted);
        }
        Ok(match act {
            Act::Wait => {
                self.is_open = true;
                match self.is_window_wanted {
                    true => VmExit::InterruptWindow,
                    false => VmExit::Hlt,
                }
            }
            Act::HaltForGood => VmExit::Hlt,
            Act::Spin => {
                self.guest.spin();
                self.script.pop_front();
                VmExit::Interrupted
            }
            Act::Write(index, value) => {
                self.script.pop_front();
                VmExit::MsrWrite {
                    index,
                    value,
                    error: &mut self.error,
                }
            }
            Act::End => VmExit::PioOut {
                port: abi::ports::DEBUG_EXIT,
                size: 1,
                data: &[0],
            },
        })
    }

    fn detach(&mut self) {
        self.guest.detach();
    }

    fn ready(&mut self) -> bool {
        self.is_open
    }

    fn interrupts_enabled(&mut self) -> Result<bool, CpuError> {
        Ok(self.is_open)
    }

    fn halted(&mut self) -> Result<bool, CpuError> {
        Ok(false)
    }

    fn inject(&mut self, _vector: u8) -> Result<(), CpuError> {
        assert!(
            std::mem::take(&mut self.is_open),
            "an interrupt that nobody waits for"
        );
        self.script.pop_front();
        self.injected.fetch_add(1, Relaxed);
        Ok(())
    }

    fn request_interrupt_window(&mut self, wanted: bool) {
        self.is_window_wanted = wanted;
    }

    fn ram_written(&mut self, _range: Range<u64>) {}

    fn inject_nmi(&mut self) -> Result<(), CpuError> {
        Err(CpuError::Unsupported("nobody sends NMIs"))
    }

    fn set_cr8(&mut self, _value: u8) {}

    fn clock(&self) -> GuestClock {
        GuestClock::host()
    }

    fn set_instruction_limit(&mut self, _limit: Option<u64>) -> Result<(), CpuError> {
        Ok(())
    }

    fn set_turn(&mut self, _limit: u64) -> Result<(), CpuError> {
        Ok(())
    }

    fn set_pause_exits(&mut self, _wanted: bool) {}

    fn state(&mut self) -> Result<CpuState, CpuError> {
        Err(CpuError::Unsupported("a script has no state"))
    }

    fn location(&mut self) -> Result<Location, CpuError> {
        Err(CpuError::Unsupported("a script has no state"))
    }

    fn set_state(&mut self, _state: &CpuState) -> Result<(), CpuError> {
        Ok(())
    }

    fn instructions(&self) -> Option<InstructionCounts> {
        None
    }

    fn counters(&mut self) -> Result<AcceleratorCounters, CpuError> {
        Ok(AcceleratorCounters::default())
    }

    fn signal_msi(&mut self, _address: u64, _data: u32) -> Result<(), CpuError> {
        Err(CpuError::Unsupported("a script has no local APIC"))
    }

    fn report_eoi(&mut self, _messages: &[(u64, u32)]) -> Result<(), CpuError> {
        Err(CpuError::Unsupported("a script has no local APIC"))
    }

    fn tsc(&mut self) -> Result<u64, CpuError> {
        Ok(0)
    }

    fn tsc_offset(&self) -> Option<u64> {
        None
    }

    fn tsc_khz(&self) -> u32 {
        1_000_000
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        self.guest.kicker()
    }
}
