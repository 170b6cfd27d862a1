//! How sequences end.

use super::case::Registers;

/// How a sequence ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By its last instruction.
    Completed,
    /// By an exception.
    Fault(Fault),
    /// Not at all: an endless loop, ended from outside.
    Stuck,
    /// By something that no sequence may bring about; the batch ended with it.
    Broken(String),
    /// It came after such a one.
    NotRun,
}

/// An exception as its handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub vector: u8,
    /// Zero for those without.
    pub error_code: u64,
    /// CR2, for a page fault; else zero.
    pub address: u64,
    pub rip: u64,
    pub cs: u64,
    pub ss: u64,
}

/// How a sequence ended, with all registers. After a fault RSP and flags are those that
/// the processor pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub end: End,
    pub registers: Registers,
}

impl Ending {
    /// One of which nothing else is known.
    pub fn without_registers(end: End) -> Self {
        Self {
            end,
            registers: Registers::ZERO,
        }
    }
}
