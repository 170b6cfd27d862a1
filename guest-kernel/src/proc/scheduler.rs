//! Who runs, and until when.
//!
//! A thread keeps the CPU until it blocks or yields, until a tick finds that its turn is
//! over, or until an interrupt wakes an urgent thread: see `run_queue`. No cost here
//! depends on the number of threads, but of those that may not run on the CPU at hand.
//!
//! All CPUs take threads from one queue, which so needs no balancing: whoever becomes free takes
//! the next that may run there. A thread that becomes runnable rouses a CPU that waits, if there
//! is one.
//!
//! On a machine with one CPU, a thread that finds no other to switch to waits for an interrupt in
//! place, on its own stack. Rejected: an idle thread, which costs two more switches for each
//! wait. Several CPUs have each a context for it: another one may run the thread meanwhile.

use core::cell::Cell;
use core::ptr;

use abi::trace::wanted;
use arch::context::Context;
use arch::trap::{vector, wait_for_interrupt};
use arch::{clock, local_apic, paging, processors};
use arch::{shared, trace};
use devices::io_apic;
use mm::kernel_stacks;
use single_cpu::SingleCpu;

use crate::proc::extended_state;
use crate::proc::process::Process;
use crate::proc::run_queue::{self, RunQueue};
use crate::proc::table::{self, boot_thread};
use crate::proc::thread::{State, Thread};
use crate::proc::tick;
use crate::proc::timer_queue::TimerQueue;
use crate::proc::wait_queue::Deadline;
use crate::proc::{alarm, cpu_alarm, cpu_time, event_timer, posix_timer};

static RUN_QUEUE: SingleCpu<RunQueue> = SingleCpu::new(RunQueue::new());
static TIMERS: SingleCpu<TimerQueue<Thread>> = SingleCpu::new(TimerQueue::new());

/// CPUs, a bit for each.
pub type CpuMask = u32;

/// CPUs that wait for threads, and that nobody has roused.
static IDLE: SingleCpu<Cell<CpuMask>> = SingleCpu::new(Cell::new(0));

/// Whether an interrupt is being served.
static INTERRUPT: SingleCpu<Cell<bool>> = SingleCpu::new(Cell::new(false));

/// The thread that has the CPU, and its process, which nearly every system call asks for. They are
/// those of the CPU that is in the kernel: each says so as it comes in. A CPU without a thread has
/// the thread that boots the kernel.
static CURRENT: SingleCpu<Cell<&'static Thread>> = SingleCpu::new(Cell::new(boot_thread()));
static PROCESS: SingleCpu<Cell<&'static Process>> = SingleCpu::new(Cell::new(table::no_process()));
/// That CPU, likewise.
static OWN: SingleCpu<Cell<CpuMask>> = SingleCpu::new(Cell::new(1));

/// How long a turn is for threads of equal weight, in nanoseconds.
pub fn turn_ns() -> u64 {
    clock::ns(tick::period())
}

/// The thread that runs, or whose system call or fault is being served.
pub fn current_thread() -> &'static Thread {
    CURRENT.get()
}

/// The process whose program runs, or whose system call or fault is being served.
pub fn current() -> &'static Process {
    PROCESS.get()
}

/// The program of `thread` has come back, on this CPU.
#[inline(always)]
pub fn leave_ring_3(thread: &'static Thread, process: &'static Process) {
    if processors::are_several() {
        come_in(thread, process);
    }
    cpu_time::leave_ring_3(thread);
}

/// This CPU is in the kernel from now on, where another one may have been.
fn come_in(thread: &'static Thread, process: &'static Process) {
    CURRENT.set(thread);
    PROCESS.set(process);
    OWN.set(1 << processors::number());
}

/// Starts the tick, and the first thread, which is runnable. The boot stack is not used
/// any more, but for idle waits if there are several CPUs.
pub fn start(tick_ns: u64) -> ! {
    tick::start(tick_ns);
    if processors::are_several() {
        run_threads();
    }
    let first = pop().expect("there is a first thread");
    cpu_time::begin_turn(first, clock::counter());
    take_cpu(first);
    kernel_stacks::leave_to(first.context())
}

/// Runs threads on this CPU, one of several, as long as the machine runs.
pub fn run_threads() -> ! {
    come_in(boot_thread(), table::no_process());
    tick::restart(next_deadline());
    let mut first = pop();
    loop {
        let next = first.take().unwrap_or_else(idle);
        cpu_time::begin_turn(next, clock::counter());
        take_cpu(next);
        extended_state::load(next);
        Context::switch_to(next.context());
    }
}

