//! Waiting for children, and reaping them.

use core::ptr;

use abi::Errno;

use crate::proc::process::{Process, Stage};
use crate::proc::resources;
use crate::proc::scheduler::current;
use crate::proc::signal::Signal;
use crate::proc::table;
use crate::proc::usage::Usage;
use crate::proc::wait_status::WaitStatus;

/// Which children are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Any.
    Any,
    /// The one with this number.
    Pid(u32),
    /// Those in the group with this number.
    Group(u32),
}

impl Which {
    /// As `wait4`'s first argument has it; 0 means the group `own_group`.
    pub fn from_pid(pid: i32, own_group: u32) -> Self {
        match pid {
            -1 => Self::Any,
            0 => Self::Group(own_group),
            1.. => Self::Pid(pid.unsigned_abs()),
            _ => Self::Group(pid.unsigned_abs()),
        }
    }

    fn includes(self, child: &Process) -> bool {
        match self {
            Self::Any => true,
            Self::Pid(pid) => child.pid() == pid,
            Self::Group(group) => child.group() == group,
        }
    }
}

/// What is known of a child that has ended, stopped or gone on.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Its number.
    pub pid: u32,
    /// What has become of it.
    pub status: WaitStatus,
    /// Its user.
    pub user: u32,
    /// What it and its reaped children used.
    pub usage: Usage,
}

/// Which kinds of children are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChildKind {
    /// Those that send SIGCHLD at their end.
    #[default]
    Usual,
    /// Those that send nothing or something else.
    Other,
    /// Both.
    Any,
}

/// How to wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Come back at once if no child has ended.
    pub without_waiting: bool,
    /// Leave the child to be waited for again.
    pub keep: bool,
    /// Not for children that end.
    pub without_ends: bool,
    /// For children that stop as well.
    pub stops: bool,
    /// For children that go on after a stop as well.
    pub continues: bool,
    /// For which kinds of children.
    pub kind: ChildKind,
}

impl Options {
    fn includes(self, child: &Process) -> bool {
        let is_usual = child.end_signal.get() == Some(Signal::SIGCHLD);
        match self.kind {
            ChildKind::Usual => is_usual,
            ChildKind::Other => !is_usual,
            ChildKind::Any => true,
        }
    }
}

/// Waits until one of the current process's children that are meant has ended, or has done
/// what else is waited for; `None` if that would take waiting and is not wanted.
///
/// # Errors
/// ECHILD: there is no such child. RESTART: a signal came.
pub fn wait(which: Which, options: Options) -> Result<Option<Ended>, Errno> {
    let parent = current();
    loop {
        let mut is_any = false;
        // Those that have ended are in front.
        let ended = meant(parent, which, options)
            .next()
            .inspect(|_| is_any = true);
        let ended = ended.filter(|_| !options.without_ends);
        if let Some((child, status)) = ended.and_then(zombie) {
            let ended = Ended {
                pid: child.pid(),
                status,
                user: child.credentials.users().real,
                usage: child.usage().plus(child.children_usage()),
            };
            if !options.keep {
                let all = parent.children_usage().plus(ended.usage);
                parent.children_usage.set(all);
                release(child);
                resources::keeper().process_ended();
            }
            return Ok(Some(ended));
        }
        if !is_any {
            return Err(Errno::ECHILD);
        }
        if let Some(changed) = changed(parent, which, options) {
            return Ok(Some(changed));
        }
        if options.without_waiting {
            return Ok(None);
        }
        parent.child_ended.sleep()?;
    }
}

/// The children of a process that are meant. One with a number is not looked for among them:
/// there may be thousands.
fn meant(
    parent: &'static Process,
    which: Which,
    options: Options,
) -> impl Iterator<Item = &'static Process> {
    let is_meant = move |child: &&'static Process| which.includes(child) && options.includes(child);
    let is_own = |child: &&Process| child.parent.get().is_some_and(|own| ptr::eq(own, parent));
    let (one, all) = match which {
        Which::Pid(pid) => (table::process(pid).filter(is_own), None),
        Which::Any | Which::Group(_) => (None, Some(parent.children.iter())),
    };
    let children = one.into_iter().chain(all.into_iter().flatten());
    children.filter(is_meant)
}

/// A child that has stopped or gone on, if that is waited for.
fn changed(parent: &'static Process, which: Which, options: Options) -> Option<Ended> {
    let is_wanted = |news: &WaitStatus| match news.is_stop() {
        true => options.stops,
        false => options.continues,
    };
    if !options.stops && !options.continues {
        return None;
    }
    meant(parent, which, options).find_map(|child| {
        let status = child.news.get().filter(is_wanted)?;
        if !options.keep {
            child.news.set(None);
        }
        Some(Ended {
            pid: child.pid(),
            status,
            user: child.credentials.users().real,
            usage: child.usage().plus(child.children_usage()),
        })
    })
}

fn zombie(child: &'static Process) -> Option<(&'static Process, WaitStatus)> {
    match child.stage() {
        Stage::Zombie(status) => Some((child, status)),
        _ => None,
    }
}

/// Empties the slot of a process that has ended.
pub(super) fn release(process: &'static Process) {
    if let Some(parent) = process.parent.take() {
        parent.children.remove(process);
    }
    process.stage.set(Stage::Unused);
    table::release(process.pid());
    table::note_end();
}

#[cfg(test)]
mod tests {
    use super::Which;

    #[test]
    fn children_are_named_as_by_wait4() {
        assert_eq!(Which::from_pid(-1, 7), Which::Any);
        assert_eq!(Which::from_pid(0, 7), Which::Group(7));
        assert_eq!(Which::from_pid(5, 7), Which::Pid(5));
        assert_eq!(Which::from_pid(-5, 7), Which::Group(5));
        assert_eq!(Which::from_pid(i32::MIN, 7), Which::Group(1 << 31));
    }
}
