//! New processes and threads: the first one, and what `fork` and `clone` make.

mod request;

use core::cell::Cell;

use abi::Errno;
use abi::trace::wanted;
use arch::context::{Bases, Main};
use arch::trap::UserContext;
use arch::{clock, shared, trace};
use linux_raw_sys::general as linux;
use mm::{AddressSpace, OutOfMemory, Shared, kernel_stacks};
use single_cpu::SingleCpu;

use crate::proc::attributes::Attributes;
use crate::proc::capability::Capability;
use crate::proc::extended_state;
use crate::proc::limits::Limits;
use crate::proc::process::{INIT, Name, Process, Stage};
use crate::proc::program::Places;
use crate::proc::resources;
use crate::proc::rseq::Area;
use crate::proc::scheduler::{self, current, current_thread};
use crate::proc::scheduling::Scheduling;
use crate::proc::signal::{self, AlternateStack, Signal, Signals};
use crate::proc::table::{self, Slot};
use crate::proc::thread::{CpuTime, Thread};
use crate::proc::usage::Usage;

pub use request::{CloneFlags, Request};

/// What new threads run.
static MAIN: SingleCpu<Cell<Option<Main>>> = SingleCpu::new(Cell::new(None));

/// What the first process starts with.
pub struct First {
    /// Name of its program.
    pub name: Name,
    /// Its memory.
    pub space: AddressSpace,
    /// Its limits.
    pub limits: Limits,
    /// Where its arguments are.
    pub places: Places,
}

/// Makes the first process. It runs when the scheduler starts: `main`, as in all threads
/// from now on, then serves a program in state `context`.
///
/// # Errors
/// Memory is short.
pub fn first(first: First, context: &UserContext, main: Main) -> Result<&'static Process, Errno> {
    MAIN.set(Some(main));
    mm::spaces::find_by(visit_spaces);
    let slot = table::free_slot()?;
    let space = Shared::new(first.space)?;
    let extended_state = extended_state::for_new_thread()?;
    let stack = kernel_stacks::allocate()?;
    slot.thread.extended_state.replace(extended_state);
    let process = slot.process;
    process.group.set(slot.number);
    process.session.set(slot.number);
    process.name.set(first.name);
    process.places.set(first.places);
    process.set_limits(first.limits);
    let credentials = &current().credentials;
    let attributes = Attributes::INIT.of_program(credentials);
    process.attributes.set(attributes);
    slot.thread.alternate_stack.set(AlternateStack::NONE);
    slot.thread.set_scheduling(Scheduling::DEFAULT);
    process.credentials.become_as(credentials);
    begin_process(process, space);
    table::take(&slot);
    slot.thread
        .context
        .prepare(stack, context, Bases::ZERO, main);
    begin_thread(slot.thread, slot.number, process);
    Ok(process)
}

/// Calls `each` with the memory of each process.
fn visit_spaces(each: &mut dyn FnMut(&AddressSpace)) {
    for process in table::processes() {
        let space = process.space.borrow().clone();
        if let Some(space) = space {
            each(&space);
        }
    }
}

/// Makes a child of the current thread or its process, whose program is in state
/// `context`, and returns its number. The child finds a zero instead.
///
/// # Errors
/// EAGAIN: too many threads and processes. ENOMEM. EINVAL: an invalid combination of flags,
/// or an invalid address.
pub fn clone(context: &UserContext, request: &Request) -> Result<u32, Errno> {
    clone_with(context, request, |_| {})
}

