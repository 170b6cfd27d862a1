//! Runs a vCPU: enter the guest, count the exit, serve it, until the run ends.
//!
//! ```text
//!        ┌────────────────────────────────────────────┐
//!        ▼                                            │
//!   deliver interrupts ─► vcpu.run() ─► dispatch ─► record
//!                                          │
//!                                          ├─ Idle: sleep until a kick or a deadline
//!                                          └─ Ended: the outcome
//! ```
//!
//! An exit's time is all that passes between the vCPU's return and its next entry, but
//! for sleep. Not every exit is timed: see `sampler`.
//!
//! Everything here happens on one thread, which owns the devices and has all vCPUs, in turns
//! where there are several; other threads reach it through `Control` alone. Nothing here
//! knows which accelerator runs.

mod input;
mod lost;
mod sampler;
mod ticks;
mod turns;

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::control::Control;
use crate::cpu::{CpuError, CpuState, GuestClock, Vcpu};
use crate::devices::Devices;
use crate::exit::VmExit;
use crate::report::{ExitCounts, Outcome};
use crate::trace::Tracer;
use sampler::Sampler;
pub use ticks::{LoopTicks, host_ticks};
pub use turns::Turns;

/// What an exit leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Enter the guest again.
    Continue,
    /// The I/O APIC has level-triggered interrupts that the vCPU does not know.
    Levels,
    /// The guest waits for an interrupt.
    Idle,
    /// Another thread has a request.
    Kicked,
    /// The instruction limit of the vCPU was reached.
    InstructionLimit,
    /// The run is over.
    Ended(Outcome),
}

/// Serves one exit: the guest's request goes to the device that it names.
pub fn dispatch(exit: &mut VmExit<'_>, devices: &mut Devices, clock: &GuestClock) -> Step {
    match exit {
        VmExit::PioIn { port, size, data } => devices.pio_read(*port, *size, data),
        VmExit::PioOut { port, size, data } => {
            if let Some(end) = devices.pio_write(*port, *size, data) {
                return Step::Ended(end.into());
            }
        }
        VmExit::MmioRead { gpa, data } => devices.mmio_read(*gpa, data, clock.now_ns()),
        VmExit::MmioWrite { gpa, data } => {
            devices.mmio_write(*gpa, data, clock.now_ns());
            if devices.has_new_levels() {
                return Step::Levels;
            }
        }
        VmExit::MsrRead {
            index,
            value,
            error,
        } => match devices.msr_read(*index, clock.now_ns()) {
            Ok(answer) => **value = answer,
            Err(_) => **error = 1,
        },
        VmExit::MsrWrite {
            index,
            value,
            error,
        } => {
            if devices.msr_write(*index, *value, clock.now_ns()).is_err() {
                **error = 1;
            }
        }
        VmExit::Cr8Write { value } => devices.set_cr8(*value),
        VmExit::Eoi { vector } => devices.end_of_interrupt(*vector),
        VmExit::Hlt => return Step::Idle,
        VmExit::Interrupted => return Step::Kicked,
        VmExit::InstructionLimit => return Step::InstructionLimit,
        VmExit::InterruptWindow | VmExit::Emulated => {}
        VmExit::TripleFault => return Step::Ended(Outcome::triple_fault()),
        VmExit::Failed { message } => return Step::Ended(Outcome::error(mem::take(message))),
    }
    Step::Continue
}

/// How long the start of a line waits for its end where nobody sees the guest halt: too
/// short for people to notice, long enough for more to come.
const FLUSH_AFTER: Duration = Duration::from_millis(5);

/// vCPUs with their devices, about to run.
pub struct RunLoop {
    /// The vCPUs.
    pub vcpus: Turns,
    /// The machine's devices.
    pub devices: Devices,
    /// Exits so far.
    pub counts: ExitCounts,
    /// Where the time went, once the run has ended.
    pub ticks: LoopTicks,
    /// The vCPU that ran last, at the end of a run that ended badly.
    pub last_state: Option<CpuState>,
    /// The tracer, if there is one.
    pub(crate) tracer: Option<Tracer>,
    control: Arc<Control>,
    clock: GuestClock,
    sampler: Sampler,
    max_instructions: Option<u64>,
    /// The deadline that the host's timer, or the alarm of a counted clock, is set to.
    armed: Option<u64>,
    /// Whether that timer will kick for output that waits.
    flush_due: bool,
}

