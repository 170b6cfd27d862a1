//! Exits to the VMM, and its replies.
//!
//! Port and MSR reads are completed when the vCPU runs next: the reply goes into a
//! register. Accesses to memory that no RAM backs can be several in one instruction, mixed
//! with accesses that fault; such an instruction commits nothing, and is executed again
//! from its start with the [`Replies`] that it has so far.

use crate::emu::state::exception::Stop;
use crate::emu::state::xsave::Area;
use crate::exit::VmExit;

/// The reason of an exit that an instruction causes: see [`Vcpu::run`](crate::Vcpu::run).
/// The payload lies in [`Exit::data`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    None,
    /// `in`; the instruction is completed by the reply.
    PioIn {
        port: u16,
        size: u8,
    },
    /// `ins`: the reply is [`Exit::items`].
    PioInString {
        port: u16,
        size: u8,
    },
    PioOut {
        port: u16,
        size: u8,
    },
    /// The reply is the last of the [`Replies`].
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
    Failed(&'static str),
}

/// Most bytes that `ins` asks for at once: as KVM's `struct read_cache` has it.
pub const ITEMS_LEN: usize = 1024;

/// An exit with its payload.
pub struct Exit {
    pub kind: ExitKind,
    /// Port data.
    pub data: [u8; 8],
    /// MSR data.
    pub value: u64,
    /// The VMM's refusal of an MSR access.
    pub error: u8,
    /// Elements of `ins`, as many bytes of them as `items_len` says.
    pub items: [u8; ITEMS_LEN],
    pub items_len: usize,
    /// The end of the instruction that waits for the reply.
    pub next_rip: u64,
}

impl Exit {
    pub const fn new() -> Self {
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

    /// A port access for the VMM; a read that no device claims gives all ones.
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

    /// Requests `len` bytes of elements, at most [`ITEMS_LEN`].
    pub fn start_items(&mut self, len: usize) {
        self.items_len = len.min(ITEMS_LEN);
        self.items[..self.items_len].fill(0xff);
    }
}

/// One access outside RAM by the current instruction.
#[derive(Clone, Copy)]
pub struct Reply {
    pub gpa: u64,
    pub data: [u8; 8],
    pub len: u8,
}

impl Reply {
    /// The bytes of the access.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data[..usize::from(self.len).min(8)]
    }
}

/// Most accesses of an instruction. `xrstor` makes the most, as it reads nearly all of its
/// area by 8 bytes; `enter` and call gates copy 31 words at most.
const MOST_REPLIES: usize = size_of::<Area>() / 8;

/// The accesses outside RAM that the current instruction has made so far.
pub struct Replies {
    log: [Reply; MOST_REPLIES],
    len: usize,
    next: usize,
}

impl Replies {
    pub const fn new() -> Self {
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
    pub fn pending(&self) -> bool {
        self.len != 0
    }

    /// The instruction starts anew.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// The instruction, or one element of a repeated one, is done.
    pub fn clear(&mut self) {
        self.len = 0;
        self.next = 0;
    }

    /// The access requested last.
    pub fn last(&mut self) -> &mut Reply {
        &mut self.log[self.len.saturating_sub(1)]
    }

    /// The reply to the next access of the instruction, if there is one yet.
    fn answer(&mut self) -> Option<&Reply> {
        let found = (self.next < self.len).then(|| &self.log[self.next]);
        self.next += usize::from(found.is_some());
        found
    }
}

/// The current exit, and the replies so far.
pub struct Outside {
    pub exit: Exit,
    /// Replies to accesses of an instruction that has not finished.
    pub replies: Replies,
}

impl Outside {
    /// No exit and no replies.
    pub fn new() -> Self {
        Self {
            exit: Exit::new(),
            replies: Replies::new(),
        }
    }

    /// Performs the access outside RAM that `reply` describes, by an exit of `kind`.
    ///
    /// # Errors
    /// [`Stop::Exit`] if the VMM has not replied yet.
    pub fn ask(&mut self, kind: ExitKind, reply: Reply) -> Result<[u8; 8], Stop> {
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

    /// The exit as the VMM gets it.
    #[inline]
    pub fn describe(&mut self) -> VmExit<'_> {
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
                value: exit.value as u8,
            },
            ExitKind::Hlt => VmExit::Hlt,
            ExitKind::TripleFault => VmExit::TripleFault,
            ExitKind::Failed(text) => failed(text.to_owned()),
            ExitKind::None => failed("the emulator stopped without a reason".to_owned()),
        }
    }
}

/// The exit for a guest that the emulator cannot continue.
pub fn failed(message: String) -> VmExit<'static> {
    VmExit::Failed { message }
}
