//! Runs vCPUs: enter the guest, count the exit, serve it, until the run ends.
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
//! A loop runs on a thread of its own. It has one vCPU, and the machine's devices while it
//! serves an exit (`board`); or it has all vCPUs, in turns (`turns`). Other threads reach it
//! through `Control` alone. Nothing here knows which accelerator runs.

mod board;
mod end;
mod input;
mod interrupts;
mod looks;
mod lost;
mod sampler;
mod ticks;
mod turns;

use std::mem;

use crate::control::Control;
use crate::cpu::{CpuError, GuestClock, Vcpu};
use crate::devices::Devices;
use crate::exit::VmExit;
use crate::report::{ExitCounts, Outcome};
use crate::sync::{Arc, Mutex};
use crate::trace::Tracer;
use board::Held;
pub use board::{Board, End};
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

/// vCPUs of a thread with their machine's devices, about to run.
pub struct RunLoop {
    /// The vCPUs.
    pub vcpus: Turns,
    /// What it shares with the loops of other vCPUs.
    pub board: Arc<Mutex<Board>>,
    /// Exits so far, of each vCPU.
    pub counts: Vec<ExitCounts>,
    /// Where the time went, once the run has ended.
    pub ticks: LoopTicks,
    control: Arc<Control>,
    /// The number of its thread, and of its first vCPU.
    thread: usize,
    clock: GuestClock,
    sampler: Sampler,
    max_instructions: Option<u64>,
    /// The deadline that the host's timer, or the alarm of a counted clock, is set to.
    armed: Option<u64>,
    /// Whether that timer will kick for output that waits.
    flush_due: bool,
}

impl RunLoop {
    /// One for each thread: `vcpus` has the vCPUs of each, of which there is one, or all are
    /// the emulator's and on one thread. `control` is for so many threads. `max_instructions`,
    /// of all vCPUs, end the run with [`Outcome::too_many_instructions`]. A `seed` shuffles the
    /// turns of those that have one thread.
    ///
    /// # Panics
    /// A thread has no vCPU.
    pub(crate) fn all(
        vcpus: Vec<Vec<Box<dyn Vcpu>>>,
        devices: Devices,
        tracer: Option<Tracer>,
        control: &Arc<Control>,
        max_instructions: Option<u64>,
        seed: Option<u64>,
    ) -> Vec<Self> {
        let cpus = vcpus.iter().map(Vec::len).sum();
        let board = Board::new(devices, tracer, cpus, vcpus.len());
        let board = Arc::new(Mutex::new(board));
        let loops = (0..).zip(vcpus).map(|(thread, vcpus)| {
            let mut vcpus = Turns::new(thread, vcpus, seed);
            Self {
                clock: vcpus.current().clock(),
                counts: (0..vcpus.count()).map(|_| ExitCounts::new()).collect(),
                vcpus,
                board: Arc::clone(&board),
                ticks: LoopTicks::default(),
                control: Arc::clone(control),
                thread,
                sampler: Sampler::new(),
                max_instructions,
                armed: None,
                flush_due: false,
            }
        });
        loops.collect()
    }

    /// The one of a machine whose vCPUs are on one thread.
    ///
    /// # Panics
    /// There is no vCPU.
    pub fn new(vcpus: Vec<Box<dyn Vcpu>>, devices: Devices, control: Arc<Control>) -> Self {
        let mut loops = Self::all(vec![vcpus], devices, None, &control, None, None);
        loops.remove(0)
    }

    /// Runs until the guest ends, is stopped, or the accelerator fails. How the run ended says
    /// the loop that is the last to leave it.
    pub fn run(&mut self) -> Option<End> {
        let started = host_ticks();
        let shared = Arc::clone(&self.board);
        let only_cpu = (self.control.threads() > 1).then_some(self.thread);
        let mut board = Held::new(&shared, only_cpu);
        let result = self.run_until_ended(&mut board);
        self.leave(&mut board, result);
        self.vcpus.detach();
        self.ticks.total = host_ticks().wrapping_sub(started);
        board.threads -= 1;
        match board.threads {
            0 => self.finish(&mut board),
            _ => None,
        }
    }

    /// All vCPUs have stopped: flushes what belongs to the run.
    fn finish(&mut self, board: &mut Board) -> Option<End> {
        board.devices.flush_output();
        let tracer = board.tracer.take();
        let trace_error = tracer.and_then(|tracer| tracer.finish(&self.clock));
        let mut end = board.end.take()?;
        end.result = end.result.map(|outcome| {
            if !outcome.is_orderly() {
                return outcome;
            }
            let lost = self.lost_output(board);
            let lost = lost.or_else(|| self.lost_trace(trace_error?));
            lost.unwrap_or(outcome)
        });
        Some(end)
    }

