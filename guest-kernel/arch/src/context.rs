//! The saved kernel state of a thread that does not run, and the context switch.
//!
//! A thread's life in the kernel is one call stack on its own kernel stack. A switch saves
//! the callee-saved registers on the old stack, exchanges stack pointers, and returns on
//! the new stack from the last switch made there. The program's registers are at the
//! stack's top all the while: see [`super::trap`].

use core::arch::asm;
use core::cell::Cell;
use core::mem::size_of;
use core::ptr;

use abi::virtual_map::USER_END;
use x86::msr;

use crate::cpu;
use crate::descriptors;
use crate::extended_state;
use crate::kernel_stack::KernelStack;
use crate::processors::{self, Cpu};
use crate::trap::{UserContext, UserMode};

/// A thread's kernel stack, and its saved stack pointer.
pub struct Context {
    stack: Cell<Option<KernelStack>>,
    /// The stack's end.
    top: Cell<*mut u8>,
    /// Stack pointer at the switch away; 0 while the thread runs, and without a thread.
    rsp: Cell<u64>,
    bases: Cell<Bases>,
}

/// Bases of the segments that programs keep their thread-local storage in: addresses of
/// user memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bases {
    fs: u64,
    gs: u64,
}

impl Bases {
    /// Both 0, as a program starts.
    pub const ZERO: Self = Self { fs: 0, gs: 0 };

    /// Base of fs.
    pub fn fs(self) -> u64 {
        self.fs
    }

    /// Base of gs.
    pub fn gs(self) -> u64 {
        self.gs
    }

    /// With another base of fs; `None` if that is no address of user memory.
    pub fn with_fs(self, fs: u64) -> Option<Self> {
        (fs < USER_END).then_some(Self { fs, ..self })
    }

    /// With another base of gs; `None` if that is no address of user memory.
    pub fn with_gs(self, gs: u64) -> Option<Self> {
        (gs < USER_END).then_some(Self { gs, ..self })
    }
}

/// What runs on a new thread's stack.
pub type Main = extern "C" fn(&mut UserMode) -> !;

/// What a switch pops from a stack.
#[repr(C)]
struct Saved {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbx: u64,
    rbp: u64,
    rip: u64,
}

const _: () = assert!(size_of::<Saved>() == 7 * 8);

impl Context {
    /// The context of no thread.
    pub const fn unused() -> Self {
        Self {
            stack: Cell::new(None),
            top: Cell::new(ptr::null_mut()),
            rsp: Cell::new(0),
            bases: Cell::new(Bases::ZERO),
        }
    }

    /// Makes the next switch here call `main` on `stack`, for a program in state `user`
    /// and with these bases of fs and gs.
    ///
    /// # Panics
    /// There is a thread already.
    pub fn prepare(&self, stack: KernelStack, user: &UserContext, bases: Bases, main: Main) {
        let top = stack.top();
        let place = top.cast::<UserMode>().wrapping_sub(1);
        let frame = place.cast::<Saved>().wrapping_sub(1);
        let before = self.stack.replace(Some(stack));
        assert!(before.is_none(), "the thread has a stack already");
        // SAFETY: both places are on the stack, which nobody uses yet, and aligned: the
        // stack's end to a page, the context's size to 16 bytes, the frame to 8.
        unsafe {
            ptr::copy_nonoverlapping(user, &raw mut (*place).context, 1);
            frame.write(Saved {
                r15: 0,
                r14: 0,
                r13: 0,
                r12: main as *const () as u64,
                rbx: place as u64,
                rbp: 0,
                rip: start_thread as *const () as u64,
            });
        }
        self.top.set(top);
        self.rsp.set(frame as u64);
        self.bases.set(bases);
    }

    /// Switches from the running thread to the one saved in `next`; returns when another
    /// thread switches back.
    ///
    /// # Panics
    /// `next` was not saved or prepared.
    #[inline]
    pub fn switch_to(next: &'static Self) {
        let cpu = processors::current();
        let current = cpu.context.get();
        current.note_bases();
        let rsp = next.resume(cpu);
        // SAFETY: `resume` says that `rsp` is where a thread was left, or made, that has
        // not run since, and has its stack; the place to save at is the running thread's.
        unsafe { switch_stacks(current.rsp.as_ptr(), rsp) }
    }

