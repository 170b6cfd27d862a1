//! What the emulator asks the VMM for, and the answers.
//!
//! Port and MSR reads finish by themselves: the answer goes into a register when the
//! vCPU runs next. Accesses to memory that no RAM backs can be several in one
//! instruction, mixed with accesses that fault; such an instruction commits nothing, and
//! is executed again from its start with the [`Replies`] that it has so far.

use super::cpu::Cpu;
use super::exception::{Exception, Stop};
use super::msr;
use super::op::Slot;
use crate::exit::VmExit;

/// The reason for which [`super::Emulator::run`] returns, beside those that it finds
/// itself. The payload lies in [`Exit::data`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitKind {
    None,
    /// `in`; the instruction finishes when the answer is there.
    PioIn {
        port: u16,
        size: u8,
    },
    /// `ins`: the answer is [`Exit::items`].
    PioInString {
        port: u16,
        size: u8,
    },
    PioOut {
        port: u16,
        size: u8,
    },
    /// The answer is the last of the [`Replies`].
    MmioRead,
    /// As in the last of the [`Replies`].
    MmioWrite,
    MsrRead {
        index: u32,
    },
    MsrWrite {
        index: u32,
    },
    Cr8Write,
    Hlt,
    TripleFault,
    /// The next instruction is where no RAM is.
    FetchOutside {
        gpa: u64,
    },
    Failed(&'static str),
}

/// Most bytes that `ins` asks for at once: as KVM's `struct read_cache` has it.
pub(super) const ITEMS_LEN: usize = 1024;

/// An exit with its payload.
pub(super) struct Exit {
    pub(super) kind: ExitKind,
    /// Port data.
    pub(super) data: [u8; 8],
    /// MSR data.
    pub(super) value: u64,
    /// The VMM's refusal of an MSR access.
    pub(super) error: u8,
    /// Elements of `ins`, as many bytes of them as `items_len` says.
    pub(super) items: [u8; ITEMS_LEN],
    pub(super) items_len: usize,
    /// Where the instruction that waits for the answer ends.
    pub(super) next_rip: u64,
}

impl Exit {
    pub(super) const fn new() -> Self {
        Self {
            kind: ExitKind::None,
            data: [0; 8],
            value: 0,
            error: 0,
            items: [0; ITEMS_LEN],
            items_len: 0,
            next_rip: 0,
        }
    }

    /// An access to a port, for the VMM: what nobody answers reads as ones.
    #[inline]
    fn describe_port(&mut self) -> VmExit<'_> {
        let len = |size: u8| usize::from(size).min(8);
        match self.kind {
            ExitKind::PioOut { port, size } => VmExit::PioOut {
                port,
                size,
                data: &self.data[..len(size)],
            },
            ExitKind::PioInString { port, size } => VmExit::PioIn {
                port,
                size,
                data: &mut self.items[..self.items_len],
            },
            ExitKind::PioIn { port, size } => {
                self.data = [0xff; 8];
                VmExit::PioIn {
                    port,
                    size,
                    data: &mut self.data[..len(size)],
                }
            }
            _ => failed("an access to no port".to_owned()),
        }
    }

    /// Asks for `len` bytes of elements, at most [`ITEMS_LEN`].
    pub(super) fn start_items(&mut self, len: usize) {
        self.items_len = len.min(ITEMS_LEN);
        self.items[..self.items_len].fill(0xff);
    }
}

/// One access outside RAM by the instruction at hand.
#[derive(Clone, Copy)]
pub(super) struct Reply {
    pub(super) gpa: u64,
    pub(super) data: [u8; 8],
    pub(super) len: u8,
}

impl Reply {
    /// The bytes of the access.
    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data[..usize::from(self.len).min(8)]
    }
}

/// `fxsave` makes the most accesses: 512 bytes by 8, some split by a page boundary.
const MOST_REPLIES: usize = 68;

/// The accesses outside RAM that the instruction at hand has made so far.
pub(super) struct Replies {
    log: [Reply; MOST_REPLIES],
    len: usize,
    next: usize,
}

impl Replies {
    pub(super) const fn new() -> Self {
        let none = Reply {
            gpa: 0,
            data: [0; 8],
            len: 0,
        };
        Self {
            log: [none; MOST_REPLIES],
            len: 0,
            next: 0,
        }
    }

    /// Whether an instruction waits to be executed again.
    pub(super) fn pending(&self) -> bool {
        self.len != 0
    }

