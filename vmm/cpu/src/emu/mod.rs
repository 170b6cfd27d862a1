//! The built-in emulator: a full-system x86-64 interpreter, and a translator of hot code.
//!
//! In rooms, each of which uses only those below it (the test `layers` keeps it so):
//!
//! ```text
//! Emulator (this file)  Vcpu: runs slices, reports exits
//! code_at               the instruction at hand, as text
//! translate             hot blocks become host code
//! decode                iced-x86 decodes; liveness of flags; blocks of ops
//! ops                   semantics and forms, one file for each family:
//!   native x87 simd system control integer
//! pairs                 two instructions by one handler
//! engine                handlers threaded by tail calls; operands, forms
//! cpu                   what joins the parts: memory access, exceptions, modes, exits
//! outside               exits and replies, interrupts, limits, instructions and time
//! code                  ops, blocks, the code cache
//! memory                page walks, TLBs, RAM
//! state                 registers: general, XMM, x87, control, segments, debug
//! arithmetic            values, flags, the host's own instructions
//! ```
//!
//! How to add an instruction: see the README of this crate.

mod arithmetic;
mod code;
mod code_at;
mod cpu;
mod decode;
mod engine;
mod memory;
mod ops;
mod outside;
mod pairs;
mod state;
#[cfg(test)]
mod tests;
mod translate;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use code_at::{CodeAt, CodeLine, disassemble, instruction_at, listing};
pub use outside::meter::Clock;
pub use translate::Engine;

/// Bytes of the memory for code that the emulator makes at run time.
pub const CODE_MEMORY_LEN: u64 = code::executable::LEN as u64;

use arithmetic::flags::rflags;
use code::neighbours::{self, Neighbours};
use code::op::BLOCK_LIMIT;
use cpu::boundary::Event;
use cpu::{Cpu, Machine};
use decode::Decoder;
use engine::{SLICE, WORK};
use memory::ram::{Ram, to_page_end};
use memory::walk::PHYSICAL_BITS;
use outside::exit::{ExitKind, failed};
use outside::meter::TSC_KHZ;
use state::exception::Stop;

use crate::exit::VmExit;
use crate::file_window::Reading;
use crate::memory::{FileWindow, GuestRam};
use crate::state::Place;
use crate::{
    AcceleratorCounters, CpuError, CpuState, GuestClock, InstructionCounts, Kick, Location,
    TranslationSink, Vcpu,
};

/// Options of an [`Emulator`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmuConfig {
    /// What executes the guest's code.
    pub engine: Engine,
    /// The clock of guest time.
    pub clock: Clock,
    /// Time of day at guest time zero, since 1970.
    pub time_of_day: Duration,
}

/// An emulated vCPU.
pub struct Emulator {
    cpu: Box<Cpu>,
    decoder: Decoder,
}

// SAFETY: the pointers inside are to memory that the emulator owns (decoded blocks, TLB
// tables) or shares by reference count (guest RAM, which any thread may access).
unsafe impl Send for Emulator {}

impl Emulator {
    /// Most vCPUs of a machine.
    pub const MOST: u8 = neighbours::MOST as u8;

    /// Makes the only vCPU of a machine. It runs once [`Vcpu::set_state`] has given it a
    /// state.
    pub fn new(ram: GuestRam, config: EmuConfig) -> Self {
        Self::one(ram, &machine(config), Place::ONLY, None)
    }

    /// Makes the `count` vCPUs of a machine, 2 to [`MOST`](Self::MOST), which run on one
    /// thread, in turns: each until its [limit](Vcpu::set_instruction_limit) or its next
    /// `pause`. They have one clock, and a kick is for whichever of them runs.
    pub fn several(ram: &GuestRam, config: EmuConfig, count: u8) -> Vec<Self> {
        let machine = machine(config);
        let neighbours = (0..).zip(Neighbours::all(count.into()));
        let places = neighbours.map(|(id, neighbours)| (Place { id, count }, neighbours));
        places
            .map(|(place, neighbours)| Self::one(ram.clone(), &machine, place, Some(neighbours)))
            .collect()
    }

    fn one(ram: GuestRam, machine: &Machine, place: Place, neighbours: Option<Neighbours>) -> Self {
        if let Some(files) = ram.files() {
            files.set_reader(Arc::clone(&machine.kicked) as Arc<dyn Kick>);
        }
        Self {
            cpu: Box::new(Cpu::new(Ram::new(ram), machine, place, neighbours)),
            decoder: Decoder::new(translate::end_where_it_resumes),
        }
    }

