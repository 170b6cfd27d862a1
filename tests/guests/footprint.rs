//! Host memory of the VMM itself while a guest runs.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::Case;
use crate::support::{Running, Target, binary};

pub const CASES: &[Case] = &[("footprint", footprint), ("peak_memory", peak_memory)];

const KIB_PER_MIB: u64 = 1024;
/// The VMM's own memory, in KiB.
const LIMIT: u64 = 12 * KIB_PER_MIB;
/// What a short run may take at its worst moment beside what its guest touches, in KiB.
const PEAK_LIMIT: u64 = 40 * KIB_PER_MIB;
/// Guest memory in MiB: more than any other mapping of the VMM has.
const GUEST_MIB: u64 = 96;
const POLL: Duration = Duration::from_millis(200);
const POLLS: u32 = 150;

/// Starts `program` in a guest with [`GUEST_MIB`] of memory.
fn start(target: Target, program: &[&str]) -> Running {
    start_by(target, program, |command| command)
}

/// The same, by a command that `prepare` has had a hand in.
fn start_by(
    target: Target,
    program: &[&str],
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Running {
    let mut command = Command::new(binary());
    command
        .arg("run")
        .args(target.options())
        .args(["--memory", &format!("{GUEST_MIB}M")])
        .args(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = prepare(&mut command).spawn();
    Running(child.expect("the binary under test starts"))
}

/// The largest that `hello` makes the VMM, without what a guest with a program as small
/// touches.
fn peak_memory(target: Target) {
    let spinning = start(target, &["spin", "3600000"]);
    let (_, guest) = settled(spinning.0.id());
    drop(spinning);
    let traced = || match ptrace(libc::PTRACE_TRACEME, 0, 0) {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    let mut hello = start_by(target, &["hello"], |command| {
        // SAFETY: between fork and exec there is this one system call.
        unsafe { command.pre_exec(traced) }
    });
    let peak = peak_at_exit(hello.0.id());
    let status = hello.0.wait().expect("it is our child");
    assert!(status.success(), "hello: {status}");
    eprintln!("{target}: at most {peak} KiB, touched guest memory {guest} KiB");
    assert!(
        peak.saturating_sub(guest) < PEAK_LIMIT,
        "{peak} KiB with {guest} KiB of the guest"
    );
}

/// The most KiB that were ever resident of a child that we trace, which ends meanwhile.
///
/// `ru_maxrss` would not do: over `exec` it goes on from the most that the test had.
fn peak_at_exit(pid: u32) -> u64 {
    let pid = pid as libc::pid_t;
    let exits = libc::SIGTRAP | libc::PTRACE_EVENT_EXIT << 8;
    // It stops first when it has become the binary under test.
    stopped(pid);
    let options = ptrace(libc::PTRACE_SETOPTIONS, pid, libc::PTRACE_O_TRACEEXIT);
    assert_eq!(options, 0, "ptrace: {}", io::Error::last_os_error());
    let mut signal = 0;
    loop {
        ptrace(libc::PTRACE_CONT, pid, signal);
        let status = stopped(pid);
        if status >> 8 == exits {
            break;
        }
        signal = libc::WSTOPSIG(status);
    }
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(path).expect("it has not ended yet");
    ptrace(libc::PTRACE_DETACH, pid, 0);
    text.lines()
        .find_map(|line| kib(line, "VmHWM:"))
        .expect("a high water mark")
}

/// Waits until a child that we trace stops; its status.
fn stopped(pid: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    // SAFETY: the status is a local variable.
    let stopped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(stopped == pid && libc::WIFSTOPPED(status), "{status:#x}");
    status
}

/// A request that has nothing written to our memory.
fn ptrace(request: libc::c_uint, pid: libc::pid_t, data: libc::c_int) -> libc::c_long {
    let nowhere = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: see above; a wrong `pid` is an error.
    unsafe { libc::ptrace(request, pid, nowhere, libc::c_long::from(data)) }
}

fn footprint(target: Target) {
    let running = start(target, &["spin", "3600000"]);
    let (own, guest) = settled(running.0.id());
    eprintln!("{target}: VMM {own} KiB, touched guest memory {guest} KiB");
    assert!(own < LIMIT, "the VMM takes {own} KiB");
}

/// Resident KiB of the VMM and of its guest once the guest touches nothing new.
fn settled(pid: u32) -> (u64, u64) {
    let mut last = 0;
    for _ in 0..POLLS {
        thread::sleep(POLL);
        let (own, guest) = resident(pid);
        if guest > 0 && guest == last {
            return (own, guest);
        }
        last = guest;
    }
    panic!("the guest went on touching memory");
}

/// Resident KiB of the process without its guest's memory, and of that: the largest mapping.
/// What of the guest's memory is mapped from the binary counts as the process's.
fn resident(pid: u32) -> (u64, u64) {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("a running process");
    let (mut size, mut own, mut guest) = (0, 0, 0);
    for line in maps.lines() {
        if let Some(value) = kib(line, "Size:") {
            size = value;
        } else if let Some(value) = kib(line, "Rss:") {
            if size >= GUEST_MIB * KIB_PER_MIB / 2 {
                guest += value;
            } else {
                own += value;
            }
        }
    }
    (own, guest)
}

/// The value of the field `name:` of a file in /proc, if that is the line's.
fn kib(line: &str, name: &str) -> Option<u64> {
    let value = line.strip_prefix(name)?.trim().strip_suffix(" kB")?;
    value.parse().ok()
}
