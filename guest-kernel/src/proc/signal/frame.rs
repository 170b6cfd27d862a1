//! The frame of a signal handler on its stack, and the return from it: `struct rt_sigframe`
//! of Linux (arch/x86/include/asm/sigframe.h).
//!
//! ```text
//! rsp ->  return address: the restorer, which calls rt_sigreturn
//!         ucontext: flags, link, alternate stack, registers, blocked signals
//!         siginfo
//!         ...
//!         floating point: see float_state.rs
//! ```

use arch::trap::machine_state::{MachineState, WORDS, fx_address};
use arch::trap::{Exception, UserContext};
use linux_raw_sys::general as linux;
use mm::UserPtr;
use mm::user_memory::BadAddress;

use crate::proc::exit;
use crate::proc::extended_state::start_anew;
use crate::proc::process::Process;
use crate::proc::rseq;
use crate::proc::scheduler::current_thread;
use crate::proc::signal::float_state;
use crate::proc::signal::{
    Action, ActionFlags, AlternateStack, Cause, Reaction, Signal, Signals, set_blocked,
};
use crate::proc::thread::Thread;
use crate::proc::wait_status::WaitStatus;

/// Which word of the frame is what.
const CONTEXT: usize = 1;
const CONTEXT_STACK: usize = CONTEXT + 2;
const CONTEXT_MACHINE: usize = CONTEXT + 5;
const CONTEXT_BLOCKED: usize = CONTEXT_MACHINE + WORDS;
const INFO: usize = CONTEXT_BLOCKED + 1;
const FRAME_WORDS: usize = INFO + linux::SI_MAX_SIZE as usize / WORD as usize;
const CONTEXT_WORDS: usize = INFO - CONTEXT;
const WORD: u64 = size_of::<u64>() as u64;
const _: () = assert!(CONTEXT_WORDS * 8 == 304 && FRAME_WORDS * 8 == 440);

/// `uc_flags`: cs and ss are both saved, and both are restored.
const SAVES_SS: u64 = 0x2 | 0x4;
/// Bytes below rsp that a program may use all the same (System V ABI for x86-64, 3.2.2).
const RED_ZONE: u64 = 128;
/// What rsp is a multiple of before a call (3.2.2 there).
const STACK_ALIGNMENT: u64 = 16;

/// Bytes that a frame takes at most, on a stack of its own.
pub fn max_frame_size() -> u64 {
    let alignments = float_state::ALIGNMENT - 1 + STACK_ALIGNMENT - 1 + WORD;
    (float_state::size() + FRAME_WORDS as u64 * WORD + alignments).next_multiple_of(STACK_ALIGNMENT)
}

