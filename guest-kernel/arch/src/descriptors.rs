//! Segments: the GDT and the TSS (Intel SDM vol. 3A 3.4.5, 9.7; AMD APM vol. 2 4.8).
//!
//! The order of the descriptors is the one that `syscall` and `sysret` require: kernel code
//! then kernel data; a gap (32-bit programs, of which there are none), user data, user
//! code.

use core::arch::asm;
use core::mem::size_of;
use core::ptr;

use abi::virtual_map::PAGE_SIZE;
use x86::{DescriptorFlags, segment};

use crate::kernel_stack::STACK_PAGES;
use crate::processors::{Cpu, MOST};

/// Selectors; the user ones with RPL 3.
pub const KERNEL_CODE: u16 = 0x08;
pub const KERNEL_DATA: u16 = 0x10;
pub const USER_DATA: u16 = 0x23;
pub const USER_CODE: u16 = 0x2b;
/// That of the first CPU; others follow.
const TASK_STATE: u16 = 0x30;
/// Entries of a TSS.
const TASK_STATE_LEN: usize = 2;

/// IA32_STAR: `syscall` loads cs from bits 32 to 47 and ss from 8 above; `sysretq` loads
/// cs from 16 above bits 48 to 63 and ss from 8 above (both with RPL 3).
pub const STAR: u64 = (KERNEL_CODE as u64) << 32 | (USER_DATA as u64 - 8) << 48;

const _: () = assert!(KERNEL_DATA == KERNEL_CODE + 8 && USER_CODE == USER_DATA + 8);

/// One 8-byte entry of the GDT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Descriptor(u64);

impl Descriptor {
    const DPL_SHIFT: u32 = 45;
    const AVAILABLE_TSS: u64 = (segment::TYPE_TSS as u64) << 40;

    const NULL: Self = Self(0);

    /// Accessed is set, so that loading the segment never writes to the GDT.
    const fn segment(kind: DescriptorFlags, privilege: u64) -> Self {
        let flags = DescriptorFlags::ACCESSED
            .union(DescriptorFlags::WRITABLE)
            .union(DescriptorFlags::USER_SEGMENT)
            .union(DescriptorFlags::PRESENT)
            .union(kind);
        Self(flags.bits() | privilege << Self::DPL_SHIFT)
    }

    const fn code(privilege: u64) -> Self {
        Self::segment(
            DescriptorFlags::EXECUTABLE.union(DescriptorFlags::LONG_MODE),
            privilege,
        )
    }

    const fn data(privilege: u64) -> Self {
        Self::segment(DescriptorFlags::empty(), privilege)
    }

    /// The two entries of a TSS at `base`.
    const fn task_state(base: u64) -> [Self; 2] {
        let limit = size_of::<TaskState>() as u64 - 1;
        let low = limit
            | (base & 0xff_ffff) << 16
            | (base >> 24 & 0xff) << 56
            | Self::AVAILABLE_TSS
            | DescriptorFlags::PRESENT.bits();
        [Self(low), Self(base >> 32)]
    }
}

pub const GDT_LEN: usize = TASK_STATE as usize / 8 + TASK_STATE_LEN * MOST;

/// The GDT of all CPUs; writable, since `ltr` marks the TSS busy. It ends with the TSS of each,
/// whose address no constant can spell in pieces: see `load`.
pub static mut GDT: [Descriptor; GDT_LEN] = {
    let mut entries = [Descriptor::NULL; GDT_LEN];
    entries[KERNEL_CODE as usize / 8] = Descriptor::code(0);
    entries[KERNEL_DATA as usize / 8] = Descriptor::data(0);
    entries[USER_DATA as usize / 8] = Descriptor::data(3);
    entries[USER_CODE as usize / 8] = Descriptor::code(3);
    entries
};

/// The 64-bit task-state segment: which stacks traps use.
#[repr(C, packed(4))]
pub struct TaskState {
    reserved_0: u32,
    /// Stack of traps from ring 3.
    rsp0: *mut u8,
    rsp1: u64,
    rsp2: u64,
    reserved_1: u64,
    /// Stacks of gates that name one, 1 to 7.
    ist: [*mut u8; 7],
    reserved_2: u64,
    reserved_3: u16,
    /// Offset of the I/O permission map; past the limit, so that there is none.
    io_map_base: u16,
}

const _: () = assert!(size_of::<TaskState>() == 104);
const _: () = assert!(core::mem::offset_of!(TaskState, rsp0) == 4);

/// Bytes of each stack in [`TaskState::ist`].
const EMERGENCY_STACK_SIZE: usize = 4096;

#[repr(C, align(16))]
struct EmergencyStack([u8; EMERGENCY_STACK_SIZE]);

impl EmergencyStack {
    const EMPTY: Self = Self([0; EMERGENCY_STACK_SIZE]);
}

/// One for each vector that must not rely on rsp, so that one may interrupt another.
static mut DOUBLE_FAULT_STACK: EmergencyStack = EmergencyStack::EMPTY;
static mut NMI_STACK: EmergencyStack = EmergencyStack::EMPTY;
static mut MACHINE_CHECK_STACK: EmergencyStack = EmergencyStack::EMPTY;

/// Numbers of the stacks above in [`TaskState::ist`], counted from 1 as gates do.
pub const IST_DOUBLE_FAULT: u8 = 1;
pub const IST_NMI: u8 = 2;
pub const IST_MACHINE_CHECK: u8 = 3;

