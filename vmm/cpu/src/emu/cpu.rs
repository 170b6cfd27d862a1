//! The emulated processor's state.
//!
//! What every instruction touches comes first, so that it is near in memory; the rest is
//! architectural state that system instructions, faults and the MMU use.

use std::arch::x86_64::__m128i;

use super::cache::CodeCache;
use super::exception::Stop;
use super::exit::{Exit, Replies};
use super::flags::{Flags, rflags};
use super::fp::{self, FpMode};
use super::jump_table::JumpTable;
use super::mmu::Tlbs;
use super::msr::PAT_RESET;
use super::op::Slot;
use super::ram::Ram;
use super::segment::attribute;
use super::time::{Clock, Time};
use super::tlb::TlbView;
use super::value::{Plain, xmm_zero};
use super::x87::X87;
use crate::{Dtable, Segment};

/// Numbers of the segment registers, as ModRM has them.
pub(super) const ES: usize = 0;
pub(super) const CS: usize = 1;
pub(super) const SS: usize = 2;
pub(super) const DS: usize = 3;
pub(super) const FS: usize = 4;
pub(super) const GS: usize = 5;

/// Bits of CR0, CR4, EFER and RFLAGS that the emulator looks at (AMD APM vol. 2 3.1).
pub(super) mod bits {
    pub const CR0_PE: u64 = 1;
    pub const CR0_MP: u64 = 1 << 1;
    pub const CR0_EM: u64 = 1 << 2;
    pub const CR0_TS: u64 = 1 << 3;
    pub const CR0_ET: u64 = 1 << 4;
    pub const CR0_NE: u64 = 1 << 5;
    pub const CR0_WP: u64 = 1 << 16;
    pub const CR0_AM: u64 = 1 << 18;
    pub const CR0_NW: u64 = 1 << 29;
    pub const CR0_CD: u64 = 1 << 30;
    pub const CR0_PG: u64 = 1 << 31;
    pub const CR4_TSD: u64 = 1 << 2;
    pub const CR4_DE: u64 = 1 << 3;
    pub const CR4_PSE: u64 = 1 << 4;
    pub const CR4_PAE: u64 = 1 << 5;
    pub const CR4_MCE: u64 = 1 << 6;
    pub const CR4_PGE: u64 = 1 << 7;
    pub const CR4_PCE: u64 = 1 << 8;
    pub const CR4_OSFXSR: u64 = 1 << 9;
    pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
    pub const CR4_UMIP: u64 = 1 << 11;
    pub const CR4_FSGSBASE: u64 = 1 << 16;
    pub const CR4_SMEP: u64 = 1 << 20;
    pub const CR4_SMAP: u64 = 1 << 21;
    pub const EFER_SCE: u64 = 1;
    pub const EFER_LME: u64 = 1 << 8;
    pub const EFER_LMA: u64 = 1 << 10;
    pub const EFER_NXE: u64 = 1 << 11;
    pub const EFER_FFXSR: u64 = 1 << 14;
}

/// The general registers and a zero, addressed by [`Slot`].
#[repr(C, align(16))]
pub(super) struct Gprs([u64; 17]);

impl Gprs {
    /// Reads the value at `slot`.
    #[inline(always)]
    pub(super) fn read<T: Plain>(&self, slot: Slot) -> T {
        debug_assert!(u64::from(slot.0) + T::SIZE <= size_of::<Self>() as u64);
        // SAFETY: slots of general registers are at most 128 (they are made by
        // `Slot::gpr` and the decoder only), so 8 bytes there are inside the array.
        unsafe {
            self.0
                .as_ptr()
                .cast::<u8>()
                .add(usize::from(slot.0))
                .cast::<T>()
                .read_unaligned()
        }
    }

    /// Writes the value at `slot`, and no other bytes.
    #[inline(always)]
    pub(super) fn write<T: Plain>(&mut self, slot: Slot, value: T) {
        debug_assert!(u64::from(slot.0) + T::SIZE <= 128);
        // SAFETY: as in `read`.
        unsafe {
            self.0
                .as_mut_ptr()
                .cast::<u8>()
                .add(usize::from(slot.0))
                .cast::<T>()
                .write_unaligned(value);
        }
    }

    /// The sixteen registers.
    pub(super) fn all(&self) -> [u64; 16] {
        std::array::from_fn(|i| self.0[i])
    }

