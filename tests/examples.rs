//! The programs in examples/, each run as a user would, and what they must show.

mod support;

use std::process::{Command, Output};

use support::suite::{self, Case, plain};
use support::{Target, binary, output_with_input, qemu};

fn main() {
    let cases: &[Case] = &[
        ("hello_machine_code", hello_machine_code),
        ("exit_counts", exit_counts),
        ("many_machines", many_machines),
        ("hard_modularity", hard_modularity),
    ];
    // Where the emulator is emulated, they take long and show nothing.
    let speeds: &[Case] = &[("emulator_speed", emulator_speed), ("real_work", real_work)];
    let mut trials = suite::on(&[Target::Emu, Target::Kvm], cases);
    trials.extend(suite::on_unless(None, &[Target::Emu], speeds));
    trials.push(plain("run_program", run_program));
    trials.push(plain("compare_accelerators", compare_accelerators));
    trials.push(plain("emulator_traps", emulator_traps));
    suite::main(trials);
}

/// Runs example `name`, which cargo builds beside the binary under test.
fn example(name: &str, args: &[&str]) -> Output {
    let folder = binary().with_file_name("examples");
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "no {}: build it with `cargo build --examples`",
        path.display()
    );
    output_with_input(Command::new(path).args(args), None)
}

/// What it printed, if it ended well.
#[track_caller]
fn printed(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}

fn hello_machine_code(target: Target) {
    let text = printed(&example("hello_machine_code", &[target.accel()]));
    let (machine, exits) = text.split_once('\n').expect("several lines");
    assert!(
        machine.starts_with(&format!("runs on {}", target.accel())),
        "{text}"
    );
    let expected = "\
exit: PioOut { port: 3f8, size: 1, data: [48] }
exit: PioOut { port: 3f8, size: 1, data: [69] }
exit: PioIn { port: 60, size: 1, data: [20] }
exit: MmioWrite { gpa: d0000000, data: [21] }
exit: Hlt
the guest said \"Hi!\"
";
    assert_eq!(exits, expected);
}

fn run_program() {
    let text = printed(&example("run_program", &["args", "one", "two"]));
    assert!(
        text.contains("\"one\"") && text.contains("\"two\""),
        "{text}"
    );
    assert!(text.contains("\nOutcome  exited with status 0\n"), "{text}");
}

/// The table is the same on every accelerator, apart from what the timer does.
fn exit_counts(target: Target) {
    /// Columns after the program's name and argument: in, out, and system calls.
    const IN: usize = 0;
    const OUT: usize = 1;
    const SYSCALLS: usize = 5;
    let text = printed(&example("exit_counts", &[target.accel()]));
    let row = |program: &str| -> Vec<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(program));
        let line = line.unwrap_or_else(|| panic!("no {program} in {text}"));
        line.split_whitespace()
            .map(|cell| cell.parse().expect("a number"))
            .collect()
    };
    // Every byte of output is an exit, and ending the machine is one.
    for (program, output) in [
        ("hello ", "Hello from ring 3!\n"),
        ("spin 20 ", "spun for 20 ms\n"),
        ("spin 200 ", "spun for 200 ms\n"),
        ("sleep 200 ", "slept for 200 ms\n"),
        ("yield 10 ", "yielded 10 times\n"),
        ("yield 1000 ", "yielded 1000 times\n"),
    ] {
        let counts = row(program);
        assert_eq!(counts[OUT], output.len() as u64 + 1, "{program}: {text}");
        assert_eq!(counts[IN], 0, "{program}: {text}");
    }
    let more = row("yield 1000 ")[SYSCALLS] - row("yield 10 ")[SYSCALLS];
    assert_eq!(more, 990, "system calls are no exits: {text}");
}

fn compare_accelerators() {
    let text = printed(&example("compare_accelerators", &["hello"]));
    assert!(
        text.starts_with("Hello from ring 3!\nProgram  hello"),
        "{text}"
    );
    for target in Target::ALL
        .into_iter()
        .filter(|target| target.missing().is_none())
    {
        let line = text.lines().find(|line| {
            line.starts_with(&format!("{target} ")) && line.contains("times the fastest")
        });
        assert!(line.is_some(), "no line for {target}: {text}");
    }
}

/// The words of each line: work, the time of the first way, and a ratio for each other one.
/// The last line has their means.
#[track_caller]
fn table<'a>(lines: &[&'a str], columns: usize) -> Vec<&'a str> {
    let ratios = |cells: &[&str]| -> Vec<f64> {
        let parsed = cells.iter().map(|cell| cell.parse());
        parsed.collect::<Result<_, _>>().expect("numbers")
    };
    let (mean, rows) = lines.split_last().expect("a line of means");
    let mut all = Vec::new();
    let mut works = Vec::new();
    for row in rows {
        let (work, cells) = row.split_at(row.find("  ").expect("columns"));
        let cells: Vec<_> = cells.split_whitespace().collect();
        assert_eq!(cells.len(), columns, "{row}");
        assert!(cells[0].ends_with('s'), "{row}");
        works.push(work);
        all.push(ratios(&cells[1..]));
    }
    let mean = mean.strip_prefix("geometric mean").expect("means");
    let mean: Vec<_> = mean.split_whitespace().collect();
    assert_eq!(mean.len(), columns - 1, "{mean:?}");
    for (column, mean) in ratios(&mean).into_iter().enumerate() {
        let least = all.iter().map(|row| row[column]).fold(f64::MAX, f64::min);
        let most = all.iter().map(|row| row[column]).fold(0.0, f64::max);
        assert!(least > 0.0 && (least..=most).contains(&mean), "{all:?}");
    }
    works
}

