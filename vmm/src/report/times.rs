//! Where the time of a run went.

use serde::Serialize;

use super::Counters;

/// KVM's counters of the time that a vCPU stood halted, polling or asleep.
const KVM_HALTED: [&str; 3] = ["halt_poll_success_ns", "halt_poll_fail_ns", "halt_wait_ns"];

/// The parts of a run's wall time, in nanoseconds; they add up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Before the vCPU first ran and after it last did: the machine being made, its
    /// thread started and joined.
    pub setup_ns: u64,
    /// In the accelerator and not idle: guest code, and with KVM what it does for the
    /// guest inside the kernel; with the emulator all of it.
    pub guest_ns: u64,
    /// In the VMM: exits served, interrupts delivered.
    pub vmm_ns: u64,
    /// Halted, or not started yet, with nothing to do.
    pub idle_ns: u64,
}

/// What the run loop measured, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopTimes {
    /// In the loop at all.
    pub total_ns: u64,
    /// In the accelerator.
    pub accelerator_ns: u64,
    /// Asleep until an interrupt, or until the vCPU is started.
    pub asleep_ns: u64,
}

impl LoopTimes {
    /// The same, with `ns` in the accelerator in which the vCPU waited to be started.
    pub fn unstarted(mut self, ns: u64) -> Self {
        let ns = ns.min(self.accelerator_ns);
        self.accelerator_ns -= ns;
        self.asleep_ns += ns;
        self
    }
}

impl Times {
    /// The parts of a run of `wall_ns`. A guest whose local APIC is inside KVM halts inside
    /// KVM, whose counters say for how long.
    /// Where vCPUs have a thread each, it is the mean of what `loops` measured.
    pub fn new(wall_ns: u64, loops: &[LoopTimes], kvm: Option<&Counters>) -> Self {
        let count = loops.len().max(1) as u64;
        let mean = |of: fn(&LoopTimes) -> u64| {
            let sum = loops.iter().map(of).fold(0, u64::saturating_add);
            sum / count
        };
        let measured = LoopTimes {
            total_ns: mean(|times| times.total_ns),
            accelerator_ns: mean(|times| times.accelerator_ns),
            asleep_ns: mean(|times| times.asleep_ns),
        };
        let halted = KVM_HALTED
            .iter()
            .filter_map(|name| kvm?.get(name))
            .fold(0, u64::saturating_add);
        let halted = (halted / count).min(measured.accelerator_ns);
        let total_ns = measured.total_ns.min(wall_ns);
        let guest_ns = (measured.accelerator_ns - halted).min(total_ns);
        let idle_ns = measured
            .asleep_ns
            .saturating_add(halted)
            .min(total_ns - guest_ns);
        Self {
            setup_ns: wall_ns - total_ns,
            guest_ns,
            vmm_ns: total_ns - guest_ns - idle_ns,
            idle_ns,
        }
    }

    /// All but idling and setting up: what running the guest cost.
    pub fn busy_ns(&self) -> u64 {
        self.guest_ns.saturating_add(self.vmm_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counters, LoopTimes, Times};

    const MEASURED: LoopTimes = LoopTimes {
        total_ns: 900,
        accelerator_ns: 700,
        asleep_ns: 50,
    };

    fn times(setup_ns: u64, guest_ns: u64, vmm_ns: u64, idle_ns: u64) -> Times {
        Times {
            setup_ns,
            guest_ns,
            vmm_ns,
            idle_ns,
        }
    }

    #[test]
    fn halting_inside_kvm_is_idling() {
        let kvm: Counters = [
            ("halt_wait_ns", 300),
            ("exits", 9),
            ("halt_poll_fail_ns", 20),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            Times::new(1000, &[MEASURED], None),
            times(100, 700, 150, 50),
            "halts in the VMM"
        );
        assert_eq!(
            Times::new(1000, &[MEASURED], Some(&kvm)),
            times(100, 380, 150, 370),
            "halts in KVM"
        );
    }

    #[test]
    fn vcpus_count_in_the_mean() {
        let idle = LoopTimes {
            total_ns: 900,
            accelerator_ns: 0,
            asleep_ns: 900,
        };
        let both = Times::new(1000, &[MEASURED, idle], None);
        assert_eq!(both, times(100, 350, 75, 475));
    }

    #[test]
    fn waiting_to_be_started_is_idling() {
        let started = MEASURED.unstarted(400);
        let never = MEASURED.unstarted(u64::MAX);
        assert_eq!(
            Times::new(1000, &[started], None),
            times(100, 300, 150, 450)
        );
        assert_eq!(Times::new(1000, &[never], None), times(100, 0, 150, 750));
    }

    #[test]
    fn the_parts_add_up_whatever_the_clocks_say() {
        let kvm: Counters = [("halt_wait_ns", u64::MAX)].into_iter().collect();
        for measured in [
            MEASURED,
            LoopTimes::default(),
            LoopTimes {
                total_ns: 10,
                accelerator_ns: u64::MAX,
                asleep_ns: u64::MAX,
            },
        ] {
            for kvm in [None, Some(&kvm)] {
                let Times {
                    setup_ns,
                    guest_ns,
                    vmm_ns,
                    idle_ns,
                } = Times::new(1000, &[measured], kvm);
                assert_eq!(setup_ns + guest_ns + vmm_ns + idle_ns, 1000);
            }
        }
    }
}
