//! A thread's own stack for handlers (`sigaltstack`).

use abi::Errno;
use linux_raw_sys::general as linux;

use crate::proc::thread::Thread;

/// `stack_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlternateStack {
    /// Its lowest address.
    pub start: u64,
    /// Bytes; 0 if there is none.
    pub size: u64,
    /// As they were set: SS_DISABLE, SS_AUTODISARM.
    pub flags: u32,
}

impl AlternateStack {
    /// Of a thread that there is not: zeros, so that tables of such need no room in the image.
    pub const UNUSED: Self = Self {
        start: 0,
        size: 0,
        flags: 0,
    };

    /// None.
    pub const NONE: Self = Self {
        start: 0,
        size: 0,
        flags: linux::SS_DISABLE,
    };

    /// Whether a stack pointer is in it.
    pub fn contains(self, rsp: u64) -> bool {
        rsp.wrapping_sub(self.start).wrapping_sub(1) < self.size
    }

    /// Whether a thread with this stack pointer is on it. Handlers on one that is disarmed
    /// meanwhile do not count.
    pub fn is_used_at(self, rsp: u64) -> bool {
        self.flags & linux::SS_AUTODISARM == 0 && self.contains(rsp)
    }

    /// Whether there is one to which a thread with this stack pointer can change.
    pub fn is_free_at(self, rsp: u64) -> bool {
        self.size > 0 && !self.is_used_at(rsp)
    }

    /// Where it starts to grow down.
    pub fn end(self) -> u64 {
        self.start.wrapping_add(self.size)
    }

    /// `stack_t` as it was set.
    pub fn words(self) -> [u64; 3] {
        [self.start, self.flags.into(), self.size]
    }

    /// `stack_t` for a thread with this stack pointer.
    pub fn words_at(self, rsp: u64) -> [u64; 3] {
        let state = match self.size {
            0 => linux::SS_DISABLE,
            _ if self.is_used_at(rsp) => linux::SS_ONSTACK,
            _ => 0,
        };
        let flags = state | self.flags & linux::SS_AUTODISARM;
        [self.start, flags.into(), self.size]
    }
}

impl Thread {
    /// Gives it another one, as `stack_t` has it, while its stack pointer is `rsp`.
    ///
    /// # Errors
    /// EPERM: it is on the old one. EINVAL: unknown flags. ENOMEM: too small.
    pub fn change_alternate_stack(
        &self,
        [start, flags, size]: [u64; 3],
        rsp: u64,
    ) -> Result<(), Errno> {
        const MIN_SIZE: u64 = linux::MINSIGSTKSZ as u64;
        let flags = flags as u32;
        if self.alternate_stack.get().is_used_at(rsp) {
            return Err(Errno::EPERM);
        }
        let stack = match flags & !linux::SS_AUTODISARM {
            linux::SS_DISABLE => AlternateStack {
                flags,
                ..AlternateStack::NONE
            },
            0 | linux::SS_ONSTACK if size < MIN_SIZE => return Err(Errno::ENOMEM),
            0 | linux::SS_ONSTACK => AlternateStack { start, size, flags },
            _ => return Err(Errno::EINVAL),
        };
        self.alternate_stack.set(stack);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_pointers_are_inside_or_not() {
        let stack = AlternateStack {
            start: 0x1000,
            size: 0x800,
            flags: 0,
        };
        let inside = [0x1001, 0x1800];
        let outside = [0, 0x1000, 0x1801, u64::MAX];
        assert!(inside.into_iter().all(|rsp| stack.contains(rsp)));
        assert!(!outside.into_iter().any(|rsp| stack.contains(rsp)));
        assert!(!AlternateStack::NONE.contains(0));
        assert_eq!(stack.words_at(0x1400), [0x1000, 1, 0x800]);
        assert_eq!(stack.words_at(0), [0x1000, 0, 0x800]);
        assert_eq!(AlternateStack::NONE.words_at(0), [0, 2, 0]);
    }
}