/// The same two loops on the processor, by both engines, and in QEMU.
fn emulator_speed(_: Target) {
    let text = printed(&example("emulator_speed", &["1", "fib", "independent"]));
    let lines: Vec<_> = text.lines().collect();
    let mut ways = vec!["loop", "processor", "interpreter", "translator"];
    let mut last = "no QEMU to compare with (";
    if qemu::missing().is_none() {
        ways.push("QEMU");
        last = "faster than QEMU on ";
    }
    assert_eq!(lines.len(), 5, "{text}");
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ways);
    assert_eq!(table(&lines[1..4], ways.len() - 1), ["fib", "independent"]);
    assert!(lines[4].starts_with(last), "{text}");
}

/// What the host has is compared, and the rest is named; the Rust program is always there.
fn real_work(_: Target) {
    let text = printed(&example("real_work", &["1", "1"]));
    let lines: Vec<_> = text.lines().collect();
    let missing: Vec<_> = lines
        .iter()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let rows = &lines[..lines.len() - missing.len()];
    let ways: Vec<_> = rows[0].split_whitespace().collect();
    assert_eq!(ways, ["program", "host", "translator", "interpreter"]);
    let works = table(&rows[1..], 3);
    assert_eq!(works.len() + missing.len(), 7, "{text}");
    assert!(works.contains(&"count (Rust)"), "{text}");
}

/// Each crossing is listed, and took time.
fn emulator_traps() {
    let text = printed(&example("emulator_traps", &["1"]));
    let expected = [
        "syscall and sysretq",
        "port write",
        "getpid by syscall",
        "getpid by int 0x80",
    ];
    assert_eq!(text.lines().count(), expected.len(), "{text}");
    for (line, name) in text.lines().zip(expected) {
        let ns = line
            .strip_prefix(name)
            .and_then(|rest| rest.strip_suffix("ns"));
        let ns = ns.map(str::trim).map(str::parse::<f64>);
        assert!(matches!(ns, Some(Ok(ns)) if ns > 0.0), "{text}");
    }
}

fn many_machines(target: Target) {
    let text = printed(&example("many_machines", &[target.accel()]));
    let lines_with = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    assert_eq!(lines_with("exited with status 0 (as alone)"), 4, "{text}");
    assert_eq!(
        lines_with("stack_overflow: killed by signal 11"),
        1,
        "{text}"
    );
    assert_eq!(lines_with("spin 3600000: timeout"), 1, "{text}");
    assert_eq!(lines_with("memory_hog: killed by signal 9"), 1, "{text}");
}

/// The weaker the isolation, the cheaper the call and the worse the faults.
fn hard_modularity(target: Target) {
    let text = printed(&example("hard_modularity", &[target.accel()]));
    assert!(text.starts_with(&format!("{target} (")), "{text}");
    let rows: Vec<_> = text.lines().skip(2).collect();
    let row = |form: &str| {
        let first = rows.iter().position(|row| row.starts_with(form));
        &rows[first.unwrap_or_else(|| panic!("no {form} in {text}"))..][..3]
    };
    let exits = |form| {
        row(form)[0]
            .split_whitespace()
            .nth(2)
            .map(str::parse::<f64>)
    };
    let faults = |form| row(form).iter().map(|row| row.trim()).collect::<Vec<_>>();
    let expect = |form, ends: [&str; 3]| {
        let found = faults(form);
        let named = ["crash: ", "loop: ", "write: "].into_iter().zip(ends);
        for (found, (fault, end)) in found.into_iter().zip(named) {
            assert!(found.ends_with(&format!("{fault}{end}")), "{form}: {text}");
        }
    };
    let (silent, unharmed) = ("no answer in 500 ms, data intact", "OK 0, data intact");
    let killed = "the client: killed by signal 4";
    let damaged = "OK 0, data damaged";
    expect("subroutine", [killed, "the client: timeout", damaged]);
    expect("processes", ["gone, data intact", silent, unharmed]);
    expect("machines", [silent, silent, unharmed]);
    expect(
        "outside",
        [
            "no answer but an exit, triple_fault, data intact",
            silent,
            "no answer but an exit, mmio_write, data intact",
        ],
    );
    for (form, least, most) in [
        ("subroutine", 0.0, 0.5),
        ("processes", 0.0, 10.0),
        // Sixteen bytes there and as many back, each sent and each received.
        ("machines", 64.0, f64::MAX),
        ("outside", 2.0, 2.0),
    ] {
        let exits = exits(form).expect("a column").expect("a number");
        assert!((least..=most).contains(&exits), "{form}: {text}");
    }
    let instructions = row("outside")[0].split_whitespace().nth(3);
    let counted = if target == Target::Emu { "21.0" } else { "-" };
    assert_eq!(instructions, Some(counted), "{text}");
}
