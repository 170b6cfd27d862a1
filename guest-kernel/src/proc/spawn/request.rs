//! What `fork`, `vfork` and `clone` ask for.

use bitflags::bitflags;
use linux_raw_sys::general as linux;

use crate::proc::signal::Signal;

bitflags! {
    /// What a child shares with its parent, and what is to be done besides (`clone`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CloneFlags: u32 {
        /// The same memory.
        const MEMORY = linux::CLONE_VM;
        /// The same root, working directory and umask.
        const DIRECTORY = linux::CLONE_FS;
        /// The machine's names, for itself.
        const OWN_NAMES = linux::CLONE_NEWUTS;
        /// Mounts of its own.
        const OWN_MOUNTS = linux::CLONE_NEWNS;
        /// The same open files.
        const FILES = linux::CLONE_FILES;
        /// The same reactions to signals.
        const SIGNALS = linux::CLONE_SIGHAND;
        /// A thread of the same process.
        const THREAD = linux::CLONE_THREAD;
        /// The parent waits until the child ends or runs another program.
        const PARENT_WAITS = linux::CLONE_VFORK;
        /// The parent's parent becomes the child's.
        const SIBLING = linux::CLONE_PARENT;
        /// The child has its own thread-local storage.
        const STORAGE = linux::CLONE_SETTLS;
        /// The child's number goes to the parent's memory.
        const TELL_PARENT = linux::CLONE_PARENT_SETTID;
        /// The child's number goes to the child's memory.
        const TELL_CHILD = linux::CLONE_CHILD_SETTID;
        /// A zero goes to the child's memory as it ends.
        const CLEAR_AT_END = linux::CLONE_CHILD_CLEARTID;
        /// The parent gets a descriptor for the child: who calls sees to that.
        const DESCRIPTOR = linux::CLONE_PIDFD;
        /// No effect: undoing of semaphores, of which there are none; obsolete; tracing; the
        /// scheduler of a disk.
        const WITHOUT_EFFECT = linux::CLONE_SYSVSEM | linux::CLONE_DETACHED
            | linux::CLONE_UNTRACED | linux::CLONE_PTRACE | linux::CLONE_IO;
    }
}

impl CloneFlags {
    /// Whether the flags go together, for Linux and for processes as they are here, whose
    /// threads all have the same files.
    pub fn make_sense(self) -> bool {
        const OF_THREADS: CloneFlags = CloneFlags::MEMORY
            .union(CloneFlags::FILES)
            .union(CloneFlags::SIGNALS);
        let has_own = self.intersects(Self::OWN_MOUNTS | Self::OWN_NAMES);
        let shares_place = self.contains(Self::OWN_MOUNTS | Self::DIRECTORY);
        if shares_place || has_own && self.contains(Self::THREAD) {
            return false;
        }
        if self.contains(Self::THREAD) {
            self.contains(OF_THREADS) && !self.intersects(Self::PARENT_WAITS | Self::DESCRIPTOR)
        } else {
            self.contains(Self::MEMORY) || !self.contains(Self::SIGNALS)
        }
    }
}

/// A child to be.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// How much of it is the parent's.
    pub flags: CloneFlags,
    /// Its stack pointer; 0 for the parent's.
    pub stack: u64,
    /// Base of its fs segment, with [`CloneFlags::STORAGE`].
    pub storage: u64,
    /// Where its number goes in the parent.
    pub parent_tid: u64,
    /// Where its number or the zero goes in the child.
    pub child_tid: u64,
    /// What the parent is sent at its end.
    pub end_signal: Option<Signal>,
    /// The handlers of signals are not the parent's: there are none.
    pub has_no_handlers: bool,
}

impl Request {
    /// `fork`.
    pub const FORK: Self = Self {
        flags: CloneFlags::empty(),
        stack: 0,
        storage: 0,
        parent_tid: 0,
        child_tid: 0,
        end_signal: Some(Signal::SIGCHLD),
        has_no_handlers: false,
    };

    /// `vfork`.
    pub const VFORK: Self = Self {
        flags: CloneFlags::MEMORY.union(CloneFlags::PARENT_WAITS),
        ..Self::FORK
    };
}

#[cfg(test)]
mod tests;
