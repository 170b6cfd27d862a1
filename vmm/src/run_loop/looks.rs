//! Whether the guest has halted for good, where halts are no exits: KVM has the local APICs.
//!
//! Each vCPU is looked at from time to time, on its thread. It stands if it has halted with
//! interrupts off, or waits to be started: then nothing but another vCPU or an NMI of a device
//! wakes it. It stood from one look to a later one if it has halted no more often. The machine
//! is dead if all vCPUs stood at one time. Rejected: to look at all of them at one time, which
//! would keep those that can wake out of the guest.

use super::{CpuError, Held, Outcome, RunLoop};
use crate::cpu::Vcpu;

/// KVM's counter of a vCPU's halts.
const HALTS: &str = "halt_exits";
/// A time that looks take at most, in nanoseconds.
const LOOK: u64 = 50_000_000;

/// A vCPU stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// How often it had halted.
    halts: u64,
    /// The first and the last look at which it stood, in guest time.
    since: u64,
    until: u64,
}

impl Standing {
    /// What is known after a look at time `now`, at which a vCPU stood that has halted so often.
    fn seen(before: Option<Self>, halts: u64, now: u64) -> Self {
        let since = before.filter(|before| before.halts == halts);
        Self {
            halts,
            since: since.map_or(now, |before| before.since),
            until: now,
        }
    }
}

/// Whether there was a time when all vCPUs stood.
fn stood_together(cpus: &[Option<Standing>]) -> bool {
    let mut since = 0;
    let mut until = u64::MAX;
    for cpu in cpus {
        let Some(standing) = cpu else {
            return false;
        };
        since = since.max(standing.since);
        until = until.min(standing.until);
    }
    until.saturating_sub(since) >= LOOK
}

impl RunLoop {
    /// Serves a kick that is not counted as an exit.
    pub(super) fn look_for_halt(
        &mut self,
        board: &mut Held<'_>,
    ) -> Result<Option<Outcome>, CpuError> {
        if self.is_dead(board)? {
            return Ok(Some(Outcome::halted()));
        }
        // Another kick may have come with this one.
        let ended = self.serve_kick(board);
        if ended.is_none() {
            self.deliver_interrupts(board)?;
        }
        Ok(ended)
    }

    /// Whether this vCPU, and all others, can never wake.
    fn is_dead(&mut self, board: &mut Held<'_>) -> Result<bool, CpuError> {
        let vcpu = self.vcpus.current();
        let stands = vcpu.halted()? && !vcpu.interrupts_enabled()?;
        if self.control.threads() == 1 {
            return Ok(stands && !board.devices.may_send_nmi());
        }
        let halts = if stands { halts(vcpu)? } else { None };
        let (now, place) = (self.clock.now_ns(), &mut board.standing[self.thread]);
        *place = halts.map(|halts| Standing::seen(*place, halts, now));
        Ok(stood_together(&board.standing) && !board.devices.may_send_nmi())
    }
}

/// How often a vCPU has halted, if KVM says so.
fn halts(vcpu: &mut dyn Vcpu) -> Result<Option<u64>, CpuError> {
    let counters = vcpu.counters()?.kvm.unwrap_or_default();
    let mut counters = counters.into_iter();
    let halts = counters.find(|(name, _)| name == HALTS);
    Ok(halts.map(|(_, count)| count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn all_must_have_stood_at_one_time() {
        let seen = |halts, at: &[u64]| {
            let looks = at.iter();
            looks.fold(None, |before, at| {
                Some(Standing::seen(before, halts, at * MS))
            })
        };
        let first = seen(1, &[100, 300]);
        assert!(stood_together(&[first, seen(7, &[110, 310])]));
        assert!(!stood_together(&[first, None]));
        assert!(!stood_together(&[first, seen(7, &[300, 500])]));
        // It has run in between.
        let again = Some(Standing::seen(first, 2, 500 * MS));
        assert!(!stood_together(&[again, seen(7, &[110, 510])]));
        assert!(!stood_together(&[seen(1, &[100])]), "one look only");
    }
}
