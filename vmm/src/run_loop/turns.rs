//! Whose turn it is, where one thread runs several vCPUs, and sleep while none of a thread's
//! can run.
//!
//! ```text
//!   vCPU 0 ── end of its turn, pause, halt ──► vCPU 1 ── ... ──► vCPU 0
//!                                              (those that wait or have halted are left out)
//! ```
//!
//! The order depends on nothing but the guest, so that counted runs repeat exactly. A seed makes
//! another one, with turns of other lengths, which repeats as well: so tests find what depends on
//! who comes first. `pause` ends a turn only if another vCPU runs: a lone one that spins would
//! change turns with itself. An interrupt for another vCPU waits for that one's turn. Rejected: a
//! thread for each, one of which runs at a time: switching threads takes as long as a turn. Where
//! each vCPU has a thread, it always has its turn.

use super::board::{Activity, Board, Held};
use super::interrupts::duration_until;
use super::{GuestClock, RunLoop, host_ticks};
use crate::cpu::{CpuError, CpuState, InstructionCounts, Vcpu};
use crate::devices::Startup;
use crate::report::Outcome;

/// Most instructions of a turn: some 50 us, many times what changing turns takes.
const TURN: u64 = 10_000;
/// Of a seed's turns, as many have at most so many instructions as have up to twice that, up to
/// four times, and so on.
const SHORT: u64 = 2;

/// One of the vCPUs.
struct Member {
    vcpu: Box<dyn Vcpu>,
    /// Whether it is asked for an interrupt window.
    window: bool,
}

/// The vCPUs of a thread, one of which has its turn.
pub struct Turns {
    /// The number of the first.
    first: usize,
    members: Vec<Member>,
    turn: usize,
    /// What shuffles turns, if anything does.
    random: Option<fastrand::Rng>,
}

impl Turns {
    /// Vcpus by number, from `first` on, at least one; the first has its turn. With a `seed` the
    /// order of turns and their lengths are those that it makes.
    ///
    /// # Panics
    /// There is none.
    pub fn new(first: usize, vcpus: Vec<Box<dyn Vcpu>>, seed: Option<u64>) -> Self {
        assert!(!vcpus.is_empty(), "a machine has a CPU");
        let member = |vcpu| Member {
            vcpu,
            window: false,
        };
        Self {
            first,
            members: vcpus.into_iter().map(member).collect(),
            turn: 0,
            random: seed.map(fastrand::Rng::with_seed),
        }
    }

    /// The one whose turn it is.
    #[inline]
    pub fn current(&mut self) -> &mut dyn Vcpu {
        self.members[self.turn].vcpu.as_mut()
    }

    /// All of them, by number.
    pub fn all(&mut self) -> impl Iterator<Item = &mut (dyn Vcpu + 'static)> {
        self.members.iter_mut().map(|member| member.vcpu.as_mut())
    }

    /// Which of them that is.
    #[inline]
    pub fn turn(&self) -> usize {
        self.turn
    }

    /// Its number in the machine.
    pub fn number(&self) -> usize {
        self.first + self.turn
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Whether there are others.
    #[inline]
    pub fn are_several(&self) -> bool {
        self.members.len() > 1
    }

    /// Instructions retired by all together; `boot` is of the first, which boots.
    pub fn instructions(&self) -> Option<InstructionCounts> {
        let counts = self.members.iter().map(|member| member.vcpu.instructions());
        counts.reduce(|all, one| {
            let (all, one) = (all?, one?);
            Some(InstructionCounts {
                ring0: all.ring0 + one.ring0,
                ring3: all.ring3 + one.ring3,
                boot: all.boot,
            })
        })?
    }

    /// Frees all from the thread that has run them: see [`Vcpu::detach`].
    pub fn detach(&mut self) {
        for member in &mut self.members {
            member.vcpu.detach();
        }
    }

    /// Most instructions of the turn that begins.
    fn length(&mut self) -> u64 {
        let Some(random) = &mut self.random else {
            return TURN;
        };
        let most = SHORT << random.u32(..=(TURN / SHORT).ilog2());
        random.u64(1..=most)
    }

    /// How many of the others the next turn leaves out.
    fn left_out(&mut self) -> usize {
        let others = self.members.len() - 1;
        let random = self.random.as_mut();
        random.map_or(0, |random| random.usize(..=others))
    }

    /// Says whether the current one is to tell when it can take an interrupt.
    pub(super) fn want_window(&mut self, wanted: bool) {
        let member = &mut self.members[self.turn];
        if wanted != member.window {
            member.window = wanted;
            member.vcpu.request_interrupt_window(wanted);
        }
    }
}

impl RunLoop {
    /// The current vCPU has halted.
    pub(super) fn halt(&mut self, board: &mut Board) -> Result<(), CpuError> {
        let interruptible = self.vcpus.current().interrupts_enabled()?;
        board.activities[self.vcpus.number()] = Activity::Halted {
            interruptible,
            since_ns: self.clock.now_ns(),
        };
        Ok(())
    }

