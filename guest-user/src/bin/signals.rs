//! Signals: handlers, what they are told and keep, blocking, restarts, alarms, stopping (R11, R16).

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use guest_user::memory::{self, PAGE, PROT_NONE, PROT_READ, PROT_WRITE};
use guest_user::process::{self, SIGPIPE, SIGSEGV};
use guest_user::signal::{self, Context, Handler, Info, SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2};
use guest_user::{Arguments, file, println, syscall};

guest_user::entry!(main);

/// How often a handler was called, and what the last one was told.
static CALLS: AtomicU32 = AtomicU32::new(0);
static CODE: AtomicU32 = AtomicU32::new(0);
static PID: AtomicU32 = AtomicU32::new(0);
static STATUS: AtomicU32 = AtomicU32::new(0);
/// The decimal digits of the handlers' signals, in the order in which they ended.
static ORDER: AtomicU32 = AtomicU32::new(0);
/// A pipe that a handler writes to.
static PIPE: AtomicU32 = AtomicU32::new(0);
/// A page that a handler makes writable.
static PAGE_ADDRESS: AtomicU64 = AtomicU64::new(0);

fn main(_: Arguments) -> u8 {
    registers_are_kept();
    blocked_signals_wait();
    handlers_nest();
    calls_restart();
    faults_can_be_handled();
    overflow_on_another_stack();
    alarms_come_again();
    children_are_told_of();
    stopped_children_go_on();
    broken_pipe_ignored();
    0
}

extern "C" fn note(_: u32, info: &Info, _: &mut Context) {
    CALLS.fetch_add(1, Relaxed);
    CODE.store(info.code as u32, Relaxed);
    PID.store(info.pid, Relaxed);
    STATUS.store(info.status as u32, Relaxed);
}

fn handle(signal: u32, handler: Handler, flags: u32) {
    CALLS.store(0, Relaxed);
    signal::handle(signal, handler, flags, 0).expect("it can be handled");
}

fn send_myself(signal: u32) {
    process::kill(process::id(), signal).expect("this process is there");
}

extern "C" fn spoil(signal: u32, info: &Info, context: &mut Context) {
    // SAFETY: registers that the ABI lets any function change.
    unsafe { asm!("xorps xmm0, xmm0", "xorps xmm7, xmm7", out("xmm0") _, out("xmm7") _) };
    note(signal, info, context);
}

fn registers_are_kept() {
    handle(SIGUSR1, spoil, 0);
    let (mut low, mut high) = (1.5_f64, 2.5_f64);
    let [mut rbp_like, mut r12, mut r15] = [3_u64, 4, 5];
    let (mut number, pid) = (u64::from(linux_raw_sys::general::__NR_kill), process::id());
    // SAFETY: the handler comes back with all registers as they were.
    unsafe {
        asm!(
            "syscall",
            inout("rax") number, in("rdi") u64::from(pid), in("rsi") u64::from(SIGUSR1),
            inout("rdx") rbp_like, inout("r12") r12, inout("r15") r15,
            inout("xmm0") low, inout("xmm7") high,
            out("rcx") _, out("r11") _,
        );
    }
    let kept = (number, rbp_like, r12, r15, low, high) == (0, 3, 4, 5, 1.5, 2.5);
    println!(
        "handler called {} time, registers kept: {kept}",
        CALLS.load(Relaxed)
    );
    let from_user = CODE.load(Relaxed) == signal::SI_USER;
    println!("told who: {}", from_user && PID.load(Relaxed) == pid);
}

fn blocked_signals_wait() {
    handle(SIGUSR1, note, 0);
    let set = signal::set_of(SIGUSR1);
    let before = signal::block(set);
    send_myself(SIGUSR1);
    send_myself(SIGUSR1);
    let calls = CALLS.load(Relaxed);
    println!(
        "blocked: {calls} calls, pending {}",
        signal::pending() == Ok(set)
    );
    let waited = signal::suspend(0);
    let calls = CALLS.load(Relaxed);
    println!("suspend: {waited:?} after {calls} call");
    println!(
        "blocked again: {}",
        signal::block(before.unwrap_or(0)) == Ok(set)
    );
}

