//! The loop in which every process spends its life: run the program, serve its trap.

use crate::arch::trap::{Trap, UserContext};
use crate::{proc, syscall};

/// Serves the current process until it ends.
pub extern "C" fn serve(context: &'static mut UserContext) -> ! {
    loop {
        match context.run() {
            Trap::Syscall => syscall::serve(&mut context.registers),
            Trap::Interrupt(number) => proc::scheduler::interrupt(number),
            Trap::Exception(exception) => proc::exception::handle(exception),
        }
    }
}
