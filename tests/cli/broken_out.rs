//! A thread of a running VMM that is made to do what no run does: a debugger in the place of a
//! guest that has broken out. The binary is the one that users have.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::ptr;

use libc::{c_long, c_void, pid_t};
use libtest_mimic::Trial;

use crate::confined::{comparison, runs, shell};
use crate::support::suite::{self, Case};
use crate::support::{Running, Target, shell_status};

const CASES: &[Case] = &[
    ("a_broken_thread_ends_the_process", each_thread),
    ("without_a_sandbox_it_does_not", without_a_sandbox),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = suite::on(&Target::ALL, CASES);
    let name = "a_broken_thread_ends_a_comparison";
    trials.push(suite::plain(name, each_of_a_comparison));
    trials
}

/// The instruction `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
const STATUS: i32 = 125;

/// The threads of a process: their numbers and names.
fn threads(vmm: &Running) -> Vec<(pid_t, String)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", vmm.0.id())).expect("it runs");
    let mut threads = Vec::from_iter(tasks.map(|task| {
        let path = task.expect("a thread").path();
        let name = fs::read_to_string(path.join("comm")).expect("it runs");
        let number = path.file_name().and_then(|name| name.to_str());
        let number = number.and_then(|name| name.parse().ok());
        (number.expect("a number"), name.trim().to_owned())
    }));
    // KVM's own are the kernel's.
    threads.retain(|(_, name)| !name.starts_with("kvm-"));
    threads.sort_unstable();
    threads
}

/// Asks the kernel for something about a traced thread.
fn ptrace(request: libc::c_uint, thread: pid_t, address: *mut c_void, data: *mut c_void) -> c_long {
    // SAFETY: the pointers are what the request takes, as its callers see to.
    let result = unsafe { libc::ptrace(request, thread, address, data) };
    assert!(
        result != -1,
        "request {request:#x}: {}",
        std::io::Error::last_os_error()
    );
    result
}

/// Where a thread's process has the instruction, in the code that Linux gives each: nothing there
/// runs in between, as code of its own could.
fn syscall_instruction(thread: pid_t) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{thread}/maps")).expect("it runs");
    let line = maps.lines().find(|line| line.ends_with("[vdso]"));
    let range = line.and_then(|line| line.split(' ').next()?.split_once('-'));
    let (start, end) = range.expect("Linux maps it");
    let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).expect("a number"));
    let mut code = vec![0; (end - start) as usize];
    let memory = File::open(format!("/proc/{thread}/mem")).expect("it may be traced");
    memory
        .read_exact_at(&mut code, start)
        .expect("it is mapped");
    let found = code.windows(2).position(|bytes| bytes == SYSCALL);
    start + found.expect("it makes system calls") as u64
}

const NOTHING: *mut c_void = ptr::null_mut();

/// Waits until a traced thread stands still.
fn wait_until_stopped(thread: pid_t) {
    let mut status = 0;
    // SAFETY: waits for a thread that this one traces, and writes a status.
    let stopped = unsafe { libc::waitpid(thread, &mut status, libc::__WALL) };
    assert!(stopped == thread && libc::WIFSTOPPED(status), "{status:#x}");
}

fn registers(thread: pid_t) -> libc::user_regs_struct {
    // SAFETY: zeros are registers.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let to = (&raw mut registers).cast();
    ptrace(libc::PTRACE_GETREGS, thread, NOTHING, to);
    registers
}

/// Has a thread stand before a system call, wherever it is, with arguments for a socket.
fn hold_before(thread: pid_t, call: c_long) {
    ptrace(libc::PTRACE_SEIZE, thread, NOTHING, NOTHING);
    ptrace(libc::PTRACE_INTERRUPT, thread, NOTHING, NOTHING);
    wait_until_stopped(thread);
    let mut registers = registers(thread);
    registers.rip = syscall_instruction(thread);
    registers.rax = call as u64;
    // It is in no call that would be repeated.
    registers.orig_rax = u64::MAX;
    [registers.rdi, registers.rsi, registers.rdx] = [1, 1, 0];
    let from = (&raw mut registers).cast();
    ptrace(libc::PTRACE_SETREGS, thread, NOTHING, from);
}

/// A machine with its errors kept apart.
fn starts(target: Target, options: &[&str]) -> Running {
    let mut command = shell(target, options);
    command.stderr(Stdio::piped());
    runs(command)
}

/// Every thread that a run has.
fn each_thread(target: Target) {
    ends_by_each(3, &|| starts(target, &[]));
}

/// And every one of a command that makes several machines.
fn each_of_a_comparison() {
    ends_by_each(4, &|| {
        let mut command = comparison();
        command.stderr(Stdio::piped());
        runs(command)
    });
}

/// Each thread, of which there are so many at least, ends what `starts` has started.
fn ends_by_each(least: usize, starts: &dyn Fn() -> Running) {
    let names = Vec::from_iter(threads(&starts()).into_iter().map(|(_, name)| name));
    assert!(names.len() >= least, "{names:?}");
    for (index, expected) in names.iter().enumerate() {
        let mut vmm = starts();
        let (thread, name) = threads(&vmm).swap_remove(index);
        assert_eq!(&name, expected);
        hold_before(thread, libc::SYS_socket);
        ptrace(libc::PTRACE_DETACH, thread, NOTHING, NOTHING);
        let status = vmm.0.wait().expect("it ends");
        let mut said = String::new();
        let errors = vmm.0.stderr.as_mut().expect("it is piped");
        errors.read_to_string(&mut said).expect("text");
        assert_eq!(shell_status(status), STATUS, "{name}: {said}");
        assert!(said.contains("sandbox: "), "{name}: {said}");
        assert!(
            said.contains(" made the system call socket, "),
            "{name}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{name}: {said}");
    }
}

/// The same does nothing where nothing is to stop it: it is the sandbox that does.
fn without_a_sandbox(target: Target) {
    let vmm = starts(target, &["--sandbox", "none"]);
    let (thread, _) = threads(&vmm).swap_remove(0);
    hold_before(thread, libc::SYS_socket);
    ptrace(libc::PTRACE_SINGLESTEP, thread, NOTHING, NOTHING);
    wait_until_stopped(thread);
    let made = registers(thread).rax;
    let path = format!("/proc/{}/fd/{made}", vmm.0.id());
    let made = fs::read_link(path).expect("it has a descriptor");
    assert!(made.to_string_lossy().starts_with("socket:"), "{made:?}");
}
