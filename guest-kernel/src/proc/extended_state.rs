//! A thread's extended state (`arch::extended_state`) while it does not run: a frame for
//! each, on machines that have such state.

use arch::extended_state;
use arch::trap::machine_state::FX_SIZE;
use mm::address_space::AddressSpace;
use mm::user_memory::BadAddress;
use mm::{Frame, OutOfMemory, UserSlice};

use crate::proc::scheduler::current_thread;
use crate::proc::thread::Thread;

/// Bytes of it that a handler's frame has, with those of `fxsave64`: up to PKRU, which is
/// where CPUID leaf 0xd puts it on all CPUs that have it and AVX-512, 64 bytes from 2688 on
/// (Intel SDM vol. 1 13.1 and 13.4.3; the table of components and their offsets).
const SIZE: usize = 2752;

/// Bytes that a handler's frame has for x87, SSE and what else is to be saved.
pub fn frame_size() -> usize {
    match extended_state::is_exposed() {
        true => SIZE,
        false => FX_SIZE,
    }
}

/// A frame for a new thread's state: as the current thread's is or, if `is_fresh`, as after
/// reset.
///
/// # Errors
/// There is no memory.
pub(super) fn new(is_fresh: bool) -> Result<Option<Frame>, OutOfMemory> {
    if !extended_state::is_exposed() {
        return Ok(None);
    }
    let mut frame = Frame::allocate_zeroed().ok_or(OutOfMemory)?;
    if !is_fresh {
        frame.save_extended_state();
    }
    Ok(Some(frame))
}

impl Thread {
    fn with_frame<R>(&self, use_frame: impl FnOnce(&mut Frame) -> R) -> Option<R> {
        let mut frame = self.extended_state.take()?;
        let result = use_frame(&mut frame);
        self.extended_state.set(Some(frame));
        Some(result)
    }

    /// Saves the CPU's, as this thread leaves it.
    pub(super) fn save_extended_state(&self) {
        self.with_frame(Frame::save_extended_state);
    }

    /// Loads it into the CPU.
    pub(super) fn load_extended_state(&self) {
        self.with_frame(|frame| extended_state::load(frame.address()));
    }

    /// Lets the current thread's start anew: as a program starts, and a handler.
    pub(super) fn reset_extended_state(&self) {
        self.with_frame(|frame| {
            frame.bytes_mut().fill(0);
            extended_state::load(frame.address());
        });
    }
}

/// Copies the current thread's to what is at `fx` in a handler's frame, behind x87 and SSE.
///
/// # Errors
/// It is not the program's memory.
pub fn copy_out(space: &AddressSpace, fx: u64) -> Result<(), BadAddress> {
    let copied = current_thread().with_frame(|frame| {
        frame.save_extended_state();
        behind_fx(fx).copy_out(space, &frame.bytes()[FX_SIZE..SIZE])
    });
    copied.unwrap_or(Ok(()))
}

/// Takes it back from there.
///
/// # Errors
/// It is not the program's memory, or the CPU cannot have such a state; then the CPU's is as
/// it was.
pub fn copy_in(space: &AddressSpace, fx: u64) -> Result<(), BadAddress> {
    let copied = current_thread().with_frame(|frame| {
        behind_fx(fx).copy_in(space, &mut frame.bytes_mut()[FX_SIZE..SIZE])?;
        match extended_state::try_load(frame.address()) {
            true => Ok(()),
            false => Err(BadAddress),
        }
    });
    copied.unwrap_or(Ok(()))
}

fn behind_fx(fx: u64) -> UserSlice {
    UserSlice::new(fx.wrapping_add(FX_SIZE as u64), (SIZE - FX_SIZE) as u64)
}