    /// Replaces the sixteen registers.
    pub(super) fn set_all(&mut self, values: &[u64; 16]) {
        self.0[..16].copy_from_slice(values);
    }
}

/// The XMM registers, addressed by [`Slot`]. One more than there are, so that any slot
/// is inside.
#[repr(C, align(16))]
pub(super) struct Xmms([__m128i; 17]);

impl Xmms {
    const ZERO: Self = Self([xmm_zero(); 17]);

    /// Reads the low bytes of the register at `slot`.
    #[inline(always)]
    pub(super) fn read<T: Plain>(&self, slot: Slot) -> T {
        const { assert!(u8::MAX as usize + 16 <= size_of::<Self>()) };
        // SAFETY: a slot is at most 255 and `T` has at most 16 bytes, so they are inside.
        unsafe {
            self.0
                .as_ptr()
                .cast::<u8>()
                .add(usize::from(slot.0))
                .cast::<T>()
                .read_unaligned()
        }
    }

    /// Writes the low bytes of the register at `slot`; the others stay.
    #[inline(always)]
    pub(super) fn write<T: Plain>(&mut self, slot: Slot, value: T) {
        // SAFETY: as in `read`.
        unsafe {
            self.0
                .as_mut_ptr()
                .cast::<u8>()
                .add(usize::from(slot.0))
                .cast::<T>()
                .write_unaligned(value);
        }
    }
}

/// The size of code and addresses (AMD APM vol. 2 4.8): the value is the logarithm of
/// the default operand size in bytes, less one; 64-bit mode is 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum CodeSize {
    Bits16 = 0,
    Bits32 = 1,
    Bits64 = 2,
}

/// Model-specific registers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Msrs {
    pub(super) apic_base: u64,
    pub(super) star: u64,
    pub(super) lstar: u64,
    pub(super) cstar: u64,
    pub(super) sfmask: u64,
    pub(super) kernel_gs_base: u64,
    pub(super) sysenter_cs: u64,
    pub(super) sysenter_esp: u64,
    pub(super) sysenter_eip: u64,
    pub(super) pat: u64,
    pub(super) tsc_aux: u64,
}

/// One emulated processor with its caches.
#[repr(C)]
pub(super) struct Cpu {
    pub(super) gprs: Gprs,
    /// The arithmetic flags.
    pub(super) flags: Flags,
    /// Instructions that may still be retired before the engine returns.
    pub(super) budget: i64,
    /// The current fetch context: which blocks are valid. See [`CodeCache`].
    pub(super) ctx: u64,
    /// The data TLB of the current privilege.
    pub(super) tlb: TlbView,
    /// From instruction pointer to block.
    pub(super) jumps: JumpTable,
    pub(super) xmms: Xmms,

    /// Instruction pointer; current only outside the engine.
    pub(super) rip: u64,
    /// Why the engine returned.
    pub(super) stop: Stop,
    /// Leave the block after this instruction: its write invalidated decoded code, or the
    /// slice's work is spent.
    pub(super) leave_block: bool,
    /// Host work left to this slice; see [`Cpu::charge`].
    pub(super) work: i64,
    /// RFLAGS without the arithmetic flags.
    pub(super) system_flags: u64,
    /// Current privilege level.
    pub(super) cpl: u8,
    pub(super) code_size: CodeSize,
    /// How floating point is executed; see [`Cpu::update_fp_mode`].
    pub(super) fp_mode: FpMode,
    /// es, cs, ss, ds, fs, gs.
    pub(super) segments: [Segment; 6],
    pub(super) ldt: Segment,
    pub(super) tr: Segment,
    pub(super) gdt: Dtable,
    pub(super) idt: Dtable,
    pub(super) cr0: u64,
    pub(super) cr2: u64,
    pub(super) cr3: u64,
    pub(super) cr4: u64,
    pub(super) cr8: u64,
    pub(super) efer: u64,
    pub(super) msrs: Msrs,
    /// Debug registers; 4 and 5 are not used.
    pub(super) dr: [u64; 8],
    /// MXCSR; see [`super::fp`] for where exception flags gather.
    pub(super) mxcsr: u32,
    /// The bits of MXCSR that exist.
    pub(super) mxcsr_mask: u32,
    pub(super) x87: X87,
    /// A mode that the emulator does not have, if the guest switched to it.
    pub(super) unsupported: Option<&'static str>,