/// The same, and calls `made` with the process of the child before that runs.
///
/// # Errors
/// As for [`clone`].
pub fn clone_with(
    context: &UserContext,
    request: &Request,
    made: impl FnOnce(&Process),
) -> Result<u32, Errno> {
    let flags = request.flags;
    let parent = current_thread();
    let process = parent.process();
    // Init's siblings would have nobody to wait for them.
    let has_no_parent = flags.contains(CloneFlags::SIBLING) && process.pid() == INIT;
    if !flags.make_sense() || has_no_parent {
        return Err(Errno::EINVAL);
    }
    check_limit(process)?;
    let slot = table::free_slot()?;
    parent.context.note_bases();
    let mut bases = parent.context.bases();
    if flags.contains(CloneFlags::STORAGE) {
        bases = bases.with_fs(request.storage).ok_or(Errno::EPERM)?;
    }
    let new = New {
        slot,
        context: context.of_child(request.stack),
        bases,
    };
    let child = if flags.contains(CloneFlags::THREAD) {
        new.prepare()?;
        process
    } else {
        fork(&new, request, process)?
    };
    let slot = new.slot;
    table::take(&slot);
    made(child);
    tell_number(&slot, request, child);
    inherit(parent, slot.thread, flags);
    begin_thread(slot.thread, slot.number, child);
    if flags.contains(CloneFlags::PARENT_WAITS) {
        lend_memory(parent, child);
    }
    Ok(slot.number)
}

/// Gives a new thread what it has from the one that makes it.
fn inherit(parent: &Thread, thread: &Thread, flags: CloneFlags) {
    thread.blocked_signals.set(parent.blocked_signals.get());
    // Who runs in the same memory has its own stack, and so must have another one of these.
    let runs_beside = flags & (CloneFlags::MEMORY | CloneFlags::PARENT_WAITS) == CloneFlags::MEMORY;
    let alternate_stack = match runs_beside {
        true => AlternateStack::NONE,
        false => parent.alternate_stack.get(),
    };
    thread.alternate_stack.set(alternate_stack);
    let area = match flags.contains(CloneFlags::MEMORY) {
        true => Area::NONE,
        false => parent.area.get(),
    };
    thread.area.set(area);
    thread.area_cpu.set(parent.area_cpu.get());
    thread.cpus.set(parent.cpus.get());
    thread.set_scheduling(parent.scheduling().of_child());
    thread.name.set(parent.name());
}

/// Whether the user of `process` may have one thread more. Nothing but the table limits the
/// superuser.
///
/// # Errors
/// EAGAIN.
fn check_limit(process: &Process) -> Result<(), Errno> {
    let limit = process.limits().soft(linux::RLIMIT_NPROC);
    let is_free = process.may(Capability::SysResource) || process.may(Capability::SysAdmin);
    if (table::in_use() as u64) < limit || is_free {
        return Ok(());
    }
    let user = process.credentials.users().real;
    let own = table::processes().filter(|process| process.credentials.users().real == user);
    // One that is only to be reaped counts too.
    let threads = own.map(|process| process.threads().count().max(1));
    match user == 0 || (threads.sum::<usize>() as u64) < limit {
        true => Ok(()),
        false => Err(Errno::EAGAIN),
    }
}

/// A child in the making.
struct New {
    slot: Slot,
    context: UserContext,
    bases: Bases,
}

impl New {
    /// Gives its thread a stack, as the last thing that can fail.
    fn prepare(&self) -> Result<(), OutOfMemory> {
        let extended_state = extended_state::for_new_thread()?;
        let stack = kernel_stacks::allocate()?;
        let thread = self.slot.thread;
        thread.extended_state.replace(extended_state);
        thread
            .context
            .prepare(stack, &self.context, self.bases, main());
        Ok(())
    }
}

/// What new threads run.
pub(super) fn main() -> Main {
    MAIN.get().expect("the first process has been made")
}

