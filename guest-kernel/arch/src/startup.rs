//! The start of all CPUs but the first, which starts them one after the other: by an INIT and a
//! start-up interrupt, through real mode (Intel SDM vol. 3A 9.4.4).

use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use abi::virtual_map::PAGE_SIZE;

use crate::at_boot::AtBoot;
use crate::descriptors::{self, TaskState};
use crate::handshake::Handshake;
use crate::kernel_stack::KernelStack;
use crate::processors::{self, Cpu};
use crate::{boot, clock, idt, local_apic, paging};

/// The page of the first MiB that the code is copied to, and what is there is put back: the boot
/// loader may have left something.
const PAGE: u8 = 8;
/// Bytes that the code may have.
const ROOM: usize = 256;

/// How long a CPU may take to start before it is told once more, and then given up.
const PATIENCE_NS: u64 = 100_000_000;

/// The CPU that starts, and where its stack ends.
static STARTING: Handshake<Cpu> = Handshake {
    offer: AtomicPtr::new(ptr::null_mut()),
    is_up: AtomicBool::new(false),
};
static STACK: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
/// What it is to do.
static MAIN: AtBoot<Option<Main>> = AtBoot::new(None);

/// What a CPU does for good.
type Main = fn() -> !;

/// The stacks of a CPU.
pub struct Stacks {
    /// On which it waits for threads.
    pub idle: KernelStack,
    /// Which vectors use that must not rely on rsp.
    pub emergencies: KernelStack,
}

/// Starts the CPUs with numbers below `count` that do not run yet. Each calls `main` as soon as
/// this one has left the kernel. Returns how many CPUs run then: fewer, if `stacks` has no more, or
/// one does not start.
pub fn start_others(count: usize, main: Main, mut stacks: impl FnMut() -> Option<Stacks>) -> usize {
    // SAFETY: only this CPU runs yet.
    unsafe { MAIN.set(Some(main)) };
    let page = (paging::DIRECT_MAP + u64::from(PAGE) * PAGE_SIZE) as *mut [u8; ROOM];
    let (begin, end) = (&raw const startup_begin, &raw const startup_end);
    let len = end.addr() - begin.addr();
    assert!(len <= ROOM, "the start-up code has {len} bytes");
    // SAFETY: the page is RAM that the kernel does not give away, in the direct map; nothing
    // refers to it while this function runs.
    let before = unsafe { page.read() };
    // SAFETY: as above, and the code is `len` bytes of the image.
    unsafe { page.cast::<u8>().copy_from(begin, len) };
    while processors::count() < count.min(processors::MOST) {
        let Some(Stacks { idle, emergencies }) = stacks() else {
            break;
        };
        let cpu = processors::prepare(TaskState::with_stacks_below(emergencies.top()));
        if !start(cpu, idle) {
            break;
        }
    }
    // SAFETY: as above.
    unsafe { page.write(before) };
    processors::count()
}

/// Starts a CPU, on a stack that is its own from now on; whether it has started.
fn start(cpu: &'static Cpu, stack: KernelStack) -> bool {
    let number = cpu.number() as u32;
    STACK.store(stack.top(), Relaxed);
    STARTING.offer((&raw const *cpu).cast_mut());
    local_apic::send_init(number);
    for _ in 0..2 {
        local_apic::send_start(number, PAGE);
        let end = clock::now_ns() + PATIENCE_NS;
        while !STARTING.is_up() && clock::now_ns() < end {
            spin_loop();
        }
        if STARTING.is_up() {
            return true;
        }
    }
    if STARTING.give_up() {
        // It came at the last moment.
        while !STARTING.is_up() {
            spin_loop();
        }
        return true;
    }
    // It may yet come: it must not find another's stack.
    local_apic::send_init(number);
    false
}

/// Where `startup.S` leads, on a stack of the CPU's own. The first CPU waits meanwhile and touches
/// nothing.
extern "C" fn other_main() -> ! {
    // SAFETY: only a reference to a CPU that does not run is stored there, for one to take.
    let Some(cpu) = (unsafe { STARTING.take().as_ref() }) else {
        // The first CPU has given this one up, and is about to reset it.
        loop {
            spin_loop();
        }
    };
    descriptors::load(cpu);
    idt::load();
    paging::flush_user(paging::kernel_tables());
    cpu.root.set(paging::kernel_tables());
    boot::enable_other(cpu);
    processors::add();
    let main = MAIN.get().expect("the first CPU says what to do");
    STARTING.tell_up();
    processors::join(cpu);
    main()
}

#[cfg(feature = "image")]
unsafe extern "C" {
    static startup_begin: u8;
    static startup_end: u8;
}

// Tests have no assembly files.
#[cfg(not(feature = "image"))]
#[allow(non_upper_case_globals)]
static startup_begin: u8 = 0;
#[cfg(not(feature = "image"))]
#[allow(non_upper_case_globals)]
static startup_end: u8 = 0;

#[cfg(feature = "image")]
core::arch::global_asm!(
    include_str!("startup.S"),
    CR0 = const crate::cpu::initial_cr0().bits(),
    CR4 = const crate::cpu::initial_cr4().bits(),
    EFER = const crate::cpu::initial_efer().bits(),
    MSR_EFER = const x86::msr::EFER,
    KERNEL_CODE = const descriptors::KERNEL_CODE,
    KERNEL_DATA = const descriptors::KERNEL_DATA,
    GDT_SIZE = const descriptors::GDT_LEN * 8,
    TABLE = const paging::KERNEL_TABLE.bits(),
    NO_EXECUTE = const paging::Flags::NO_EXECUTE.bits(),
    gdt = sym descriptors::GDT,
    stack = sym STACK,
    other_main = sym other_main,
);
