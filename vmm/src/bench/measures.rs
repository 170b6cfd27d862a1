//! The measures, in the order of the tables.

use super::exits::Exit;
use crate::near::{did_you_mean, near};

/// How a measure is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An exit of machine code without a kernel.
    Exit(Exit),
    /// An operation of the bundled program `operations`.
    Operation {
        /// Its name there.
        name: &'static str,
        /// How many of what is measured one of them is.
        parts: u64,
    },
    /// An operation of the bundled program `between`, which takes two CPUs.
    Between(&'static str),
    /// Work that the bundled program `scale` divides among CPUs, by its name there, also in
    /// processes of the host.
    Scale {
        /// Its name there.
        name: &'static str,
        /// How many work, for each CPU.
        workers: u32,
    },
    /// A loop of the bundled program `loops`, also as a process of the host.
    Loop(&'static str),
    /// From the start of a process that runs `hello` to the first instruction in ring 3.
    ColdStart,
    /// From the start of that process to its end.
    ColdExit,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its name: lmbench's where that has it.
    pub name: &'static str,
    /// What one operation is.
    pub about: &'static str,
    /// How it is taken.
    pub kind: Kind,
    /// Operations in a sample.
    pub count: u64,
}

const fn exit(name: &'static str, about: &'static str, exit: Exit) -> Measure {
    Measure {
        name,
        about,
        kind: Kind::Exit(exit),
        count: 2000,
    }
}

const fn operation(
    name: &'static str,
    about: &'static str,
    operation: &'static str,
    count: u64,
) -> Measure {
    let kind = Kind::Operation {
        name: operation,
        parts: 1,
    };
    Measure {
        name,
        about,
        kind,
        count,
    }
}

const fn between(
    name: &'static str,
    about: &'static str,
    operation: &'static str,
    count: u64,
) -> Measure {
    Measure {
        name,
        about,
        kind: Kind::Between(operation),
        count,
    }
}

const fn scale(
    name: &'static str,
    about: &'static str,
    name_there: &'static str,
    workers: u32,
) -> Measure {
    let kind = Kind::Scale {
        name: name_there,
        workers,
    };
    Measure {
        name,
        about,
        kind,
        count: 1,
    }
}

const fn ring_3(name: &'static str, about: &'static str, name_there: &'static str) -> Measure {
    Measure {
        name,
        about,
        kind: Kind::Loop(name_there),
        count: 1,
    }
}

/// All measures.
pub const MEASURES: &[Measure] = &[
    exit(
        "exit_pio_out",
        "out to a port without a device",
        Exit::PioOut,
    ),
    exit(
        "exit_pio_in",
        "in from a port without a device",
        Exit::PioIn,
    ),
    exit("exit_mmio_read", "read where no memory is", Exit::MmioRead),
    exit(
        "exit_mmio_write",
        "write where no memory is",
        Exit::MmioWrite,
    ),
    exit("exit_hlt", "hlt, and back at once", Exit::Hlt),
    exit(
        "hlt_wake",
        "hlt, and another thread wakes the VMM",
        Exit::HltWake,
    ),
    operation("call", "call of a function", "call", 200_000),
    operation("lat_syscall_null", "getpid by syscall", "getpid", 2000),
    operation(
        "lat_syscall_null_int80",
        "getpid by int 0x80",
        "getpid_int80",
        2000,
    ),
    operation(
        "lat_syscall_write",
        "write of a byte to /dev/null",
        "write_null",
        1000,
    ),
    operation("store", "store of a byte", "store", 200_000),
    operation(
        "write_each",
        "byte to the console, by a write of its own",
        "write",
        500,
    ),
    operation(
        "bw_console",
        "byte to the console, one write for all",
        "write_batch",
        4000,
    ),
    Measure {
        name: "lat_ctx",
        about: "switch to another process, by sched_yield",
        kind: Kind::Operation {
            name: "yield",
            parts: 2,
        },
        count: 500,
    },
    operation("lat_pipe", "byte to another process and back", "pipe", 50),
    operation("lat_proc_fork", "fork, exit, wait", "fork", 20),
    operation("lat_proc_exec", "fork, execve, exit, wait", "exec", 10),
    operation("lat_pagefault", "first touch of a page", "touch", 500),
    operation("lat_thread", "thread made and joined", "thread", 50),
    between(
        "lat_ipi",
        "another CPU interrupted and in the kernel (membarrier)",
        "interrupt",
        100,
    ),
    between(
        "lat_shootdown",
        "mprotect of a page that another CPU uses, and back",
        "shootdown",
        50,
    ),
    between(
        "lat_wake",
        "futex wake of a thread of another, idle CPU, and back",
        "wake",
        50,
    ),
    scale(
        "scale_processes",
        "a process for each CPU, of 40 million dependent steps",
        "processes",
        1,
    ),
    scale(
        "scale_threads",
        "two threads for each CPU, which sum parts of an array",
        "threads",
        2,
    ),
    ring_3(
        "ring3_dependent",
        "loop of 20 million dependent steps",
        "dependent",
    ),
    ring_3("ring3_sieve", "sieve of eight million numbers", "sieve"),
    ring_3("ring3_fib", "fib(32): calls and returns", "fib"),
    Measure {
        name: "cold_start",
        about: "process start to ring 3",
        kind: Kind::ColdStart,
        count: 1,
    },
    Measure {
        name: "cold_exit",
        about: "process start to its end, for hello",
        kind: Kind::ColdExit,
        count: 1,
    },
];

/// An unknown name of a measure.
#[derive(Debug, thiserror::Error)]
#[error("no measure {name:?}{}; see `vmm bench --list`", did_you_mean(.near))]
pub struct UnknownMeasure {
    name: String,
    near: Vec<&'static str>,
}

impl Measure {
    /// The measure of this name.
    ///
    /// # Errors
    /// There is none; the error says which are called alike.
    pub fn find(name: &str) -> Result<&'static Self, UnknownMeasure> {
        let found = MEASURES.iter().find(|measure| measure.name == name);
        found.ok_or_else(|| UnknownMeasure {
            name: name.to_owned(),
            near: near(name, MEASURES.iter().map(|measure| measure.name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MEASURES, Measure};

    #[test]
    fn every_name_is_found_and_there_once() {
        for measure in MEASURES {
            assert_eq!(Measure::find(measure.name).ok(), Some(measure));
        }
    }

    #[test]
    fn a_near_name_is_suggested() {
        let error = Measure::find("lat_pip").expect_err("there is none");
        assert!(
            error
                .to_string()
                .starts_with("no measure \"lat_pip\" (did you mean lat_pipe")
        );
    }
}
