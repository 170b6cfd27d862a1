//! The built-in emulator: a full-system x86-64 interpreter.
//!
//! ```text
//! Emulator (this file)   Vcpu: exits, injection, limits
//!   engine, joined       handlers threaded by tail calls; those of several instructions
//!     ops/*              one file per instruction family: semantics and forms
//!       operand, access  where operands are; TLB look-up or everything else
//!       host, flags      arithmetic by the host's own instructions
//!       fp, x87          MXCSR, which units may be used; x87 and MMX state
//!   cache, decode, op    iced-x86 decodes; blocks of fixed-size ops, chained
//!   mmu, tlb, ram        page walks; direct-mapped tables to host memory
//!   deliver, segment     IDT, TSS, descriptors
//!   debug                breakpoints
//!   code_at              the instruction at hand, as text
//! ```
//!
//! # How to add an instruction family
//! 1. Make `ops/family.rs`, name it in `ops/mod.rs` and add its `FORMS` to `FAMILIES`.
//! 2. Write the semantics once, as a type with [`engine::Instr`] (goes on to the next
//!    instruction), [`engine::Branch`] (taken or not) or [`engine::Jump`] (goes to any
//!    address). `exec` is generic over [`access::Access`] and reaches guest memory only
//!    by it (`M::load`, `M::store`, `M::update`, or operands `Src` and `Dst`). It may run
//!    twice, first with `Fast` and after a miss with `Slow`, and again after an MMIO
//!    exit: so it commits nothing (registers, flags, memory) before the last thing that
//!    can fail. Faults are `Err(Exception::...into())`.
//! 3. Make it generic over the operands' places: `S: Src<T>`, `D: Dst<T>`, with
//!    `DstReg SrcReg Imm Mem<E>` for general registers and `SrcXmm Mem<E> Aligned<E>`
//!    for XMM (see `operand.rs`; `by_ea!` chooses `E`). Vector instructions of the form
//!    `op xmm, xmm/memory` are a line in a table: see `ops/sse.rs`.
//! 4. Write a lowering function `fn(&Site, &Instruction, &mut Op)` that fills in operand
//!    fields and picks the handler: `fast::<I>` (or `slow::<I>` for what is rare, which
//!    saves code), `branch::<B>`, `jump::<J>`, or `last::<I>` where modes, mappings,
//!    interrupt masks or code may change, or the VMM is asked by setting `cpu.exit.kind`.
//!    `lower_binary` and `lower_unary` (`lower.rs`) do all of this for integer
//!    instructions with the usual operands.
//! 5. List the `Code`s in `FORMS` with `forms!`; `end` before those that end a block. What
//!    no family lists is #UD. Tell `cpuid.rs` if a feature bit depends on it.
//! 6. Arithmetic flags: compute them by the host's own instruction (`host.rs`), only if
//!    the lowering's `site.flags_live` says so. If the instruction can neither fault nor
//!    leave the engine on registers, add it to `ops::is_quiet`.

mod access;
mod cache;
mod code_at;
mod cpu;
mod cpuid;
mod debug;
mod decode;
mod deliver;
mod descriptor;
mod engine;
mod exception;
mod exit;
mod flags;
mod fp;
mod host;
mod joined;
mod jump_table;
mod lower;
mod mmu;
mod msr;
mod op;
mod operand;
mod ops;
mod ram;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod time;
mod tlb;
mod value;
mod x87;
mod x87_frame;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use code_at::{CodeAt, instruction_at};
pub use time::Clock;

use cpu::Cpu;
use exception::Stop;
use exit::ExitKind;
use flags::rflags;
use op::BLOCK_LIMIT;
use ram::Ram;

use super::{
    AcceleratorCounters, CpuError, CpuState, GuestClock, InstructionCounts, Kick, Location, Vcpu,
};
use crate::exit::VmExit;
use crate::memory::GuestRam;

/// How an [`Emulator`] behaves where there is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmuConfig {
    /// What guest time goes by.
    pub clock: Clock,
}

/// An emulated vCPU.
pub struct Emulator {
    cpu: Box<Cpu>,
    limit: Option<u64>,
    kicked: Arc<Kicked>,
}

// SAFETY: the pointers inside are to memory that the emulator owns (decoded blocks, TLB
// tables) or shares by reference count (guest RAM, which any thread may access).
unsafe impl Send for Emulator {}

/// Whether someone wants [`Emulator::run`] to return.
#[derive(Debug, Default)]
struct Kicked(AtomicBool);

