//! The page of memory that the kernel shares with the VMM.
//!
//! The kernel owns the page and says where it is by an ELF note of its image, so that
//! an image without one (or another VMM that does not know the note) simply has no
//! guest counters. The kernel writes, the VMM reads after or during the run; it trusts
//! nothing in it.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Owner name of our ELF notes, without the terminating zero.
pub const NOTE_NAME: &str = "Ringfence";
/// Type of the note whose descriptor is the guest-physical address of the
/// [`SharedPage`], 8 bytes, little-endian.
pub const NOTE_SHARED_PAGE: u32 = 1;
/// Value of [`SharedPage::magic`] once the kernel has started.
pub const MAGIC: u64 = u64::from_le_bytes(*b"Ringfenc");

/// Counters that the kernel keeps; all start at zero.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct SharedPage {
    /// [`MAGIC`] once the kernel has started.
    pub magic: AtomicU64,
    /// Time-stamp counter as the kernel entered ring 3 for the first time; 0 before.
    pub first_user_tsc: AtomicU64,
    /// System calls served, by either entry.
    pub syscalls: AtomicU64,
    /// Switches from one thread to another.
    pub context_switches: AtomicU64,
    /// Timer ticks taken.
    pub timer_ticks: AtomicU64,
    /// Page faults taken from ring 3 or from copies to and from user memory.
    pub page_faults: AtomicU64,
    /// Processes made by `fork`, `vfork` or `clone`.
    pub forks: AtomicU64,
    /// `int n` of programs that arrived as an invalid opcode, as on a software-backed KVM.
    pub int80_as_undefined_opcode: AtomicU64,
    /// `syscall` of programs that arrived as a page fault: likewise.
    pub syscall_as_page_fault: AtomicU64,
    /// System calls that the kernel does not have, by number; the last counts all from there on.
    pub unsupported: [AtomicU32; UNSUPPORTED_LEN],
    /// Of each CPU, by number, where there are several.
    pub cpus: [CpuCounters; MOST_CPUS],
    /// Frames of 4 KiB that were given out for the first time; 0 before, and in a kernel that does
    /// not count them.
    pub frames: AtomicU64,
}

/// Most CPUs that the kernel uses.
pub const MOST_CPUS: usize = 32;

/// What a CPU does because there are others; it alone writes them. Times are in ticks of its
/// time-stamp counter.
#[repr(C)]
#[derive(Debug)]
pub struct CpuCounters {
    /// Interrupts that it has sent to have another CPU take a thread, or see to the one it runs.
    pub wakes: AtomicU64,
    /// Interrupts that it has sent to have another CPU flush its TLB, or synchronize.
    pub flushes: AtomicU64,
    /// How often it has asked others for that, by an interrupt or not, and waited for them.
    pub shootdowns: AtomicU64,
    /// How long it has waited for others to leave the kernel.
    pub lock_wait: AtomicU64,
    /// How long it has had nothing to do, until now or until [`idle_since`](Self::idle_since).
    pub idle: AtomicU64,
    /// Since when it has nothing to do; 0 if it has.
    pub idle_since: AtomicU64,
}

impl CpuCounters {
    const fn new() -> Self {
        Self {
            wakes: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            shootdowns: AtomicU64::new(0),
            lock_wait: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
        }
    }
}

const _: () = assert!(size_of::<SharedPage>() == 4096);

/// How many numbers of system calls are counted each for itself, and one more.
pub const UNSUPPORTED_LEN: usize = 512;

impl SharedPage {
    /// A page of zeros.
    pub const fn new() -> Self {
        Self {
            magic: AtomicU64::new(0),
            first_user_tsc: AtomicU64::new(0),
            syscalls: AtomicU64::new(0),
            context_switches: AtomicU64::new(0),
            timer_ticks: AtomicU64::new(0),
            page_faults: AtomicU64::new(0),
            forks: AtomicU64::new(0),
            int80_as_undefined_opcode: AtomicU64::new(0),
            syscall_as_page_fault: AtomicU64::new(0),
            unsupported: [const { AtomicU32::new(0) }; UNSUPPORTED_LEN],
            cpus: [const { CpuCounters::new() }; MOST_CPUS],
            frames: AtomicU64::new(0),
        }
    }
}

impl Default for SharedPage {
    fn default() -> Self {
        Self::new()
    }
}
