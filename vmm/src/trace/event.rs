//! The events of a trace.

use abi::trace::Resolution;

use super::translation::TranslationEvent;
use crate::cpu::Location;
use crate::exit::{ExitReason, VmExit};

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When: nanoseconds of guest time since the machine was made. Never less than that of
    /// the event before.
    pub ns: u64,
    /// On which CPU, if there are several and it is of one.
    pub cpu: Option<u8>,
    /// The thread that has this CPU; `None` while the kernel boots or nobody has it.
    pub thread: Option<ThreadId>,
    /// What.
    pub what: What<'a>,
}

/// A thread of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThreadId {
    /// Its process's number.
    pub pid: u32,
    /// Its own; that of the process for the first one.
    pub tid: u32,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A VM exit has been served.
    Exit(&'a ExitEvent),
    /// The halted vCPU continues.
    Slept {
        /// Since when it was halted.
        since_ns: u64,
    },
    /// A system call begins.
    Call(&'a Call),
    /// A system call ends.
    Return {
        /// The call, with what it has written.
        call: &'a Call,
        /// What is in rax.
        result: u64,
    },
    /// A system call will never end: the thread has.
    Abandoned(&'a Call),
    /// The CPU entered the kernel by an exception or interrupt.
    Trap(TrapEvent),
    /// The kernel has resolved or refused a page fault.
    Fault(FaultEvent),
    /// A timer tick, with its number.
    Tick(u64),
    /// A thread gets the CPU from the one that [`Event::thread`] says.
    Switch {
        /// The thread.
        thread: ThreadId,
        /// Its program.
        name: &'a str,
    },
    /// [`Event::thread`] waits, and nobody else wants the CPU.
    Idle,
    /// A new thread, made by [`Event::thread`] if it is not the first.
    Start(ThreadId),
    /// The process has a new program, of this name.
    Exec(&'a str),
    /// A thread ends.
    End {
        /// The thread.
        thread: ThreadId,
        /// How its process ended, as `wait4` has it, if it has.
        status: Option<u32>,
    },
    /// The emulator has translated a block of code.
    Translation(&'a TranslationEvent),
    /// A message of the VMM.
    Note(&'a str),
}

/// Bytes of an exit's payload that are kept.
const PAYLOAD: usize = 16;

/// A VM exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitEvent {
    /// Why.
    pub reason: ExitReason,
    /// Port, address or MSR.
    pub detail: Option<u64>,
    /// Bytes in an item of what was read or written.
    pub size: u8,
    /// Bytes read or written in all.
    pub len: usize,
    payload: [u8; PAYLOAD],
    /// The access raises #GP in the guest.
    pub refused: bool,
    /// Where the guest is.
    pub location: Location,
    /// How long it took to serve, in nanoseconds of guest time.
    pub served_ns: u64,
}

impl ExitEvent {
    /// An exit that has been served.
    pub(super) fn new(exit: &VmExit<'_>) -> Self {
        let (reason, detail) = exit.key();
        let mut event = Self {
            reason,
            detail,
            size: 0,
            len: 0,
            payload: [0; PAYLOAD],
            refused: false,
            location: Location::default(),
            served_ns: 0,
        };
        match exit {
            VmExit::PioIn { size, data, .. } => event.set(*size, data),
            VmExit::PioOut { size, data, .. } => event.set(*size, data),
            VmExit::MmioRead { data, .. } => event.set(data.len() as u8, data),
            VmExit::MmioWrite { data, .. } => event.set(data.len() as u8, data),
            VmExit::MsrRead { value, error, .. } => {
                event.set(8, &value.to_le_bytes());
                event.refused = **error != 0;
            }
            VmExit::MsrWrite { value, error, .. } => {
                event.set(8, &value.to_le_bytes());
                event.refused = **error != 0;
            }
            VmExit::Cr8Write { value } => event.set(1, &[*value]),
            _ => {}
        }
        event
    }

    fn set(&mut self, size: u8, data: &[u8]) {
        self.size = size;
        self.len = data.len();
        let kept = data.len().min(PAYLOAD);
        self.payload[..kept].copy_from_slice(&data[..kept]);
    }

    /// The first bytes of what was read or written.
    pub fn payload(&self) -> &[u8] {
        &self.payload[..self.len.min(PAYLOAD)]
    }

    /// What was read or written, if it is one item.
    pub fn value(&self) -> Option<u64> {
        if self.len == 0 || self.len != usize::from(self.size) || self.len > size_of::<u64>() {
            return None;
        }
        let mut bytes = [0; size_of::<u64>()];
        bytes[..self.len].copy_from_slice(&self.payload[..self.len]);
        Some(u64::from_le_bytes(bytes))
    }
}

/// A system call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Its arguments; `None` if its beginning is not known.
    pub arguments: Option<[u64; 6]>,
    /// What they point to.
    pub chunks: Vec<Chunk>,
    /// When it began.
    pub started_ns: u64,
    /// How long its thread has had a CPU meanwhile, until it last lost one.
    pub ran_ns: u64,
    /// Since when it has one, if it does.
    pub running_since_ns: Option<u64>,
    /// Whose it is.
    pub pid: u32,
    /// The number of the CPU on which it began.
    pub cpu: usize,
}

impl Call {
    /// One whose beginning is not known.
    pub(super) fn unknown(number: u64, ns: u64, cpu: usize) -> Self {
        Self {
            number,
            started_ns: ns,
            cpu,
            ..Self::default()
        }
    }

    /// The thread has lost its CPU, or ends the call.
    pub(super) fn stops(&mut self, ns: u64) {
        if let Some(since) = self.running_since_ns.take() {
            self.ran_ns += ns.saturating_sub(since);
        }
    }

    /// The thread has a CPU.
    pub(super) fn runs(&mut self, ns: u64) {
        self.running_since_ns.get_or_insert(ns);
    }
}

/// What an argument points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which argument, from 0.
    pub argument: u8,
    /// The first bytes.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub of: u32,
}

/// What the CPU pushes on a trap, and CR2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TrapEvent {
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub cr2: u64,
}

/// A page fault and what the kernel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultEvent {
    /// The address.
    pub address: u64,
    /// The error code.
    pub error: u64,
    /// Its resolution.
    pub resolution: Resolution,
}
