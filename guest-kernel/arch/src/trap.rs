//! Ring 3 and the ways back from it.
//!
//! [`UserMode::run`] runs a program until something needs the kernel and `UserMode::trap` says what: the
//! mirror of the VMM's `Vcpu::run`. [`wait_for_interrupt`] is its counterpart for when
//! there is nothing to run. So no interrupt handler runs concurrently with kernel code: an
//! interrupt is a return value.
//!
//! Rejected: handlers called from the trap, which would need a rule for every global about
//! where it may be accessed.

use core::mem::{offset_of, size_of};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use abi::trace::wanted;
use x86::{RFLAGS_FIXED, RFlags, msr};

use crate::at_boot::AtBoot;
use crate::processors::{self, Cpu};
use crate::trace;
use crate::{cpu, descriptors, kvm_software, user_copy};

mod frame;
pub mod machine_state;
pub mod vector;

pub use frame::{Arguments, Registers};
use frame::{FxState, TrapFrame};

/// What `UserContext::vector` says after the `syscall` instruction, beyond all vectors.
const VECTOR_SYSCALL: u64 = 0x100;
/// What it says after `int 0x80`.
const INT_80: u64 = vector::INT_80 as u64;

/// RFLAGS of a program that has set none.
const RFLAGS_INITIAL: u64 = RFLAGS_FIXED | RFlags::INTERRUPT_FLAG.bits();

/// Flags that a program can set by itself.
const RFLAGS_USER: RFlags = RFlags::CARRY_FLAG
    .union(RFlags::PARITY_FLAG)
    .union(RFlags::AUXILIARY_CARRY_FLAG)
    .union(RFlags::ZERO_FLAG)
    .union(RFlags::SIGN_FLAG)
    .union(RFlags::TRAP_FLAG)
    .union(RFlags::DIRECTION_FLAG)
    .union(RFlags::OVERFLOW_FLAG)
    .union(RFlags::NESTED_TASK)
    .union(RFlags::ALIGNMENT_CHECK)
    .union(RFlags::ID);

/// Cleared by `syscall`: interrupts off, and no flag of the program that affects the
/// kernel.
const SFMASK: RFlags = RFlags::TRAP_FLAG
    .union(RFlags::INTERRUPT_FLAG)
    .union(RFlags::DIRECTION_FLAG)
    .union(RFlags::NESTED_TASK)
    .union(RFlags::ALIGNMENT_CHECK);

/// The state of a program in ring 3, valid while it does not run.
#[derive(Clone)]
#[repr(C, align(16))]
pub struct UserContext {
    fx: FxState,
    /// The program's registers.
    pub registers: Registers,
    frame: TrapFrame,
}

// The frame must end the context, and the CPU aligns rsp0 down to 16 bytes.
const _: () =
    assert!(size_of::<UserContext>() == 688 && size_of::<UserContext>().is_multiple_of(16));
const _: () = assert!(offset_of!(UserContext, registers) == size_of::<FxState>());
const _: () =
    assert!(offset_of!(UserContext, frame) + size_of::<TrapFrame>() == size_of::<UserContext>());

/// Why a program left ring 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A system call, by `syscall` or `int 0x80`: number in rax, and
    /// [`Registers::arguments`].
    Syscall,
    /// An interrupt with this vector.
    Interrupt(u8),
    /// The program's own fault.
    Exception(Exception),
}

/// An exception in ring 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// 0 to 31.
    pub vector: u8,
    /// The error code; 0 where the CPU gives none.
    pub error: u32,
    /// Address of the instruction.
    pub rip: u64,
    /// CR2, if it is a page fault.
    pub address: u64,
}

impl UserContext {
    /// A program about to execute its first instruction, all registers zero.
    pub const fn new(entry: u64, stack: u64) -> Self {
        Self {
            fx: FxState::INITIAL,
            registers: Registers::ZERO,
            frame: TrapFrame {
                vector: 0,
                error: 0,
                rip: entry,
                cs: descriptors::USER_CODE as u64,
                rflags: RFLAGS_INITIAL,
                rsp: stack,
                ss: descriptors::USER_DATA as u64,
            },
        }
    }

    /// The state of a child that `fork` or `clone` makes: the call returns 0 there, on the
    /// same stack unless `stack` says another.
    pub fn of_child(&self, stack: u64) -> Self {
        let mut child = self.clone();
        child.registers.rax = 0;
        if stack != 0 {
            child.frame.rsp = stack;
        }
        child
    }

