//! The events of guest programs.

use assembly::code;

use crate::support::kernel::{FREE, Kernel, exit};
use crate::support::processors::{start_others, with_others};
use crate::support::{Target, software_kvm};
use crate::{Case, trace};

pub const CASES: &[Case] = &[
    ("hello_from_start_to_end", hello),
    ("exits", exits),
    ("trap_frames", trap_frames),
    ("page_faults", page_faults),
    ("processes", processes),
    ("switches_and_ticks", switches_and_ticks),
    ("filters", filters),
    ("a_full_ring_loses_nothing", full_ring),
    ("programs_do_not_notice", programs_do_not_notice),
    ("each_cpu_has_its_lines", each_cpu),
];

/// A trace as strace shows it: each call by number of process, name, arguments and result.
fn hello(target: Target) {
    let traced = trace(target, &["--only", "syscalls"], &["hello"]);
    assert_eq!(traced.status, Some(0), "{}", traced.stderr);
    assert_eq!(traced.stdout, "Hello from ring 3!\n");
    assert_eq!(
        traced.events(),
        [
            r#"[pid 1]      write(1, "Hello from ring 3!\n", 19) = 19"#,
            "[pid 1]      exit_group(0) = ?",
        ]
    );
    let traced = trace(target, &[], &["hello"]);
    let at = |part: &str| {
        let found = traced.text.lines().position(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no {part:?} in\n{}", traced.text))
    };
    let story = [
        "[kernel]     new process: pid 1",
        "[kernel]     switch to pid 1 (hello)",
        "[pid 1]      trap #PF: ",
        "[pid 1]      page fault: read of 0x",
        r#"[pid 1]      write(1, "Hello from ring 3!\n", 19 <unfinished ...>"#,
        "[vCPU]       pio_out port 0x3f8 (serial), 1 byte 0x48 'H', rip 0xffffffff80",
        "[pid 1]      <... write resumed>) = 19",
        "[pid 1]      exit_group(0",
        "[pid 1]      process 1 exited with status 0",
        "[vCPU]       pio_out port 0xf4 (debug exit), 4 bytes 0x0, rip 0xffffffff80",
    ];
    let places: Vec<_> = story.iter().map(|part| at(part)).collect();
    assert!(places.is_sorted(), "{places:?} in\n{}", traced.text);
    let times = traced.times();
    assert!(times.is_sorted(), "{}", traced.text);
}

/// As many exits as the report counts, each with what it was.
fn exits(target: Target) {
    let traced = trace(target, &["--only", "exits"], &["hello"]);
    let report = target.vmm("hello").run();
    let counted: u64 = report.port_exits().iter().map(|(.., count)| count).sum();
    assert_eq!(traced.count("pio_"), counted as usize, "{}", traced.text);
    let written: String = traced
        .events()
        .iter()
        .filter(|event| event.contains("port 0x3f8 (serial), 1 byte "))
        .filter_map(|event| event.split('\'').nth(1))
        .collect();
    assert_eq!(written, r"Hello from ring 3!\n");
    let in_ring_0 = traced.count(", ring 0, ");
    assert!(in_ring_0 >= counted as usize, "{}", traced.text);
    if target != Target::Kvm {
        traced.has(" (local APIC), ");
    }
}

/// The value of `field` in an event.
fn field<'a>(event: &'a str, field: &str) -> &'a str {
    let (_, value) = event
        .split_once(&format!(" {field} "))
        .unwrap_or_else(|| panic!("no {field} in {event:?}"));
    value.split(',').next().unwrap_or_default()
}

fn number(event: &str, name: &str) -> u64 {
    let digits = field(event, name).trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{name} in {event:?}"))
}

/// Selectors of ring 3 (guest-kernel/arch/src/descriptors.rs).
const USER_CODE: &str = "0x2b";
const USER_DATA: &str = "0x23";

