//! What the threads of a run may still ask of the host: so little that a guest which breaks out
//! of its machine finds nothing to do with it.
//!
//! ```text
//!   thread                     system calls (calls)                  files (files)
//!   vcpuN     runs the guest   ioctls of KVM, streams, timer,        what --root and --dir name,
//!                              files if the guest has some           to read; --save, to make
//!   events    main             the event loop, the report            none
//!   watcher   ending,terminal  poll, sleep, settings of a terminal   none
//!   maker     main of compare, what vCPUs and events have, KVM's     KVM, what --root, --dir and
//!             check, bench,    set-up, threads that confine          --file name and terminals
//!             info --check     themselves further                    for output
//! ```
//!
//! Each thread confines itself before the first guest instruction, for good: filters belong to
//! threads, and none can be lifted. All that a run needs is open by then. Three walls, of which
//! each stands without the others:
//! - a list of system calls, arguments checked, for each kind of thread (seccomp);
//! - no way to files but to those of the guest (Landlock, where the host's kernel has it);
//! - no capabilities but those by which a superuser's guest reads others' files.
//!
//! A call that is not on the list ends the process, with a line that names it (violation).
//! Rejected: to end the thread, whose machine would go on; another process that opens files for
//! this one, which would make each look-up of a name two switches of processes.

mod calls;
mod files;
mod list;
mod violation;

use std::io;
use std::path::PathBuf;

use caps::{CapSet, Capability, CapsHashSet};
use serde::Serialize;

use crate::cpu::HostKind;

pub use calls::allowed;
pub use list::Allowed;
pub use violation::before_the_end;

/// How much of the sandbox is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All of it.
    #[default]
    Full,
    /// All but Landlock.
    Seccomp,
    /// Nothing.
    None,
}

/// Which sandbox the threads of a run have; by default all of it, for the run's own threads.
///
/// What a program that uses the library has called on these threads (the writer of an
/// [`Output`](crate::Output), a [`TraceSink`](crate::trace::TraceSink)) is confined too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// How much of it.
    pub level: Level,
    /// Whether the thread that calls [`Vm::run`](crate::Vm::run) is confined too, for good, as
    /// suits a process that has nothing else to do; else the run has another thread for its
    /// events.
    pub caller: bool,
}

/// What is in force in a run: what is wanted, as far as the host has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// What was wanted.
    pub level: Level,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// The version of Landlock's interface; `None` where it is not used.
    pub landlock: Option<u32>,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs vCPUs.
    Vcpu,
    /// It serves events, and puts the report together.
    Events,
    /// It waits, and ends the process or sets its terminal.
    Watcher,
    /// It makes machines one after another, and starts the threads of each run.
    Maker,
}

/// What a machine needs of the host while it runs.
#[derive(Clone, Debug)]
pub struct Needs {
    /// What runs it.
    pub host: HostKind,
    /// Whether the process is another program's, whose heap has parts for threads: when one of
    /// them first gives memory back, the C library looks at a setting in /proc, and does without.
    pub heaps: bool,
    /// Whether the guest has files of the host.
    pub files: bool,
    /// Folders of the host that it reads.
    pub reads: Vec<PathBuf>,
    /// Folders of the host in which things are made.
    pub makes: Vec<PathBuf>,
    /// Terminals and pipes with a name that output goes to: they are opened anew.
    pub outputs: Vec<PathBuf>,
}

impl Needs {
    /// No files.
    pub const NONE: Self = Self {
        host: HostKind::Emulator,
        heaps: false,
        files: false,
        reads: Vec::new(),
        makes: Vec::new(),
        outputs: Vec::new(),
    };
}

/// A wall that the host refuses to build.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox cannot be made ({wall}: {why}): --sandbox none runs without")]
pub struct SandboxError {
    wall: &'static str,
    why: String,
}

impl SandboxError {
    fn of(wall: &'static str, why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        Self { wall, why }
    }
}

impl Sandbox {
    /// Whether there is one.
    pub fn is_wanted(self) -> bool {
        self.level != Level::None
    }

    /// What of it this host has.
    pub fn in_force(self) -> InForce {
        let full = self.level == Level::Full;
        InForce {
            level: self.level,
            seccomp: self.is_wanted() && calls::are_available(),
            landlock: full.then(files::version).flatten(),
        }
    }
}

impl InForce {
    /// None.
    pub const NONE: Self = Self {
        level: Level::None,
        seccomp: false,
        landlock: None,
    };

    /// Confines the calling thread to what `role` needs, for good.
    ///
    /// # Errors
    /// The host refuses what it has.
    pub fn confine(self, role: Role, needs: &Needs) -> Result<(), SandboxError> {
        if self.landlock.is_some() {
            files::confine(role, needs).map_err(|error| SandboxError::of("Landlock", error))?;
        }
        if self.level != Level::None {
            drop_capabilities(role, needs)
                .map_err(|error| SandboxError::of("capabilities", error))?;
        }
        if self.seccomp {
            violation::catch(role).map_err(|error| SandboxError::of("SIGSYS", error))?;
            calls::confine(role, needs).map_err(|error| SandboxError::of("seccomp", error))?;
        }
        Ok(())
    }

    /// What the host lacks of what is wanted, in words.
    pub fn lacks(&self) -> Option<&'static str> {
        match (self.level, self.seccomp, self.landlock) {
            (Level::None, ..) | (Level::Seccomp, true, _) | (Level::Full, true, Some(_)) => None,
            (Level::Seccomp, false, _) => Some("filters of system calls (seccomp)"),
            (Level::Full, true, None) => Some("Landlock (Linux 5.13)"),
            (Level::Full, false, Some(_)) => Some("filters of system calls (seccomp)"),
            (Level::Full, false, None) => Some("seccomp and Landlock"),
        }
    }
}

/// Gives up what the superuser, if it is one, may do more than others, but for the way to files.
fn drop_capabilities(role: Role, needs: &Needs) -> Result<(), caps::errors::CapsError> {
    let held = caps::read(None, CapSet::Permitted)?;
    let mut kept = CapsHashSet::new();
    if role != Role::Watcher && needs.files {
        kept.insert(Capability::CAP_DAC_READ_SEARCH);
    }
    if role != Role::Watcher && !needs.makes.is_empty() {
        kept.insert(Capability::CAP_DAC_OVERRIDE);
    }
    if role == Role::Maker {
        // vCPUs' threads begin to count instructions, and then give it up.
        kept.insert(Capability::CAP_PERFMON);
    }
    kept.retain(|capability| held.contains(capability));
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

/// Makes the process one that leaves no core dump and that others of its user cannot look into.
///
/// # Errors
/// None that is known.
pub fn forbid_dumps() -> io::Result<()> {
    // SAFETY: it touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests;
