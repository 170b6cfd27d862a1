//! The CPUs: what belongs to each, which of them has the kernel, and what one asks of another.
//!
//! One CPU at a time is in the kernel: it holds a lock, which is taken as ring 3 is left or an
//! idle wait ends, and released as either begins. It is fair: who comes first has it first. All
//! code outside of this crate runs between the two, so that it never knows; here only the
//! entries (`trap.S`), the waits for the lock and the start of a CPU run without it, and touch
//! nothing but what is their CPU's, atomic, or set at boot. Rejected: a register for the CPU at
//! hand (gs), whose exchange at each entry software-backed KVM cannot execute: the holder of
//! the lock is known without. Finer locks, which pay off where paths through the kernel are
//! long: the first would be for the copies of files and pipes.
//!
//! A CPU whose tables have lost an entry flushes before anybody uses the frame again: the holder
//! of the lock asks those that use the tables, and waits. They are in ring 3, and an interrupt
//! brings them to the lock; or on their way to it. There they flush while they wait: so nobody
//! waits for a CPU that waits for him. One that has just released the lock takes the interrupt in
//! ring 3, as interrupts are off until then; one that is idle uses the kernel's tables alone.
//! Pages of kernel stacks, which all CPUs share, are only used by who has the lock, or on behalf
//! of a thread that a holder has switched to: there it is enough to flush with the lock.

use core::cell::{Cell, UnsafeCell};
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering::Relaxed};

use abi::ports::YIELD;
use abi::shared::CpuCounters;

use crate::at_boot::AtBoot;
use crate::context::Context;
use crate::descriptors::TaskState;
use crate::kernel_lock::{ALL, KernelLock, Requests, USER};
use crate::shared::{self, PAGE};
use crate::trap::vector;
use crate::{clock, copies, cpu, local_apic, paging, port, trap};

/// Most CPUs.
pub const MOST: usize = abi::shared::MOST_CPUS;

/// A CPU.
#[repr(C, align(64))]
pub(crate) struct Cpu {
    number: Cell<usize>,
    /// The CPU reads it at traps, and its owner writes it.
    task_state: UnsafeCell<TaskState>,
    /// The context of the thread whose stack is in use.
    pub context: Cell<&'static Context>,
    /// Physical address of the top table in use: reading CR3 traps on software-backed KVM.
    pub root: Cell<u64>,
    /// What others want flushed.
    requests: Requests,
}

// SAFETY: what is not atomic is for the holder of the lock, and for the CPU itself while no
// holder can touch it: as it starts, and at its traps.
unsafe impl Sync for Cpu {}

impl Cpu {
    const fn new(task_state: TaskState) -> Self {
        Self {
            number: Cell::new(0),
            task_state: UnsafeCell::new(task_state),
            context: Cell::new(&IDLE.0[0]),
            root: Cell::new(0),
            requests: Requests {
                wanted: AtomicU32::new(0),
                is_waiting: AtomicBool::new(false),
            },
        }
    }

    /// Its number, and that of its local APIC.
    pub fn number(&self) -> usize {
        self.number.get()
    }

    /// Where its task-state segment is.
    pub fn task_state(&self) -> *mut TaskState {
        self.task_state.get()
    }

    /// Its own context, in which it waits for threads.
    fn idle(&self) -> &'static Context {
        &IDLE.0[self.number()]
    }

    /// What it counts for the VMM, where there are several.
    fn counters(&self) -> &'static CpuCounters {
        &PAGE.cpus[self.number()]
    }

    /// Flushes what others have asked for.
    fn flush(&self, wanted: u32) {
        match wanted & ALL {
            0 => paging::flush_user(self.root.get()),
            _ => cpu::flush_tlb(),
        }
    }
}

/// Where each CPU waits for threads: the first on the boot stack.
struct Idle([Context; MOST]);

// SAFETY: a context is for its CPU with the lock, or as that one starts.
unsafe impl Sync for Idle {}

static IDLE: Idle = Idle([const { Context::unused() }; MOST]);

static CPUS: [Cpu; MOST] = {
    let mut cpus = [const { Cpu::new(TaskState::EMPTY) }; MOST];
    cpus[0] = Cpu::new(TaskState::OF_BOOT);
    cpus
};

/// How many are running.
static COUNT: AtomicU32 = AtomicU32::new(1);
/// Whether there is anybody to share the kernel with. Not atomic, so that the compiler sees what
/// two looks have in common: who writes it is alone.
static ARE_SEVERAL: AtBoot<bool> = AtBoot::new(false);

/// Looks at what another CPU does before the host is asked to run others.
const PATIENCE: u32 = 20;

/// The lock.
static LOCK: KernelLock = KernelLock {
    next: AtomicU32::new(0),
    turn: AtomicU32::new(0),
};
/// The CPU that holds it.
static HOLDER: AtomicPtr<Cpu> = AtomicPtr::new((&raw const CPUS).cast::<Cpu>().cast_mut());

/// This CPU.
#[inline(always)]
pub(crate) fn current() -> &'static Cpu {
    // SAFETY: only references to elements of `CPUS` are stored there.
    unsafe { &*HOLDER.load(Relaxed) }
}

/// The number of this CPU.
pub fn number() -> usize {
    current().number()
}

/// How many CPUs there are; their numbers are below that.
pub fn count() -> usize {
    COUNT.load(Relaxed) as usize
}

/// Whether there are more than one.
#[inline(always)]
pub fn are_several() -> bool {
    ARE_SEVERAL.get()
}