/// What the CPU pushes (R11): stack, flags, code, error code if there is one.
fn trap_frames(target: Target) {
    let cases: [(&[&str], &str, Option<u64>, &str); 7] = [
        (&["breakpoint"], "trap #BP:", None, "breakpoint (vector 3)"),
        (&["divide"], "trap #DE:", None, "divide error (vector 0)"),
        (
            &["undefined"],
            "trap #UD:",
            None,
            "invalid opcode (vector 6)",
        ),
        (&["segv", "null"], "trap #PF:", Some(4), "read of 0x0"),
        (
            &["segv", "null_write"],
            "trap #PF:",
            Some(6),
            "write to 0x0",
        ),
        (
            &["segv", "rodata_write"],
            "trap #PF:",
            Some(7),
            "(SEGV_ACCERR)",
        ),
        (
            &["segv", "noncanonical"],
            "trap #GP:",
            Some(0),
            "error code 0x0",
        ),
    ];
    for (program, trap, error, log) in cases {
        let traced = trace(target, &["--only", "traps"], program);
        let ring_3 = traced
            .events()
            .into_iter()
            .rfind(|event| event.contains("trap ") && field(event, "cs") == USER_CODE);
        let event = ring_3.unwrap_or_else(|| panic!("{program:?}: {}", traced.text));
        assert!(
            event.starts_with(&format!("[pid 1]      {trap}")),
            "{event:?}"
        );
        assert_eq!(field(event, "ss"), USER_DATA, "{event:?}");
        let rsp = number(event, "rsp");
        assert!(
            (0x7fff_0000_0000..0x7fff_ffff_f000).contains(&rsp),
            "{event:?}"
        );
        const INTERRUPTS_ON: u64 = 1 << 9;
        let rflags = number(event, "rflags");
        assert_eq!(rflags & (INTERRUPTS_ON | 2), INTERRUPTS_ON | 2, "{event:?}");
        match error {
            Some(error) => assert_eq!(number(event, "error code"), error, "{event:?}"),
            None => assert!(!event.contains("error code"), "{event:?}"),
        }
        // The kernel's own words, in its log.
        let line = traced.stderr.lines().find(|line| line.contains(log));
        let line = line.unwrap_or_else(|| panic!("{program:?}: {}", traced.stderr));
        let rip = format!("at rip {:#x},", number(event, "rip"));
        assert!(line.contains(&rip), "{line:?} and {event:?}");
    }
}

fn page_faults(target: Target) {
    let cow = trace(target, &["--only", "faults"], &["cow", "1"]);
    assert_eq!(cow.status, Some(0), "{}", cow.stderr);
    cow.has(": file pages in place")
        .has(": demand zero")
        .has(": copy on write");
    let mmap = trace(target, &["--only", "faults"], &["mmap"]);
    mmap.has(": no longer shared, writable");
    let pages = (1 << 20) / 4096;
    // Where KVM emulates ring 0 the kernel maps 16 pages ahead.
    let at_once = match target != Target::Emu && software_kvm() {
        true => 17,
        false => 1,
    };
    assert!(
        cow.count(": demand zero") >= pages / at_once,
        "{}",
        cow.text
    );
    assert!(cow.count(": copy on write") >= pages / 2, "{}", cow.text);
    let growth = trace(target, &["--only", "faults"], &["stack_growth"]);
    growth.has(": stack growth");
    for (access, refused) in [
        (
            "null_write",
            "page fault: write to 0x0: SIGSEGV, SEGV_MAPERR",
        ),
        (
            "null_jump",
            "page fault: execution of 0x0: SIGSEGV, SEGV_MAPERR",
        ),
        (
            "kernel",
            "page fault: read of 0xffffffff80101000: SIGSEGV, SEGV_",
        ),
        ("stack_execute", ": SIGSEGV, SEGV_ACCERR"),
    ] {
        trace(target, &["--only", "faults"], &["segv", access]).has(refused);
    }
    trace(target, &["--only", "faults"], &["stack_overflow"]).has("(stack overflow)");
}

