//! What decides how instructions run: modes, privilege, segments, control registers.

use x86::XCr0Flags;

use crate::emu::arithmetic::flags::rflags;
use crate::emu::state::breakpoints::DebugRegisters;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::mxcsr::FpMode;
use crate::emu::state::segment::{CS, SS, has};
use crate::state::Place;
use crate::{Dtable, Msrs, Segment};

/// Bits of CR0, CR4 and EFER that the emulator looks at, under the manuals' names (AMD APM
/// vol. 2 3.1).
pub mod bits {
    use x86::{Cr0Flags, Cr4Flags, EferFlags};

    pub const CR0_PE: u64 = Cr0Flags::PROTECTED_MODE_ENABLE.bits();
    pub const CR0_MP: u64 = Cr0Flags::MONITOR_COPROCESSOR.bits();
    pub const CR0_EM: u64 = Cr0Flags::EMULATE_COPROCESSOR.bits();
    pub const CR0_TS: u64 = Cr0Flags::TASK_SWITCHED.bits();
    pub const CR0_ET: u64 = Cr0Flags::EXTENSION_TYPE.bits();
    pub const CR0_NE: u64 = Cr0Flags::NUMERIC_ERROR.bits();
    pub const CR0_WP: u64 = Cr0Flags::WRITE_PROTECT.bits();
    pub const CR0_AM: u64 = Cr0Flags::ALIGNMENT_MASK.bits();
    pub const CR0_NW: u64 = Cr0Flags::NOT_WRITE_THROUGH.bits();
    pub const CR0_CD: u64 = Cr0Flags::CACHE_DISABLE.bits();
    pub const CR0_PG: u64 = Cr0Flags::PAGING.bits();
    pub const CR4_TSD: u64 = Cr4Flags::TIMESTAMP_DISABLE.bits();
    pub const CR4_DE: u64 = Cr4Flags::DEBUGGING_EXTENSIONS.bits();
    pub const CR4_PSE: u64 = Cr4Flags::PAGE_SIZE_EXTENSION.bits();
    pub const CR4_PAE: u64 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION.bits();
    pub const CR4_MCE: u64 = Cr4Flags::MACHINE_CHECK_EXCEPTION.bits();
    pub const CR4_PGE: u64 = Cr4Flags::PAGE_GLOBAL.bits();
    pub const CR4_PCE: u64 = Cr4Flags::PERFORMANCE_MONITOR_COUNTER.bits();
    pub const CR4_OSFXSR: u64 = Cr4Flags::OSFXSR.bits();
    pub const CR4_OSXMMEXCPT: u64 = Cr4Flags::OSXMMEXCPT_ENABLE.bits();
    pub const CR4_UMIP: u64 = Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION.bits();
    pub const CR4_FSGSBASE: u64 = Cr4Flags::FSGSBASE.bits();
    pub const CR4_PCIDE: u64 = Cr4Flags::PCID.bits();
    pub const CR4_OSXSAVE: u64 = Cr4Flags::OSXSAVE.bits();
    pub const CR4_SMEP: u64 = Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION.bits();
    pub const CR4_SMAP: u64 = Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION.bits();
    pub const EFER_SCE: u64 = EferFlags::SYSTEM_CALL_EXTENSIONS.bits();
    pub const EFER_LME: u64 = EferFlags::LONG_MODE_ENABLE.bits();
    pub const EFER_LMA: u64 = EferFlags::LONG_MODE_ACTIVE.bits();
    pub const EFER_NXE: u64 = EferFlags::NO_EXECUTE_ENABLE.bits();
    pub const EFER_FFXSR: u64 = EferFlags::FAST_FXSAVE_FXRSTOR.bits();
}

/// The size of code and addresses (AMD APM vol. 2 4.8): the value is the logarithm of
/// the default operand size in bytes, less one; 64-bit mode is 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CodeSize {
    Bits16 = 0,
    Bits32 = 1,
    Bits64 = 2,
}

impl CodeSize {
    /// 16, 32 or 64.
    pub fn bitness(self) -> u32 {
        16 << self as u32
    }
}

/// The privilege of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    User = 0,
    /// Rings 0 to 2, and the processor itself.
    Supervisor = 1,
    /// Supervisor with RFLAGS.AC set, which lifts SMAP.
    SupervisorAc = 2,
}

/// The control state.
pub struct Control {
    pub place: Place,
    /// RFLAGS without the arithmetic flags.
    pub system_flags: u64,
    /// Current privilege level.
    pub cpl: u8,
    pub code_size: CodeSize,
    /// How floating point is executed.
    pub fp_mode: FpMode,
    /// es, cs, ss, ds, fs, gs.
    pub segments: [Segment; 6],
    pub ldt: Segment,
    pub tr: Segment,
    pub gdt: Dtable,
    pub idt: Dtable,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    /// The page-directory pointers of PAE paging outside long mode.
    pub pdptes: [u64; 4],
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
    pub xcr0: u64,
    pub msrs: Msrs,
    pub debug: DebugRegisters,
    /// The mode that the guest is in, if the emulator does not support it.
    pub unsupported: Option<&'static str>,
}

