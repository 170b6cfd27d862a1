//! The emulated processor: what joins its parts.
//!
//! ```text
//! Cpu
//!   regs      state::registers   what instructions compute on
//!   meter     outside::meter     instructions, time, work
//!   code      code::cache        decoded blocks
//!   mmu       memory::mmu        TLBs and RAM
//!   control   state::control     modes, privilege, segments
//!   events    outside::events    events pending between instructions
//!   outside   outside::exit      exits and replies
//!   random    outside::random    random numbers
//!   counts    EmulatorCounts     what was looked up in vain, what was translated
//! ```
//!
//! Each part does what needs its own data alone. Here is what needs several parts: memory
//! access by an instruction (`access`, `translation`), fetches (`fetch`), switches of mode
//! (`modes`, `msr`), delivery of exceptions (`deliver`, `deliver_legacy`) with their segments
//! (`descriptor`) and stacks (`inner_stack`), call gates (`call_gate`, `call_gate_legacy`),
//! debug traps and ports, exits (`exits`), and the order of events between instructions
//! (`boundary`); the clock of KVM's guests (`kvm_clock`).

pub mod access;
pub mod boundary;
mod call_gate;
mod call_gate_legacy;
pub mod cpuid;
mod debug;
pub mod deliver;
mod deliver_legacy;
mod descriptor;
mod exits;
mod fetch;
mod inner_stack;
mod kvm_clock;
mod model;
mod modes;
mod msr;
mod ports;
pub mod stack;
mod translation;
mod whole_state;

use std::sync::Arc;
use std::time::Duration;

use crate::emu::arithmetic::flags::{Flags, rflags};
use crate::emu::code::cache::CodeCache;
use crate::emu::code::neighbours::{Neighbours, News};
use crate::emu::code::op;
use crate::emu::code::regions::Translator;
use crate::emu::memory::mmu::Mmu;
use crate::emu::memory::ram::Ram;
use crate::emu::outside::events::Events;
use crate::emu::outside::exit::Outside;
use crate::emu::outside::kicked::Kicked;
use crate::emu::outside::meter::Meter;
use crate::emu::outside::random::Random;
use crate::emu::state::control::Control;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Registers;
use crate::state::Place;
use kvm_clock::KvmClock;

use crate::{EmulatorCounts, GuestClock, TranslationSink};

/// A decoded instruction of this processor.
pub type Op = op::Op<Cpu>;
/// What executes one.
pub type Handler = op::Handler<Cpu>;

/// What the processors of a machine have in common, beside its RAM.
#[derive(Default)]
pub struct Machine {
    pub clock: GuestClock,
    /// Time of day at guest time zero, since 1970.
    pub time_of_day: Duration,
    pub translator: Option<Translator>,
    /// They run on one thread, whose kicks are for whichever runs.
    pub kicked: Arc<Kicked>,
}

/// One emulated processor with its caches. The fields that every instruction touches come
/// first, close together.
#[repr(C)]
pub struct Cpu {
    pub regs: Registers,
    pub meter: Meter,
    pub code: CodeCache,
    pub mmu: Mmu,
    pub control: Control,
    pub events: Events,
    /// Why the engine returned.
    pub stop: Stop,
    pub outside: Outside,
    kvm_clock: KvmClock,
    pub random: Random,
    pub counts: EmulatorCounts,
    /// Who is told of translations.
    pub told: Vec<Arc<dyn TranslationSink>>,
}

impl Cpu {
    /// A processor with registers of zeros; `whole_state` gives it a state.
    pub fn new(ram: Ram, machine: &Machine, place: Place, neighbours: Option<Neighbours>) -> Self {
        Self {
            regs: Registers::new(),
            meter: Meter::new(machine.clock.clone()),
            code: CodeCache::new(neighbours, machine.translator),
            mmu: Mmu::new(ram),
            control: Control::new(place),
            events: Events::new(Arc::clone(&machine.kicked)),
            stop: Stop::Leave,
            outside: Outside::new(),
            kvm_clock: KvmClock::new(machine.time_of_day),
            random: Random::of(&machine.clock, place.id),
            counts: EmulatorCounts::default(),
            told: Vec::new(),
        }
    }

    /// Takes note of what other vCPUs have done to code since this one ran.
    pub fn hear(&mut self) {
        let Some(neighbours) = &mut self.code.neighbours else {
            return;
        };
        for news in neighbours.hear() {
            match news {
                News::Decoded(gpa) => self.protect_code(gpa),
                News::Written(gpa, len) => {
                    self.code.drop_written(gpa, len);
                }
                News::Lost | News::Forget => self.code.clear(),
                News::Dropped(_) | News::DroppedAll => {}
            }
        }
    }

    /// RFLAGS. The arithmetic flags must be current, as always.
    pub fn rflags(&self) -> u64 {
        self.regs.flags.to_rflags() | self.control.system_flags | rflags::FIXED
    }

    /// Sets RFLAGS without any check, and updates the state that depends on them.
    pub fn set_rflags(&mut self, value: u64) {
        let old = self.control.system_flags;
        let now = value & rflags::SYSTEM;
        self.regs.flags = Flags::from_rflags(value);
        self.control.system_flags = now;
        let changed = old ^ now;
        if changed & rflags::AC != 0 {
            self.select_tlb();
        }
        let opened = changed & now & rflags::IF != 0 && self.events.window_wanted;
        if opened || now & rflags::TF != 0 {
            self.meter.want_attention();
        }
    }

    /// Sets RFLAGS as `popf` and `iret` at the current privilege may, from `value` with
    /// `bits` bits.
    pub fn load_rflags(&mut self, value: u64, bits: u32) {
        let old = self.rflags();
        let mut mask = rflags::ARITHMETIC | rflags::TF | rflags::DF | rflags::NT | rflags::RF;
        mask |= rflags::AC | rflags::ID;
        if self.control.cpl == 0 {
            mask |= rflags::IOPL;
        }
        if self.control.io_privileged() {
            mask |= rflags::IF;
        }
        if bits == 16 {
            mask &= 0xffff;
        }
        self.set_rflags(old & !mask | value & mask);
    }

    /// Changes the privilege level after `retired` instructions have been retired.
    pub fn set_cpl(&mut self, cpl: u8, retired: u64) {
        if cpl != self.control.cpl {
            self.meter.count_switch(self.control.cpl, cpl, retired);
            self.control.cpl = cpl;
            self.select_tlb();
            self.select_code();
        }
    }
}