fn processes(target: Target) {
    let fork = trace(target, &["--only", "procs,syscalls"], &["fork"]);
    let at = |part: &str| {
        let found = fork.text.lines().position(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no {part:?} in\n{}", fork.text))
    };
    let story = [
        "[kernel]     new process: pid 1",
        "[pid 1]      new process: pid 2",
        "[pid 2]      process 2 exited with status 3",
        "[exited with status 3], 0, NULL) = 2",
        "[pid 1]      process 1 exited with status 0",
    ];
    let places: Vec<_> = story.iter().map(|part| at(part)).collect();
    assert!(places.is_sorted(), "{places:?} in\n{}", fork.text);
    let exec = trace(target, &["--only", "procs,syscalls"], &["exec"]);
    exec.has("new program: exec")
        .has(r#"execve("/bin/nothing", "#)
        .has(") = -1 ENOENT")
        .has(r#", "again", "two words", "", "#);
    let threads = trace(target, &["--only", "procs"], &["threads"]);
    threads.has("new thread: pid 1 tid 2").has("thread 2 ended");
    let killed = trace(target, &["--only", "procs"], &["breakpoint"]);
    killed.has("[pid 1]      process 1 killed by SIGTRAP");
}

fn switches_and_ticks(target: Target) {
    let sleep = trace(target, &["--only", "sched"], &["sleep", "50"]);
    assert_eq!(
        sleep.events(),
        [
            "[kernel]     switch to pid 1 (sleep)",
            "[pid 1]      waits, the CPU is idle",
            "[kernel]     switch to pid 1 (sleep)",
        ]
    );
    let spin = trace(target, &["--only", "ticks"], &["spin", "200"]);
    let ticks = spin.count("tick");
    assert!(ticks > 0, "{}", spin.text);
    let numbers: Vec<_> = (1..=ticks)
        .map(|n| format!("[pid 1]      tick {n}"))
        .collect();
    assert_eq!(spin.events(), numbers);
}

fn filters(target: Target) {
    let child = trace(
        target,
        &["--pid", "2", "--only", "syscalls,procs,sched"],
        &["fork"],
    );
    for event in child.events() {
        assert!(event.contains("pid 2"), "{event:?}");
    }
    child
        .has("[pid 1]      new process: pid 2")
        .has("[pid 2]      write(1, \"child: fork returned 0, value 2\\n\", 32) = 32")
        .has("[pid 2]      exit_group(3) = ?");
    assert_eq!(child.count("parent: "), 0, "{}", child.text);
    let all = trace(target, &["--only", "syscalls"], &["fork"]);
    for other in [
        "page fault",
        "trap ",
        "vCPU",
        "tick ",
        "switch",
        "new process",
    ] {
        assert_eq!(all.count(other), 0, "{}", all.text);
    }
    assert_eq!(
        all.count("unfinished"),
        all.count("resumed"),
        "{}",
        all.text
    );
}

/// Many times what the ring holds, and as many lines as calls.
fn full_ring(target: Target) {
    // Under a software-backed KVM a record costs some 100 us.
    let calls = if target == Target::Emu { 100_000 } else { 3000 };
    let program = ["yield", &calls.to_string()];
    let traced = trace(target, &["--only", "syscalls"], &program);
    assert_eq!(traced.stdout, format!("yielded {calls} times\n"));
    let yields = traced.events();
    let yields = yields
        .iter()
        .filter(|event| **event == "[pid 1]      sched_yield() = 0");
    assert_eq!(yields.count(), calls);
    assert_eq!(traced.count("sched_yield"), calls);
    assert_eq!(traced.count("exit_group(0) = ?"), 1);
    assert_eq!(traced.count("broken"), 0);
    // It gets full where no tick ends in an exit before, on the slowest host: where KVM has
    // the timer, or time is counted instructions.
    let time: &[&str] = match target {
        _ if target.accel() == "emu" => &["--deterministic", "--tick", "1s"],
        Target::Kvm => &[],
        _ => return,
    };
    let options = [&["--only", "exits,syscalls"], time].concat();
    let rung = trace(target, &options, &["yield", "2000"]);
    rung.has("pio_out port 0xf8 (trace doorbell)");
}

/// The same output and exit status as without.
fn programs_do_not_notice(target: Target) {
    let mut programs: Vec<&[&str]> = vec![
        &["pipes"],
        &["files"],
        &["bounded_buffer"],
        &["exit_status", "7"],
    ];
    if target == Target::Emu {
        programs.extend([&["usertests"] as &[&str], &["corners"]]);
    }
    for program in programs {
        let traced = trace(target, &[], program);
        let plain = target.vmm(program[0]).args(&program[1..]).run();
        assert_eq!(
            traced.status, plain.status,
            "{program:?}: {}",
            traced.stderr
        );
        assert_eq!(traced.stdout, plain.stdout, "{program:?}");
    }
}

/// The second CPU writes to a port of its own, and lets the first one go on.
fn each_cpu(target: Target) {
    const GO: u64 = FREE;
    let first = code!(
        "2: pause",
        "cmp dword ptr [{go}], 1",
        "jne 2b",
        "mov edx, 0x2000",
        "out dx, al",
        go = const GO,
    );
    let second = code!(
        "mov edx, 0x2001",
        "out dx, al",
        "mov dword ptr [{go}], 1",
        "2: cli",
        "hlt",
        "jmp 2b",
        go = const GO,
    );
    let first = [&start_others(), first, &exit(0)].concat();
    let kernel = with_others(Kernel::long_mode(&first), second).write();
    let path = kernel.path().to_str().expect("its name is text");
    let traced = trace(target, &["--cpus", "2", "--kernel", path], &[]);
    assert_eq!(traced.status, Some(0), "{}", traced.stderr);
    for (cpu, port) in [(0, 0x2000), (1, 0x2001)] {
        let (who, what) = (
            format!("  CPU {cpu}   [vCPU]  "),
            format!("pio_out port {port:#x}"),
        );
        let lines = traced.text.lines();
        let lines = lines.filter(|line| line.contains(&what) && line.contains(&who));
        assert_eq!(lines.count(), 1, "{}", traced.text);
        assert_eq!(traced.count(&what), 1, "{}", traced.text);
    }
    assert!(traced.times().is_sorted(), "{}", traced.text);
}
