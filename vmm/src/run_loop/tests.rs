//! The run loop on made-up exits and on a vCPU that follows a script.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use x86::msr::{APIC_BASE, TSC_DEADLINE};

use super::*;
use crate::control::StopReason;
use crate::cpu::{AcceleratorCounters, CpuState, InstructionCounts, Kick, Location};
use crate::devices::{ApicMode, DevicesConfig, HostStreams};
use crate::exit::ExitReason;

const X2APIC_TASK_PRIORITY: u32 = 0x808;
const X2APIC_SELF_IPI: u32 = 0x83f;
const X2APIC_SPURIOUS: u32 = 0x80f;
const X2APIC_LVT_TIMER: u32 = 0x832;
const X2APIC_INITIAL_COUNT: u32 = 0x838;
/// Enabled, x2APIC, bootstrap processor, at the usual address.
const X2APIC_MODE: u64 = 0xfee0_0d00;
const SOFTWARE_ENABLE: u64 = 1 << 8;
const TSC_DEADLINE_MODE: u64 = 2 << 17;
const VECTOR: u8 = 0x40;
/// The time-stamp counter at guest time zero.
const TSC_START: u64 = 1_000_000_000_000;

fn devices() -> Devices {
    Devices::new(DevicesConfig {
        apic: ApicMode::User,
        cpus: 1,
        tsc_khz: 1_000_000,
        streams: HostStreams::none(),
        virtio: None,
        link: None,
        files: None,
    })
}

fn served(mut exit: VmExit<'_>) -> Step {
    dispatch(&mut exit, &mut devices(), &GuestClock::host())
}

#[test]
fn reads_of_nothing_give_ones() {
    let mut data = [0; 4];
    let exit = VmExit::PioIn {
        port: 0x60,
        size: 4,
        data: &mut data,
    };
    assert_eq!(served(exit), Step::Continue);
    assert_eq!(data, [0xff; 4]);
    let mut data = [0; 8];
    assert_eq!(
        served(VmExit::MmioRead {
            gpa: 0xd000_0000,
            data: &mut data
        }),
        Step::Continue
    );
    assert_eq!(data, [0xff; 8]);
}

#[test]
fn a_bad_msr_access_is_marked_as_a_fault() {
    let (mut value, mut error) = (0, 0);
    let read = VmExit::MsrRead {
        index: 0x8ff,
        value: &mut value,
        error: &mut error,
    };
    assert_eq!(served(read), Step::Continue);
    assert_eq!(error, 1);
    let mut error = 0;
    let write = VmExit::MsrWrite {
        index: X2APIC_SELF_IPI,
        value: 64,
        error: &mut error,
    };
    assert_eq!(served(write), Step::Continue);
    assert_eq!(error, 1, "there are no x2APIC registers in xAPIC mode");
}

#[test]
fn each_end_has_its_outcome() {
    let port = abi::ports::DEBUG_EXIT;
    let end = |value: u32| {
        served(VmExit::PioOut {
            port,
            size: 4,
            data: &value.to_le_bytes(),
        })
    };
    assert_eq!(end(7), Step::Ended(Outcome::exited(7)));
    let killed = abi::debug_exit::GuestExit::Killed(11);
    assert_eq!(end(killed.encode()), Step::Ended(Outcome::killed(11)));
    assert_eq!(
        served(VmExit::TripleFault),
        Step::Ended(Outcome::triple_fault())
    );
    let message = "why".to_owned();
    assert_eq!(
        served(VmExit::Failed { message }),
        Step::Ended(Outcome::error("why"))
    );
}

/// What a scripted vCPU does when it runs.
enum Act {
    Halt,
    /// A halt with interrupts off.
    DeadHalt,
    Window,
    WriteMsr(u32, u64),
    End,
    /// A kick that comes with a request to stop.
    Stop(Arc<Mutex<Option<Arc<Control>>>>),
}

/// What the run loop did to a scripted vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Done {
    Injected(u8),
    Nmi,
    WindowWanted(bool),
    TaskPriority(u8),
}

struct Scripted {
    script: VecDeque<Act>,
    ready: bool,
    window: bool,
    interrupts_off: bool,
    error: u8,
    log: Arc<Mutex<Vec<Done>>>,
    clock: GuestClock,
}

