//! The host as an oracle: executes instructions natively at the addresses where the test
//! machine has them, with all registers as given, and catches their faults.
//!
//! ```text
//! CODE     the instructions, then a jump to the way out
//! 0x12000  the ways in and out
//! 0x14000  registers, in and out
//! DATA     data, up to the top of the stack
//! ```
//!
//! Signals that the processor raised carry the vector and the error code; the handler
//! notes them and goes on at the way out, with the registers as they were.

use std::sync::{Mutex, MutexGuard, OnceLock};

use iced_x86::code_asm::*;

use super::machine::{CODE, DATA, KERNEL_STACK, assemble};
use crate::FxState;

const TRAMPOLINE: u64 = 0x12000;
const CONTEXT: u64 = 0x14000;
/// The flags that make instructions trap.
const TF_AND_AC: u64 = 1 << 8 | 1 << 18;
/// Bytes from [`DATA`] on that tests may use.
pub(in crate::emu) const DATA_SIZE: usize = 0x10000;

/// Whether the host does as the emulator where makers differ: in what becomes of x87
/// pointers, of MMX state when a conversion faults, and in what is undefined.
pub(in crate::emu) fn host_is_amd() -> bool {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo.contains("AuthenticAMD") || cpuinfo.contains("HygonGenuine")
}

/// The registers that a program in ring 3 sees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub(in crate::emu) struct UserState {
    pub(in crate::emu) fx: FxState,
    pub(in crate::emu) gpr: [u64; 16],
    pub(in crate::emu) rflags: u64,
}

/// A fault and where it happened, relative to [`CODE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emu) struct Fault {
    pub(in crate::emu) vector: u8,
    pub(in crate::emu) error: u64,
    pub(in crate::emu) rip: u64,
}

/// What the way in and out uses.
#[repr(C)]
struct Context {
    state: UserState,
    host_rsp: u64,
    mxcsr: u32,
}

/// The memory and the trampoline.
pub(in crate::emu) struct Native {
    exit: u64,
}

/// The fault that the signal handler caught, if any, and the way out.
static CAUGHT: Mutex<(Option<Fault>, u64)> = Mutex::new((None, 0));

/// Lets the handler itself access memory at any address.
fn stop_alignment_checks() {
    // SAFETY: changes one flag that compiled code does not use; the stack is balanced.
    unsafe {
        std::arch::asm!("pushfq", "and dword ptr [rsp], {keep}", "popfq", keep = const !(1 << 18));
    }
}

extern "C" fn on_signal(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    stop_alignment_checks();
    // SAFETY: the kernel passes a `ucontext_t`.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    let rip = registers[libc::REG_RIP as usize] as u64;
    if !(CODE..TRAMPOLINE).contains(&rip) {
        // Not ours: let it happen again, fatally.
        // SAFETY: restores a default.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        return;
    }
    // Nobody holds it while guest code runs.
    let mut caught = CAUGHT.lock().expect("no panics while it is held");
    registers[libc::REG_RIP as usize] = caught.1 as i64;
    // The way out is neither stepped through nor always aligned.
    registers[libc::REG_EFL as usize] &= !(TF_AND_AC as i64);
    caught.0 = Some(Fault {
        vector: registers[libc::REG_TRAPNO as usize] as u8,
        error: registers[libc::REG_ERR as usize] as u64,
        rip: rip - CODE,
    });
}

impl Native {
    fn new() -> Self {
        const SIZE: usize = (KERNEL_STACK - CODE) as usize;
        // SAFETY: fails if anything is there.
        let at = unsafe {
            libc::mmap(
                std::ptr::without_provenance_mut(CODE as usize),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        assert_eq!(at.addr() as u64, CODE, "low memory can be mapped");
        at.expose_provenance();
        let (way_in, exit) = trampoline();
        let native = Self { exit };
        native.write(TRAMPOLINE, &way_in);
        CAUGHT.lock().expect("no panics while it is held").1 = native.exit;
        for signal in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGTRAP,
        ] {
            // SAFETY: the handler only changes the context it is given.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
            }
        }
        native
    }