impl RunLoop {
    /// `max_instructions`, of all vCPUs, end the run with
    /// [`Outcome::too_many_instructions`]. Several vCPUs must be the emulator's.
    pub fn new(
        vcpus: Vec<Box<dyn Vcpu>>,
        devices: Devices,
        control: Arc<Control>,
        max_instructions: Option<u64>,
    ) -> Self {
        let mut vcpus = Turns::new(vcpus);
        let clock = vcpus.current().clock();
        let counts = ExitCounts::new();
        Self {
            vcpus,
            devices,
            counts,
            ticks: LoopTicks::default(),
            last_state: None,
            tracer: None,
            control,
            clock,
            sampler: Sampler::new(),
            max_instructions,
            armed: None,
            flush_due: false,
        }
    }

    /// Runs until the guest ends, is stopped, or the accelerator fails.
    ///
    /// # Errors
    /// A failure of the accelerator or of the host's timer.
    pub fn run(&mut self) -> Result<Outcome, CpuError> {
        let started = host_ticks();
        let result = self.run_until_ended();
        if result.as_ref().map_or(true, Outcome::is_unexpected) {
            // An error is ignored, as the run has ended.
            self.last_state = self.vcpus.current().state().ok();
        }
        self.vcpus.detach();
        self.ticks.total = host_ticks().wrapping_sub(started);
        self.devices.flush_output();
        let trace_error = self.finish_trace();
        let outcome = result?;
        if !outcome.is_orderly() {
            return Ok(outcome);
        }
        // Buffered output belongs to the run.
        let lost = self.lost_output();
        let lost = lost.or_else(|| self.lost_trace(trace_error?));
        Ok(lost.unwrap_or(outcome))
    }

    fn run_until_ended(&mut self) -> Result<Outcome, CpuError> {
        if let Some(outcome) = self.begin_turn()? {
            return Ok(outcome);
        }
        self.deliver_interrupts()?;
        let takes_turns = self.vcpus.are_several();
        loop {
            let mut exit = self.vcpus.current().run()?;
            if takes_turns && matches!(exit, VmExit::InstructionLimit) {
                if let Some(outcome) = self.next_turn()? {
                    return Ok(outcome);
                }
                self.deliver_interrupts()?;
                continue;
            }
            if matches!(exit, VmExit::Interrupted) && self.control.take_look() {
                if let Some(outcome) = self.look_for_halt()? {
                    return Ok(outcome);
                }
                continue;
            }
            let (reason, detail) = exit.key();
            if let VmExit::PioIn { port, size, data } = &exit {
                let items = data.len() / usize::from(*size).max(1);
                self.counts.record_items((*port).into(), items as u64);
            }
            if let Some(tracer) = &mut self.tracer {
                tracer.exit_begins(&self.clock);
            }
            let weight = self.sampler.weight(reason);
            let left = if weight == 0 { 0 } else { host_ticks() };
            let step = dispatch(&mut exit, &mut self.devices, &self.clock);
            if let Some(tracer) = &mut self.tracer {
                tracer.exit_served(&exit, &self.clock);
                tracer.exit_ends(self.vcpus.current().location()?);
            }
            self.take_input();
            let asleep = self.ticks.asleep;
            let ended = match step {
                Step::Continue if self.devices.has_lost_output() => self.lost_output(),
                Step::Continue => None,
                step => self.follow(step)?,
            };
            if ended.is_none() {
                self.deliver_interrupts()?;
            }
            let ticks = if weight == 0 {
                0
            } else {
                let awake = host_ticks().wrapping_sub(left);
                awake.saturating_sub(self.ticks.asleep - asleep) * weight
            };
            self.ticks.serving += ticks;
            self.counts.record(reason, detail, ticks);
            if let Some(outcome) = ended {
                return Ok(outcome);
            }
        }
    }

    /// Continues after an exit as its [`Step`] says.
    fn follow(&mut self, step: Step) -> Result<Option<Outcome>, CpuError> {
        let ended = match step {
            Step::Continue => None,
            Step::Levels => {
                self.vcpus.current().report_eoi(&self.devices.levels())?;
                None
            }
            Step::Idle => self.idle()?,
            Step::Kicked => self.serve_kick(),
            Step::InstructionLimit => Some(Outcome::too_many_instructions()),
            Step::Ended(outcome) => Some(outcome),
        };
        Ok(ended.or_else(|| self.lost_output()))
    }

