//! `vmm trace --summary`.

use crate::support::Target;
use crate::support::elf::TempFile;
use crate::{Case, trace, vmm_trace};

pub const CASES: &[Case] = &[
    ("summary_counts_calls_and_errors", counts),
    ("summary_of_a_process", of_a_process),
];

/// For the emulator alone, where time is instructions.
pub const DETERMINISTIC: &[Case] = &[("summary_repeats_exactly", repeats)];

/// One line of a table.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    name: &'a str,
    calls: u64,
    errors: u64,
}

/// The table that ends standard error; the program's own lines are before it.
fn rows(stderr: &str) -> Vec<Row<'_>> {
    let table = stderr.split_once("  system call ").expect("a table").1;
    let lines = table.lines().skip(1).map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // A time has a unit, an instruction count has none: name, %, time, calls, errors, mean.
        let numbers = match words.len() {
            6 => 3,
            8 => 4,
            _ => panic!("{line:?}"),
        };
        let number = |at: usize| words[at].parse().expect("a count");
        Row {
            name: words[0],
            calls: number(numbers),
            errors: number(numbers + 1),
        }
    });
    lines.collect()
}

#[track_caller]
fn row<'a>(rows: &'a [Row<'a>], name: &str) -> (u64, u64) {
    let row = rows.iter().find(|row| row.name == name);
    let row = row.unwrap_or_else(|| panic!("no {name} in {rows:?}"));
    (row.calls, row.errors)
}

/// What a text trace has line by line, counted; and there is no text but where it was asked for.
fn counts(target: Target) {
    let text = trace(target, &["--only", "syscalls"], &["exec"]);
    let summed = trace(target, &["--summary"], &["exec"]);
    assert_eq!(summed.status, text.status, "{}", summed.stderr);
    assert_eq!(summed.stdout, text.stdout);
    let rows = rows(&summed.stderr);
    for name in ["execve", "write", "exit_group"] {
        // Events that cut a call in two are left out above, so a call has its line.
        let lines = text.events().into_iter();
        let lines: Vec<_> = lines
            .filter(|line| line.contains(&format!(" {name}(")))
            .collect();
        let failed = lines.iter().filter(|line| line.contains(" = -1 ")).count();
        let counted = (lines.len() as u64, failed as u64);
        assert_eq!(row(&rows, name), counted, "{}", summed.stderr);
    }
    assert!(row(&rows, "execve").1 > 0, "{}", summed.stderr);
    let sum = |part: fn(&Row<'_>) -> u64| rows[..rows.len() - 1].iter().map(part).sum::<u64>();
    let total = (sum(|row| row.calls), sum(|row| row.errors));
    assert_eq!(row(&rows, "total"), total, "{}", summed.stderr);
    // `trace` asks for text in a file.
    assert!(summed.text.contains(" execve("), "{}", summed.text);
    let alone = vmm_trace(&[target.options(), &["--summary"]].concat(), &["hello"]);
    let stderr = String::from_utf8_lossy(&alone.stderr);
    assert_eq!(stderr.lines().count(), 4, "{stderr}");
}

fn of_a_process(target: Target) {
    let all = trace(target, &["--summary"], &["fork"]);
    let child = trace(target, &["--summary", "--pid", "2"], &["fork"]);
    let (all, child) = (rows(&all.stderr), rows(&child.stderr));
    assert_eq!(row(&child, "exit_group").0, 1, "{child:?}");
    assert!(row(&all, "exit_group").0 > 1, "{all:?}");
    assert!(child.iter().all(|row| row.name != "wait4"), "{child:?}");
    let refused = vmm_trace(&["--summary", "--only", "exits"], &["hello"]);
    assert_eq!(refused.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("--summary needs syscalls"), "{stderr}");
}

/// Instructions while a call's thread has a CPU: a wait for the time, or for a child, has few.
fn repeats(target: Target) {
    let run = |program: &[&str]| {
        let file = TempFile::new("text", b"");
        let path = file.path().to_str().expect("temporary paths are text");
        let options = [target.options(), &["--deterministic", "--summary"]].concat();
        let output = vmm_trace(&[&options[..], &["--output", path]].concat(), program);
        String::from_utf8(output.stderr).expect("text")
    };
    for program in [&["sleep", "50"][..], &["fork"], &["usertests"]] {
        let (first, second) = (run(program), run(program));
        assert_eq!(first, second, "{program:?}");
        assert!(first.contains("instructions"), "{first}");
    }
    let sleep = run(&["sleep", "50"]);
    let line = sleep.lines().find(|line| line.contains("nanosleep"));
    let line = line.unwrap_or_else(|| panic!("{sleep}"));
    let instructions: u64 = line
        .split_whitespace()
        .nth(2)
        .expect("it")
        .parse()
        .expect("a count");
    assert!((100..20_000).contains(&instructions), "{sleep}");
}