    /// Lets the guest read files of the host from this thread until the result is dropped.
    fn read_files(&self) -> Option<Reading> {
        self.cpu.mmu.ram.files().map(FileWindow::read_here)
    }

    /// The exit for a file that was cut while the guest read it.
    fn cut_file(&self) -> Option<VmExit<'static>> {
        let files = self.cpu.mmu.ram.files()?;
        files.is_cut().then(|| files.cut_file().map(failed))?
    }

    /// Bits of a guest-physical address.
    pub const ADDRESS_BITS: u32 = PHYSICAL_BITS;

    /// Whether the emulator executes instructions of the form `code`; the others are #UD.
    pub fn implements(code: iced_x86::Code) -> bool {
        code != iced_x86::Code::INVALID && decode::form(code).code == code
    }

    /// Runs until an exit: one that needs no payload, or the one that the CPU describes in
    /// `outside`.
    fn advance(&mut self) -> Option<VmExit<'static>> {
        loop {
            match self.cpu.boundary() {
                Ok(left) => self.run_slice(left),
                Err(Event::Trap(reasons)) => self.cpu.take_trap(reasons),
                Err(Event::Breakpoint(hits)) => self.cpu.take_breakpoint(hits),
                Err(Event::Injection(vector)) => self.cpu.take_interrupt(vector),
                Err(Event::Nmi) => self.cpu.take_nmi(),
                Err(Event::Exit) => return None,
                Err(Event::Missing(mode)) => return Some(missing(mode)),
                Err(Event::Kick | Event::Alarm) => return Some(VmExit::Interrupted),
                Err(Event::Limit) => return Some(VmExit::InstructionLimit),
                Err(Event::Window) => return Some(VmExit::InterruptWindow),
            }
        }
    }

    /// Runs at most `left` instructions, at most a slice, and a single one where events
    /// require it.
    #[inline(always)]
    fn run_slice(&mut self, left: i64) {
        let cpu = &mut *self.cpu;
        let rip = cpu.regs.rip;
        let resumed = cpu.control.system_flags & rflags::RF != 0;
        let exact = cpu.begin_slice(resumed) || left < BLOCK_LIMIT as i64;
        cpu.meter.work = WORK;
        let block = if exact {
            self.decoder.single(cpu, rip)
        } else {
            match cpu.find_block(rip) {
                Some(block) => Ok(block),
                None => self.decoder.block(cpu, rip).inspect(|&block| {
                    // SAFETY: it was decoded just now.
                    unsafe { translate::watch(cpu, block) }
                }),
            }
        };
        cpu.stop = match block {
            Ok(block) => {
                let room = left - BLOCK_LIMIT as i64 + 1;
                let budget = if exact { 1 } else { room.min(SLICE) };
                cpu.meter.start_slice(budget);
                // SAFETY: the block was found or decoded just now.
                unsafe { cpu.execute(block) };
                cpu.meter.end_slice();
                cpu.stop
            }
            Err(stop) => stop,
        };
        if cpu.stop != Stop::Exit {
            cpu.outside.replies.clear();
        }
        match cpu.stop {
            Stop::Exception(exception) => cpu.take_exception(exception),
            Stop::Leave => {
                if resumed {
                    cpu.control.system_flags &= !rflags::RF;
                }
                cpu.events.ended = true;
            }
            Stop::Again => cpu.events.ended = true,
            Stop::Miss | Stop::Exit => {}
        }
    }

    /// Executes one instruction, or some elements of a repeated one, with the trap that may
    /// follow, or delivers the exception that stops it, or an NMI. Returns the exit that
    /// ends it otherwise; such an instruction is not finished. The caller neither kicks the
    /// vCPU, nor injects, nor sets a limit: in place of the instruction each would end the
    /// step.
    pub(crate) fn step(&mut self) -> Option<VmExit<'_>> {
        let _reading = self.read_files();
        match self.cpu.boundary() {
            Ok(_) => self.run_slice(1),
            Err(Event::Breakpoint(hits)) => self.cpu.take_breakpoint(hits),
            Err(Event::Nmi) => self.cpu.take_nmi(),
            Err(Event::Missing(mode)) => return Some(missing(mode)),
            Err(_) => {}
        }
        if let Some(reasons) = self.cpu.trap() {
            self.cpu.take_trap(reasons);
        }
        if let Some(exit) = self.cut_file() {
            return Some(exit);
        }
        (self.cpu.outside.exit.kind != ExitKind::None).then(|| self.cpu.outside.describe())
    }
}

/// What the vCPUs of such a machine have in common.
fn machine(config: EmuConfig) -> Machine {
    Machine {
        clock: config.clock.start(),
        time_of_day: config.time_of_day,
        translator: config.engine.translator(),
        ..Machine::default()
    }
}

