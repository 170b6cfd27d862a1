//! From devices to vCPUs: interrupts, and the timer that says when the next one is due.

use std::time::Duration;

use super::{Board, RunLoop};
use crate::cpu::{CpuError, GuestClock};
use crate::devices::Devices;

/// How long the start of a line waits for its end where nobody sees the guest halt: too
/// short for people to notice, long enough for more to come.
const FLUSH_AFTER: Duration = Duration::from_millis(5);

impl RunLoop {
    /// Tells the vCPU what devices have written to RAM; brings what they have raised to the
    /// local APIC, and the most urgent interrupt from there to the vCPU.
    pub(super) fn deliver_interrupts(&mut self, board: &mut Board) -> Result<(), CpuError> {
        let vcpu = self.vcpus.current();
        let devices = &mut board.devices;
        if devices.has_written() {
            for range in devices.take_written() {
                vcpu.ram_written(range);
            }
        }
        while let Some(msi) = devices.take_msi() {
            vcpu.signal_msi(msi.address, msi.data)?;
        }
        let Some(apic) = devices.local_apic() else {
            return self.flush_soon(devices);
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
        self.wake_others(devices);
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

    /// Has the threads of other vCPUs look at what has come to their local APICs; and this one,
    /// if its vCPU has stopped itself: that finishes the instruction by which it did first.
    #[inline]
    pub(super) fn wake_others(&mut self, devices: &mut Devices) {
        let mut woken = devices.take_woken();
        if woken != 0 && self.vcpus.are_several() {
            self.vcpus.current().set_pause_exits(true);
        }
        while woken != 0 {
            let cpu = woken.trailing_zeros() as usize;
            woken &= woken - 1;
            if cpu == self.vcpus.number() {
                if devices.local_apics()[cpu].is_restarted() {
                    self.control.expired(self.thread);
                }
            } else if self.control.threads() > 1 {
                self.control.wake(cpu);
            }
        }
    }

    /// Arms a timer to flush the start of a line, such as a prompt, where a halt is no
    /// exit, at which it would be flushed.
    #[inline]
    fn flush_soon(&mut self, devices: &Devices) -> Result<(), CpuError> {
        if self.flush_due || !devices.output_waits() {
            return Ok(());
        }
        self.flush_due = true;
        self.set_timer(Some(FLUSH_AFTER))
    }

    fn set_timer(&self, delay: Option<Duration>) -> Result<(), CpuError> {
        let set = self.control.set_timer(self.thread, delay);
        set.map_err(|source| CpuError::Kvm {
            call: "timerfd_settime",
            source,
        })
    }
}

pub(super) fn duration_until(deadline_ns: u64, clock: &GuestClock) -> Duration {
    Duration::from_nanos(deadline_ns.saturating_sub(clock.now_ns()))
}
