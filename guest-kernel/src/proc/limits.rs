//! Resource limits, by Linux's numbers (`setrlimit`).

use linux_raw_sys::general as linux;
use mm::address_space::MemoryLimits;
use mm::frames;

use crate::proc::table;

/// One past the highest number of a resource.
const COUNT: usize = 16;

/// Frames of the machine for each signal that may be pending, as Linux has them.
const FRAMES_PER_SIGNAL: u64 = 64;

/// Bytes of a user's message queues (Linux, MQ_BYTES_MAX).
const QUEUE_BYTES: u64 = 819_200;

/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// A soft limit, and the hard one up to which a process may raise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The limit in effect.
    pub soft: u64,
    /// The limit up to which it may be raised.
    pub hard: u64,
}

/// A process's limits; children inherit them.
#[derive(Clone, Copy)]
pub struct Limits([Limit; COUNT]);

impl Limits {
    /// Everything is forbidden: what a slot without a process has.
    pub const NONE: Self = Self([Limit { soft: 0, hard: 0 }; COUNT]);

    /// What init has: everything is allowed, but for what the kernel has only so much of, and to be
    /// less nice without a right to.
    pub fn of_init(stack: u64, files: Limit) -> Self {
        let mut limits = Self(
            [Limit {
                soft: INFINITY,
                hard: INFINITY,
            }; COUNT],
        );
        for (resource, most) in [
            (linux::RLIMIT_NPROC, table::most() as u64 / 2),
            (linux::RLIMIT_CORE, 0),
            (linux::RLIMIT_NICE, 0),
            (linux::RLIMIT_RTPRIO, 0),
            (linux::RLIMIT_MSGQUEUE, QUEUE_BYTES),
            (
                linux::RLIMIT_SIGPENDING,
                frames::total() / FRAMES_PER_SIGNAL,
            ),
        ] {
            limits.0[resource as usize] = Limit {
                soft: most,
                hard: most,
            };
        }
        limits.0[linux::RLIMIT_NOFILE as usize] = files;
        limits.0[linux::RLIMIT_STACK as usize].soft = stack;
        limits
    }

    /// The limit on a resource, if there is such a resource.
    pub fn get(&self, resource: u32) -> Option<Limit> {
        self.0.get(resource as usize).copied()
    }

    /// What holds for a resource that there is.
    pub fn soft(&self, resource: u32) -> u64 {
        self.get(resource).map_or(INFINITY, |limit| limit.soft)
    }

    /// Those on memory.
    pub fn of_memory(&self) -> MemoryLimits {
        MemoryLimits {
            size: self.soft(linux::RLIMIT_AS),
            stack: self.soft(linux::RLIMIT_STACK),
            data: self.soft(linux::RLIMIT_DATA),
        }
    }

    /// These limits with another one on `resource`. Who `may_raise` hard limits does so but for
    /// those up to which the kernel has something. `None` if it is not valid.
    pub fn with(mut self, resource: u32, limit: Limit, may_raise: bool) -> Option<Self> {
        let old = self.0.get_mut(resource as usize)?;
        let is_fixed = resource == linux::RLIMIT_NOFILE;
        if limit.soft > limit.hard || (is_fixed || !may_raise) && limit.hard > old.hard {
            return None;
        }
        *old = limit;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_go_down_but_not_up() {
        let limits = Limits::of_init(1 << 20, Limit { soft: 64, hard: 64 });
        let with = |soft, hard| limits.with(linux::RLIMIT_NOFILE, Limit { soft, hard }, true);
        let lower = with(8, 16).expect("lower is allowed");
        assert_eq!(lower.soft(linux::RLIMIT_NOFILE), 8);
        assert!(
            lower
                .with(linux::RLIMIT_NOFILE, Limit { soft: 16, hard: 16 }, true)
                .is_some()
        );
        assert!(
            lower
                .with(linux::RLIMIT_NOFILE, Limit { soft: 1, hard: 17 }, true)
                .is_none()
        );
        assert!(with(9, 8).is_none());
        let core =
            |may_raise| limits.with(linux::RLIMIT_CORE, Limit { soft: 1, hard: 1 }, may_raise);
        assert!(core(true).is_some() && core(false).is_none());
        assert!(limits.get(COUNT as u32).is_none());
        assert_eq!(limits.soft(linux::RLIMIT_AS), INFINITY);
    }
}
