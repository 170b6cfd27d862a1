//! The loop of every thread: run the program, serve its trap.

use arch::trap::{Trap, UserMode};

use crate::proc;
use crate::syscall;

/// Serves the current thread until it ends.
pub extern "C" fn serve(context: &mut UserMode) -> ! {
    let (thread, process) = (proc::current_thread(), proc::current());
    proc::rseq::begin(thread);
    loop {
        proc::enter_ring_3(thread);
        context.run();
        proc::leave_ring_3(thread, process);
        match context.trap() {
            Trap::Syscall => syscall::serve(context),
            Trap::Interrupt(number) => proc::scheduler::interrupt(number),
            Trap::Exception(exception) => proc::exception::handle(exception, context),
        }
        if thread.needs_attention() {
            proc::signal::attend(thread, context);
        }
    }
}