/// Makes the process of a child.
fn fork(new: &New, request: &Request, parent: &'static Process) -> Result<&'static Process, Errno> {
    let flags = request.flags;
    let space = if flags.contains(CloneFlags::MEMORY) {
        parent.space()
    } else {
        let own = parent.space();
        let space = own.fork()?;
        own.part(&space, new.context.stack_pointer());
        Shared::new(space)?
    };
    let actions = match request.has_no_handlers {
        true => parent.actions_of_program()?,
        false => parent.actions_of_child(flags.contains(CloneFlags::SIGNALS))?,
    };
    let names = match flags.contains(CloneFlags::OWN_NAMES) {
        true => Some(parent.with_names(|names| names.duplicate())?),
        false => parent.own_names(),
    };
    let child = new.slot.process;
    let resources = resources::keeper();
    resources.inherit(parent, child, flags)?;
    new.prepare().inspect_err(|_| resources.release(child))?;
    child.group.set(parent.group());
    child.session.set(parent.session());
    child.name.set(current_thread().name());
    child.places.set(parent.places());
    child.set_limits(parent.limits());
    child.attributes.set(parent.attributes().of_child());
    child.credentials.become_as(&parent.credentials);
    child.actions.replace(actions);
    if names.is_some() {
        child.set_names(names);
    }
    begin_process(child, space);
    child.end_signal.set(request.end_signal);
    let parent = match parent.parent.get() {
        Some(grandparent) if flags.contains(CloneFlags::SIBLING) => {
            child.end_signal.set(parent.end_signal.get());
            grandparent
        }
        _ => parent,
    };
    child.parent.set(Some(parent));
    parent.children.push_back(child);
    shared::count(&shared::PAGE.forks);
    Ok(child)
}

/// Fills in what is the same for every new process; it has its number.
fn begin_process(process: &Process, space: Shared<AddressSpace>) {
    process.started.set(clock::counter());
    process.children_usage.set(Usage::NONE);
    process.faults.set(0);
    process.peak.set(0);
    process.ended_time.set(CpuTime::ZERO);
    process.end.set(None);
    process.cpu_alarms.clear();
    process.end_signal.set(Some(Signal::SIGCHLD));
    process.is_stopped.set(false);
    process.news.set(None);
    *process.space.borrow_mut() = Some(space);
    process.stage.set(Stage::Alive);
}

/// Fills in what is the same for every new thread and lets it run.
pub(super) fn begin_thread(thread: &'static Thread, tid: u32, process: &'static Process) {
    thread.tid.set(tid);
    thread.process.set(Some(process));
    thread.meter.clear();
    thread.credit.set(0);
    thread.attention.set(false);
    thread.doomed.set(false);
    thread.awaited_signals.set(Signals::EMPTY);
    thread.saved_blocked_signals.set(None);
    thread.interrupted_call.set(None);
    thread.wait_deadline.set(None);
    thread.robust_list.set(0);
    thread.owns_futexes.set(false);
    process.members.push_back(thread);
    table::note_start();
    if trace::wants(wanted::PROCS) {
        super::trace::start(thread);
    }
    scheduler::add(thread);
}

/// Puts the child's number where the request wants it. A bad address is ignored, as in
/// Linux.
fn tell_number(slot: &Slot, request: &Request, child: &Process) {
    let number = slot.number.to_le_bytes();
    let flags = request.flags;
    if flags.contains(CloneFlags::TELL_PARENT) {
        let _ = current_thread()
            .process()
            .space()
            .put(request.parent_tid, &number);
    }
    if flags.contains(CloneFlags::TELL_CHILD) {
        let _ = child.space().put(request.child_tid, &number);
    }
    slot.thread
        .clear_at_end
        .set(if flags.contains(CloneFlags::CLEAR_AT_END) {
            request.child_tid
        } else {
            0
        });
}

/// Waits until `child`, which uses the memory of `thread`, the current one, needs it no
/// more; or until the thread is to end. Other signals wait as well.
fn lend_memory(thread: &'static Thread, child: &'static Process) {
    child.lender.set(Some(thread));
    thread.has_lent_memory.set(true);
    while thread.has_lent_memory.get() {
        if signal::will_end(thread) {
            // The child still has the memory, so it is still there.
            child.lender.set(None);
            thread.has_lent_memory.set(false);
        } else {
            scheduler::block(None);
        }
    }
}