impl Control {
    /// Registers of zeros, but for those that reset gives another value.
    pub fn new(place: Place) -> Self {
        Self {
            place,
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
            pdptes: [0; 4],
            cr4: 0,
            cr8: 0,
            efer: 0,
            xcr0: XCr0Flags::X87.bits(),
            msrs: Msrs::default(),
            debug: DebugRegisters::new(),
            unsupported: None,
        }
    }

    /// Whether the processor is in real mode: segments are not described by tables.
    pub fn real_mode(&self) -> bool {
        self.cr0 & bits::CR0_PE == 0
    }

    /// Whether the processor is in long mode (64-bit or compatibility).
    pub fn long_mode(&self) -> bool {
        self.efer & bits::EFER_LMA != 0
    }

    /// The size of the code in CS.
    pub fn size_of_cs(&self) -> CodeSize {
        let cs = &self.segments[CS];
        if self.long_mode() && has(cs, x86::segment::LONG) {
            CodeSize::Bits64
        } else if has(cs, x86::segment::BIG) {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        }
    }

    /// Whether pages are found by page-directory pointers, with these control registers.
    pub fn uses_pdptes(cr0: u64, cr4: u64, efer: u64) -> bool {
        cr0 & bits::CR0_PG != 0 && cr4 & bits::CR4_PAE != 0 && efer & bits::EFER_LMA == 0
    }

    /// The current mode, if the emulator does not support it.
    pub fn missing_mode(&self) -> Option<&'static str> {
        let virtual_8086 = self.system_flags & rflags::VM != 0 && !self.long_mode();
        virtual_8086.then_some("virtual-8086 mode")
    }

    /// The rights of ordinary accesses now.
    pub fn privilege(&self) -> Privilege {
        if self.cpl == 3 {
            Privilege::User
        } else if self.system_flags & rflags::AC != 0 {
            Privilege::SupervisorAc
        } else {
            Privilege::Supervisor
        }
    }

    /// The rights of instruction fetches now.
    pub fn fetch_privilege(&self) -> Privilege {
        match self.cpl {
            3 => Privilege::User,
            _ => Privilege::Supervisor,
        }
    }

    /// Whether misaligned accesses are #AC: in ring 3, if CR0.AM and RFLAGS.AC say so.
    pub fn checks_alignment(&self) -> bool {
        self.cpl == 3 && self.system_flags & rflags::AC != 0 && self.cr0 & bits::CR0_AM != 0
    }

    /// Whether events are checked after each element of a repeated instruction.
    #[inline(always)]
    pub fn steps_by_element(&self) -> bool {
        self.system_flags & rflags::TF != 0 || self.debug.watches()
    }

    /// The mask of a stack pointer's significant bits, in legacy modes.
    pub fn stack_mask(&self) -> u64 {
        if has(&self.segments[SS], x86::segment::BIG) {
            0xffff_ffff
        } else {
            0xffff
        }
    }

    /// The linear address of `rip`, an offset in CS.
    pub fn code_address(&self, rip: u64) -> u64 {
        if self.code_size == CodeSize::Bits64 {
            rip
        } else {
            self.segments[CS].base.wrapping_add(rip) & 0xffff_ffff
        }
    }

    /// The highest offset in CS that code may have: none is too high in 64-bit code.
    pub fn code_limit(&self) -> u64 {
        match (self.code_size, self.segments[CS].limit) {
            (CodeSize::Bits64, _) | (_, u32::MAX) => u64::MAX,
            (_, limit) => limit.into(),
        }
    }

    /// The instruction pointer `rip` as its register has it: outside 64-bit code it wraps at
    /// 4 GiB.
    pub fn wrapped(&self, rip: u64) -> u64 {
        match self.code_size {
            CodeSize::Bits64 => rip,
            CodeSize::Bits16 | CodeSize::Bits32 => rip & 0xffff_ffff,
        }
    }

    /// # Errors
    /// #UD in real mode, which has no descriptors.
    pub fn protected(&self) -> Result<(), Stop> {
        if self.real_mode() {
            Err(Exception::UD.into())
        } else {
            Ok(())
        }
    }

    /// # Errors
    /// #GP(0) outside ring 0.
    pub fn ring0(&self) -> Result<(), Stop> {
        if self.cpl == 0 {
            Ok(())
        } else {
            Err(Exception::GP.into())
        }
    }

    /// # Errors
    /// #GP(0) in ring 3 when CR4.UMIP hides the instruction from it.
    pub fn umip(&self) -> Result<(), Stop> {
        if self.cpl == 3 && self.cr4 & bits::CR4_UMIP != 0 {
            Err(Exception::GP.into())
        } else {
            Ok(())
        }
    }

    /// Whether IOPL lets this ring use ports and change RFLAGS.IF.
    pub fn io_privileged(&self) -> bool {
        let iopl = (self.system_flags & rflags::IOPL) >> rflags::IOPL_SHIFT;
        u64::from(self.cpl) <= iopl
    }
}

/// The canonical address that shares the low 48 bits of `la`.
pub fn to_canonical(la: u64) -> u64 {
    ((la << 16) as i64 >> 16) as u64
}

/// Whether bits 63 to 47 of `la` are equal; 32-bit addresses always pass.
pub fn canonical(la: u64) -> bool {
    to_canonical(la) == la
}