    /// The one oracle, locked.
    pub(in crate::emu) fn get() -> MutexGuard<'static, Self> {
        static ORACLE: OnceLock<Mutex<Native>> = OnceLock::new();
        ORACLE
            .get_or_init(|| Mutex::new(Self::new()))
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn host(at: u64) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(at as usize)
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        assert!(at >= CODE && at + bytes.len() as u64 <= KERNEL_STACK);
        // SAFETY: inside the mapping, which nothing else refers to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), Self::host(at), bytes.len()) };
    }

    /// Fills the data.
    pub(in crate::emu) fn write_data(&self, bytes: &[u8]) {
        assert!(bytes.len() <= DATA_SIZE);
        self.write(DATA, bytes);
    }

    /// The first `len` bytes of data.
    pub(in crate::emu) fn read_data(&self, len: usize) -> Vec<u8> {
        assert!(len <= DATA_SIZE);
        // SAFETY: inside the mapping.
        unsafe { std::slice::from_raw_parts(Self::host(DATA), len) }.to_vec()
    }

    /// Executes `code`, which does not branch out of itself.
    pub(in crate::emu) fn run(&self, code: &[u8], state: &mut UserState) -> Option<Fault> {
        let end = CODE + code.len() as u64;
        let exit = self.exit;
        self.write(CODE, code);
        self.write(end, &assemble(end, |a| a.jmp(exit)));
        let context = Self::host(CONTEXT).cast::<Context>();
        let mut signal_stack = vec![0_u8; 64 << 10];
        let stack = libc::stack_t {
            ss_sp: signal_stack.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: signal_stack.len(),
        };
        let mut old_stack = libc::stack_t {
            ss_sp: std::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        // SAFETY: the context is inside the mapping; the trampoline keeps to the C
        // calling convention, whatever the code does to registers; signals have a stack.
        unsafe {
            assert_eq!(libc::sigaltstack(&stack, &mut old_stack), 0);
            context.write(Context {
                state: state.clone(),
                host_rsp: 0,
                mxcsr: 0x1f80,
            });
            let enter: extern "C" fn() = std::mem::transmute(Self::host(TRAMPOLINE));
            enter();
            *state = (*context).state.clone();
            assert_eq!(libc::sigaltstack(&old_stack, std::ptr::null_mut()), 0);
        }
        CAUGHT.lock().expect("no panics while it is held").0.take()
    }
}

/// The way in, and the address of the way out behind it.
fn trampoline() -> (Vec<u8>, u64) {
    const GPRS: [AsmRegister64; 16] = [
        rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15,
    ];
    let at = |offset: usize| CONTEXT + offset as u64;
    let gpr = |n: usize| at(std::mem::offset_of!(UserState, gpr) + 8 * n);
    let fx = at(std::mem::offset_of!(UserState, fx));
    let flags = at(std::mem::offset_of!(UserState, rflags));
    let host_rsp = at(std::mem::offset_of!(Context, host_rsp));
    let mxcsr = at(std::mem::offset_of!(Context, mxcsr));
    let kept = [rbx, rbp, r12, r13, r14, r15];
    let way_in = assemble(TRAMPOLINE, |a| {
        for register in kept {
            a.push(register)?;
        }
        a.mov(qword_ptr(host_rsp), rsp)?;
        a.fxrstor64(ptr(fx))?;
        a.push(qword_ptr(flags))?;
        a.popfq()?;
        for (n, register) in GPRS.into_iter().enumerate() {
            a.mov(register, qword_ptr(gpr(n)))?;
        }
        a.jmp(CODE)
    });
    let exit = TRAMPOLINE + way_in.len() as u64;
    let way_out = assemble(exit, |a| {
        for (n, register) in GPRS.into_iter().enumerate() {
            a.mov(qword_ptr(gpr(n)), register)?;
        }
        a.mov(rsp, qword_ptr(host_rsp))?;
        a.pushfq()?;
        a.pop(qword_ptr(flags))?;
        a.fxsave64(ptr(fx))?;
        a.fninit()?;
        a.ldmxcsr(dword_ptr(mxcsr))?;
        a.push(2)?;
        a.popfq()?;
        for register in kept.into_iter().rev() {
            a.pop(register)?;
        }
        a.ret()
    });
    ([way_in, way_out].concat(), exit)
}
