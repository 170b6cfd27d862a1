//! Job control, for a shell: process groups, of which one at a time has the terminal.
//!
//! Where standard input is no terminal there are no groups, and nothing stops.

use core::ffi::CStr;
use core::fmt;

use linux_raw_sys::general as linux;

use crate::file::{Fd, STDIN};
use crate::process::{self, Pid};
use crate::signal;
use crate::syscall::{Result, call};
use crate::terminal::{self, foreground, set_foreground};

/// Most jobs that are kept.
const MAX: usize = 8;
const NAME_MAX: usize = 32;

/// Signals that the terminal sends to jobs, and a shell must ignore.
const IGNORED: [u32; 5] = [
    linux::SIGINT,
    linux::SIGQUIT,
    linux::SIGTSTP,
    linux::SIGTTIN,
    linux::SIGTTOU,
];

/// Whether a descriptor stands for a terminal: only that has settings.
pub fn is_terminal(fd: Fd) -> bool {
    terminal::settings(fd).is_ok()
}

/// Moves a process, this one or a child, to a process group.
pub fn set_group(pid: Pid, group: Pid) -> Result<()> {
    // SAFETY: touches no memory.
    unsafe { call(linux::__NR_setpgid, [pid.into(), group.into()]) }.map(drop)
}

/// Makes this process the leader of a new session, and of a group in it.
pub fn begin_session() -> Result<()> {
    // SAFETY: touches no memory.
    unsafe { call::<0>(linux::__NR_setsid, []) }.map(drop)
}

/// Sends a signal to a process group.
pub fn kill_group(group: Pid, signal: u32) -> Result<()> {
    let everyone = -i64::from(group);
    // SAFETY: touches no memory of this process.
    unsafe { call(linux::__NR_kill, [everyone as u64, signal.into()]) }.map(drop)
}

/// A command line's processes.
#[derive(Clone, Copy)]
pub struct Job {
    /// Their process group: the number of the first.
    pub group: Pid,
    /// The last of them, whose end is the job's.
    pub last: Pid,
    /// Whether it has been stopped.
    pub is_stopped: bool,
    name: [u8; NAME_MAX],
}

impl Job {
    /// The job of these processes, called `name`.
    pub fn new(group: Pid, last: Pid, name: &CStr) -> Self {
        let mut job = Self {
            group,
            last,
            is_stopped: false,
            name: [0; NAME_MAX],
        };
        // A zero is left at the end.
        for (to, from) in job.name[..NAME_MAX - 1].iter_mut().zip(name.to_bytes()) {
            *to = *from;
        }
        job
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = CStr::from_bytes_until_nul(&self.name).unwrap_or(c"");
        let state = if self.is_stopped {
            "stopped"
        } else {
            "running"
        };
        write!(f, "{state} {}", name.to_str().unwrap_or("?"))
    }
}

/// A shell's jobs that are not in the foreground.
pub struct Jobs {
    /// The shell's own process group, if it controls jobs.
    own: Option<Pid>,
    jobs: [Option<Job>; MAX],
}

impl Jobs {
    /// No jobs; they are controlled if standard input is a terminal and `wanted`.
    pub fn new(wanted: bool) -> Self {
        let own = foreground(STDIN).ok().filter(|_| wanted);
        if own.is_some() {
            // They are signals that can be ignored.
            for number in IGNORED {
                let _ = signal::ignore(number);
            }
        }
        Self {
            own,
            jobs: [None; MAX],
        }
    }

    /// Whether jobs are controlled.
    pub fn are_controlled(&self) -> bool {
        self.own.is_some()
    }

    /// Puts a process into the job's group. Shell and child both do so, whoever is first;
    /// it may have ended already.
    pub fn place(&self, pid: Pid, group: Pid, in_background: bool) {
        if self.own.is_some() {
            let _ = set_group(pid, group);
            if !in_background {
                let _ = set_foreground(STDIN, group);
            }
        }
    }

