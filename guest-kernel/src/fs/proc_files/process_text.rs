//! The texts of `/proc` about a process.

use core::fmt::{self, Write};
use core::ops::Range;

use abi::Errno;
use arch::clock;
use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{AddressSpace, Shared};

use crate::fs::events::Event;
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::proc_files::areas_text;
use crate::fs::proc_files::mounts_text;
use crate::fs::proc_files::text::NS_PER_USER_TICK;
use crate::fs::proc_files::window::Window;
use crate::fs::{process_files, terminal};
use crate::proc::limits::INFINITY;
use crate::proc::process::{Name, Process, Stage};
use crate::proc::scheduler::CpuMask;
use crate::proc::signal::{Action, Signal, Signals};
use crate::proc::thread::{State, Thread};
use crate::proc::{scheduler, table};

/// Text about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessText {
    /// One that is the same for all.
    Fixed(&'static str),
    /// Its arguments, each with its zero.
    Arguments,
    /// Its environment, likewise.
    Environment,
    /// Its auxiliary vector.
    Auxiliary,
    /// The name of its program, or of a thread.
    Comm,
    /// How much rather than others it should be ended when memory is short.
    OomAdjustment,
    /// What it has read and written, which nobody counts.
    InputOutput,
    /// Everything in one line.
    Stat,
    /// Its memory in pages, in one line.
    Memory,
    /// What people want to know, line by line.
    Status,
    /// Its limits.
    Limits,
    /// The mounts that it sees.
    Mounts,
    /// The same, with all that there is to say of each.
    MountFacts,
    /// Its memory areas.
    Areas,
    /// The same, with what is in memory of each.
    AreasInDetail,
}

const INPUT_OUTPUT: &str = "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\n\
    write_bytes: 0\ncancelled_write_bytes: 0\n";

impl ProcessText {
    /// Whether only the owner may open it.
    pub fn is_owners(self) -> bool {
        matches!(
            self,
            Self::Environment | Self::Auxiliary | Self::InputOutput
        )
    }

    /// Whether only those may read it who may look into the process.
    pub fn is_private(self) -> bool {
        self.is_owners() || matches!(self, Self::Areas | Self::AreasInDetail)
    }

    /// Writes it.
    ///
    /// # Errors
    /// There is no memory.
    pub fn write(self, process: &Process, id: u32, to: &mut Window) -> Result<fmt::Result, Errno> {
        let places = process.places();
        Ok(match self {
            Self::Fixed(text) => to.write_str(text),
            Self::Arguments => {
                push_memory(process, places.arguments..places.environment, to);
                Ok(())
            }
            Self::Environment => {
                push_memory(process, places.environment..places.environment_end, to);
                Ok(())
            }
            Self::Auxiliary => {
                let end = places.auxiliary + places.auxiliary_len;
                push_memory(process, places.auxiliary..end, to);
                Ok(())
            }
            Self::Comm => {
                to.push(name_of(process, id).bytes());
                to.write_str("\n")
            }
            Self::OomAdjustment => writeln!(to, "{}", process.attributes().oom_adjustment),
            Self::InputOutput => to.write_str(INPUT_OUTPUT),
            Self::Stat => write_stat(process, id, to),
            Self::Memory => {
                let Memory { size, resident, .. } = memory(process);
                writeln!(to, "{} {resident} 0 0 0 {resident} 0", size / PAGE)
            }
            Self::Status => write_status(process, id, to),
            Self::Limits => write_limits(process, to),
            Self::Mounts => return mounts_text::write(process, to, false),
            Self::MountFacts => return mounts_text::write(process, to, true),
            Self::Areas => return areas_text::write(process, to, false),
            Self::AreasInDetail => return areas_text::write(process, to, true),
        })
    }
}

/// The name of a process or of a thread of it.
fn name_of(process: &Process, id: u32) -> Name {
    table::thread(id).map_or_else(|| process.name(), Thread::name)
}

/// Bytes of a page.
pub const PAGE: u64 = FRAME_SIZE as u64;

/// The memory of a process that has some.
pub fn space(process: &Process) -> Option<Shared<AddressSpace>> {
    process.is_alive().then(|| process.space())
}

fn push_memory(process: &Process, range: Range<u64>, to: &mut Window) {
    if let Some(space) = space(process) {
        to.push_memory(&space, range.start, range.end.saturating_sub(range.start));
    }
}

/// How much memory a process uses.
#[derive(Default)]
struct Memory {
    /// Bytes that it may use.
    size: u64,
    /// Frames that it takes.
    resident: u64,
}

fn memory(process: &Process) -> Memory {
    let space = space(process);
    space.map_or_else(Memory::default, |space| Memory {
        size: space.size(),
        resident: space.frames(),
    })
}

