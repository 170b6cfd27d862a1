//! Running another program in a process: the last part of `execve`, which cannot fail.

use abi::Errno;
use abi::trace::wanted;
use arch::context::Bases;
use arch::trace;
use arch::trap::UserContext;
use mm::{AddressSpace, Shared, kernel_stacks};

use crate::proc::credentials::Rights;
use crate::proc::exit;
use crate::proc::extended_state::start_anew;
use crate::proc::futex;
use crate::proc::posix_timer;
use crate::proc::process::{Name, Process};
use crate::proc::program::Start;
use crate::proc::resources;
use crate::proc::rseq::Area;
use crate::proc::scheduler::current_thread;
use crate::proc::signal::{Actions, AlternateStack, Signal};
use crate::proc::spawn;
use crate::proc::table;
use crate::proc::thread::Thread;
use crate::proc::wait_queue::Interrupted;
use crate::proc::wait_status::WaitStatus;

/// A program that is ready to run.
pub struct Loaded {
    /// Its name.
    pub name: Name,
    /// Its memory, stack included.
    pub space: AddressSpace,
    /// Where it starts.
    pub start: Start,
    /// Whose rights it has.
    pub rights: Rights,
}

/// Makes `program` the program of the current process, and `context` its state. Other
/// threads end first; open files that are not to be inherited are closed.
///
/// # Errors
/// ENOMEM; EINTR if the process is to end.
pub fn replace_program(program: Loaded, context: &mut UserContext) -> Result<(), Errno> {
    let thread = current_thread();
    let process = thread.process();
    let space = Shared::new(program.space)?;
    let actions = process.actions_of_program()?;
    // Before others end, since nothing may fail after that.
    let first = match thread.tid() == process.pid() {
        true => None,
        false => {
            let first = table::first_thread(process.pid()).ok_or(Errno::ESRCH)?;
            Some((first, kernel_stacks::allocate()?))
        }
    };
    if let Err(interrupted) = end_others(process, thread) {
        if let Some((_, stack)) = first {
            kernel_stacks::release(stack);
        }
        return Err(interrupted.into());
    }
    let user = UserContext::new(program.start.entry, program.start.stack);
    let Some((first, stack)) = first else {
        replace_memory(process, space, actions, &program.start, program.name);
        change_rights(process, program.rights);
        thread.alternate_stack.set(AlternateStack::NONE);
        thread.area.set(Area::NONE);
        thread.context.use_bases(Bases::ZERO);
        start_anew();
        thread.extended_state.take();
        *context = user;
        return Ok(());
    };
    // The program runs in the process's first thread, which has ended: nobody else has
    // used its slot, since the process has the number.
    replace_memory(process, space, actions, &program.start, program.name);
    change_rights(process, program.rights);
    first
        .context
        .prepare(stack, &user, Bases::ZERO, spawn::main());
    first.blocked_signals.set(thread.blocked_signals.get());
    first.set_scheduling(thread.scheduling());
    first.cpus.set(thread.cpus.get());
    first.clear_at_end.set(0);
    first.alternate_stack.set(AlternateStack::NONE);
    first.area.set(Area::NONE);
    spawn::begin_thread(first, process.pid(), process);
    exit::end_thread(WaitStatus::exited(0))
}

/// Ends the other threads of a process, and waits until they have.
///
/// # Errors
/// The process is to end.
fn end_others(process: &Process, thread: &'static Thread) -> Result<(), Interrupted> {
    while process.has_other_threads(thread) {
        exit::doom_others(thread);
        process.thread_ended.sleep()?;
    }
    Ok(())
}

fn replace_memory(
    process: &'static Process,
    space: Shared<AddressSpace>,
    actions: Option<Shared<Actions>>,
    start: &Start,
    name: Name,
) {
    futex::thread_ends(current_thread());
    posix_timer::delete_all(process);
    space.activate();
    process.note_frames(process.space().frames());
    let old = process.space.replace(Some(space));
    drop(old);
    exit::return_memory(process);
    drop(process.actions.replace(actions));
    process.end_signal.set(Some(Signal::SIGCHLD));
    resources::keeper().change_program(process);
    process.set_name(name);
    process.places.set(start.places);
    if trace::wants(wanted::PROCS) {
        super::trace::exec(name);
    }
}

/// Whoever has the rights of another program has its capabilities.
fn change_rights(process: &Process, rights: Rights) {
    process.credentials.change_program(rights);
    process.change_attributes(|own| *own = own.of_program(&process.credentials));
}
