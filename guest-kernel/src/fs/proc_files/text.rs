//! The texts of `/proc` about the system.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arch::identity::Identity;
use arch::{clock, processors, random, shared};
use mm::frames::{self, FRAME_SIZE};
use mm::free_frames;

use crate::fs::open_file;
use crate::fs::proc_files::ipc_text;
use crate::proc::current;
use crate::proc::process::Process;
use crate::proc::program::TICKS_PER_SECOND;
use crate::proc::settings::Setting;
use crate::proc::system;
use crate::proc::table;
use crate::proc::thread::{CpuTime, State};

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;
/// Nanoseconds in what times of processes are told in.
pub const NS_PER_USER_TICK: u64 = NS_PER_S / TICKS_PER_SECOND;
const FRAME_KIB: u64 = FRAME_SIZE as u64 / 1024;

/// Text about the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemText {
    /// One that never changes.
    Fixed(&'static str),
    /// A number that never changes.
    Number(u64),
    /// The processors.
    Processors,
    /// One that the superuser can change.
    Setting(Setting),
    /// System V's shared memory.
    Segments,
    /// Its queues of messages.
    Queues,
    /// Its sets of semaphores.
    Sets,
    /// Loads, which nobody measures, and how many threads there are.
    Loads,
    /// Seconds since boot, and seconds idle.
    Uptime,
    /// Memory in all, and free.
    Memory,
    /// Counts since boot.
    Counts,
    /// Threads that there can be.
    MostThreads,
    /// Open files, and how many there can be.
    OpenFiles,
    /// How many there can be.
    MostFiles,
    /// As `uname` has it, in a line.
    Version,
    /// A text, in a line.
    Line(&'static str),
    /// What the machine is called.
    HostName,
    /// Its domain.
    DomainName,
    /// A random number, as a UUID.
    Uuid,
    /// One that stays the same.
    BootId,
}

impl SystemText {
    /// Whether the superuser can write it.
    pub fn is_writable(self) -> bool {
        matches!(self, Self::Setting(_) | Self::HostName | Self::DomainName)
    }

    /// Writes it.
    ///
    /// # Errors
    /// `to` is full.
    pub fn write(self, to: &mut dyn Write) -> fmt::Result {
        match self {
            Self::Fixed(text) => to.write_str(text),
            Self::Number(number) => writeln!(to, "{number}"),
            Self::Processors => {
                (0..processors::count()).try_for_each(|number| write_processor(to, number))
            }
            Self::Setting(setting) => writeln!(to, "{}", setting.get()),
            Self::Segments => ipc_text::write_segments(to),
            Self::Queues => ipc_text::write_queues(to),
            Self::Sets => ipc_text::write_sets(to),
            Self::Loads => {
                let (running, all) = threads();
                let last = table::processes().map(Process::pid).max().unwrap_or(0);
                writeln!(to, "0.00 0.00 0.00 {running}/{all} {last}")
            }
            Self::Uptime => {
                let [up, idle] = [clock::now_ns(), idle_ns()].map(|ns| ns / (NS_PER_S / 100));
                let [up, idle] = [up, idle].map(|time| (time / 100, time % 100));
                writeln!(to, "{}.{:02} {}.{:02}", up.0, up.1, idle.0, idle.1)
            }
            Self::Memory => write_memory(to),
            Self::Counts => write_counts(to),
            Self::OpenFiles => writeln!(to, "{}\t0\t{}", open_file::count(), open_file::limit()),
            Self::MostThreads => writeln!(to, "{}", table::most()),
            Self::MostFiles => writeln!(to, "{}", open_file::limit()),
            Self::Version => {
                let (name, release) = (system::KERNEL_NAME, system::RELEASE);
                writeln!(
                    to,
                    "{name} version {release} (root@ringfence) {}",
                    system::VERSION
                )
            }
            Self::Line(text) => writeln!(to, "{text}"),
            Self::HostName => current().with_names(|names| write_name(&names.host, to)),
            Self::DomainName => current().with_names(|names| write_name(&names.domain, to)),
            Self::Uuid => write_uuid(to, [random::number(), random::number()]),
            Self::BootId => write_uuid(to, boot_id()),
        }
    }
}

/// Threads that run or could, and all.
fn threads() -> (usize, usize) {
    let states = || table::processes().flat_map(|process| process.threads().map(|t| t.state()));
    let runs = |state: &State| matches!(state, State::Running | State::Runnable);
    (states().filter(runs).count(), states().count())
}

/// What all processes have used. A child's time becomes its parent's when it is reaped, so
/// that none is lost.
fn used() -> CpuTime {
    table::processes().fold(CpuTime::ZERO, |sum, process| {
        sum.plus(process.cpu_time())
            .plus(process.children_cpu_time())
    })
}

fn idle_ns() -> u64 {
    let used = used();
    let all = clock::now_ns() * processors::count() as u64;
    all.saturating_sub(clock::ns(used.user + used.system))
}

fn write_memory(to: &mut dyn Write) -> fmt::Result {
    let [total, free] = [frames::total(), free_frames()].map(|n| n * FRAME_KIB);
    for (name, kib) in [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", total - free),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", total - free),
        ("Mapped", 0),
        ("Shmem", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("CommitLimit", total),
        ("Committed_AS", total - free),
    ] {
        let width = 24 - name.len();
        writeln!(to, "{name}: {kib:>width$} kB")?;
    }
    writeln!(to, "HugePages_Total:       0\nHugePages_Free:        0")?;
    writeln!(to, "Hugepagesize:       2048 kB")
}

fn write_counts(to: &mut dyn Write) -> fmt::Result {
    let used = used();
    let ticks = |ns: u64| ns / NS_PER_USER_TICK;
    let [user, system] = [used.user, used.system].map(|counts| ticks(clock::ns(counts)));
    let idle = ticks(idle_ns());
    writeln!(to, "cpu  {user} 0 {system} {idle} 0 0 0 0 0 0")?;
    // Nobody counts which CPU it was: each has its share.
    let cpus = processors::count() as u64;
    let [user, system, idle] = [user, system, idle].map(|all| all / cpus);
    for cpu in 0..cpus {
        writeln!(to, "cpu{cpu} {user} 0 {system} {idle} 0 0 0 0 0 0")?;
    }
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    let (running, _) = threads();
    writeln!(to, "intr {}", count(&shared::PAGE.timer_ticks))?;
    writeln!(to, "ctxt {}", count(&shared::PAGE.context_switches))?;
    writeln!(to, "btime {}", system::boot_time_ns() / NS_PER_S)?;
    // The first is made without a fork.
    writeln!(to, "processes {}", count(&shared::PAGE.forks) + 1)?;
    writeln!(to, "procs_running {running}\nprocs_blocked 0")
}

fn write_processor(to: &mut dyn Write, number: usize) -> fmt::Result {
    let cpus = processors::count();
    let processor = Identity::read();
    let vendor = core::str::from_utf8(&processor.vendor).unwrap_or("unknown");
    let brand = core::str::from_utf8(&processor.brand).unwrap_or("unknown");
    let brand = brand.trim_matches(['\0', ' ']);
    let [family, model, stepping] = processor.signature;
    let (mhz, rest) = (processor.khz / 1000, processor.khz % 1000);
    writeln!(to, "processor\t: {number}\nvendor_id\t: {vendor}")?;
    writeln!(to, "cpu family\t: {family}\nmodel\t\t: {model}")?;
    writeln!(to, "model name\t: {brand}\nstepping\t: {stepping}")?;
    writeln!(to, "cpu MHz\t\t: {mhz}.{rest:03}")?;
    writeln!(
        to,
        "physical id\t: 0\nsiblings\t: {cpus}\ncore id\t\t: {number}"
    )?;
    writeln!(
        to,
        "cpu cores\t: {cpus}\napicid\t\t: {number}\nfpu\t\t: yes"
    )?;
    write!(to, "flags\t\t:")?;
    for feature in processor.features() {
        write!(to, " {feature}")?;
    }
    let bogo = processor.khz / 500;
    writeln!(to, "\nbogomips\t: {bogo}.00\nclflush size\t: 64")?;
    writeln!(to, "cache_alignment\t: 64\n")
}

/// A random number, the first time it is asked for, and the same again.
fn boot_id() -> [u64; 2] {
    static ID: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    for word in &ID {
        if word.load(Relaxed) == 0 {
            word.store(random::number() | 1, Relaxed);
        }
    }
    ID.each_ref().map(|word| word.load(Relaxed))
}

/// A random UUID (RFC 9562, version 4).
fn write_uuid(to: &mut dyn Write, [high, low]: [u64; 2]) -> fmt::Result {
    const VERSION: u64 = 4 << 12;
    const VARIANT: u64 = 2 << 62;
    let high = high & !(0xf << 12) | VERSION;
    let low = low & !(3 << 62) | VARIANT;
    let (time, middle, version) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    let (sequence, node) = (low >> 48, low & 0xffff_ffff_ffff);
    writeln!(
        to,
        "{time:08x}-{middle:04x}-{version:04x}-{sequence:04x}-{node:012x}"
    )
}

fn write_name(name: &system::Name, to: &mut dyn Write) -> fmt::Result {
    name.with(|name| writeln!(to, "{}", name.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::{SystemText, write_uuid};

    #[test]
    fn memory_is_told_in_kib() {
        let mut text = String::new();
        assert!(SystemText::Memory.write(&mut text).is_ok());
        let mut lines = text.lines().map(|line| line.split_whitespace());
        let mut total = lines.next().expect("there is a first line");
        assert_eq!(total.next(), Some("MemTotal:"));
        assert_eq!((total.nth(1), total.next()), (Some("kB"), None));
    }

    #[test]
    fn uuids_say_that_they_are_random() {
        let mut text = String::new();
        assert!(write_uuid(&mut text, [u64::MAX, 0]).is_ok());
        assert_eq!(text, "ffffffff-ffff-4fff-8000-000000000000\n");
    }
}