/// All fields of proc_pid_stat(5); those that this kernel does not have are 0.
fn write_stat(process: &Process, id: u32, to: &mut dyn Write) -> fmt::Result {
    let (parent, group) = (process.parent_pid(), process.group());
    let name = name_of(process, id);
    let (state, _) = state(process, id);
    let session = process.session();
    let terminal = terminal::of_session(session);
    let (device, foreground) = terminal.map_or((0, -1), |terminal| {
        let number = terminal.number();
        let [minor_low, minor_high] = [number.minor & 0xff, number.minor & !0xff];
        let device = minor_low | number.major << 8 | minor_high << 12;
        (device, i64::from(terminal.foreground()))
    });
    write!(to, "{id} ({name}) {state} {parent} {group} {session}")?;
    // Flags, and faults of four kinds.
    write!(to, " {device} {foreground} 0 0 0 0 0")?;
    let (own, children) = (process.cpu_time(), process.children_cpu_time());
    for time in [own.user, own.system, children.user, children.system] {
        write!(to, " {}", clock::ns(time) / NS_PER_USER_TICK)?;
    }
    let threads = process.threads().count();
    let started = clock::at_ns(process.started()) / NS_PER_USER_TICK;
    // Priority, niceness, threads, an interval timer, when it started.
    write!(to, " 20 0 {threads} 0 {started}")?;
    let Memory { size, resident } = memory(process);
    write!(
        to,
        " {size} {resident} {}",
        process.limits().soft(linux::RLIMIT_RSS)
    )?;
    let places = process.places();
    let heap = space(process).map_or(0, |space| space.heap().start);
    // Code, stack, and where in them it is.
    write!(to, " 0 0 {} 0 0", places.stack)?;
    let [pending, blocked, ignored, caught] = signals(process).map(|signals| signals.0);
    write!(to, " {pending} {blocked} {ignored} {caught}")?;
    // Where it waits, swaps, its last signal, CPU, priorities, waits for disks, guests, data.
    write!(to, " 0 0 0 {} 0 0 0 0 0 0 0 0", linux::SIGCHLD)?;
    write!(to, " {heap} {} {}", places.arguments, places.environment)?;
    let end = places.environment_end;
    let code = match process.stage() {
        Stage::Zombie(status) => status.word(),
        _ => 0,
    };
    writeln!(to, " {} {end} {code}", places.environment)
}

/// The state of a process's thread with this number, as a letter and in words. What is said of the
/// process is that of its first one, which may have ended before the others.
fn state(process: &Process, id: u32) -> (char, &'static str) {
    let thread = process.threads().find(|thread| thread.tid() == id);
    match (process.stage(), thread.map(Thread::state)) {
        (Stage::Zombie(_) | Stage::Unused, _) | (_, None) => ('Z', "zombie"),
        _ if process.is_stopped() => ('T', "stopped"),
        (_, Some(State::Running | State::Runnable)) => ('R', "running"),
        _ => ('S', "sleeping"),
    }
}

/// The numbers of the bits that are set, and the end of the line.
fn write_ranges(to: &mut dyn Write, mut bits: u32) -> fmt::Result {
    let mut separator = "";
    while bits != 0 {
        let start = bits.trailing_zeros();
        let end = start + (bits >> start).trailing_ones();
        match end - start {
            1 => write!(to, "{separator}{start}")?,
            _ => write!(to, "{separator}{start}-{}", end - 1)?,
        }
        separator = ",";
        bits &= u32::MAX.checked_shl(end).unwrap_or(0);
    }
    writeln!(to)
}

/// Signals that are pending, blocked by its first thread, ignored and caught.
fn signals(process: &Process) -> [Signals; 4] {
    let first = process.threads().next();
    let blocked = first.map_or(Signals::EMPTY, |thread| thread.blocked_signals());
    let set = |is_in: &dyn Fn(Signal) -> bool| {
        let all = Signals(u64::MAX).iter();
        Signals(
            all.filter(|&signal| is_in(signal))
                .fold(0, |set, signal| set | 1 << (signal.number() - 1)),
        )
    };
    let ignored = set(&|signal| process.action(signal).handler == Action::IGNORE);
    let caught = set(&|signal| process.catches(signal));
    [process.pending(), blocked, ignored, caught]
}