    fn other_trap(&mut self, number: u8) -> Trap {
        if number >= vector::FIRST_INTERRUPT {
            if trace::wants(wanted::TRAPS) {
                self.frame.trace(None);
            }
            return Trap::Interrupt(number);
        }
        let exception = Exception {
            vector: number,
            error: self.frame.error as u32,
            rip: self.frame.rip,
            address: match number {
                vector::PF => cpu::fault_address(),
                _ => 0,
            },
        };
        let trap = kvm_software::put_right(self, exception);
        if trace::wants(wanted::TRAPS)
            && let Trap::Exception(exception) = trap
        {
            self.frame.trace(Some(exception));
        }
        trap
    }

    /// Turns another trap into a system call that returns to `rip`. `rflags` may be any
    /// number.
    pub(crate) fn serve_as_syscall(&mut self, rip: u64, rflags: u64) {
        self.frame.vector = u64::from(vector::INT_80);
        self.frame.rip = rip;
        self.frame.rflags = rflags & RFLAGS_USER.bits() | RFLAGS_INITIAL;
    }

    /// The program's flags.
    pub(crate) fn rflags(&self) -> u64 {
        self.frame.rflags
    }
}

/// The context of the running thread. It lies at the very top of the thread's kernel stack,
/// so that the CPU itself pushes the last part of it at a trap.
///
/// Only [`Context::prepare`](crate::context::Context::prepare) makes one, and a thread's
/// main function only borrows it: so no other context can be run, and no other thread can
/// run this one.
#[repr(C)]
pub struct UserMode {
    /// Where it runs: set as a CPU switches to the thread.
    pub(crate) cpu: *const Cpu,
    /// rsp of the kernel as it entered ring 3.
    kernel_rsp: u64,
    pub(crate) context: UserContext,
}

// See `trap.S`; and the context must end at the stack's top, with nothing behind it.
const _: () = {
    let before = size_of::<*const Cpu>() + size_of::<u64>();
    assert!(offset_of!(UserMode, context) == before && before == 16);
    assert!(offset_of!(UserMode, kernel_rsp) + 8 == offset_of!(UserMode, context));
    assert!(size_of::<UserMode>() == before + size_of::<UserContext>());
};

impl UserMode {
    /// Runs the program until it traps: [`trap`](Self::trap) says how.
    #[inline(always)]
    pub fn run(&mut self) {
        // SAFETY: the frame leads to ring 3 (`new` made it, the CPU has rewritten it from
        // ring 3, and `serve_as_syscall`, by which all others change it, keeps cs, ss and
        // the forbidden flags; MXCSR has no reserved bits), which cannot touch kernel
        // memory; enter_user returns when the CPU has saved everything in this context
        // again: it ends where the switch to this thread has set the trap stack of this CPU, which
        // no other thread uses until then.
        unsafe { ENTER.get()(&raw mut self.context) };
    }

    /// Why the program has come back, once for each [`run`](Self::run): what the CPU does
    /// differently here is put right by it.
    #[inline(always)]
    pub fn trap(&mut self) -> Trap {
        match self.context.frame.vector {
            VECTOR_SYSCALL => Trap::Syscall,
            INT_80 => Trap::Syscall,
            number => self.context.other_trap(number as u8),
        }
    }
}

/// How ring 3 is entered: a jump costs less than to look how many CPUs there are.
static ENTER: AtBoot<Enter> = AtBoot::new(enter_user);

type Enter = unsafe extern "C" fn(*mut UserContext);

/// From now on other CPUs have the kernel while a program runs.
pub(crate) fn share_kernel() {
    // SAFETY: the second CPU starts, for which the first waits, and there is no other yet.
    unsafe { ENTER.set(enter_user_and_share) };
}

/// `enter_user`, without the kernel.
///
/// # Safety
/// The context is a [`UserMode`]'s, and fit for ring 3.
unsafe extern "C" fn enter_user_and_share(context: *mut UserContext) {
    let mode = context.wrapping_byte_sub(offset_of!(UserMode, context));
    // SAFETY: the caller's promise; the switch to this thread has stored the CPU, which is static.
    let cpu = unsafe { &*(*mode.cast::<UserMode>()).cpu };
    processors::release();
    // SAFETY: the caller's promise.
    unsafe { enter_user(context) };
    processors::acquire(cpu);
}

impl Deref for UserMode {
    type Target = UserContext;

    fn deref(&self) -> &UserContext {
        &self.context
    }
}

impl DerefMut for UserMode {
    fn deref_mut(&mut self) -> &mut UserContext {
        &mut self.context
    }
}