impl Kick for Kicked {
    fn kick(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Emulator {
    /// Makes a vCPU. It runs once [`Vcpu::set_state`] has given it a state.
    pub fn new(ram: GuestRam, config: EmuConfig) -> Self {
        Self {
            cpu: Box::new(Cpu::new(Ram::new(ram), config.clock)),
            limit: None,
            kicked: Arc::default(),
        }
    }

    /// Whether the emulator executes instructions of the form `code`; the others are #UD.
    pub fn implements(code: iced_x86::Code) -> bool {
        code != iced_x86::Code::INVALID && decode::form(code).code == code
    }

    /// Runs until there is something to report, which is left in the CPU's `exit`, or
    /// until one of the reasons that need no payload.
    fn advance(&mut self) -> Option<VmExit<'static>> {
        loop {
            if self.cpu.exit.kind != ExitKind::None {
                return None;
            }
            let cpu = &mut *self.cpu;
            if let Some(exit) = cpu.lacks() {
                return Some(exit);
            }
            // Asking first is cheaper: nearly always nobody does.
            let kicked = &self.kicked.0;
            if kicked.load(Ordering::Relaxed) && kicked.swap(false, Ordering::Acquire) {
                return Some(VmExit::Interrupted);
            }
            let left = self.limit.map_or(i64::MAX, |limit| {
                i64::try_from(limit.saturating_sub(cpu.retired())).unwrap_or(i64::MAX)
            });
            if left == 0 {
                return Some(VmExit::InstructionLimit);
            }
            let left = match cpu.until_alarm() {
                0 => return Some(VmExit::Interrupted),
                ns => left.min(i64::try_from(ns).unwrap_or(i64::MAX)),
            };
            if let Some(vector) = cpu.injected.take() {
                cpu.take_interrupt(vector);
                continue;
            }
            if cpu.window_wanted && !cpu.replies.pending() && cpu.interruptible() {
                return Some(VmExit::InterruptWindow);
            }
            Self::go_on(cpu, left);
        }
    }

    /// Runs a slice, or one instruction where more would be too many.
    #[inline(always)]
    fn go_on(cpu: &mut Cpu, left: i64) {
        // One at a time where each instruction has consequences of its own.
        cpu.stepping = cpu.system_flags & rflags::TF != 0;
        let resumed = cpu.system_flags & rflags::RF != 0;
        let watches = cpu.watches();
        if watches && !resumed && !cpu.replies.pending() && cpu.take_breakpoint() {
            return;
        }
        if cpu.shadow != Some(cpu.retired()) {
            cpu.hits = 0;
        }
        let exact = left < BLOCK_LIMIT as i64
            || cpu.stepping
            || resumed
            || watches
            || cpu.replies.pending()
            || (cpu.window_wanted && cpu.shadow == Some(cpu.retired()));
        cpu.replies.rewind();
        cpu.leave_block = false;
        cpu.work = engine::WORK;
        let block = if exact {
            cpu.decode_single(cpu.rip)
        } else {
            match cpu.find_block(cpu.rip) {
                Some(block) => Ok(block),
                None => cpu.decode_block(cpu.rip),
            }
        };
        cpu.stop = match block {
            Ok(block) => {
                let room = left - BLOCK_LIMIT as i64 + 1;
                cpu.start_slice(if exact { 1 } else { room.min(engine::SLICE) });
                cpu.execute(block);
                cpu.end_slice();
                cpu.stop
            }
            Err(stop) => stop,
        };
        if cpu.stop != Stop::Exit {
            cpu.replies.clear();
        }
        match cpu.stop {
            Stop::Exception(exception) => cpu.take_exception(exception),
            Stop::Leave => {
                if resumed {
                    cpu.system_flags &= !rflags::RF;
                }
                cpu.take_step();
            }
            Stop::Again => cpu.take_step(),
            Stop::Miss | Stop::Exit => {}
        }
    }

    /// Executes one instruction, or some elements of a repeated one, or delivers the
    /// exception that stops it. Returns the exit that ends it otherwise; such an instruction
    /// is not finished. Kicks and limits are for the caller to look at.
    pub(crate) fn step(&mut self) -> Option<VmExit<'_>> {
        if let Some(exit) = self.cpu.lacks() {
            return Some(exit);
        }
        Self::go_on(&mut self.cpu, 1);
        (self.cpu.exit.kind != ExitKind::None).then(|| self.cpu.describe_exit())
    }
}

impl Vcpu for Emulator {
    fn run(&mut self) -> Result<VmExit<'_>, CpuError> {
        self.cpu.complete();
        let exit = self.advance();
        if let Some(time) = self.cpu.time.counted() {
            time.publish(self.cpu.time.now_ns(self.cpu.retired()));
        }
        Ok(match exit {
            Some(exit) => exit,
            None => self.cpu.describe_exit(),
        })
    }

    fn state(&mut self) -> Result<CpuState, CpuError> {
        Ok(self.cpu.save())
    }

    fn location(&mut self) -> Result<Location, CpuError> {
        Ok(Location {
            rip: self.cpu.rip,
            ring: self.cpu.cpl,
        })
    }

    fn set_state(&mut self, state: &CpuState) -> Result<(), CpuError> {
        self.cpu.restore(state);
        Ok(())
    }

    fn ready(&mut self) -> bool {
        self.cpu.injected.is_none() && !self.cpu.replies.pending() && self.cpu.interruptible()
    }

    fn interrupts_enabled(&mut self) -> Result<bool, CpuError> {
        Ok(self.cpu.system_flags & rflags::IF != 0)
    }

    fn halted(&mut self) -> Result<bool, CpuError> {
        Ok(false)
    }

    fn inject(&mut self, vector: u8) -> Result<(), CpuError> {
        self.cpu.injected = Some(vector);
        Ok(())
    }

    fn request_interrupt_window(&mut self, wanted: bool) {
        self.cpu.window_wanted = wanted;
    }

    fn set_instruction_limit(&mut self, limit: Option<u64>) -> Result<(), CpuError> {
        self.limit = limit;
        Ok(())
    }

    fn instructions(&self) -> Option<InstructionCounts> {
        Some(self.cpu.counts())
    }

    fn counters(&mut self) -> Result<AcceleratorCounters, CpuError> {
        Ok(AcceleratorCounters::default())
    }

    fn signal_msi(&mut self, _address: u64, _data: u32) -> Result<(), CpuError> {
        Err(CpuError::Unsupported("the emulator has no local APIC"))
    }

    fn clock(&self) -> GuestClock {
        self.cpu.time.clock().clone()
    }

    fn tsc(&mut self) -> Result<u64, CpuError> {
        Ok(self.cpu.tsc(0))
    }

    fn tsc_khz(&self) -> u32 {
        time::TSC_KHZ
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        self.kicked.clone()
    }
}