    /// The current vCPU has no more to do for now: the turn goes to the next that has, perhaps
    /// itself, once there is one.
    pub(super) fn next_turn(&mut self, board: &mut Held<'_>) -> Result<Option<Outcome>, CpuError> {
        if self.find_turn(board)? {
            return self.begin_turn(board);
        }
        loop {
            if let Some(outcome) = self.serve_kick(board) {
                return Ok(Some(outcome));
            }
            if self.find_turn(board)? {
                return self.begin_turn(board);
            }
            if board.is_dead() {
                return Ok(Some(Outcome::halted()));
            }
            self.sleep(board);
        }
    }

    /// Lets the current vCPU run until the end of its turn.
    pub(super) fn begin_turn(&mut self, board: &mut Board) -> Result<Option<Outcome>, CpuError> {
        let limit = self.max_instructions;
        if !self.vcpus.are_several() {
            self.vcpus.current().set_instruction_limit(limit)?;
            return Ok(None);
        }
        let retired = |counts: InstructionCounts| counts.ring0 + counts.ring3;
        let all = self.vcpus.instructions().map_or(0, retired);
        let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(all));
        if left == 0 {
            return Ok(Some(Outcome::too_many_instructions()));
        }
        let turn = self.vcpus.length();
        // The last one ends exactly there, and those of a seed anywhere.
        let is_exact = left <= turn || self.vcpus.random.is_some();
        let others_run = board.others_run(self.vcpus.number());
        let vcpu = self.vcpus.current();
        vcpu.set_pause_exits(others_run);
        let own = vcpu.instructions().map_or(0, retired);
        let end = own.saturating_add(turn.min(left));
        match is_exact {
            true => vcpu.set_instruction_limit(Some(end))?,
            false => vcpu.set_turn(end)?,
        }
        Ok(None)
    }

    /// Gives the turn to one of the thread's vCPUs.
    pub(super) fn give_turn(&mut self, turn: usize, board: &mut Board) {
        self.vcpus.turn = turn;
        board.devices.select(self.vcpus.number());
    }

    /// Gives the turn to the next vCPU that has something to do; whether there is one.
    fn find_turn(&mut self, board: &mut Board) -> Result<bool, CpuError> {
        self.vcpus.turn += self.vcpus.left_out();
        for _ in 0..self.vcpus.members.len() {
            self.give_turn((self.vcpus.turn + 1) % self.vcpus.members.len(), board);
            if self.can_run(board)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the vCPU whose turn it would be has something to do.
    fn can_run(&mut self, board: &mut Board) -> Result<bool, CpuError> {
        let now = self.clock.now_ns();
        let number = self.vcpus.number();
        let vcpu = self.vcpus.current();
        let Some(apic) = board.devices.local_apic() else {
            return Ok(true);
        };
        apic.advance(now);
        if let Some(Startup::At(page)) = apic.take_startup() {
            let mut state = CpuState::started_at(page);
            state.msrs.apic_base = apic.apic_base();
            state.tsc = vcpu.tsc()?;
            vcpu.set_state(&state)?;
            board.activities[number] = Activity::Runs;
        }
        let runs = match board.activities[number] {
            _ if apic.waits() => false,
            Activity::Runs => true,
            Activity::Halted { interruptible, .. } => apic.wakes(interruptible),
        };
        if runs {
            board.resume(number, &self.clock);
        }
        Ok(runs)
    }

    /// Sleeps until the next deadline of a local APIC, or until another thread has a request;
    /// where time is counted, skips it.
    fn sleep(&mut self, board: &mut Held<'_>) {
        let own = self.vcpus.first..self.vcpus.first + self.vcpus.count();
        let apics = board.devices.local_apics().get(own).unwrap_or_default();
        let deadline = apics.iter().filter_map(|apic| apic.next_deadline()).min();
        let limit = match (deadline, &self.clock) {
            (Some(at), GuestClock::Counted(time)) => {
                // No instruction runs, so only this advances counted time.
                time.skip_to(at);
                return;
            }
            (Some(at), GuestClock::Host(_)) => Some(duration_until(at, &self.clock)),
            (None, _) => None,
        };
        let ticks = board.without(|| {
            let since = host_ticks();
            self.control.sleep(self.thread, limit);
            host_ticks().wrapping_sub(since)
        });
        self.ticks.asleep += ticks;
    }
}