/// Calls the handler of a signal: leaves a frame on the program's stack and `context` at
/// the handler.
///
/// # Errors
/// There is no room for the frame, no handler at the address, or no sense in the restartable
/// sequence that is interrupted; only the stack may have changed.
pub(super) fn push(
    thread: &'static Thread,
    context: &mut UserContext,
    signal: Signal,
    action: Action,
    cause: Cause,
    exception: Option<Exception>,
) -> Result<(), BadAddress> {
    rseq::leave_section(thread, context)?;
    let process = thread.process();
    let alternate = thread.alternate_stack.get();
    let rsp = context.stack_pointer();
    let is_inside = alternate.is_used_at(rsp);
    let switches = action.flags.contains(ActionFlags::ON_STACK) && alternate.is_free_at(rsp);
    let top = match switches {
        true => alternate.end(),
        false => rsp.wrapping_sub(RED_ZONE),
    };
    let fx = top.wrapping_sub(float_state::size()) & !(float_state::ALIGNMENT - 1);
    // As after a call: aligned but for the return address.
    let frame = fx.wrapping_sub(FRAME_WORDS as u64 * WORD) & !(STACK_ALIGNMENT - 1);
    let frame = frame.wrapping_sub(WORD);
    if (switches || is_inside) && !alternate.contains(frame) {
        return Err(BadAddress);
    }
    let blocked = thread.blocked_signals.get();
    let before = thread.saved_blocked_signals.get().unwrap_or(blocked);
    let mut words = [0; FRAME_WORDS];
    words[0] = action.restorer;
    words[CONTEXT] = SAVES_SS | float_state::context_flag();
    words[CONTEXT_STACK..][..3].copy_from_slice(&alternate.words());
    words[CONTEXT_MACHINE..][..WORDS].copy_from_slice(&context.machine_state(exception, fx));
    words[CONTEXT_BLOCKED] = before.0;
    words[INFO..].copy_from_slice(&cause.info(signal));
    let space = process.space();
    float_state::push(&space, fx, context)?;
    UserPtr::new(frame).write(&space, &words)?;
    let place = |word: usize| frame.wrapping_add(word as u64 * WORD);
    let arguments = [signal.number().into(), place(INFO), place(CONTEXT)];
    context
        .call(action.handler, arguments, frame)
        .map_err(|_| BadAddress)?;
    start_anew();
    thread.saved_blocked_signals.set(None);
    let mut blocked = Signals(blocked.0 | action.mask.0);
    if !action.flags.contains(ActionFlags::NO_DEFER) {
        blocked = blocked.with(signal);
    }
    set_blocked(thread, blocked);
    if alternate.flags & linux::SS_AUTODISARM != 0 {
        thread.alternate_stack.set(AlternateStack::NONE);
    }
    Ok(())
}

/// Resets the handler of a signal that is called only once; what else was said about it stays.
pub(super) fn reset_if_wanted(process: &Process, signal: Signal, action: Action) {
    if action.flags.contains(ActionFlags::RESET_HANDLER) {
        let handler = Action::DEFAULT_HANDLER;
        let reset = process.set_action(signal, Action { handler, ..action });
        reset.expect("a handler has its place");
    }
}

/// Lets the current thread's program handle its own fault, of an instruction or a system
/// call; whether it does. A fault whose signal is blocked cannot be pended.
pub fn handle_fault(
    context: &mut UserContext,
    signal: Signal,
    cause: Cause,
    exception: Option<Exception>,
) -> bool {
    let thread = current_thread();
    let process = thread.process();
    match process.reaction(signal) {
        Reaction::Call(action) if !thread.blocked_signals.get().contains(signal) => {
            reset_if_wanted(process, signal, action);
            push(thread, context, signal, action, cause, exception).is_ok()
        }
        _ => false,
    }
}

/// Restores the frame that [`push`] left below the stack pointer, which the program may
/// have changed. A state that is not valid in ring 3 is the program's fault.
pub fn return_from_handler(thread: &'static Thread, context: &mut UserContext) {
    if restore(thread, context).is_err()
        && !handle_fault(context, Signal::SIGSEGV, Cause::KERNEL, None)
    {
        exit::end_process(WaitStatus::killed(Signal::SIGSEGV));
    }
}

fn restore(thread: &'static Thread, context: &mut UserContext) -> Result<(), BadAddress> {
    let space = thread.process().space();
    let address = context.stack_pointer();
    let words: [u64; CONTEXT_WORDS] = UserPtr::new(address).read(&space)?;
    let mut machine: MachineState = [0; WORDS];
    machine.copy_from_slice(&words[CONTEXT_MACHINE - CONTEXT..][..WORDS]);
    let fx = match fx_address(&machine) {
        0 => {
            start_anew();
            None
        }
        fx => Some(float_state::restore(&space, fx)?),
    };
    context
        .set_machine_state(&machine, fx)
        .map_err(|_| BadAddress)?;
    set_blocked(thread, Signals(words[CONTEXT_BLOCKED - CONTEXT]));
    let mut stack = [0; 3];
    stack.copy_from_slice(&words[CONTEXT_STACK - CONTEXT..][..3]);
    // One that makes no sense changes nothing.
    let _ = thread.change_alternate_stack(stack, context.stack_pointer());
    Ok(())
}