    /// Instructions retired and time.
    pub(super) time: Time,
    /// What the VMM is asked for.
    pub(super) exit: Exit,
    /// Answers to accesses of an instruction that has not finished.
    pub(super) replies: Replies,
    /// Interrupt to deliver before the next instruction.
    pub(super) injected: Option<u8>,
    pub(super) window_wanted: bool,
    /// Retired count at which an interrupt shadow holds; see [`Cpu::set_shadow`].
    pub(super) shadow: Option<u64>,
    /// Whether the instruction at hand ends with a single-step trap.
    pub(super) stepping: bool,
    /// Data and port breakpoints that the instruction at hand has met, as DR6 has them.
    pub(super) hits: u64,

    pub(super) tlbs: Tlbs,
    pub(super) code: CodeCache,
    pub(super) ram: Ram,
}

impl Cpu {
    /// A processor with registers of zeros; [`super::state`] gives it a state.
    pub(super) fn new(ram: Ram, clock: Clock) -> Self {
        Self {
            gprs: Gprs([0; 17]),
            flags: Flags(0),
            budget: 0,
            ctx: 0,
            tlb: TlbView::nothing(),
            jumps: JumpTable::nothing(),
            xmms: Xmms::ZERO,
            rip: 0,
            stop: Stop::Leave,
            leave_block: false,
            work: 0,
            system_flags: 0,
            cpl: 0,
            code_size: CodeSize::Bits16,
            fp_mode: FpMode::default(),
            segments: [Segment::default(); 6],
            ldt: Segment::default(),
            tr: Segment::default(),
            gdt: Dtable::default(),
            idt: Dtable::default(),
            cr0: 0,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            cr8: 0,
            efer: 0,
            msrs: Msrs {
                pat: PAT_RESET,
                ..Msrs::default()
            },
            dr: [0, 0, 0, 0, 0, 0, DR6_RESET, DR7_RESET],
            mxcsr: MXCSR_RESET,
            mxcsr_mask: fp::host_mxcsr_mask(),
            x87: X87::new(),
            unsupported: Some("real mode"),
            time: Time::new(clock),
            exit: Exit::new(),
            replies: Replies::new(),
            injected: None,
            window_wanted: false,
            shadow: None,
            stepping: false,
            hits: 0,
            tlbs: Tlbs::new(),
            code: CodeCache::new(),
            ram,
        }
    }

    /// RFLAGS. `flags` must be current, as always.
    pub(super) fn rflags(&self) -> u64 {
        self.flags.to_rflags() | self.system_flags | rflags::FIXED
    }

    /// Sets RFLAGS without any check; what depends on them follows.
    pub(super) fn set_rflags(&mut self, value: u64) {
        let old = self.system_flags;
        self.flags = Flags::from_rflags(value);
        self.system_flags = value & rflags::SYSTEM;
        let changed = old ^ self.system_flags;
        if changed & rflags::AC != 0 {
            self.select_tlb();
        }
        let opened = changed & self.system_flags & rflags::IF != 0 && self.window_wanted;
        if opened || self.system_flags & rflags::TF != 0 {
            self.want_attention();
        }
    }

    /// Changes the privilege level after `retired` instructions have been retired.
    pub(super) fn set_cpl(&mut self, cpl: u8, retired: u64) {
        if cpl != self.cpl {
            self.count_switch(self.cpl, cpl, retired);
            self.cpl = cpl;
            self.select_tlb();
            self.select_ctx();
        }
    }

    /// Notes an interrupt shadow (after `sti`, `mov ss`, `pop ss`): it holds while
    /// `retired` instructions have been retired, that is, for the next one.
    pub(super) fn set_shadow(&mut self, retired: u64) {
        self.shadow = Some(retired);
    }

    /// Whether an external interrupt would be taken now; outside the engine.
    pub(super) fn interruptible(&self) -> bool {
        self.system_flags & rflags::IF != 0 && self.shadow != Some(self.retired())
    }

    /// Which bits of a stack pointer count, in legacy modes.
    pub(super) fn stack_mask(&self) -> u64 {
        if self.segments[SS].attributes & attribute::BIG != 0 {
            0xffff_ffff
        } else {
            0xffff
        }
    }
}

/// MXCSR after reset: all exceptions masked.
pub(super) const MXCSR_RESET: u32 = 0x1f80;
const DR6_RESET: u64 = 0xffff_0ff0;
const DR7_RESET: u64 = 0x400;
