//! From the boot loader to the kernel's `start`, which is above this crate: the image
//! defines it by [`entry`](crate::entry).

use crate::at_boot::AtBoot;
use crate::processors::{self, Cpu};
use crate::pvh::BootInfo;
use crate::{clock, copies, cpu, descriptors, extended_state, idt};
use crate::{local_apic, paging, trap, user_copy};

const BOOT_STACK_SIZE: usize = 16 * 1024;

/// The first page is a guard: it is not mapped once the image is protected.
#[repr(C, align(4096))]
struct BootStack([u8; GUARD_SIZE + BOOT_STACK_SIZE]);

const GUARD_SIZE: usize = abi::virtual_map::PAGE_SIZE as usize;

/// The boot stack, in use until the first thread runs.
static mut BOOT_STACK: BootStack = BootStack([0; GUARD_SIZE + BOOT_STACK_SIZE]);

/// Address of the page below the boot stack that nothing must touch.
pub(crate) fn stack_guard() -> u64 {
    (&raw const BOOT_STACK) as u64
}

/// Called by `boot.S` once, with the physical address of the start info.
extern "C" fn kernel_main(start_info: u64) -> ! {
    descriptors::load(processors::current());
    idt::load();
    // SAFETY: boot.S passes on ebx as the boot loader left it.
    let info = unsafe { BootInfo::read(start_info) };
    // SAFETY: `entry` defines it, with this signature and in safe code.
    unsafe { kernel_start(&info) }
}

unsafe extern "Rust" {
    fn kernel_start(info: &BootInfo) -> !;
}

/// Makes a `fn(&BootInfo) -> !` the entry that the boot code calls, once, on the boot
/// stack, with only the descriptors loaded.
#[macro_export]
macro_rules! entry {
    ($start:path) => {
        #[unsafe(no_mangle)]
        fn kernel_start(info: &$crate::pvh::BootInfo) -> ! {
            $start(info)
        }
    };
}

/// What the VMM says about the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuOptions {
    /// Whether `sysretq` works here.
    pub sysret: bool,
    /// Whether SMAP may be used, if the CPU has it.
    pub smap: bool,
    /// Whether ring 3 can change more of the CPU than the kernel saves by itself.
    pub extended_state: bool,
    /// Whether the VMM copies memory faster than this CPU.
    pub copies: bool,
}

/// Sets up the CPU as `options` want it: the rest of what ring 3 needs.
pub fn enable_cpu(options: CpuOptions) {
    let mut features = cpu::Features::detect();
    features.smap &= options.smap;
    let set_up = SetUp {
        features,
        options,
        bus_khz: 0,
    };
    set_up.enable(processors::current());
    paging::forget_identity_map();
    if options.copies {
        copies::enable();
    }
    let bus_khz = clock::start(features);
    local_apic::start(features, bus_khz);
    // SAFETY: the first CPU boots, and there is no other one yet.
    unsafe { SET_UP.set(Some(SetUp { bus_khz, ..set_up })) };
}

/// How the CPUs are set up.
#[derive(Clone, Copy)]
struct SetUp {
    features: cpu::Features,
    options: CpuOptions,
    bus_khz: u64,
}

/// How the first CPU was.
static SET_UP: AtBoot<Option<SetUp>> = AtBoot::new(None);

impl SetUp {
    /// Sets up all that needs no clock of `cpu`, which is this one.
    fn enable(self, cpu: &Cpu) {
        let Self {
            features, options, ..
        } = self;
        cpu::enable_in_cr4(features);
        if features.smap {
            user_copy::use_smap();
        }
        if features.xsave {
            extended_state::enable(options.extended_state);
        }
        trap::enable_syscall(cpu, options.sysret);
    }
}

/// Sets up `cpu`, which is this one, as the first one was, which waits.
pub(crate) fn enable_other(cpu: &Cpu) {
    let set_up = SET_UP.get().expect("the first CPU is set up");
    set_up.enable(cpu);
    local_apic::start(set_up.features, set_up.bus_khz);
}

#[cfg(feature = "image")]
core::arch::global_asm!(
    include_str!("boot.S"),
    KERNEL_BASE = const abi::virtual_map::KERNEL_BASE,
    BOOT_MAPPED = const paging::BOOT_MAPPED,
    IMAGE_TABLES = const paging::IMAGE_TABLES,
    STACK_TABLES = const paging::STACK_TABLES,
    TABLE = const paging::KERNEL_TABLE.bits(),
    LARGE = const paging::KERNEL_LARGE.bits(),
    UNCACHED = const paging::KERNEL_LARGE.union(paging::UNCACHED).bits(),
    NO_EXECUTE = const paging::Flags::NO_EXECUTE.bits(),
    IMAGE_DATA = const paging::IMAGE_DATA.bits(),
    IMAGE_RODATA = const paging::IMAGE_RODATA.bits(),
    IMAGE_TEXT = const paging::IMAGE_TEXT.bits(),
    KERNEL_LOAD = const abi::virtual_map::KERNEL_LOAD,
    DEVICES = const paging::DEVICES.start,
    NOTE_SHARED_PAGE = const abi::shared::NOTE_SHARED_PAGE,
    NOTE_TRACE_RING = const abi::trace::NOTE_TRACE_RING,
    CR0 = const cpu::initial_cr0().bits(),
    CR4 = const cpu::initial_cr4().bits(),
    EFER = const cpu::initial_efer().bits(),
    MSR_EFER = const x86::msr::EFER,
    KERNEL_CODE = const descriptors::KERNEL_CODE,
    KERNEL_DATA = const descriptors::KERNEL_DATA,
    GDT_SIZE = const descriptors::GDT_LEN * 8,
    BOOT_STACK_SIZE = const size_of::<BootStack>(),
    shared_page = sym crate::shared::PAGE,
    trace_ring = sym crate::trace::RING,
    boot_stack = sym BOOT_STACK,
    gdt = sym descriptors::GDT,
    kernel_main = sym kernel_main,
);