    fn run_until_ended(&mut self, board: &mut Held<'_>) -> Result<Outcome, CpuError> {
        let ended = match self.thread {
            0 => self.begin_turn(board)?,
            // It may have to wait to be started.
            _ => self.next_turn(board)?,
        };
        if let Some(outcome) = ended {
            return Ok(outcome);
        }
        self.deliver_interrupts(board)?;
        let takes_turns = self.vcpus.are_several();
        loop {
            let turn = self.vcpus.turn();
            let vcpu = self.vcpus.current();
            let mut exit = board.without(move || vcpu.run())?;
            if takes_turns && matches!(exit, VmExit::InstructionLimit) {
                if let Some(outcome) = self.next_turn(board)? {
                    return Ok(outcome);
                }
                self.deliver_interrupts(board)?;
                continue;
            }
            if matches!(exit, VmExit::Interrupted) && self.control.take_look(self.thread) {
                if let Some(outcome) = self.look_for_halt(board)? {
                    return Ok(outcome);
                }
                continue;
            }
            let (reason, detail) = exit.key();
            if let VmExit::PioIn { port, size, data } = &exit {
                let items = data.len() / usize::from(*size).max(1);
                self.counts[turn].record_items((*port).into(), items as u64);
            }
            if let Some(tracer) = &mut board.tracer {
                tracer.catch_up(&self.clock);
            }
            let weight = self.sampler.weight(reason);
            let left = match weight {
                0 => 0,
                _ => host_ticks().wrapping_sub(board.waited()),
            };
            let step = dispatch(&mut exit, &mut board.devices, &self.clock);
            if let Some(tracer) = &mut board.tracer {
                tracer.exit_served(&exit, &self.clock);
                let location = self.vcpus.current().location()?;
                tracer.exit_ends(location, self.thread + turn);
            }
            self.take_input(board);
            let asleep = self.ticks.asleep;
            let ended = match step {
                Step::Continue if board.devices.has_lost_output() => self.lost_output(board),
                Step::Continue => None,
                step => self.follow(step, board)?,
            };
            if ended.is_none() {
                self.deliver_interrupts(board)?;
            }
            let ticks = if weight == 0 {
                0
            } else {
                let awake = host_ticks().wrapping_sub(left);
                awake.saturating_sub(self.ticks.asleep - asleep) * weight
            };
            self.ticks.serving += ticks;
            self.counts[turn].record(reason, detail, ticks);
            if let Some(outcome) = ended {
                return Ok(outcome);
            }
        }
    }

    /// Continues after an exit as its [`Step`] says.
    fn follow(&mut self, step: Step, board: &mut Held<'_>) -> Result<Option<Outcome>, CpuError> {
        let ended = match step {
            Step::Continue => None,
            Step::Levels => {
                let levels = board.devices.levels();
                self.vcpus.current().report_eoi(&levels)?;
                None
            }
            Step::Idle => self.idle(board)?,
            Step::Kicked => self.kicked(board)?,
            Step::InstructionLimit => Some(Outcome::too_many_instructions()),
            Step::Ended(outcome) => Some(outcome),
        };
        Ok(ended.or_else(|| self.lost_output(board)))
    }

    /// The vCPU has halted.
    fn idle(&mut self, board: &mut Held<'_>) -> Result<Option<Outcome>, CpuError> {
        if let Some(tracer) = &mut board.tracer {
            tracer.flush();
        }
        self.halt(board)?;
        self.next_turn(board)
    }

    /// Another thread has a request, perhaps that the vCPU stops and waits to be started.
    fn kicked(&mut self, board: &mut Held<'_>) -> Result<Option<Outcome>, CpuError> {
        let ended = self.serve_kick(board);
        let apic = board.devices.local_apic();
        if ended.is_none() && apic.is_some_and(|apic| apic.is_restarted()) {
            return self.next_turn(board);
        }
        Ok(ended)
    }

    /// Serves requests of other threads: a stop, console input, the timer.
    fn serve_kick(&mut self, board: &mut Board) -> Option<Outcome> {
        if let Some(reason) = self.control.stop_reason() {
            return Some(reason.outcome());
        }
        if self.control.has_ended() {
            // By another vCPU, whose outcome it is that counts.
            return Some(Outcome::halted());
        }
        if let Some(size) = self.control.take_screen() {
            board.devices.set_screen(size);
        }
        self.take_input(board);
        board.devices.flush_output();
        self.flush_due = false;
        if let Some(apic) = board.devices.local_apic() {
            apic.advance(self.clock.now_ns());
        }
        self.wake_others(&mut board.devices);
        None
    }
}

#[cfg(test)]
mod tests;
