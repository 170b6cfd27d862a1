//! What there is in `/proc`: a row for each file (Linux, proc(5)).

use crate::fs::device::ENTROPY;
use crate::fs::events::inotify;
use crate::fs::events::queue;
use crate::fs::namespace::NamespaceKind;
use crate::fs::proc_files::process_text::ProcessText as Text;
use crate::fs::proc_files::text::SystemText::{self, Fixed, Number};
use crate::fs::proc_files::{ProcFile, ProcLink};
use crate::proc::ipc::{self, messages, semaphores, shared_memory};
use crate::proc::settings::Setting;
use crate::proc::{system, table};

/// A name in a directory of `/proc`.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry(pub &'static [u8], pub ProcFile);

/// A name in the directory of a process or thread, and what it is for the one with a number.
pub type Row = (&'static [u8], fn(u32) -> ProcFile);

const fn text(name: &'static [u8], text: SystemText) -> Entry {
    Entry(name, ProcFile::System(text))
}

const fn directory(name: &'static [u8], entries: &'static [Entry]) -> Entry {
    Entry(name, ProcFile::Directory(entries))
}

/// `/proc`.
pub const ROOT: &[Entry] = &[
    text(b"cmdline", Fixed("\n")),
    text(b"cpuinfo", SystemText::Processors),
    text(b"devices", Fixed(DEVICES)),
    text(b"filesystems", Fixed(FILE_SYSTEMS)),
    text(b"interrupts", Fixed("           CPU0       \n")),
    text(b"loadavg", SystemText::Loads),
    text(b"meminfo", SystemText::Memory),
    Entry(b"mounts", ProcFile::Path(b"self/mounts")),
    text(b"partitions", Fixed("major minor  #blocks  name\n\n")),
    Entry(b"self", ProcFile::Current),
    text(b"stat", SystemText::Counts),
    text(
        b"swaps",
        Fixed("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    ),
    directory(b"sys", SYS),
    directory(b"sysvipc", SYSVIPC),
    Entry(b"thread-self", ProcFile::CurrentThread),
    text(b"uptime", SystemText::Uptime),
    text(b"version", SystemText::Version),
];

const FILE_SYSTEMS: &str =
    "nodev\trootfs\nnodev\tproc\nnodev\ttmpfs\nnodev\tdevtmpfs\nnodev\tdevpts\n";

/// The kinds of file systems that `/proc/filesystems` lists.
pub fn file_systems() -> impl Iterator<Item = &'static str> {
    let lines = FILE_SYSTEMS.lines();
    lines.filter_map(|line| line.split('\t').nth(1))
}

const DEVICES: &str = "Character devices:\n  1 mem\n  4 ttyS\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n";

const SYSVIPC: &[Entry] = &[
    text(b"msg", SystemText::Queues),
    text(b"sem", SystemText::Sets),
    text(b"shm", SystemText::Segments),
];

const SYS: &[Entry] = &[
    directory(b"fs", SYS_FS),
    directory(b"kernel", SYS_KERNEL),
    directory(b"net", SYS_NET),
    directory(b"vm", SYS_VM),
];

const SYS_FS: &[Entry] = &[
    text(b"file-max", SystemText::MostFiles),
    text(b"file-nr", SystemText::OpenFiles),
    directory(b"mqueue", SYS_FS_MQUEUE),
    directory(b"inotify", SYS_FS_INOTIFY),
    text(b"nr_open", Number(crate::fs::FILE_LIMIT as u64)),
    text(b"pipe-max-size", SystemText::Setting(Setting::PipeSize)),
    // No limits.
    text(b"pipe-user-pages-hard", Number(0)),
    text(b"pipe-user-pages-soft", Number(0)),
];

const SYS_FS_INOTIFY: &[Entry] = &[
    text(b"max_queued_events", Number(inotify::MAX_EVENTS as u64)),
    text(
        b"max_user_instances",
        SystemText::Setting(Setting::InotifyQueues),
    ),
    text(b"max_user_watches", Number(inotify::MAX_WATCHES as u64)),
];

const SYS_FS_MQUEUE: &[Entry] = &[
    text(b"msg_default", Number(queue::MESSAGES_MAX)),
    text(b"msg_max", Number(queue::MESSAGES_MAX)),
    text(b"msgsize_default", Number(queue::SIZE_MAX)),
    text(b"msgsize_max", Number(queue::SIZE_MAX)),
    text(b"queues_max", SystemText::Setting(Setting::MessageQueues)),
];

/// Semaphores of a set and in all, operations of a call, sets.
const SEMAPHORES: &str = "250\t125000\t500\t500";
const _: () = assert!(semaphores::MOST == 250 && semaphores::MOST_OPERATIONS == 500);
const _: () = assert!(ipc::SLOTS == 500);

const SYS_KERNEL: &[Entry] = &[
    text(
        b"cap_last_cap",
        Number(linux_raw_sys::general::CAP_LAST_CAP as u64),
    ),
    text(b"core_pattern", SystemText::Line("core")),
    text(b"hostname", SystemText::HostName),
    text(b"domainname", SystemText::DomainName),
    text(b"msgmax", Number(messages::LONGEST)),
    text(b"msgmnb", Number(messages::ROOM)),
    text(b"msgmni", SystemText::Setting(Setting::Queues)),
    text(b"ngroups_max", Number(65_536)),
    text(b"osrelease", SystemText::Line(system::RELEASE)),
    text(b"ostype", SystemText::Line(system::KERNEL_NAME)),
    text(b"overflowgid", Number(65_534)),
    text(b"overflowuid", Number(65_534)),
    text(b"pid_max", Number(table::MAX_NUMBER as u64)),
    directory(b"random", SYS_KERNEL_RANDOM),
    text(b"randomize_va_space", Number(0)),
    text(b"sem", SystemText::Line(SEMAPHORES)),
    text(b"shmall", Number(shared_memory::MOST)),
    text(b"shmmax", SystemText::Setting(Setting::SegmentSize)),
    text(b"shmmni", SystemText::Setting(Setting::Segments)),
    text(b"tainted", Number(0)),
    text(b"threads-max", SystemText::MostThreads),
    text(b"version", SystemText::Line(system::VERSION)),
];

const SYS_KERNEL_RANDOM: &[Entry] = &[
    text(b"boot_id", SystemText::BootId),
    text(b"entropy_avail", Number(ENTROPY as u64)),
    text(b"poolsize", Number(ENTROPY as u64)),
    text(b"uuid", SystemText::Uuid),
];

const SYS_NET: &[Entry] = &[
    directory(b"core", &[text(b"somaxconn", Number(4096))]),
    directory(b"ipv4", SYS_NET_IPV4),
];

const SYS_NET_IPV4: &[Entry] = &[text(
    b"ip_unprivileged_port_start",
    Number(crate::fs::socket::FIRST_FREE_TO_ALL as u64),
)];

const SYS_VM: &[Entry] = &[
    text(b"max_map_count", Number(mm::mapping::MAX_AREAS as u64)),
    text(b"mmap_min_addr", Number(mm::mapping::LOWEST)),
    text(b"overcommit_memory", Number(0)),
    text(b"overcommit_ratio", Number(50)),
    text(b"swappiness", Number(60)),
];

macro_rules! rows {
    ($($name:literal: $file:expr,)*) => {
        &[$(($name, |id| $file(id))),*]
    };
}

/// `/proc/PID`.
pub const PROCESS: &[Row] = rows! {
    b"auxv": |id| ProcFile::OfProcess(Text::Auxiliary, id),
    b"cgroup": |id| ProcFile::OfProcess(Text::Fixed("0::/\n"), id),
    b"cmdline": |id| ProcFile::OfProcess(Text::Arguments, id),
    b"comm": |id| ProcFile::OfProcess(Text::Comm, id),
    b"cwd": |id| ProcFile::Link(ProcLink::Directory(id)),
    b"environ": |id| ProcFile::OfProcess(Text::Environment, id),
    b"exe": |id| ProcFile::Link(ProcLink::Program(id)),
    b"fd": ProcFile::Descriptors,
    b"fdinfo": ProcFile::DescriptorTexts,
    b"io": |id| ProcFile::OfProcess(Text::InputOutput, id),
    b"limits": |id| ProcFile::OfProcess(Text::Limits, id),
    b"maps": |id| ProcFile::OfProcess(Text::Areas, id),
    b"mem": ProcFile::Memory,
    b"mountinfo": |id| ProcFile::OfProcess(Text::MountFacts, id),
    b"mounts": |id| ProcFile::OfProcess(Text::Mounts, id),
    b"ns": ProcFile::Namespaces,
    b"oom_score": |id| ProcFile::OfProcess(Text::Fixed("0\n"), id),
    b"oom_score_adj": |id| ProcFile::OfProcess(Text::OomAdjustment, id),
    b"root": |id| ProcFile::Link(ProcLink::Root(id)),
    b"smaps": |id| ProcFile::OfProcess(Text::AreasInDetail, id),
    b"stat": |id| ProcFile::OfProcess(Text::Stat, id),
    b"statm": |id| ProcFile::OfProcess(Text::Memory, id),
    b"status": |id| ProcFile::OfProcess(Text::Status, id),
    b"task": ProcFile::Threads,
};

/// `/proc/PID/task/TID`.
pub const THREAD: &[Row] = rows! {
    b"comm": |id| ProcFile::OfProcess(Text::Comm, id),
    b"stat": |id| ProcFile::OfProcess(Text::Stat, id),
    b"status": |id| ProcFile::OfProcess(Text::Status, id),
};

/// `/proc/PID/ns`.
pub const NAMESPACES: &[Row] = rows! {
    b"mnt": |id| ProcFile::Link(ProcLink::Namespace(id, NamespaceKind::Mounts)),
    b"uts": |id| ProcFile::Link(ProcLink::Namespace(id, NamespaceKind::Names)),
};
