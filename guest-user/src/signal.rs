//! Signals: handlers and their arguments, blocking, waiting, alarms.

use core::arch::global_asm;

use linux_raw_sys::general as linux;
pub use linux_raw_sys::general::{
    CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SA_NODEFER, SA_ONSTACK, SA_RESETHAND,
    SA_RESTART, SEGV_ACCERR, SEGV_MAPERR, SI_TKILL, SI_USER, SIGALRM, SIGCHLD, SIGCONT, SIGHUP,
    SIGSTOP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};

use crate::syscall::{Result, call};

/// Words of `struct sigcontext`, and which of them is what.
pub mod machine {
    /// All of them.
    pub const WORDS: usize = 32;
    /// rsp.
    pub const RSP: usize = 15;
    /// rip.
    pub const RIP: usize = 16;
    /// rflags.
    pub const RFLAGS: usize = 17;
    /// cs, gs, fs and ss, 16 bits each.
    pub const SELECTORS: usize = 18;
    /// The vector of an exception.
    pub const VECTOR: usize = 20;
    /// Address of the state of x87 and SSE.
    pub const FX: usize = 23;
}

/// Why a signal came: `siginfo_t`.
#[repr(C)]
pub struct Info {
    /// The signal.
    pub signal: u32,
    errno: i32,
    /// Where it comes from, `SI_*`, `SEGV_*` and the like.
    pub code: i32,
    gap: u32,
    /// The sender's or the child's number.
    pub pid: u32,
    /// The sender's user; with `pid` the address of a fault.
    uid: u32,
    /// What has become of a child.
    pub status: i32,
}

impl Info {
    /// The address of a fault.
    pub fn address(&self) -> u64 {
        u64::from(self.uid) << 32 | u64::from(self.pid)
    }
}

/// What the signal interrupted: `struct ucontext`, to which the program returns as the
/// handler leaves it.
#[repr(C)]
pub struct Context {
    /// `UC_*`.
    pub flags: u64,
    link: u64,
    stack: [u64; 3],
    /// Registers: see [`machine`].
    pub machine: [u64; machine::WORDS],
    /// Signals that are blocked after the handler.
    pub blocked: u64,
}

/// A function that is called for a signal.
pub type Handler = extern "C" fn(signal: u32, info: &Info, context: &mut Context);

/// A set of one signal.
pub const fn set_of(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// `struct sigaction` of the kernel.
#[repr(C)]
struct Action {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

const SET_SIZE: u64 = size_of::<u64>() as u64;

global_asm!(
    ".pushsection .text.return_from_handler, \"ax\"",
    ".global return_from_handler",
    "return_from_handler:",
    "mov eax, {number}",
    "syscall",
    "ud2",
    ".popsection",
    number = const linux::__NR_rt_sigreturn,
);

unsafe extern "C" {
    /// Where a handler returns to, with rsp at its `Context`.
    fn return_from_handler();
}

fn act(signal: u32, handler: u64, flags: u32, mask: u64) -> Result<()> {
    let action = Action {
        handler,
        flags: u64::from(flags | linux::SA_RESTORER | linux::SA_SIGINFO),
        restorer: return_from_handler as *const () as u64,
        mask,
    };
    let arguments = [signal.into(), &raw const action as u64, 0, SET_SIZE];
    // SAFETY: the kernel reads an action from where there is one; its handler is one of
    // `Handler`, or none.
    unsafe { call(linux::__NR_rt_sigaction, arguments) }.map(drop)
}

/// Installs `handler` for a signal, with `mask` blocked meanwhile.
pub fn handle(signal: u32, handler: Handler, flags: u32, mask: u64) -> Result<()> {
    act(signal, handler as *const () as u64, flags, mask)
}

/// Ignores a signal.
pub fn ignore(signal: u32) -> Result<()> {
    const SIG_IGN: u64 = 1;
    act(signal, SIG_IGN, 0, 0)
}

/// Restores the default action of a signal.
pub fn set_default(signal: u32) -> Result<()> {
    act(signal, 0, 0, 0)
}

/// Blocks exactly these signals; returns those that were before.
pub fn block(set: u64) -> Result<u64> {
    let mut old = 0_u64;
    let arguments = [
        linux::SIG_SETMASK.into(),
        &raw const set as u64,
        &raw mut old as u64,
        SET_SIZE,
    ];
    // SAFETY: the kernel reads and writes a set where there is one.
    unsafe { call(linux::__NR_rt_sigprocmask, arguments) }?;
    Ok(old)
}

/// Signals that are blocked and have come.
pub fn pending() -> Result<u64> {
    let mut set = 0_u64;
    // SAFETY: the kernel writes a set to where there is one.
    unsafe { call(linux::__NR_rt_sigpending, [&raw mut set as u64, SET_SIZE]) }?;
    Ok(set)
}

/// Waits for a signal, with exactly these blocked; fails with EINTR after its handler.
pub fn suspend(blocked: u64) -> Result<u64> {
    let arguments = [&raw const blocked as u64, SET_SIZE];
    // SAFETY: the kernel reads a set from where there is one.
    unsafe { call(linux::__NR_rt_sigsuspend, arguments) }
}

/// Waits for a signal; fails with EINTR after its handler.
pub fn pause() -> Result<u64> {
    // SAFETY: touches no memory.
    unsafe { call::<0>(linux::__NR_pause, []) }
}

/// Sends SIGALRM after so many microseconds, and then after each `interval_us`; 0 is never.
pub fn set_alarm(after_us: u64, interval_us: u64) -> Result<()> {
    const US_PER_S: u64 = 1_000_000;
    let split = |us| [us / US_PER_S, us % US_PER_S];
    let value = [split(interval_us), split(after_us)];
    let arguments = [linux::ITIMER_REAL.into(), value.as_ptr() as u64, 0];
    // SAFETY: the kernel reads an `itimerval` from where there is one.
    unsafe { call(linux::__NR_setitimer, arguments) }.map(drop)
}

/// Makes handlers with `SA_ONSTACK` run on this stack.
pub fn use_alternate_stack(stack: &'static mut [u8]) -> Result<()> {
    let value = [stack.as_mut_ptr() as u64, 0, stack.len() as u64];
    // SAFETY: the kernel reads a `stack_t`; the stack is this thread's for ever.
    unsafe { call(linux::__NR_sigaltstack, [value.as_ptr() as u64, 0]) }.map(drop)
}

/// Returns as from a handler to `context`, outside of one.
///
/// # Safety
/// The kernel refuses the context, or continuing in it is sound.
pub unsafe fn return_to(context: *const Context) -> ! {
    // SAFETY: the caller answers for the context; nothing comes back.
    unsafe {
        core::arch::asm!(
            "mov rsp, {context}",
            "jmp {restorer}",
            context = in(reg) context,
            restorer = sym return_from_handler,
            options(noreturn)
        )
    }
}