    /// The vCPU has halted.
    fn idle(&mut self) -> Result<Option<Outcome>, CpuError> {
        let halted = host_ticks();
        self.trace(|tracer, _| tracer.flush());
        self.vcpus.halt()?;
        let ended = self.next_turn()?;
        self.trace(|tracer, clock| tracer.slept(clock));
        self.ticks.asleep += host_ticks().wrapping_sub(halted);
        Ok(ended)
    }

    /// Does something with the tracer, if there is one.
    fn trace(&mut self, act: impl FnOnce(&mut Tracer, &GuestClock)) {
        if let Some(tracer) = &mut self.tracer {
            act(tracer, &self.clock);
        }
    }

    /// Ends the trace. Returns the failure of the host that ended it before, if any.
    fn finish_trace(&mut self) -> Option<io::Error> {
        self.tracer.take()?.finish(&self.clock)
    }

    /// Tells the vCPU what devices have written to RAM; brings what they have raised to the
    /// local APIC, and the most urgent interrupt from there to the vCPU.
    fn deliver_interrupts(&mut self) -> Result<(), CpuError> {
        let vcpu = self.vcpus.current();
        if self.devices.has_written() {
            for range in self.devices.take_written() {
                vcpu.ram_written(range);
            }
        }
        while let Some(msi) = self.devices.take_msi() {
            vcpu.signal_msi(msi.address, msi.data)?;
        }
        let Some(apic) = self.devices.local_apic() else {
            return self.flush_soon();
        };
        if apic.wants_tsc() {
            apic.tell_tsc(vcpu.tsc()?, self.clock.now_ns());
        }
        if apic.take_news() {
            if apic.take_nmi() {
                vcpu.inject_nmi()?;
            }
            vcpu.set_cr8(apic.cr8());
        }
        let mut waits = apic.pending().is_some();
        if waits
            && vcpu.ready()
            && let Some(vector) = apic.acknowledge()
        {
            vcpu.inject(vector)?;
            waits = apic.pending().is_some();
        }
        let deadline = apic.next_deadline();
        self.vcpus.want_window(waits);
        if deadline != self.armed {
            self.armed = deadline;
            if let GuestClock::Counted(time) = &self.clock {
                time.set_alarm(deadline);
                return Ok(());
            }
            if self.vcpus.are_several() {
                // Each turn begins with a look at the clock.
                return Ok(());
            }
            let delay = deadline.map(|at| duration_until(at, &self.clock));
            self.set_timer(delay)?;
        }
        Ok(())
    }

    /// Arms a timer to flush the start of a line, such as a prompt, where a halt is no
    /// exit, at which it would be flushed.
    #[inline]
    fn flush_soon(&mut self) -> Result<(), CpuError> {
        if self.flush_due || !self.devices.output_waits() {
            return Ok(());
        }
        self.flush_due = true;
        self.set_timer(Some(FLUSH_AFTER))
    }

    fn set_timer(&self, delay: Option<Duration>) -> Result<(), CpuError> {
        let set = self.control.set_timer(delay);
        set.map_err(|source| CpuError::Kvm {
            call: "timerfd_settime",
            source,
        })
    }

    /// Serves requests of other threads: a stop, console input, the timer.
    fn serve_kick(&mut self) -> Option<Outcome> {
        if let Some(reason) = self.control.stop_reason() {
            return Some(reason.outcome());
        }
        if let Some(size) = self.control.take_screen() {
            self.devices.set_screen(size);
        }
        self.take_input();
        self.devices.flush_output();
        self.flush_due = false;
        if let Some(apic) = self.devices.local_apic() {
            apic.advance(self.clock.now_ns());
        }
        None
    }

    /// Serves a kick that is not counted as an exit: checks whether the guest has halted
    /// for good, where a halt is no exit.
    fn look_for_halt(&mut self) -> Result<Option<Outcome>, CpuError> {
        if self.vcpus.current().halted()? && self.is_dead_halt()? {
            return Ok(Some(Outcome::halted()));
        }
        // Another kick may have come with this one.
        let ended = self.serve_kick();
        if ended.is_none() {
            self.deliver_interrupts()?;
        }
        Ok(ended)
    }

    /// Whether the only vCPU, which has halted, can never wake.
    fn is_dead_halt(&mut self) -> Result<bool, CpuError> {
        Ok(!self.vcpus.current().interrupts_enabled()? && !self.devices.may_send_nmi())
    }
}

fn duration_until(deadline_ns: u64, clock: &GuestClock) -> Duration {
    Duration::from_nanos(deadline_ns.saturating_sub(clock.now_ns()))
}

#[cfg(test)]
mod tests;