struct NoKick;

impl Kick for NoKick {
    fn kick(&self) {}
}

impl Vcpu for Scripted {
    fn run(&mut self) -> Result<VmExit<'_>, CpuError> {
        Ok(match self.script.pop_front() {
            Some(Act::Halt) => VmExit::Hlt,
            Some(Act::DeadHalt) => {
                self.interrupts_off = true;
                VmExit::Hlt
            }
            Some(Act::Window) => {
                self.ready = true;
                VmExit::InterruptWindow
            }
            Some(Act::WriteMsr(index, value)) => VmExit::MsrWrite {
                index,
                value,
                error: &mut self.error,
            },
            Some(Act::Stop(control)) => {
                let control = control.lock().expect("not poisoned");
                let control = control.as_ref().expect("set before the run");
                control.stop(StopReason::Timeout);
                VmExit::Interrupted
            }
            Some(Act::End) | None => VmExit::PioOut {
                port: abi::ports::DEBUG_EXIT,
                size: 1,
                data: &[0],
            },
        })
    }

    fn ready(&mut self) -> bool {
        self.ready
    }

    fn interrupts_enabled(&mut self) -> Result<bool, CpuError> {
        Ok(!self.interrupts_off)
    }

    fn halted(&mut self) -> Result<bool, CpuError> {
        Ok(false)
    }

    fn inject(&mut self, vector: u8) -> Result<(), CpuError> {
        self.log
            .lock()
            .expect("not poisoned")
            .push(Done::Injected(vector));
        self.ready = false;
        Ok(())
    }

    fn ram_written(&mut self, _range: Range<u64>) {}

    fn inject_nmi(&mut self) -> Result<(), CpuError> {
        self.log.lock().expect("not poisoned").push(Done::Nmi);
        Ok(())
    }

    fn request_interrupt_window(&mut self, wanted: bool) {
        if wanted != self.window {
            self.log
                .lock()
                .expect("not poisoned")
                .push(Done::WindowWanted(wanted));
        }
        self.window = wanted;
    }

    fn set_cr8(&mut self, value: u8) {
        if value != 0 {
            self.log
                .lock()
                .expect("not poisoned")
                .push(Done::TaskPriority(value));
        }
    }

    fn clock(&self) -> GuestClock {
        self.clock.clone()
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
        Err(CpuError::Unsupported("a script has no state"))
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
        Ok(TSC_START + self.clock.now_ns())
    }

    fn tsc_offset(&self) -> Option<u64> {
        None
    }

    fn tsc_khz(&self) -> u32 {
        1_000_000
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        Arc::new(NoKick)
    }
}

/// Runs a script; gives the outcome, what the run loop did, and the loop for its counts.
fn run(script: Vec<Act>, ready: bool) -> (Outcome, Vec<Done>, RunLoop) {
    run_by(GuestClock::host(), script, ready)
}

/// The same with a clock of its own.
fn run_by(clock: GuestClock, script: Vec<Act>, ready: bool) -> (Outcome, Vec<Done>, RunLoop) {
    let log = Arc::default();
    let waiting: Vec<_> = script
        .iter()
        .filter_map(|act| match act {
            Act::Stop(control) => Some(Arc::clone(control)),
            _ => None,
        })
        .collect();
    let vcpu = Scripted {
        script: script.into(),
        ready,
        window: false,
        interrupts_off: false,
        error: 0,
        log: Arc::clone(&log),
        clock,
    };
    let stopped = EventFd::new(EFD_NONBLOCK).expect("an event");
    let control = Control::new([vcpu.kicker()], stopped).expect("descriptors");
    for slot in waiting {
        *slot.lock().expect("not poisoned") = Some(Arc::clone(&control));
    }
    let mut run_loop = RunLoop::new(vec![Box::new(vcpu)], devices(), control);
    let end = run_loop.run().expect("it is the only loop");
    let outcome = end.result.expect("scripts do not fail");
    let done = log.lock().expect("not poisoned").clone();
    (outcome, done, run_loop)
}