/// Lets a new thread have its turns.
pub fn add(thread: &'static Thread) {
    thread.state.set(State::Runnable);
    RUN_QUEUE.push(thread);
    rouse(thread);
}

/// Makes a blocked thread runnable, and one that runs on another CPU enter the kernel, as what
/// it is to attend to may have changed; others are left as they are.
pub fn wake(thread: &'static Thread) {
    match thread.state() {
        State::Blocked if INTERRUPT.get() => {
            thread.state.set(State::Runnable);
            RUN_QUEUE.push_woken(thread);
            rouse(thread);
        }
        State::Blocked => add(thread),
        State::Running if !ptr::eq(thread, current_thread()) => {
            processors::interrupt(thread.cpu.get());
        }
        State::Running | State::Runnable | State::Unused => {}
    }
}

/// Rouses a CPU that waits for threads and may run this one: this one, if it is one of them.
fn rouse(thread: &Thread) {
    let fit = IDLE.get() & thread.cpus.get();
    if fit == 0 {
        return;
    }
    if fit & OWN.get() != 0 {
        return IDLE.set(IDLE.get() & !OWN.get());
    }
    let number = fit.trailing_zeros();
    IDLE.set(IDLE.get() & !(1 << number));
    processors::interrupt(number as usize);
}

/// All CPUs.
pub fn all_cpus() -> CpuMask {
    CpuMask::MAX >> (CpuMask::BITS as usize - processors::count())
}

/// Lets `thread` run on these CPUs only, at least one of which there is.
pub fn set_cpus(thread: &'static Thread, cpus: CpuMask) {
    thread.cpus.set(cpus);
    match thread.state() {
        State::Running if !ptr::eq(thread, current_thread()) => {
            processors::interrupt(thread.cpu.get());
        }
        State::Running if cpus & OWN.get() == 0 => yield_now(),
        State::Runnable => rouse(thread),
        State::Running | State::Blocked | State::Unused => {}
    }
}

/// Lets all others that can run do so before the current thread goes on.
pub fn yield_now() {
    let thread = current_thread();
    thread.state.set(State::Runnable);
    RUN_QUEUE.push(thread);
    switch_from(thread);
}

/// Blocks the current thread until [`wake`], or until the deadline if that comes first; says whether
/// it came.
pub fn block(deadline: Option<Deadline>) -> bool {
    let thread = current_thread();
    thread.state.set(State::Blocked);
    let Some(deadline) = deadline else {
        switch_from(thread);
        return false;
    };
    thread
        .waits_for_time_of_day
        .set(matches!(deadline, Deadline::Day(_)));
    set_timer(thread, clock::counter_at(deadline.since_boot()));
    switch_from(thread);
    // The counter of this CPU may be behind that of the one that woke the thread for it.
    let deadline = thread.timer.deadline();
    let is_over = deadline.is_none_or(|deadline| clock::counter() >= deadline);
    TIMERS.remove(thread);
    is_over
}

fn set_timer(thread: &'static Thread, deadline: u64) {
    TIMERS.insert(thread, deadline);
    tick::await_no_later_than(deadline);
}

/// The clock has been set forward by so many counts, or back: who waits for a time of day does so
/// for more or less of them.
pub fn clock_was_set(change: i64) {
    for thread in table::processes().flat_map(Process::threads) {
        if !thread.waits_for_time_of_day.get() {
            continue;
        }
        if let Some(deadline) = thread.timer.deadline() {
            TIMERS.remove(thread);
            set_timer(
                thread,
                deadline.saturating_add_signed(change.saturating_neg()),
            );
        }
    }
}

/// Ends the current thread, of which nothing but its slot, its kernel stack and what is on
/// that is left.
pub fn end_current() -> ! {
    let thread = current_thread();
    // So that no interrupt in the meantime finds it runnable.
    thread.state.set(State::Blocked);
    let next = next();
    thread.state.set(State::Unused);
    table::release(thread.tid());
    shared::count(&shared::PAGE.context_switches);
    thread.extended_state.take();
    if ptr::eq(next, boot_thread()) {
        kernel_stacks::leave_to(without_thread());
    }
    take_cpu(next);
    extended_state::load(next);
    kernel_stacks::leave_to(next.context())
}

/// Gives the CPU to the next thread, and returns when `thread`, which is the current one,
/// has it again.
fn switch_from(thread: &'static Thread) {
    let next = next();
    if ptr::eq(next, thread) {
        thread.state.set(State::Running);
        return;
    }
    if thread.state() == State::Runnable {
        // Another CPU may go on with it.
        rouse(thread);
    }
    shared::count(&shared::PAGE.context_switches);
    extended_state::switch(thread, next);
    if ptr::eq(next, boot_thread()) {
        Context::switch_to(without_thread());
    } else {
        take_cpu(next);
        Context::switch_to(next.context());
    }
    if processors::are_several() {
        thread.note_cpu();
    }
}