    /// The instruction starts anew.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    /// The instruction, or one element of a repeated one, is done.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.next = 0;
    }

    /// The access asked for last.
    pub(super) fn last(&mut self) -> &mut Reply {
        &mut self.log[self.len.saturating_sub(1)]
    }

    /// The answer to the next access of the instruction, if there is one yet.
    fn answer(&mut self) -> Option<&Reply> {
        let found = (self.next < self.len).then(|| &self.log[self.next]);
        self.next += usize::from(found.is_some());
        found
    }
}

impl Cpu {
    /// Does an access outside RAM that is described by `reply`, by asking for it as
    /// `kind`.
    ///
    /// # Errors
    /// [`Stop::Exit`] if the VMM has to be asked first.
    pub(super) fn outside(&mut self, kind: ExitKind, reply: Reply) -> Result<[u8; 8], Stop> {
        if let Some(found) = self.replies.answer() {
            return Ok(found.data);
        }
        let replies = &mut self.replies;
        match replies.log.get_mut(replies.len) {
            Some(place) => {
                *place = reply;
                replies.len += 1;
                self.exit.kind = kind;
            }
            None => self.exit.kind = ExitKind::Failed("an instruction with too many accesses"),
        }
        Err(Stop::Exit)
    }

    /// Finishes the instruction that the last exit interrupted, if it waits for nothing
    /// but a value.
    #[inline]
    pub(super) fn complete(&mut self) {
        match std::mem::replace(&mut self.exit.kind, ExitKind::None) {
            ExitKind::PioIn { size, .. } => {
                let [a, b, c, d, ..] = self.exit.data;
                match size {
                    1 => self.gprs.write(Slot::RAX, a),
                    2 => self.gprs.write(Slot::RAX, u16::from_le_bytes([a, b])),
                    // The upper half is zeroed.
                    _ => {
                        let value = u32::from_le_bytes([a, b, c, d]);
                        self.gprs.write(Slot::RAX, u64::from(value));
                    }
                }
                self.finish_outside();
            }
            ExitKind::MsrRead { .. } | ExitKind::MsrWrite { .. } if self.exit.error != 0 => {
                self.take_exception(Exception::GP);
            }
            ExitKind::MsrRead { .. } => {
                let value = self.exit.value;
                self.gprs.write(Slot::RAX, value & 0xffff_ffff);
                self.gprs.write(Slot::RDX, value >> 32);
                self.finish_outside();
            }
            ExitKind::MsrWrite { index } => {
                if index == msr::index::APIC_BASE {
                    self.msrs.apic_base = self.exit.value;
                }
                self.finish_outside();
            }
            _ => {}
        }
    }

    /// The end of a guest in a mode that the emulator does not have.
    pub(super) fn lacks(&self) -> Option<VmExit<'static>> {
        let mode = self.unsupported?;
        Some(failed(format!(
            "the guest wants {mode}, which the emulator does not have"
        )))
    }

    /// What [`Cpu::exit`] asks for, for the VMM.
    #[inline]
    pub(super) fn describe_exit(&mut self) -> VmExit<'_> {
        let exit = &mut self.exit;
        match exit.kind {
            ExitKind::PioIn { .. } | ExitKind::PioInString { .. } | ExitKind::PioOut { .. } => {
                exit.describe_port()
            }
            ExitKind::MmioRead => {
                let reply = self.replies.last();
                VmExit::MmioRead {
                    gpa: reply.gpa,
                    data: reply.data_mut(),
                }
            }
            ExitKind::MmioWrite => {
                let reply = self.replies.last();
                VmExit::MmioWrite {
                    gpa: reply.gpa,
                    data: reply.data_mut(),
                }
            }
            ExitKind::MsrRead { index } => VmExit::MsrRead {
                index,
                value: &mut exit.value,
                error: &mut exit.error,
            },
            ExitKind::MsrWrite { index } => VmExit::MsrWrite {
                index,
                value: exit.value,
                error: &mut exit.error,
            },
            ExitKind::Cr8Write => VmExit::Cr8Write {
                value: self.cr8 as u8,
            },
            ExitKind::Hlt => VmExit::Hlt,
            ExitKind::TripleFault => VmExit::TripleFault,
            ExitKind::FetchOutside { gpa } => failed(format!(
                "the guest executes at physical address {gpa:#x}, where it has no memory: \
                 code outside RAM cannot be run"
            )),
            ExitKind::Failed(text) => failed(text.to_owned()),
            ExitKind::None => failed("the emulator stopped without a reason".to_owned()),
        }
    }
}

fn failed(message: String) -> VmExit<'static> {
    VmExit::Failed { message }
}
