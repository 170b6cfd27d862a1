//! What the emulator asks the VMM for, and the answers.
//!
//! Port and MSR reads finish by themselves: the answer goes into a register when the
//! vCPU runs next. Accesses to memory that no RAM backs can be several in one
//! instruction, mixed with accesses that fault; such an instruction commits nothing, and
//! is executed again from its start with the [`Replies`] that it has so far.

use super::cpu::Cpu;
use super::exception::Stop;

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
}