/// The context of this CPU for when it has no thread.
#[cold]
fn without_thread() -> &'static Context {
    CURRENT.set(boot_thread());
    PROCESS.set(table::no_process());
    // Nobody is to wait for a CPU that is idle to flush what it knows of a program's tables.
    paging::activate_kernel_tables();
    processors::idle()
}

/// The thread whose turn it is after the current one's, as soon as there is one; on one of several
/// CPUs, the one that boots the kernel if there is none.
fn next() -> &'static Thread {
    let now = end_turn();
    match pop() {
        Some(thread) => {
            cpu_time::begin_turn(thread, now);
            thread
        }
        None if processors::are_several() => boot_thread(),
        None => {
            let thread = idle();
            cpu_time::begin_turn(thread, clock::counter());
            thread
        }
    }
}

/// Charges the current turn to its thread's credit, which decides the next turn. Returns the
/// counter.
fn end_turn() -> u64 {
    let thread = current_thread();
    let (used, now) = cpu_time::end_turn(thread);
    run_queue::charge(thread, used, tick::period());
    now
}

fn pop() -> Option<&'static Thread> {
    let thread = RUN_QUEUE.pop(tick::period(), OWN.get());
    if trace::wants(wanted::SCHED) {
        super::trace::turn(thread);
    }
    thread
}

/// Waits for interrupts until one makes a thread runnable. An idle machine takes no ticks. Out
/// of line, so that a switch to another thread need not save what this uses.
#[inline(never)]
fn idle() -> &'static Thread {
    let (thread, process, own) = (current_thread(), current(), OWN.get());
    let next = loop {
        tick::await_only(next_deadline());
        IDLE.set(IDLE.get() | own);
        let number = wait_for_interrupt();
        come_in(thread, process);
        serve(number);
        IDLE.set(IDLE.get() & !own);
        if let Some(thread) = pop() {
            break thread;
        }
    };
    tick::restart(next_deadline());
    next
}

/// Makes `next` the current thread, but for the switch of stacks.
#[inline(always)]
fn take_cpu(next: &'static Thread) {
    next.state.set(State::Running);
    next.cpu.set(processors::number());
    CURRENT.set(next);
    let process = next.process();
    if !ptr::eq(PROCESS.replace(process), process) {
        process.activate_space();
    }
}

/// Serves an interrupt that came while a program ran.
pub fn interrupt(number: u8) {
    serve(number);
    let thread = current_thread();
    let mut is_over = thread.cpus.get() & OWN.get() == 0;
    if number == vector::TIMER {
        let now = clock::counter();
        let is_tick = tick::take(now);
        tick::await_next(next_deadline());
        if is_tick {
            cpu_alarm::ring(thread.process());
            posix_timer::ring_of_cpu_time(thread.process());
        }
        is_over |=
            is_tick && run_queue::has_had_turn(thread, cpu_time::turn(thread, now), tick::period());
    }
    if is_over {
        yield_now();
        return thread.note_preemption();
    }
    if RUN_QUEUE.is_urgent(OWN.get()) {
        thread.state.set(State::Runnable);
        RUN_QUEUE.push_preempted(thread);
        switch_from(thread);
        thread.note_preemption();
    }
}

/// Does what an interrupt asks for, whatever it interrupted.
fn serve(number: u8) {
    if number == vector::SPURIOUS {
        return;
    }
    INTERRUPT.set(true);
    match number {
        vector::TIMER => {
            tick::note_interrupt();
            let now = clock::counter();
            wake_sleepers(now);
            alarm::ring(now);
            event_timer::ring(now);
            posix_timer::ring(now);
        }
        number => io_apic::serve(number),
    }
    INTERRUPT.set(false);
    local_apic::end_of_interrupt();
}

/// When the first thread wants to wake, or the first alarm or timer is due.
fn next_deadline() -> Option<u64> {
    let first = [
        TIMERS.deadline(),
        alarm::deadline(),
        event_timer::deadline(),
        posix_timer::deadline(),
    ];
    first.into_iter().flatten().min()
}

/// Makes the threads runnable that wanted to sleep until `now` or earlier.
fn wake_sleepers(now: u64) {
    while let Some(thread) = TIMERS.pop_due(now) {
        wake(thread);
    }
}