/// The context in which this CPU waits for threads, on a stack of its own.
pub fn idle() -> &'static Context {
    current().idle()
}

/// Makes CPU `number` enter the kernel.
pub fn interrupt(number: usize) {
    shared::count(&current().counters().wakes);
    send_interrupt(number);
}

fn send_interrupt(number: usize) {
    local_apic::send_interrupt(number as u32, vector::WAKE);
}

/// Lets other CPUs into the kernel.
#[inline(always)]
pub(crate) fn release() {
    if are_several() {
        LOCK.release();
    }
}

/// Lets other CPUs into the kernel, as `cpu`, which is this one, has nothing to do.
#[inline(always)]
pub(crate) fn begin_idle(cpu: &Cpu) {
    if are_several() {
        cpu.counters().idle_since.store(clock::counter(), Relaxed);
        LOCK.release();
    }
}

/// An interrupt has come to `cpu`, which is this one and had nothing to do: waits until it may be
/// in the kernel.
#[inline(always)]
pub(crate) fn end_idle(cpu: &'static Cpu) {
    if are_several() {
        wait_after_idle(cpu);
    }
}

#[inline(never)]
fn wait_after_idle(cpu: &'static Cpu) {
    let counters = cpu.counters();
    let since = counters.idle_since.load(Relaxed);
    counters.idle_since.store(0, Relaxed);
    let passed = clock::counter().saturating_sub(since);
    shared::add(&counters.idle, passed);
    wait_for_turn(cpu);
}

/// Waits until `cpu`, which is this one, may be in the kernel.
#[inline(always)]
pub(crate) fn acquire(cpu: &'static Cpu) {
    if are_several() {
        wait_for_turn(cpu);
    }
}

#[inline(never)]
fn wait_for_turn(cpu: &'static Cpu) {
    let wait = |is_over: &dyn Fn() -> bool| {
        let since = clock::counter();
        wait_until(is_over);
        let passed = clock::counter().saturating_sub(since);
        shared::add(&cpu.counters().lock_wait, passed);
    };
    LOCK.acquire(&cpu.requests, |wanted| cpu.flush(wanted), wait);
    HOLDER.store((&raw const *cpu).cast_mut(), Relaxed);
}

/// Waits for another CPU, which the host may not run at all while this one is in its place.
fn wait_until(is_done: impl Fn() -> bool) {
    let mut looks = 0;
    while !is_done() {
        looks = (looks + 1) % PATIENCE;
        match looks == 0 && copies::are_slow() {
            // SAFETY: a VMM that makes copies has this port too, and does nothing with memory.
            true => unsafe { port::write_u32(YIELD, 0) },
            false => spin_loop(),
        }
    }
}

/// All CPUs that run, but this one.
fn others() -> impl Iterator<Item = &'static Cpu> {
    let own = number();
    let all = CPUS.iter().take(count());
    all.filter(move |cpu| cpu.number() != own)
}

/// Whether another CPU uses the tables at `root`.
#[inline(always)]
pub(crate) fn is_elsewhere(root: u64) -> bool {
    are_several() && others().any(|cpu| cpu.root.get() == root)
}

/// Has the other CPUs that use the tables at `root` flush what they know of the user half, and
/// waits until they have.
#[inline(always)]
pub(crate) fn flush_elsewhere(root: u64) {
    if are_several() {
        flush_others(|cpu| cpu.root.get() == root);
    }
}

#[inline(never)]
fn flush_others(is_meant: impl Fn(&Cpu) -> bool) {
    let meant = || others().filter(|cpu| is_meant(cpu));
    let counters = current().counters();
    let mut is_shootdown = false;
    for cpu in meant() {
        is_shootdown = true;
        if cpu.requests.add(USER) {
            shared::count(&counters.flushes);
            send_interrupt(cpu.number());
        }
    }
    if is_shootdown {
        shared::count(&counters.shootdowns);
    }
    for cpu in meant() {
        wait_until(|| cpu.requests.are_served(USER));
    }
}

/// Has each other CPU flush all of its TLB before it is in the kernel again.
pub(crate) fn flush_kernel_elsewhere() {
    if are_several() {
        others().for_each(|cpu| {
            cpu.requests.add(ALL);
        });
    }
}

/// Has each other CPU that runs a program execute a serializing instruction, and waits until it
/// has.
pub fn synchronize() {
    if are_several() {
        flush_others(|cpu| cpu.root.get() != paging::kernel_tables());
    }
}

/// The next CPU that may be started, with this number and its state so.
pub(crate) fn prepare(task_state: TaskState) -> &'static Cpu {
    let number = count();
    let cpu = &CPUS[number];
    cpu.number.set(number);
    // SAFETY: the CPU does not run yet, and nobody else uses its state.
    unsafe { cpu.task_state().write(task_state) };
    cpu.context.set(cpu.idle());
    cpu
}

/// Waits until `cpu`, which is this one and has just started, may be in the kernel. That the first
/// CPU boots until then is no wait for others in the kernel.
pub(crate) fn join(cpu: &'static Cpu) {
    acquire(cpu);
    cpu.counters().lock_wait.store(0, Relaxed);
}

/// The one that was prepared runs, and waits for the lock or will.
pub(crate) fn add() {
    COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
    if !are_several() {
        LOCK.begin();
        // SAFETY: the first CPU waits for this one, and there is no other yet.
        unsafe { ARE_SEVERAL.set(true) };
        trap::share_kernel();
    }
}
