//! The vCPUs' threads: what each does before and after its run loop.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use vmm_sys_util::eventfd::EventFd;

use super::gate::Gate;
use crate::control::{Control, StopReason};
use crate::cpu::HostKind;
use crate::host_instructions::{HostInstructions, InstructionCounter};
use crate::run_loop::{End, RunLoop};
use crate::sandbox::{InForce, Needs, Role, SandboxError};

/// A loop that its thread has left, how the run ended, if this was the last one, and what the
/// host has counted.
pub type Left = (RunLoop, Option<End>, Option<HostInstructions>);

/// A thread, unless it could not confine itself.
pub type VcpuThread = JoinHandle<Result<Left, SandboxError>>;

/// What all of them share.
#[derive(Clone)]
pub struct Shared {
    pub control: Arc<Control>,
    /// For each thread, and the one of events.
    pub gate: Arc<Gate>,
    pub sandbox: InForce,
    pub needs: Arc<Needs>,
    /// On which kind of host its instructions are counted, if they are.
    pub counted: Option<HostKind>,
}

/// Starts a thread for each of `loops`. `done` is signalled when all have ended.
///
/// # Errors
/// The host is out of threads; those that were started have ended then.
pub fn start(loops: Vec<RunLoop>, shared: &Shared, done: &EventFd) -> io::Result<Vec<VcpuThread>> {
    let signal_done = Arc::new(SignalOnDrop(done.try_clone()?));
    let mut threads = Vec::new();
    for (number, run_loop) in loops.into_iter().enumerate() {
        // The last thing that it does, whatever ends the thread.
        let leaving = Leaving(shared.clone(), Arc::clone(&signal_done));
        let builder = thread::Builder::new().name(format!("vcpu{number}"));
        match builder.spawn(move || run(run_loop, number, &leaving)) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                shared.control.stop(StopReason::Timeout);
                shared.gate.open();
                for thread in threads {
                    let _ = thread.join();
                }
                return Err(error);
            }
        }
    }
    Ok(threads)
}

fn run(
    mut run_loop: RunLoop,
    number: usize,
    Leaving(shared, _): &Leaving,
) -> Result<Left, SandboxError> {
    // Before the guest can halt: a kick that finds no thread to wake is lost.
    shared.control.attach(number, thread::current());
    let counter = shared.counted.map(InstructionCounter::start);
    let confined = shared.sandbox.confine(Role::Vcpu, &shared.needs);
    shared.gate.pass();
    confined?;
    let end = run_loop.run();
    Ok((run_loop, end, counter.map(InstructionCounter::finish)))
}

/// Ends the run when it goes out of scope: a thread that panics does not leave others behind, nor
/// waiting for it.
struct Leaving(Shared, #[allow(dead_code)] Arc<SignalOnDrop>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.control.end();
        self.0.gate.open();
    }
}

/// Signals an event when it goes out of scope, whatever the reason.
struct SignalOnDrop(EventFd);

impl Drop for SignalOnDrop {
    fn drop(&mut self) {
        // Fails only if the counter is full, and then the event is signalled.
        let _ = self.0.write(1);
    }
}