extern "C" fn append(signal: u32, _: &Info, _: &mut Context) {
    let digit = if signal == SIGUSR1 { 1 } else { 2 };
    if digit == 1 {
        send_myself(SIGUSR2);
    }
    ORDER.store(ORDER.load(Relaxed) * 10 + digit, Relaxed);
}

fn handlers_nest() {
    handle(SIGUSR2, append, 0);
    for (mask, what) in [(0, "inside"), (signal::set_of(SIGUSR2), "after")] {
        ORDER.store(0, Relaxed);
        signal::handle(SIGUSR1, append, 0, mask).expect("it can be handled");
        send_myself(SIGUSR1);
        println!("second signal {what} the first: {}", ORDER.load(Relaxed));
    }
    signal::handle(SIGUSR1, note, signal::SA_RESETHAND, 0).expect("it can be handled");
    send_myself(SIGUSR1);
    let child = process::spawn(|| {
        send_myself(SIGUSR1);
        0
    });
    println!("handled once, then: {}", wait(child));
}

fn wait(child: syscall::Result<process::Pid>) -> process::Status {
    let status = child.and_then(process::wait);
    status.expect("there was a child")
}

/// Alarms come while a call waits: more than one, since the first may come too early where
/// the host lets the guest stand still before the call.
fn calls_restart() {
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    handle(SIGALRM, note, 0);
    let read = with_alarms(|| file::read(read_end, &mut [0]));
    println!("read not restarted: {read:?}");
    PIPE.store(write_end, Relaxed);
    handle(SIGALRM, note_and_write, signal::SA_RESTART);
    let read = with_alarms(|| file::read(read_end, &mut [0]));
    println!("read restarted: {read:?}");
    handle(SIGALRM, note, signal::SA_RESTART);
    println!("pause: {:?}", with_alarms(signal::pause));
    let sleep = || syscall::nanosleep(syscall::Entry::Syscall, 30, 0);
    println!("sleep: {:?}", with_alarms(sleep));
}

/// What `call` returns while an alarm comes every 20 ms; at least one must have come.
fn with_alarms<R>(call: impl FnOnce() -> R) -> R {
    const ALARM_US: u64 = 20_000;
    CALLS.store(0, Relaxed);
    signal::set_alarm(ALARM_US, ALARM_US).expect("there is an alarm");
    let returned = call();
    signal::set_alarm(0, 0).expect("there is an alarm");
    assert!(CALLS.load(Relaxed) > 0, "no alarm has come");
    returned
}

extern "C" fn note_and_write(signal: u32, info: &Info, context: &mut Context) {
    note(signal, info, context);
    file::write_all(PIPE.load(Relaxed), b"x").expect("there is room");
}

extern "C" fn allow(_: u32, info: &Info, context: &mut Context) {
    let page = PAGE_ADDRESS.load(Relaxed);
    let is_right = info.code == signal::SEGV_ACCERR as i32
        && info.address() == page + 8
        && context.machine[signal::machine::VECTOR] == 14;
    CALLS.store(u32::from(is_right), Relaxed);
    // SAFETY: nothing borrows the page.
    unsafe { memory::protect(page as *mut u8, PAGE, PROT_READ | PROT_WRITE) }
        .expect("the page is there");
}

fn faults_can_be_handled() {
    handle(SIGSEGV, allow, 0);
    let page = memory::map(PAGE, PROT_NONE).expect("a page");
    PAGE_ADDRESS.store(page as u64, Relaxed);
    let place = page.cast::<u64>().wrapping_add(1);
    // SAFETY: nothing borrows the page; the handler makes it writable.
    let value = unsafe {
        place.write_volatile(7);
        place.read_volatile()
    };
    println!(
        "fault told right: {}, written: {value}",
        CALLS.load(Relaxed) == 1
    );
    signal::set_default(SIGSEGV).expect("it can be");
}

static mut ALTERNATE: [u8; 4 * PAGE] = [0; 4 * PAGE];

