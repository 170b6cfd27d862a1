//! The ring through which the kernel tells the VMM what happens inside the guest.
//!
//! The kernel owns the ring and says where it is by an ELF note. It writes records and
//! moves [`TraceRing::head`]; the VMM, while a vCPU stands still, reads them and moves
//! [`TraceRing::tail`]. Both count words from the start and never decrease, and word `n`
//! lies at `n % RING_WORDS`. When a record has no room the kernel writes to
//! [`crate::ports::TRACE_DOORBELL`], and finds room when the VMM resumes it: no record is
//! lost. Since the VMM also reads the ring at every other exit, records and exits come in
//! the order in which they happened, whatever their clocks say.
//!
//! A record is a head word (kind in bits 0 to 7, number of words in bits 8 to 15, number of
//! the CPU in bits 16 to 23), the time-stamp counter, and what [`Kind`] says. One CPU at a time
//! writes records; others may do so while the VMM reads.

use core::sync::atomic::AtomicU64;

/// Type of the note whose descriptor is the guest-physical address of the [`TraceRing`],
/// 8 bytes, little-endian.
pub const NOTE_TRACE_RING: u32 = 2;

/// Words of the ring.
pub const RING_WORDS: usize = 8192;

/// Words that a record has at most.
pub const MAX_RECORD_WORDS: usize = 64;

/// Bytes of a string or buffer that a record shows at most.
pub const MAX_CHUNK: usize = 32;

/// Elements of an array (arguments of a program, parts of a `writev`) that a record shows
/// at most.
pub const MAX_ELEMENTS: usize = 4;

/// Bits of [`TraceRing::wanted`].
pub mod wanted {
    /// [`Kind::Run`](super::Kind::Run) and [`Kind::Idle`](super::Kind::Idle); without them
    /// the other records cannot be attributed to a thread.
    pub const SCHED: u64 = 1 << 0;
    /// System calls.
    pub const SYSCALLS: u64 = 1 << 1;
    /// Exceptions and interrupts with the frame that the CPU pushes.
    pub const TRAPS: u64 = 1 << 2;
    /// Page faults and their resolutions.
    pub const FAULTS: u64 = 1 << 3;
    /// Timer ticks.
    pub const TICKS: u64 = 1 << 4;
    /// Beginnings and ends of processes and threads, and `execve`.
    pub const PROCS: u64 = 1 << 5;
}

/// The ring; all zeros at the start, which is off.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct TraceRing {
    /// The records that the VMM wants: bits of [`wanted`]. The VMM writes it.
    pub wanted: AtomicU64,
    /// Words written so far. The kernel writes it.
    pub head: AtomicU64,
    /// Words read so far. The VMM writes it.
    pub tail: AtomicU64,
    /// The words, on pages of their own.
    pub words: RingWords,
}

/// The words of a [`TraceRing`].
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct RingWords(pub [AtomicU64; RING_WORDS]);

impl TraceRing {
    /// An empty ring of which no records are wanted.
    pub const fn new() -> Self {
        Self {
            wanted: AtomicU64::new(0),
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            words: RingWords([const { AtomicU64::new(0) }; RING_WORDS]),
        }
    }
}

impl Default for TraceRing {
    fn default() -> Self {
        Self::new()
    }
}

/// What a record is about, and the words that follow its time. A thread is one word:
/// process in bits 0 to 31, thread in bits 32 to 63. A name is 16 bytes, padded with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A system call begins: its number, six arguments, chunks (see [`chunk_head`]).
    Call = 1,
    /// A system call ends: its number, rax, chunks.
    Return = 2,
    /// A trap: vector, error code, rip, cs, rflags, rsp, ss, CR2.
    Trap = 3,
    /// A page fault: address, error code, a [`Resolution`].
    Fault = 4,
    /// A timer tick: how many there have been.
    Tick = 5,
    /// A thread gets the CPU: the thread, the name of its program.
    Run = 6,
    /// The CPU is idle.
    Idle = 7,
    /// A new thread, of a new process if the numbers are the same: the thread.
    Start = 8,
    /// The process that runs has a new program: its name.
    Exec = 9,
    /// A thread ends: the thread, and the status word of its process if that ends with it,
    /// else [`NO_STATUS`].
    End = 10,
}

/// In [`Kind::End`]: the process goes on.
pub const NO_STATUS: u64 = u64::MAX;

impl Kind {
    /// The kind with this number.
    pub const fn new(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Call,
            2 => Self::Return,
            3 => Self::Trap,
            4 => Self::Fault,
            5 => Self::Tick,
            6 => Self::Run,
            7 => Self::Idle,
            8 => Self::Start,
            9 => Self::Exec,
            10 => Self::End,
            _ => return None,
        })
    }
}

/// The head word of a record of the CPU with this number.
pub const fn record_head(kind: Kind, words: usize, cpu: usize) -> u64 {
    kind as u64 | (words as u64) << 8 | (cpu as u64) << 16
}

/// The head word of a chunk, what a pointer argument points to: number of the argument in
/// bits 0 to 7, bytes that follow in bits 16 to 31, bytes that there are in bits 32 to 63
/// (more than follow if the rest is left out). The bytes are padded with zeros to words.
/// An array has several chunks with the same argument.
pub const fn chunk_head(argument: u8, bytes: usize, of: u32) -> u64 {
    argument as u64 | (bytes as u64 & 0xffff) << 16 | (of as u64) << 32
}

/// How a page fault was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Resolution {
    /// A page of zeros.
    DemandZero = 0,
    /// The same, below where the stack ended.
    StackGrowth = 1,
    /// A copy of part of a file.
    FilePage = 2,
    /// Pages of a file where they lie.
    FileInPlace = 3,
    /// A copy of a page that was shared.
    CopyOnWrite = 4,
    /// The last one to share a page may write to it.
    LastSharer = 5,
    /// The page was mapped: a stale TLB entry.
    Stale = 6,
    /// The rest are refused, for these reasons.
    NotMapped = 7,
    StackOverflow = 8,
    Forbidden = 9,
    PastEndOfFile = 10,
    OutOfMemory = 11,
}

impl Resolution {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::DemandZero,
        Self::StackGrowth,
        Self::FilePage,
        Self::FileInPlace,
        Self::CopyOnWrite,
        Self::LastSharer,
        Self::Stale,
        Self::NotMapped,
        Self::StackOverflow,
        Self::Forbidden,
        Self::PastEndOfFile,
        Self::OutOfMemory,
    ];
}

#[cfg(test)]
mod tests {
    use super::{Kind, Resolution, TraceRing, record_head};

    #[test]
    fn numbers_lead_back() {
        for number in 0..=u8::MAX {
            if let Some(kind) = Kind::new(number) {
                assert_eq!(record_head(kind, 3, 2), u64::from(number) | 0x2_0300);
            }
        }
        for (number, resolution) in Resolution::ALL.into_iter().enumerate() {
            assert_eq!(resolution as usize, number);
        }
        assert_eq!(core::mem::offset_of!(TraceRing, words), 4096);
    }
}