/// The exit for a mode that the emulator does not support.
fn missing(mode: &str) -> VmExit<'static> {
    failed(format!(
        "the guest wants {mode}, which the emulator does not have"
    ))
}

impl Vcpu for Emulator {
    fn run(&mut self) -> Result<VmExit<'_>, CpuError> {
        let reading = self.read_files();
        self.cpu.meter.take_time();
        self.cpu.hear();
        self.cpu.complete();
        let exit = self.advance();
        drop(reading);
        let exit = self.cut_file().or(exit);
        if let Some(time) = self.cpu.meter.counted() {
            time.publish(self.cpu.meter.now_ns(self.cpu.meter.retired()));
        }
        Ok(match exit {
            Some(exit) => exit,
            None => self.cpu.outside.describe(),
        })
    }

    fn state(&mut self) -> Result<CpuState, CpuError> {
        Ok(self.cpu.save())
    }

    fn location(&mut self) -> Result<Location, CpuError> {
        Ok(Location {
            rip: self.cpu.regs.rip,
            ring: self.cpu.control.cpl,
        })
    }

    fn set_state(&mut self, state: &CpuState) -> Result<(), CpuError> {
        self.cpu.restore(state);
        Ok(())
    }

    fn ready(&mut self) -> bool {
        self.cpu.events.injected.is_none() && !self.cpu.nmi_due() && self.cpu.interruptible()
    }

    fn interrupts_enabled(&mut self) -> Result<bool, CpuError> {
        Ok(self.cpu.control.system_flags & rflags::IF != 0)
    }

    fn halted(&mut self) -> Result<bool, CpuError> {
        Ok(false)
    }

    fn inject(&mut self, vector: u8) -> Result<(), CpuError> {
        self.cpu.events.injected = Some(vector);
        Ok(())
    }

    fn ram_written(&mut self, range: Range<u64>) {
        self.cpu.hear();
        let mut at = range.start;
        while at < range.end {
            let len = to_page_end(at).min(range.end - at);
            self.cpu.ram_written(at, len);
            at += len;
        }
    }

    fn inject_nmi(&mut self) -> Result<(), CpuError> {
        self.cpu.events.nmi_pending = true;
        Ok(())
    }

    fn request_interrupt_window(&mut self, wanted: bool) {
        self.cpu.events.window_wanted = wanted;
    }

    fn set_cr8(&mut self, value: u8) {
        self.cpu.control.cr8 = value.into();
    }

    fn set_instruction_limit(&mut self, limit: Option<u64>) -> Result<(), CpuError> {
        (self.cpu.events.limit, self.cpu.events.slack) = (limit, 0);
        Ok(())
    }

    fn set_turn(&mut self, limit: u64) -> Result<(), CpuError> {
        // What is left is less than a block: it would be decoded again, each instruction by itself.
        const SLACK: u64 = BLOCK_LIMIT as u64 - 1;
        (self.cpu.events.limit, self.cpu.events.slack) = (Some(limit), SLACK);
        Ok(())
    }

    fn set_pause_exits(&mut self, wanted: bool) {
        self.cpu.events.pause_exits = wanted;
    }

    fn instructions(&self) -> Option<InstructionCounts> {
        Some(self.cpu.meter.counts(self.cpu.control.cpl))
    }

    fn counters(&mut self) -> Result<AcceleratorCounters, CpuError> {
        Ok(AcceleratorCounters {
            emulator: Some(self.cpu.counts),
            ..AcceleratorCounters::default()
        })
    }

    fn tell_translations(&mut self, to: Arc<dyn TranslationSink>) {
        self.cpu.code.stubs.take_no_file();
        self.cpu.told.push(to);
    }

    fn signal_msi(&mut self, _address: u64, _data: u32) -> Result<(), CpuError> {
        Err(CpuError::Unsupported("the emulator has no local APIC"))
    }

    fn report_eoi(&mut self, _messages: &[(u64, u32)]) -> Result<(), CpuError> {
        Err(CpuError::Unsupported("the emulator has no local APIC"))
    }

    fn clock(&self) -> GuestClock {
        self.cpu.meter.clock().clone()
    }

    fn tsc(&mut self) -> Result<u64, CpuError> {
        self.cpu.meter.take_time();
        Ok(self.cpu.meter.tsc(0))
    }

    fn tsc_offset(&self) -> Option<u64> {
        None
    }

    fn tsc_khz(&self) -> u32 {
        TSC_KHZ
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        self.cpu.events.kicker()
    }
}