/// Halts until an interrupt comes and returns its vector. Meanwhile other CPUs may be in the
/// kernel.
pub fn wait_for_interrupt() -> u8 {
    let cpu = processors::current();
    processors::begin_idle(cpu);
    // SAFETY: the only thing that interrupts is an external interrupt, whose handler waits for
    // the kernel, leaves a vector and comes back with interrupts off.
    unsafe { wait_for_interrupt_unchecked((&raw const *cpu).cast()) as u8 }
}

/// Sets up `syscall` and decides how to return from it: by `sysretq` if `sysret`.
pub(crate) fn enable_syscall(cpu: &Cpu, sysret: bool) {
    if sysret {
        SYSRET_VECTOR.store(VECTOR_SYSCALL, Relaxed);
    }
    // SAFETY: every long-mode CPU has these; STAR fits the GDT, LSTAR is the entry in
    // trap.S, which expects interrupts off as SFMASK makes them.
    unsafe {
        cpu::write_msr(msr::STAR, descriptors::STAR);
        cpu::write_msr(msr::LSTAR, syscall_target(cpu));
        cpu::write_msr(msr::SFMASK, SFMASK.bits());
    }
}

/// Bytes of each entry of `syscall`, at least.
const SYSCALL_ENTRY_SIZE: usize = 64;

/// The entry of `syscall` of a CPU.
pub(crate) fn syscall_target(cpu: &Cpu) -> u64 {
    syscall_entries as *const () as u64 + (cpu.number() * SYSCALL_ENTRY_SIZE) as u64
}

/// Traps that return by `sysretq`: [`VECTOR_SYSCALL`], or none.
static SYSRET_VECTOR: AtomicU64 = AtomicU64::new(u64::MAX);
/// A trap in ring 0, as `trap.S` lays it out.
#[repr(C)]
struct KernelTrap {
    /// r11, r10, r9 and r8.
    others: [u64; 4],
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rax: u64,
    frame: TrapFrame,
}

extern "C" fn kernel_trap_handler(trap: &mut KernelTrap) {
    let frame = &mut trap.frame;
    let number = frame.vector as u8;
    if number >= vector::FIRST_INTERRUPT {
        if frame.rflags & RFlags::INTERRUPT_FLAG.bits() == 0 {
            // No processor does that, but kvm-amd in QEMU's emulation injects an interrupt again
            // that is being served.
            return;
        }
        // SAFETY: interrupts are on in ring 0 only in `wait_for_interrupt`, which has its CPU
        // there.
        processors::end_idle(unsafe { &*(trap.rdi as *const Cpu) });
    }
    if trace::wants(wanted::TRAPS) {
        frame.trace((number == vector::PF).then(|| Exception {
            vector: number,
            error: frame.error as u32,
            rip: frame.rip,
            address: cpu::fault_address(),
        }));
    }
    if number >= vector::FIRST_INTERRUPT {
        trap.rax = number.into();
        frame.rflags &= !RFlags::INTERRUPT_FLAG.bits();
    } else if let Some(rip) = user_copy::resume_after_fault(number, frame.error, frame.rip) {
        frame.rip = rip;
    } else {
        panic!(
            "exception {number} in ring 0, error {:#x}, rip {:#x}, rsp {:#x}, cr2 {:#x}",
            frame.error,
            frame.rip,
            frame.rsp,
            cpu::fault_address()
        );
    }
}

extern "C" fn fatal_trap_handler(number: u64, rip: u64, rsp: u64) -> ! {
    panic!(
        "exception {number}, rip {rip:#x}, rsp {rsp:#x}, cr2 {:#x}",
        cpu::fault_address()
    );
}

unsafe extern "C" {
    fn enter_user(context: *mut UserContext);
    fn syscall_entries();
    #[link_name = "wait_for_interrupt"]
    fn wait_for_interrupt_unchecked(cpu: *const ()) -> u64;
}

#[cfg(feature = "image")]
core::arch::global_asm!(
    include_str!("trap.S"),
    FX_SIZE = const size_of::<FxState>(),
    OFFSET_VECTOR = const offset_of!(UserContext, frame) + offset_of!(TrapFrame, vector),
    OFFSET_RIP = const offset_of!(UserContext, frame) + offset_of!(TrapFrame, rip),
    SYSCALL_ENTRY_SIZE = const SYSCALL_ENTRY_SIZE,
    SYSCALL_AREA_SIZE = const size_of::<descriptors::SyscallArea>(),
    MOST_CPUS = const processors::MOST,
    USER_DATA = const descriptors::USER_DATA,
    USER_CODE = const descriptors::USER_CODE,
    VECTOR_SYSCALL = const VECTOR_SYSCALL,
    sysret_vector = sym SYSRET_VECTOR,
    kernel_trap_handler = sym kernel_trap_handler,
    fatal_trap_handler = sym fatal_trap_handler,
);