    /// What a child does first: joins the job that has this group, or begins its own.
    pub fn join(&self, group: Option<Pid>, in_background: bool) {
        let pid = process::id();
        self.place(pid, group.unwrap_or(pid), in_background);
        if self.own.is_some() {
            // As above.
            for number in IGNORED {
                let _ = signal::set_default(number);
            }
        }
    }

    /// Gives the terminal back to the shell.
    pub fn take_terminal(&self) {
        if let Some(own) = self.own {
            // It is its own terminal, and SIGTTOU is ignored.
            let _ = set_foreground(STDIN, own);
        }
    }

    /// Whether there is no place for one more.
    pub fn are_full(&self) -> bool {
        self.jobs.iter().all(Option::is_some)
    }

    /// Whether there are jobs, and all of them are stopped.
    pub fn are_all_stopped(&self) -> bool {
        let mut jobs = self.jobs.iter().flatten().peekable();
        jobs.peek().is_some() && jobs.all(|job| job.is_stopped)
    }

    /// Keeps a job and returns its number; none if there are too many.
    pub fn add(&mut self, job: Job) -> Option<usize> {
        let place = self.jobs.iter().position(Option::is_none)?;
        self.jobs[place] = Some(job);
        Some(place + 1)
    }

    /// Takes out the job with this number, or the latest.
    pub fn take(&mut self, number: Option<usize>) -> Option<Job> {
        let latest = self.jobs.iter().rposition(Option::is_some);
        let place = match number {
            Some(number) => number.checked_sub(1),
            None => latest,
        };
        self.jobs.get_mut(place?)?.take()
    }

    /// A child has ended, or stopped.
    pub fn note(&mut self, child: Pid, has_stopped: bool) {
        for job in &mut self.jobs {
            match job {
                Some(it) if it.last == child && has_stopped => it.is_stopped = true,
                Some(it) if it.last == child => *job = None,
                _ => {}
            }
        }
    }

    /// All of them, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Job)> {
        (1..)
            .zip(&self.jobs)
            .filter_map(|(number, job)| Some((number, (*job)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Job, Jobs, MAX};

    #[test]
    fn jobs_are_taken_by_number_or_the_latest() {
        let mut jobs = Jobs {
            own: None,
            jobs: [None; MAX],
        };
        for pid in 2..5 {
            assert_eq!(jobs.add(Job::new(pid, pid, c"x")), Some(pid as usize - 1));
        }
        jobs.note(3, true);
        assert!(jobs.take(Some(2)).is_some_and(|job| job.is_stopped));
        assert!(jobs.take(Some(2)).is_none() && jobs.take(Some(0)).is_none());
        jobs.note(4, false);
        assert_eq!(
            jobs.iter().map(|(number, _)| number).collect::<Vec<_>>(),
            [1]
        );
        assert!(jobs.take(None).is_some_and(|job| job.last == 2));
        assert!(jobs.take(None).is_none());
    }

    #[test]
    fn places_run_out_and_all_can_be_stopped() {
        let mut jobs = Jobs {
            own: None,
            jobs: [None; MAX],
        };
        assert!(!jobs.are_all_stopped());
        for pid in 2..2 + MAX as u32 {
            assert!(!jobs.are_full());
            assert!(jobs.add(Job::new(pid, pid, c"x")).is_some());
            assert!(!jobs.are_all_stopped());
        }
        assert!(jobs.are_full() && jobs.add(Job::new(99, 99, c"x")).is_none());
        (2..2 + MAX as u32).for_each(|pid| jobs.note(pid, true));
        assert!(jobs.are_all_stopped());
    }

    #[test]
    fn long_names_are_cut() {
        let job = Job::new(1, 1, c"a-name-of-more-than-thirty-one-letters");
        assert_eq!(job.to_string(), "running a-name-of-more-than-thirty-one-");
    }
}
