//! The options that say what the VMM may do of the host once a guest runs.

use std::fs;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use clap::ValueEnum;
use vmm::sandbox::{self, Level, Needs, Role, Sandbox};
use vmm::vm::VmError;

use super::{CliError, complain, complain_at_the_end, terminal};

/// The walls around the VMM.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Sandbox")]
pub struct SandboxArgs {
    /// What confines the VMM while a guest runs: lists of system calls and Landlock, the lists
    /// alone, or nothing. What the host lacks of it is said once
    #[arg(long, value_enum, default_value_t = Walls::Full)]
    sandbox: Walls,
    /// Leave no core dump, and let no other process of this user look into this one
    #[arg(long)]
    no_dump: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Walls {
    Full,
    Seccomp,
    None,
}

impl SandboxArgs {
    /// The sandbox of a run; `caller` says whether the process has nothing to do but that.
    pub fn sandbox(self, caller: bool) -> Sandbox {
        let level = match self.sandbox {
            Walls::Full => Level::Full,
            Walls::Seccomp => Level::Seccomp,
            Walls::None => Level::None,
        };
        Sandbox { level, caller }
    }

    /// Says what the host lacks; the last thing before a run.
    ///
    /// # Errors
    /// The host does not forbid dumps.
    pub fn prepare(self) -> Result<(), CliError> {
        sandbox::before_the_end(terminal::restore);
        say_what_is_missing(self.sandbox(true));
        if self.no_dump {
            sandbox::forbid_dumps()?;
        }
        Ok(())
    }
}

/// Says what of a sandbox the host lacks, if it lacks something.
pub fn say_what_is_missing(sandbox: Sandbox) {
    if let Some(missing) = sandbox.in_force().lacks() {
        complain(&format_args!(
            "the sandbox is not whole: this host has no {missing}"
        ));
    }
}

/// Confines this thread, which makes machines, if there is a sandbox.
///
/// # Errors
/// The host refuses what it has.
pub fn confine_maker(sandbox: Sandbox, mut needs: Needs) -> Result<(), CliError> {
    let streams = [libc::STDOUT_FILENO, libc::STDERR_FILENO];
    let names = streams.iter().filter_map(|stream| {
        let name = fs::read_link(format!("/proc/self/fd/{stream}")).ok();
        name.filter(|name| name.is_absolute())
    });
    needs.outputs.extend(names);
    let confined = sandbox.in_force().confine(Role::Maker, &needs);
    Ok(confined.map_err(VmError::from)?)
}

/// Threads that wait for something and have not confined themselves yet.
static UNCONFINED: Mutex<usize> = Mutex::new(0);
/// Signalled when there is one less.
static CONFINED: Condvar = Condvar::new();

/// Starts a thread that waits for something, confined if there is a sandbox.
///
/// # Errors
/// The host is out of threads.
pub fn start_watcher(
    name: &str,
    sandbox: Sandbox,
    watch: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    // It counts before the thread can have ended counting.
    let mut unconfined = unconfined();
    let builder = thread::Builder::new().name(name.into());
    builder.spawn(move || {
        confine_watcher(sandbox);
        *self::unconfined() -= 1;
        CONFINED.notify_all();
        watch();
    })?;
    *unconfined += 1;
    Ok(())
}

/// Waits until all such threads have confined themselves: no guest runs before.
pub fn wait_for_watchers() {
    let is_waited_for = |unconfined: &mut usize| *unconfined > 0;
    let waited = CONFINED.wait_while(unconfined(), is_waited_for);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
}

fn unconfined() -> MutexGuard<'static, usize> {
    UNCONFINED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn confine_watcher(sandbox: Sandbox) {
    if let Err(error) = sandbox.in_force().confine(Role::Watcher, &Needs::NONE) {
        complain_at_the_end(&error);
        // SAFETY: ends the process, as a run does whose threads cannot be confined.
        unsafe { libc::_exit(super::FAILURE.into()) };
    }
}