impl TaskState {
    /// Without stacks.
    pub const EMPTY: Self = Self {
        reserved_0: 0,
        rsp0: ptr::null_mut(),
        rsp1: 0,
        rsp2: 0,
        reserved_1: 0,
        ist: [ptr::null_mut(); 7],
        reserved_2: 0,
        reserved_3: 0,
        io_map_base: size_of::<TaskState>() as u16,
    };

    /// That of the first CPU.
    pub const OF_BOOT: Self = Self::with_stacks([
        stack_end(&raw mut DOUBLE_FAULT_STACK),
        stack_end(&raw mut NMI_STACK),
        stack_end(&raw mut MACHINE_CHECK_STACK),
    ]);

    const fn with_stacks([double_fault, nmi, machine_check]: [*mut u8; 3]) -> Self {
        let mut ist = Self::EMPTY.ist;
        ist[IST_DOUBLE_FAULT as usize - 1] = double_fault;
        ist[IST_NMI as usize - 1] = nmi;
        ist[IST_MACHINE_CHECK as usize - 1] = machine_check;
        Self { ist, ..Self::EMPTY }
    }

    /// That of a CPU whose stacks for emergencies share the one that ends at `top`.
    pub fn with_stacks_below(top: *mut u8) -> Self {
        const { assert!(STACK_PAGES * PAGE_SIZE as usize >= 3 * EMERGENCY_STACK_SIZE) };
        Self::with_stacks([0, 1, 2].map(|below| top.wrapping_sub(below * EMERGENCY_STACK_SIZE)))
    }
}

const fn stack_end(stack: *mut EmergencyStack) -> *mut u8 {
    stack.wrapping_add(1).cast()
}

/// GDTR and IDTR as `lgdt` and `lidt` read them.
#[repr(C, packed)]
pub struct TableRegister {
    pub limit: u16,
    pub base: u64,
}

/// Completes the GDT for `cpu`, which is this one, loads it from the kernel's window (the boot
/// code used its physical address) and loads the TSS. The segment registers keep what the boot
/// code put there.
pub fn load(cpu: &Cpu) {
    let [low, high] = Descriptor::task_state(cpu.task_state() as u64);
    let register = TableRegister {
        limit: (size_of::<[Descriptor; GDT_LEN]>() - 1) as u16,
        base: (&raw const GDT) as u64,
    };
    let selector = TASK_STATE + (cpu.number() * TASK_STATE_LEN * 8) as u16;
    // SAFETY: nobody else refers to these entries of the GDT; afterwards it describes the
    // segments in use as before, and a TSS that lives as long as the kernel.
    unsafe {
        let entries = (&raw mut GDT).cast::<Descriptor>();
        let index = usize::from(selector / 8);
        entries.add(index).write(low);
        entries.add(index + 1).write(high);
        asm!("lgdt [{}]", in(reg) &raw const register, options(nostack, preserves_flags));
        asm!("ltr {:x}", in(reg) selector, options(nostack, preserves_flags));
    }
}

/// What the entry of `syscall` of a CPU uses: see `trap.S`. Each has a cache line of its own.
#[repr(C, align(64))]
pub struct SyscallArea {
    /// rsp of the program between `syscall` and its saving.
    user_rsp: u64,
    /// As in the TSS.
    rsp0: *mut u8,
}

/// Makes traps from ring 3 push their frame below `top`, on `cpu`, which is this one.
#[inline]
pub fn set_trap_stack(cpu: &Cpu, top: *mut u8) {
    // SAFETY: plain stores; the CPU reads the fields only as it leaves ring 3, and no other
    // writes them.
    unsafe {
        (&raw mut (*cpu.task_state()).rsp0).write_unaligned(top);
        let areas = (&raw mut syscall_areas).cast::<SyscallArea>();
        (&raw mut (*areas.add(cpu.number())).rsp0).write(top);
    }
}

#[cfg(feature = "image")]
unsafe extern "C" {
    static mut syscall_areas: [SyscallArea; MOST];
}

/// Tests have no `trap.S`.
#[cfg(not(feature = "image"))]
#[allow(non_upper_case_globals)]
static mut syscall_areas: [SyscallArea; MOST] = [const {
    SyscallArea {
        user_rsp: 0,
        rsp0: ptr::null_mut(),
    }
}; MOST];

#[cfg(test)]
mod tests {
    use super::Descriptor;

    #[test]
    fn segments_are_what_the_manual_says() {
        // AMD APM vol. 2 4.8: base and limit of code and data do not matter in long mode.
        assert_eq!(Descriptor::code(0).0, 0x0020_9b00_0000_0000);
        assert_eq!(Descriptor::data(0).0, 0x0000_9300_0000_0000);
        assert_eq!(Descriptor::code(3).0, 0x0020_fb00_0000_0000);
        assert_eq!(Descriptor::data(3).0, 0x0000_f300_0000_0000);
    }

    #[test]
    fn a_tss_descriptor_spreads_its_base() {
        let [low, high] = Descriptor::task_state(0x1234_5678_9abc_def0);
        assert_eq!(low.0, 0x9a00_89bc_def0_0067);
        assert_eq!(high.0, 0x1234_5678);
    }
}
