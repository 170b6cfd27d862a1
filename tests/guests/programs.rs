//! Processes, threads, memory and files: what each program prints, to the letter. The same
//! programs print the same under Linux.

use crate::support::Target;
use crate::{Case, faults};

pub const CASES: &[Case] = &[
    ("programs", programs),
    ("programs_with_faults", programs_with_faults),
    ("fork_bomb", fork_bomb),
    ("interleave", interleave),
    ("registers", registers),
    ("ymm", ymm),
    ("shell", shell),
    ("shell_jobs", shell_jobs),
    ("tools", tools),
];

fn programs(target: Target) {
    for (program, expected) in PROGRAMS {
        target.vmm(program).run().status(0).prints(expected);
    }
}

/// The kernel says of each process that dies why it does.
fn programs_with_faults(target: Target) {
    for (program, expected, faults) in PROGRAMS_WITH_FAULTS {
        let run = target.vmm(program).run();
        run.status(0).prints(expected);
        let lines = run.kernel_lines().into_iter();
        let reasons: Vec<_> = lines
            .filter_map(|line| line.rsplit_once('(')?.1.strip_suffix(')'))
            .collect();
        assert_eq!(reasons, *faults, "{run}");
    }
}

fn fork_bomb(target: Target) {
    target.vmm("fork_bomb").run().status(0).prints(concat!(
        "refused: Some(EAGAIN)\n",
        "all children finished: true\n",
        "and there can be new ones: true\n",
    ));
}

/// Lines of both processes are whole and in order, and mix.
fn interleave(target: Target) {
    let run = target.vmm("interleave").args(&["5"]).run();
    run.status(0);
    let said = |word: &str| -> Vec<_> {
        let prefix = format!("{word} ");
        let numbers = run
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix));
        numbers.map(str::to_owned).collect()
    };
    assert_eq!(said("hello"), ["1", "2", "3", "4", "5"], "{run}");
    assert_eq!(said("goodbye"), ["1", "2", "3", "4", "5"], "{run}");
    assert_eq!(run.stdout.lines().count(), 10, "{run}");
    let first = run.stdout.lines().take(5);
    assert!(
        !first.clone().all(|line| line.starts_with("hello")),
        "{run}"
    );
    assert!(
        !first.clone().all(|line| line.starts_with("goodbye")),
        "{run}"
    );
}

/// Whatever else happens, no process's registers change; on a host whose ring 3 has more of
/// them unannounced, those neither. Each process says itself if its faults and alarms were
/// not handled; that they took turns, the kernel has counted.
fn registers(target: Target) {
    const KEPT: &str = "3 of 3 processes kept every register\n";
    const SWITCHES: u64 = 30;
    let keeps = |args: &[&str]| {
        let registers = target.vmm("registers").args(args);
        let run = registers.options(&["--tick", "1ms"]).run();
        run.status(0).prints(KEPT);
        let switches = run.count(&["guest", "context_switches"]);
        // They need not take turns where each has a CPU.
        assert!(target.cpus() > 1 || switches >= SWITCHES, "{run}");
        run
    };
    let run = keeps(&[]);
    let has_all = faults::has_keys() && std::is_x86_feature_detected!("avx512f");
    if run.report["host_kind"] == "software" && has_all {
        keeps(&["all"]);
    }
}

fn ymm(target: Target) {
    let run = target.vmm("ymm").run();
    run.status(0);
    if !std::is_x86_feature_detected!("avx") {
        run.prints("there is no AVX\n");
        return;
    }
    run.prints(concat!(
        "zeros at first: true\n",
        "a child has a copy: exited with 0\n",
        "a new program starts with zeros: exited with 0\n",
        "a thread has a copy: true, keeps its own: true, as does this one: true\n",
        "nothing: exited with 1\n",
        "the halves: exited with 2\n",
        "not in use: exited with 0\n",
        "not to be restored: exited with 0\n",
        "no mark: exited with 0\n",
        "no mark at the end: exited with 0\n",
        "no state: exited with 0\n",
        "an unknown component: killed by SIGSEGV\n",
        "reserved bytes: killed by SIGSEGV\n",
        "after all: true\n",
    ));
}

fn shell(target: Target) {
    let script = "echo a 'b  c' | cat | wc; echo hi > /x; echo ho >> /x; cat < /x; \
                  cd /dev; nothing; hello & wait; exit 3";
    target
        .vmm("sh")
        .args(&["-c", script])
        .run()
        .status(3)
        .prints(concat!("1 3 7\n", "hi\n", "ho\n", "Hello from ring 3!\n",))
        .complains("sh: nothing: ENOENT\n");
}