    /// Leaves the running thread for good. `release` gets its stack.
    ///
    /// # Safety
    /// `release` leaves the stack mapped, and unused until the next switch. Nothing on it
    /// needs to be dropped.
    ///
    /// # Panics
    /// As for [`switch_to`](Self::switch_to).
    pub unsafe fn leave_to(next: &'static Self, release: impl FnOnce(KernelStack)) -> ! {
        let cpu = processors::current();
        let current = cpu.context.get();
        let rsp = next.resume(cpu);
        if let Some(stack) = current.stack.take() {
            release(stack);
        }
        let mut nowhere = 0;
        // SAFETY: as in `switch_to`; what is saved on the old stack is never used.
        unsafe { switch_stacks(&raw mut nowhere, rsp) };
        unreachable!("a thread was resumed after its end")
    }

    /// Loads the state of this thread, which is the running one from now on, into `cpu`, which is
    /// this one, and returns its saved stack pointer.
    #[inline]
    fn resume(&'static self, cpu: &'static Cpu) -> u64 {
        let rsp = self.rsp.replace(0);
        assert!(rsp != 0, "a switch to a thread that was not left");
        cpu.context.set(self);
        let top = self.top.get();
        if !top.is_null() {
            descriptors::set_trap_stack(cpu, top);
            // SAFETY: `prepare` made it there, and nobody refers to it while the thread does
            // not run.
            unsafe { (*top.cast::<UserMode>().sub(1)).cpu = cpu };
        }
        // A selector that a program loaded may have changed a base and would be seen by
        // the next one: selectors do not survive a switch.
        // SAFETY: the kernel uses none of these segments, and all of them may be null.
        unsafe {
            asm!(
                "mov ds, {0:e}",
                "mov es, {0:e}",
                "mov fs, {0:e}",
                "mov gs, {0:e}",
                in(reg) 0,
                options(nomem, nostack, preserves_flags)
            );
        }
        self.load_bases();
        rsp
    }

    /// The bases.
    pub fn bases(&self) -> Bases {
        self.bases.get()
    }

    /// Saves the bases, which the running thread's program may have changed by `wrfsbase`
    /// and `wrgsbase`, if it can.
    #[inline]
    pub fn note_bases(&self) {
        if extended_state::is_exposed() {
            // SAFETY: every long-mode CPU has both registers.
            let [fs, gs] =
                unsafe { [msr::FS_BASE, msr::GS_BASE].map(|register| cpu::read_msr(register)) };
            let bases = self.bases.get();
            let bases = bases.with_fs(fs).unwrap_or(bases);
            self.bases.set(bases.with_gs(gs).unwrap_or(bases));
        }
    }

    /// Changes the bases, for the CPU too: this is the running thread's context.
    pub fn use_bases(&self, bases: Bases) {
        self.bases.set(bases);
        self.load_bases();
    }

    #[inline]
    fn load_bases(&self) {
        let Bases { fs, gs } = self.bases.get();
        for (register, base) in [(msr::FS_BASE, fs), (msr::GS_BASE, gs)] {
            // SAFETY: every long-mode CPU has both registers; a base in user memory is
            // canonical; the kernel uses neither segment.
            unsafe { cpu::write_msr(register, base) }
        }
    }
}

unsafe extern "C" {
    /// Saves the callee-saved registers on the stack and the stack pointer at `save`, and
    /// continues where `load` was saved.
    fn switch_stacks(save: *mut u64, load: u64);
    /// Where a new thread begins: calls r12 with rbx.
    fn start_thread();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_stay_in_user_memory() {
        let bases = Bases::ZERO
            .with_fs(USER_END - 1)
            .and_then(|bases| bases.with_gs(8));
        assert_eq!(
            bases.map(|bases| (bases.fs(), bases.gs())),
            Some((USER_END - 1, 8))
        );
        for bad in [USER_END, 1 << 63, u64::MAX] {
            assert_eq!(Bases::ZERO.with_fs(bad), None);
            assert_eq!(Bases::ZERO.with_gs(bad), None);
        }
    }
}