fn write_status(process: &Process, id: u32, to: &mut dyn Write) -> fmt::Result {
    let (pid, parent) = (process.pid(), process.parent_pid());
    let (letter, word) = state(process, id);
    let surroundings = process_files::surroundings(process);
    let mask = surroundings.map_or(0, |surroundings| surroundings.mask());
    writeln!(to, "Name:\t{}\nUmask:\t{mask:04o}", name_of(process, id))?;
    writeln!(to, "State:\t{letter} ({word})\nTgid:\t{pid}\nNgid:\t0")?;
    writeln!(to, "Pid:\t{id}\nPPid:\t{parent}\nTracerPid:\t0")?;
    let credentials = &process.credentials;
    for (name, ids) in [("Uid", credentials.users()), ("Gid", credentials.groups())] {
        let (real, effective) = (ids.real, ids.effective);
        writeln!(
            to,
            "{name}:\t{real}\t{effective}\t{}\t{}",
            ids.saved, ids.files
        )?;
    }
    write!(to, "FDSize:\t64\nGroups:\t")?;
    if let Some(others) = credentials.others() {
        others.iter().try_for_each(|id| write!(to, "{id} "))?;
    }
    writeln!(to)?;
    writeln!(to, "NStgid:\t{pid}\nNSpid:\t{pid}")?;
    writeln!(
        to,
        "NSpgid:\t{}\nNSsid:\t{}",
        process.group(),
        process.session()
    )?;
    if process.is_alive() {
        let Memory { size, resident } = memory(process);
        let (size, resident) = (size / 1024, resident * PAGE / 1024);
        let locked = space(process).map_or(0, |space| space.locked());
        for (name, kib) in [
            ("VmPeak", size),
            ("VmSize", size),
            ("VmLck", locked / 1024),
            ("VmPin", 0),
            ("VmHWM", resident),
            ("VmRSS", resident),
            ("RssAnon", resident),
            ("RssFile", 0),
            ("RssShmem", 0),
            ("VmSwap", 0),
        ] {
            writeln!(to, "{name}:\t{kib:>8} kB")?;
        }
    }
    writeln!(to, "Threads:\t{}", process.threads().count())?;
    let [pending, blocked, ignored, caught] = signals(process).map(|signals| signals.0);
    writeln!(to, "SigQ:\t0/0\nSigPnd:\t{:016x}", 0)?;
    for (name, signals) in [
        ("ShdPnd", pending),
        ("SigBlk", blocked),
        ("SigIgn", ignored),
        ("SigCgt", caught),
    ] {
        writeln!(to, "{name}:\t{signals:016x}")?;
    }
    let attributes = process.attributes();
    let held = attributes.capabilities;
    for (name, capabilities) in [
        ("CapInh", held.inheritable),
        ("CapPrm", held.permitted),
        ("CapEff", held.effective),
        ("CapBnd", held.bounding),
        ("CapAmb", 0),
    ] {
        writeln!(to, "{name}:\t{capabilities:016x}")?;
    }
    let no_new = u8::from(attributes.no_new_privileges);
    writeln!(
        to,
        "NoNewPrivs:\t{no_new}\nSeccomp:\t0\nSeccomp_filters:\t0"
    )?;
    let first = process.threads().next();
    let cpus = first.map_or(CpuMask::MAX, Thread::cpus) & scheduler::all_cpus();
    write!(to, "Cpus_allowed:\t{cpus:x}\nCpus_allowed_list:\t")?;
    write_ranges(to, cpus)?;
    writeln!(to, "Mems_allowed:\t1\nMems_allowed_list:\t0")?;
    writeln!(
        to,
        "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0"
    )
}

fn write_limits(process: &Process, to: &mut dyn Write) -> fmt::Result {
    /// Names and units, by number.
    const LIMITS: [(&str, &str); 16] = [
        ("cpu time", "seconds"),
        ("file size", "bytes"),
        ("data size", "bytes"),
        ("stack size", "bytes"),
        ("core file size", "bytes"),
        ("resident set", "bytes"),
        ("processes", "processes"),
        ("open files", "files"),
        ("locked memory", "bytes"),
        ("address space", "bytes"),
        ("file locks", "locks"),
        ("pending signals", "signals"),
        ("msgqueue size", "bytes"),
        ("nice priority", ""),
        ("realtime priority", ""),
        ("realtime timeout", "us"),
    ];
    let (soft, hard, units) = ("Soft Limit", "Hard Limit", "Units");
    writeln!(to, "{:<25} {soft:<20} {hard:<20} {units:<10}", "Limit")?;
    for (number, (name, unit)) in (0..).zip(LIMITS) {
        let Some(limit) = process.limits().get(number) else {
            continue;
        };
        write!(to, "Max {name:<21}")?;
        for value in [limit.soft, limit.hard] {
            match value {
                INFINITY => write!(to, " {:<20}", "unlimited")?,
                value => write!(to, " {value:<20}")?,
            }
        }
        writeln!(to, " {unit:<10}")?;
    }
    Ok(())
}

/// What there is to say of an open file.
///
/// # Errors
/// `to` is full.
pub fn write_descriptor(file: &OpenFile, to: &mut dyn Write) -> fmt::Result {
    let number = file.node().map_or(0, |node| node.number());
    writeln!(to, "pos:\t{}\nflags:\t0{:o}", file.offset(), file.flags())?;
    let mount = file.opened().map_or(0, |opened| opened.mount.number());
    writeln!(to, "mnt_id:\t{mount}\nino:\t{number}")?;
    match file.object() {
        Object::Event(Event::Inotify(inotify)) => inotify.write_watches(to),
        Object::Event(Event::Process(process)) => {
            // As Linux tells of one that has been reaped.
            let pid = process
                .process()
                .map_or(-1, |process| i64::from(process.pid()));
            writeln!(to, "Pid:\t{pid}\nNSpid:\t{pid}")
        }
        _ => Ok(()),
    }
}