/// There are places for eight jobs, and a ninth is refused. A job that is stopped is not
/// waited for.
fn shell_jobs(target: Target) {
    let script = "sleep 600000 & ".repeat(8) + "echo one too many & kill 2 3 4 5 6 7 8 9; wait";
    let run = target.vmm("sh").args(&["-c", &script]).run();
    run.status(0).prints("");
    // Of those that it waits for it says how they ended.
    let complaints = run.stderr.lines().filter(|line| *line != "sh: SIGTERM");
    assert!(complaints.eq(["sh: there are too many jobs"]), "{run}");
    let run = target
        .vmm("sh")
        .args(&["-c", "stop_init & wait; echo waited"])
        .run();
    run.status(0).prints("waited\n");
}

fn tools(target: Target) {
    let ps = target.vmm("ps").run();
    ps.status(0)
        .prints("  pid  ppid s name\n    1     0 R ps\n");
    let ls = target.vmm("ls").args(&["/dev"]).run();
    ls.status(0).prints("console\nfd/\nfull\nnull\nptmx\npts/\nrandom\nshm/\nstderr\nstdin\nstdout\ntty\nttyS1\nurandom\nzero\n");
    let echo = target.vmm("echo").args(&["to", "be"]).run();
    echo.status(0).prints("to be\n");
    let kill = target.vmm("kill").args(&["77"]).run();
    kill.status(1).complains("kill: 77: Some(Err(ESRCH))\n");
}

const PROGRAMS: &[(&str, &str)] = &[
    (
        "fork",
        concat!(
            "child: fork returned 0, value 2\n",
            "child: parent is the right one: true\n",
            "child: own number: true\n",
            "parent: child exited with 3\n",
            "parent: value still 1\n",
            "parent: fork returned the child's number: true\n",
        ),
    ),
    (
        "fork_offsets",
        concat!(
            "offset after the child wrote: Ok(13)\n",
            "Ok(\"parent child parent\")\n",
        ),
    ),
    (
        "exec",
        concat!(
            "no such program: Some(ENOENT)\n",
            "a directory: Some(EACCES)\n",
            "argument 1: \"again\"\n",
            "argument 2: \"two words\"\n",
            "argument 3: \"\"\n",
            "kept descriptor: Ok(())\n",
            "descriptor closed by exec: Some(Some(EBADF))\n",
            "standard output is kept\n",
            "through the pipe: Ok(\"kept over exec\")\n",
            "exited with 7\n",
            "same process before and after: true\n",
        ),
    ),
    (
        "wait",
        concat!(
            "no child: Some(ECHILD)\n",
            "exited with 0\n",
            "waited for twice: Some(ECHILD)\n",
            "exited with 1\n",
            "waited for twice: Some(ECHILD)\n",
            "exited with 255\n",
            "waited for twice: Some(ECHILD)\n",
            "running: None\n",
            "let go: exited with 4\n",
            "killed: killed by SIGKILL\n",
            "5 children, sum of their statuses 15\n",
            "orphan: Ok(\"adopted\")\n",
        ),
    ),
    (
        "threads",
        concat!("4 threads counted to 4000\n", "sum of their numbers: 6\n",),
    ),
    ("bounded_buffer", "1000 numbers, sum 499500\n"),
    (
        "cow",
        concat!(
            "child sees the parent's memory: exited with 0\n",
            "parent does not see the child's: true\n",
            "8 children in a row\n",
        ),
    ),
    (
        "pipes",
        concat!(
            "1048576 bytes, in order: true\n",
            "writer exited with 0\n",
            "seek: Err(ESPIPE)\n",
            "wrong end: Err(EBADF)\n",
            "writer without a reader killed by SIGPIPE\n",
            "full: (EAGAIN, EAGAIN)\n",
            "writer exited with 0\n",
            "without memory: 8192 of 8192 bytes\n",
        ),
    ),
    (
        "files",
        concat!(
            "missing: Some(ENOENT)\n",
            "exists: Some(EEXIST)\n",
            "write: Ok(())\n",
            "offset: Ok(10)\n",
            "at the end: Ok(0)\n",
            "seek to -3 from the end: Ok(7)\n",
            "read: Ok(Ok(\"789\"))\n",
            "seek before the start: Err(EINVAL)\n",
            "seek past the end: Ok(12)\n",
            "write there: Ok(())\n",
            "size: Ok(14)\n",
            "back: Ok(8)\n",
            "zeros between: Ok(Ok(\"89\\0\\0ab\"))\n",
            "rename: Ok(())\n",
            "old name: Some(ENOENT)\n",
            "append: Ok(())\n",
            "read what is open to write: Err(EBADF)\n",
            "size: Ok(15)\n",
            "unlink: Ok(())\n",
            "still open: Ok(Ok(\"0123456789\\0\\0ab!\"))\n",
            "close: Ok(())\n",
            "close again: Err(EBADF)\n",
            "new: Ok(0)\n",
            "unlink: Ok(()), again: Err(ENOENT)\n",
        ),
    ),
    (
        "dup",
        concat!(
            "the lowest free one: true\n",
            "the chosen one: Ok(20)\n",
            "onto itself: Ok(true)\n",
            "offset of each: [Ok(9), Ok(9), Ok(9)]\n",
            "after closing one: Ok(0)\n",
            "not open: Err(EBADF)\n",
            "standard output into the file:\n",
            "the file: Ok(\"hidden\\nbc\")\n",
        ),
    ),
    (
        "dirs",
        concat!(
            "make: Ok(())\n",
            "make again: Err(EEXIST)\n",
            "make below nothing: Err(ENOENT)\n",
            "enter: Ok(())\n",
            "here: Ok(\"/tmp/dirs\")\n",
            "\".\" has 3 names of 7 letters\n",
            "\"inner\" has 1 names of 1 letters\n",
            "\"inner/..\" has 3 names of 7 letters\n",
            "into a file: Err(ENOTDIR)\n",
            "through a file: Some(ENOTDIR)\n",
            "write a directory: Some(EISDIR)\n",
            "remove what is not empty: Err(ENOTEMPTY)\n",
            "unlink a directory: true\n",
            "after a child went elsewhere: Ok(\"/tmp/dirs\")\n",
            "remove: Ok(())\n",
            "enter: Err(ENOENT)\n",
        ),
    ),
    (
        "select",
        concat!(
            "nothing yet: Ok(0)\n",
            "room: Ok(1)\n",
            "  first end\n",
            "time is up: Ok(0)\n",
            "a child wrote: Ok(1)\n",
            "  second\n",
            "no writer: Ok(2)\n",
            "  first\n",
            "  second\n",
            "not open: Err(EBADF)\n",
            "signal let in: Err(EINTR)\n",
            "blocked again: true\n",
        ),
    ),
    (
        "poll",
        concat!(
            "nothing yet: Ok(0)\n",
            "room: Ok(1)\n",
            "  file 0: POLLOUT\n",
            "time is up: Ok(0)\n",
            "waited: true\n",
            "a child wrote: Ok(1)\n",
            "  file 1: POLLIN\n",
            "no writer: Ok(1)\n",
            "  file 0: POLLHUP\n",
            "not open: Ok(1)\n",
            "  file 0: POLLNVAL\n",
        ),
    ),
    (
        "storage_server",
        concat!(
            "4 of 4 clients saw only whole values and their own records unchanged\n",
            "400 reads and 400 writes acknowledged, 200 writes refused\n",
            "no record is torn: true\n",
        ),
    ),
    (
        "fd_leak",
        concat!(
            "refused: EMFILE, after many: true\n",
            "a child closes one and opens one: exited with 0\n",
            "still full: Some(EMFILE)\n",
            "all closed: true\n",
        ),
    ),
];