/// Brings the local APIC into x2APIC mode, enables it and raises [`VECTOR`].
fn raise_vector() -> Vec<Act> {
    vec![
        Act::WriteMsr(APIC_BASE, X2APIC_MODE),
        Act::WriteMsr(X2APIC_SPURIOUS, SOFTWARE_ENABLE | 0xff),
        Act::WriteMsr(X2APIC_SELF_IPI, u64::from(VECTOR)),
    ]
}

#[test]
fn a_ready_vcpu_gets_its_interrupt_at_once() {
    let mut script = raise_vector();
    script.push(Act::End);
    let (outcome, done, run_loop) = run(script, true);
    assert_eq!(outcome, Outcome::exited(0));
    assert_eq!(done, [Done::Injected(VECTOR)]);
    let table = run_loop.counts[0].finish(1.0);
    assert_eq!(table.count(ExitReason::MsrWrite), 3);
    assert_eq!(table.count(ExitReason::PioOut), 1);
}

#[test]
fn an_nmi_needs_no_ready_vcpu() {
    const X2APIC_COMMAND: u32 = 0x830;
    const NMI_TO_MYSELF: u64 = 1 << 18 | 4 << 8;
    let mut script = raise_vector();
    script.pop();
    script.push(Act::WriteMsr(X2APIC_COMMAND, NMI_TO_MYSELF));
    script.push(Act::End);
    let (_, done, _) = run(script, false);
    assert_eq!(done, [Done::Nmi]);
}

#[test]
fn a_task_priority_reaches_cr8() {
    let mut script = raise_vector();
    script.pop();
    script.push(Act::WriteMsr(X2APIC_TASK_PRIORITY, 0x51));
    script.push(Act::End);
    let (_, done, _) = run(script, true);
    assert_eq!(done, [Done::TaskPriority(5)]);
}

#[test]
fn a_halted_vcpu_sleeps_until_its_timer() {
    let mut script = raise_vector();
    // In place of the self-IPI: the timer, once, after 1,000 bus cycles of 2 ns.
    script.pop();
    script.push(Act::WriteMsr(X2APIC_LVT_TIMER, u64::from(VECTOR)));
    script.push(Act::WriteMsr(X2APIC_INITIAL_COUNT, 1000));
    script.push(Act::Halt);
    script.push(Act::End);
    let (_, done, run_loop) = run(script, true);
    assert_eq!(done, [Done::Injected(VECTOR)]);
    assert_eq!(run_loop.counts[0].finish(1.0).count(ExitReason::Hlt), 1);
}

#[test]
fn a_halt_that_nothing_ends_is_the_end() {
    // A timer is no way out while interrupts are off.
    let mut script = raise_vector();
    script.pop();
    script.push(Act::WriteMsr(X2APIC_LVT_TIMER, u64::from(VECTOR)));
    script.push(Act::WriteMsr(X2APIC_INITIAL_COUNT, 1000));
    script.push(Act::DeadHalt);
    let (outcome, _, run_loop) = run(script, false);
    assert_eq!(outcome, Outcome::halted());
    assert_eq!(run_loop.counts[0].finish(1.0).count(ExitReason::Hlt), 1);
}

#[test]
fn a_deadline_is_one_of_the_time_stamp_counter() {
    let mut script = raise_vector();
    script.pop();
    let entry = TSC_DEADLINE_MODE | u64::from(VECTOR);
    script.push(Act::WriteMsr(X2APIC_LVT_TIMER, entry));
    script.push(Act::WriteMsr(TSC_DEADLINE, TSC_START + 5000));
    script.push(Act::Halt);
    script.push(Act::End);
    let (_, done, run_loop) = run_by(GuestClock::Counted(Arc::default()), script, true);
    assert_eq!(done, [Done::Injected(VECTOR)]);
    assert_eq!(run_loop.clock.now_ns(), 5000);
}

#[test]
fn an_unready_vcpu_is_asked_for_a_window() {
    let mut script = raise_vector();
    script.push(Act::Window);
    script.push(Act::End);
    let (_, done, _) = run(script, false);
    let expected = [
        Done::WindowWanted(true),
        Done::Injected(VECTOR),
        Done::WindowWanted(false),
    ];
    assert_eq!(done, expected);
}

#[test]
fn a_stop_ends_the_run() {
    let (outcome, ..) = run(vec![Act::Stop(Arc::default()), Act::End], false);
    assert_eq!(outcome, Outcome::timeout());
}