extern "C" fn leave(_: u32, info: &Info, _: &mut Context) {
    let here = 0_u8;
    let range = (&raw const ALTERNATE).addr()..(&raw const ALTERNATE).addr() + 4 * PAGE;
    let is_right =
        info.code == signal::SEGV_MAPERR as i32 && range.contains(&(&raw const here).addr());
    syscall::exit(if is_right { 9 } else { 1 });
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn recurse(depth: u64) -> u64 {
    let page = core::hint::black_box([depth; 512]);
    recurse(depth + 1) + page[7]
}

fn overflow_on_another_stack() {
    let child = process::spawn(|| {
        let stack = &raw mut ALTERNATE;
        // SAFETY: the one reference, in a process of its own.
        let stack = unsafe { &mut *stack };
        signal::use_alternate_stack(stack).expect("a stack");
        handle(SIGSEGV, leave, signal::SA_ONSTACK);
        recurse(0) as u8
    });
    println!("stack overflow, handled on another: {}", wait(child));
    let child = process::spawn(|| {
        handle(SIGSEGV, leave, 0);
        recurse(0) as u8
    });
    println!("without another: {}", wait(child));
}

fn alarms_come_again() {
    handle(SIGALRM, note, 0);
    signal::set_alarm(5000, 5000).expect("there is an alarm");
    while CALLS.load(Relaxed) < 3 {
        core::hint::spin_loop();
    }
    signal::set_alarm(0, 0).expect("there is an alarm");
    println!("3 alarms while spinning");
    let child = process::spawn(|| {
        signal::set_default(SIGALRM).expect("it can be");
        signal::set_alarm(1000, 0).expect("there is an alarm");
        signal::pause().is_ok().into()
    });
    println!("alarm without a handler: {}", wait(child));
}

fn children_are_told_of() {
    let set = signal::set_of(SIGCHLD);
    signal::block(set).expect("it can be");
    handle(SIGCHLD, note, 0);
    let child = process::spawn(|| 5).expect("a child");
    let waited = signal::suspend(0);
    let told = (CODE.load(Relaxed), STATUS.load(Relaxed)) == (signal::CLD_EXITED, 5);
    let is_child = PID.load(Relaxed) == child;
    println!("SIGCHLD: {waited:?}, told right: {}", told && is_child);
    println!("and waited for: {}", wait(Ok(child)));
    signal::set_default(SIGCHLD).expect("it can be");
    signal::block(0).expect("it can be");
}

fn stopped_children_go_on() {
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    let child = process::spawn(|| {
        send_myself(signal::SIGSTOP);
        // Until its parent has seen it go on.
        if file::read(read_end, &mut [0]) == Ok(1) {
            6
        } else {
            1
        }
    })
    .expect("a child");
    let change = |child| process::wait_for_change(child).expect("it is there");
    println!("child: {}", change(child));
    process::kill(child, signal::SIGCONT).expect("it is there");
    println!("child: {}", change(child));
    file::write_all(write_end, b"x").expect("the child reads");
    println!("child: {}", change(child));
    let child = process::spawn(|| {
        send_myself(signal::SIGSTOP);
        0
    })
    .expect("a child");
    println!("another: {}", change(child));
    process::kill(child, process::SIGTERM).expect("it is there");
    let is_there = process::try_wait(child) == Ok(None);
    process::kill(child, signal::SIGCONT).expect("it is there");
    println!(
        "ended only after it went on: {is_there}, {}",
        wait(Ok(child))
    );
    let sleeper = process::spawn(|| {
        process::sleep_ms(50);
        6
    });
    let sleeper = sleeper.expect("a child");
    process::kill(sleeper, signal::SIGSTOP).expect("it is there");
    process::sleep_ms(100);
    process::kill(sleeper, signal::SIGCONT).expect("it is there");
    println!("stopped in its sleep: {}", wait(Ok(sleeper)));
}

fn broken_pipe_ignored() {
    signal::ignore(SIGPIPE).expect("it can be");
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    file::close(read_end).expect("it was open");
    println!("write to nobody: {:?}", syscall::write(write_end, b"x"));
}