const ACCERR: &str = "SEGV_ACCERR";
const MAPERR: &str = "SEGV_MAPERR";

/// Program, what it prints, and the kernel's reasons.
const PROGRAMS_WITH_FAULTS: &[(&str, &str, &[&str])] = &[
    (
        "mmap",
        concat!(
            "zeroed: true\n",
            "read and write: exited with 0, exited with 0\n",
            "execute: killed by SIGSEGV\n",
            "read: read exited with 0\n",
            "read: write killed by SIGSEGV\n",
            "read: execute killed by SIGSEGV\n",
            "execute: read exited with 0\n",
            "execute: write killed by SIGSEGV\n",
            "execute: execute exited with 0\n",
            "nothing: read killed by SIGSEGV\n",
            "nothing: write killed by SIGSEGV\n",
            "nothing: execute killed by SIGSEGV\n",
            "contents are kept: true\n",
            "unmap: Ok(()), then read killed by SIGSEGV\n",
            "no bytes: Some(EINVAL)\n",
            "too many: Some(ENOMEM)\n",
        ),
        &[
            ACCERR, ACCERR, ACCERR, ACCERR, ACCERR, ACCERR, ACCERR, MAPERR,
        ],
    ),
    (
        "brk",
        concat!(
            "grew by 64 pages\n",
            "zeroed and writable\n",
            "shrank back: true\n",
            "read past the end: killed by SIGSEGV\n",
            "too much is refused: true\n",
        ),
        &[MAPERR],
    ),
    (
        "stack_growth",
        concat!(
            "1000 frames of 4096 bytes: 1000\n",
            "without end: killed by SIGSEGV\n",
            "the parent goes on\n",
        ),
        &[MAPERR],
    ),
    (
        "factorial",
        concat!(
            "subroutine: 0! = 1\n",
            "subroutine: 5! = 120\n",
            "subroutine: 20! = 2432902008176640000\n",
            "server: {'!', 0}: OK 1\n",
            "server: {'!', 5}: OK 120\n",
            "server: {'!', 20}: OK 2432902008176640000\n",
            "server: {'!', 21}: No Good\n",
            "server: {'?', 5}: No Good\n",
            "server: {'!', 1001}: gone\n",
            "server: killed by SIGILL\n",
            "server: {'!', 1002}: no answer in 500 ms\n",
            "server: killed by SIGKILL\n",
            "server: {'!', 1003}: OK 0\n",
            "server: exited with 0\n",
            "the client goes on, its data intact: true\n",
        ),
        &[],
    ),
];
