use std::path::Path;

use serde_json::Value;

use super::{Case, CheckFile, Checked, Update, judge};
use crate::bundled::COMPILER;
use crate::compare::tests::run;
use crate::compare::{Machine, Missing};
use crate::exit::ExitReason;
use crate::report::Outcome;

/// What holds of [`measured`].
const HOLDS: &str = r#"# What it costs.
machines = ["kvm", "emu", "interpreter"]

[[guest]]
run = "hello you"       # and who else
output = "hello\n"
contains = "ell"
syscalls = 3
exits = { total = "at most 5", pio_out = 3, "pio_out port 0x3f8" = 3 }
emu = { ring0 = 60, ring3 = "41 within 3%", exits.total = 5 } # all of it
kvm = { exits.hlt = 0 }
"#;

fn file(text: &str) -> CheckFile {
    CheckFile::parse(Path::new("a.toml"), text).unwrap_or_else(|error| panic!("{error}"))
}

/// A run of the first guest on each of its machines: the emulator's have two exits more.
fn measured(file: &CheckFile, output: &str) -> Checked {
    let ports = (ExitReason::PioOut, Some(0x3f8), 3);
    let cases = file.guests[0].machines.iter().map(|&machine| {
        let exits: &[_] = match machine.is_kvm() {
            true => &[ports],
            false => &[ports, (ExitReason::Hlt, None, 2)],
        };
        let run = run(machine, exits, 1000, output);
        Case {
            guest: file.guests[0].run.clone(),
            machine,
            wall_ns: run.report.wall_ns,
            failed: false,
            figures: judge(file, 0, machine, &run),
        }
    });
    Checked {
        file: file.path().display().to_string(),
        note: file.note(),
        cases: cases.collect(),
        missing: Vec::new(),
    }
}

/// The lines about what does not hold, without what is the same in all of them.
fn broken(text: &str) -> Vec<String> {
    let text = measured(&file(text), "hello\n").to_string();
    let lines = text.lines().filter_map(|line| line.strip_prefix("a.toml:"));
    lines.map(str::to_owned).collect()
}

#[test]
fn what_holds() {
    let checked = measured(&file(HOLDS), "hello\n");
    let verdict = "26 figures of 3 runs hold, on kvm, emu, interpreter\n";
    assert_eq!(checked.to_string(), verdict);
    assert!(checked.holds());
    assert_eq!(checked.annotations(), "");
}

#[test]
fn what_does_not_hold_says_by_how_much() {
    for (from, to, lines) in [
        (
            "ring0 = 60",
            "ring0 = 50",
            &[
                "10: hello you on emu: ring0: expected 50, measured 60 (+10, +20.0%)",
                "10: hello you on interpreter: ring0: expected 50, measured 60 (+10, +20.0%)",
            ] as &[_],
        ),
        (
            "41 within 3%",
            "41 within 1%",
            &[
                "10: hello you on emu: ring3: expected 41 within 1%, measured 40 (-1, -2.4%)",
                "10: hello you on interpreter: ring3: expected 41 within 1%, measured 40 (-1, -2.4%)",
            ],
        ),
        // The emulator has its own.
        (
            "at most 5",
            "at most 2",
            &["9: hello you on kvm: exits total: expected at most 2, measured 3 (+1, +50.0%)"],
        ),
        (
            "exits.hlt = 0",
            "ring0 = 60, exits.msr_read = 1",
            &[
                "11: hello you on kvm: ring0: expected 60, measured nothing: this machine does not count it",
                "11: hello you on kvm: exits msr_read: expected 1, measured 0 (-1, -100.0%)",
            ],
        ),
    ] {
        assert_eq!(broken(&HOLDS.replace(from, to)), lines);
    }
    let zero = broken(&HOLDS.replace("pio_out = 3", "pio_out = 0"));
    assert_eq!(
        zero[0],
        "9: hello you on kvm: exits pio_out: expected 0, measured 3 (+3)"
    );
    let end = broken(&HOLDS.replace("output", "outcome = \"killed by signal 11\"\noutput"));
    let says =
        "6: hello you on kvm: outcome: expected killed by signal 11, measured exited with status 0";
    assert_eq!(end[0], says);
}

#[test]
fn outputs_differ_in_a_line() {
    let file = file(HOLDS);
    let checked = measured(&file, "hello\nyou\n");
    let says: Vec<_> = checked.cases[0]
        .broken()
        .map(|figure| figure.says())
        .collect();
    assert_eq!(says, [r#"expected line 2 "", measured line 2 "you""#]);
    let checked = measured(&file, "");
    let figures: Vec<_> = checked.cases[0]
        .broken()
        .map(|broken| broken.figure.as_str())
        .collect();
    assert_eq!(figures, ["output", "contains"]);
}

#[test]
fn an_outcome_is_a_status_or_words() {
    let stack = Outcome::killed(11).with_message("stack overflow");
    for (outcome, says, holds) in [
        (Outcome::exited(0), "", true),
        (Outcome::exited(1), "", false),
        (Outcome::exited(1), "outcome = 1", true),
        (stack.clone(), "outcome = 139", true),
        (stack.clone(), "outcome = \"killed by signal 11\"", true),
        (
            stack.clone(),
            "outcome = \"killed by signal 11: stack overflow\"",
            true,
        ),
        (stack, "outcome = \"killed by signal 1\"", false),
    ] {
        let file = file(&format!("[[guest]]\nrun = \"x\"\n{says}\n"));
        let mut run = run(Machine::Emu, &[], 1, "");
        run.report.outcome = outcome;
        let figures = judge(&file, 0, Machine::Emu, &run);
        assert_eq!(figures.len(), 1);
        assert_eq!(figures[0].holds, holds, "{says}");
    }
}

#[test]
fn a_wrong_file_is_a_line_that_names_line_and_remedy() {
    for (from, to, parts) in [
        (
            "ring0",
            "rign0",
            &["a.toml:10: ", "`rign0`", "`ring0`", "`boot_instructions`"] as &[_],
        ),
        (
            "syscalls",
            "sycalls",
            &["a.toml:8: ", "`sycalls`", "`syscalls`"],
        ),
        (
            "\"kvm\"",
            "\"xen\"",
            &["a.toml:2: ", "`xen`", "`kvm_user_apic`"],
        ),
        (
            "pio_out =",
            "pio =",
            &["a.toml:9: ", "`pio`", "total, pio_in, pio_out"],
        ),
        (
            "port 0x3f8",
            "0x3f8",
            &["a.toml:9: ", "`pio_out port 0x3f8`"],
        ),
        ("at most 5", "5 at most", &["a.toml:9: ", "\"5 within 2%\""]),
        (
            "syscalls = 3",
            "syscalls = -3",
            &["a.toml:8: ", "-3", "\"at most 5\""],
        ),
        (
            "output",
            "outcome = true\noutput",
            &["a.toml:6: ", "exit status"],
        ),
        ("run =", "runs =", &["a.toml:", "`runs`", "`run`"]),
        ("= \"hello you\"", "hello", &["a.toml:5: "]),
        ("[[guest]]", "[guest", &["a.toml:4: "]),
    ] {
        let error = CheckFile::parse(Path::new("a.toml"), &HOLDS.replace(from, to));
        let error = error.expect_err(to).to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        for part in parts {
            assert!(error.contains(part), "no {part}: {error}");
        }
    }
    let empty = CheckFile::parse(Path::new("a.toml"), "").expect_err("nothing");
    assert!(empty.to_string().contains("[[guest]]"), "{empty}");
}

#[test]
fn an_update_changes_only_what_does_not_hold() {
    let wrong = [
        ("syscalls = 3", "syscalls = 4"),
        ("ring0 = 60", "ring0 = 0"),
        ("exits.total = 5", "exits.total = 7"),
        ("hello\\n", "good bye\\n"),
    ];
    let text = wrong
        .iter()
        .fold(HOLDS.to_owned(), |text, (from, to)| text.replace(from, to));
    let file = file(&text);
    let update = Update::of(&file, &measured(&file, "hello\n").cases);
    assert_eq!(update.left, [] as [&str; 0]);
    // A multi-line text is written as such.
    assert_eq!(
        update.text.replace("\"\"\"\nhello\n\"\"\"", "\"hello\\n\""),
        HOLDS
    );
}

#[test]
fn an_update_keeps_forms_and_adds_an_outcome() {
    let file = file(
        "[[guest]]\nrun = 'x'\nmachines = ['emu']\nemu.ring0 = '9 within 1%'\nexits.hlt = 'at most 1'\n",
    );
    let mut checked = measured(&file, "");
    let mut run = run(Machine::Emu, &[(ExitReason::Hlt, None, 2)], 1, "");
    run.report.outcome = Outcome::exited(3);
    checked.cases[0].figures = judge(&file, 0, Machine::Emu, &run);
    let text = Update::of(&file, &checked.cases).text;
    let expected = "[[guest]]\nrun = 'x'\nmachines = ['emu']\nemu.ring0 = \"60 within 1%\"\n\
                    exits.hlt = \"at most 2\"\noutcome = 3\n";
    assert_eq!(text, expected);
}

#[test]
fn what_machines_disagree_about_is_left() {
    let text = HOLDS
        .replace("\"at most 5\"", "4")
        .replace(", exits.total = 5", "");
    let file = file(&text);
    let update = Update::of(&file, &measured(&file, "hello\n").cases);
    assert_eq!(update.text, text);
    let left =
        "a.toml:9: exits total: no one value says all of it: 3 on kvm, 5 on emu, 5 on interpreter";
    assert_eq!(update.left, [left]);
}

#[test]
fn guests_of_another_compiler_have_a_margin() {
    let with = |version: &str| {
        HOLDS.replace("ring0 = 60", "ring0 = 58").replace(
            "[[guest]]",
            &format!("[compiler]\nversion = \"{version}\" # its\nothers_within = 10\n\n[[guest]]"),
        )
    };
    let mut other = file(&with("rustc 1.0.0"));
    assert_eq!(other.margin, Some(10.0));
    assert!(measured(&other, "hello\n").holds());
    let said = measured(&other, "hello\n").to_string();
    assert!(
        said.contains("rustc 1.0.0") && said.contains(COMPILER),
        "{said}"
    );
    // Calls and exits have none.
    assert!(
        !measured(
            &file(&with("rustc 1.0.0").replace("syscalls = 3", "syscalls = 4")),
            "hello\n"
        )
        .holds()
    );
    other.margin = None;
    let update = Update::of(&other, &measured(&other, "hello\n").cases);
    assert_eq!(
        update.text,
        with(COMPILER).replace("ring0 = 58", "ring0 = 60")
    );
    assert!(!measured(&file(&with(COMPILER)), "hello\n").holds());
}

#[test]
fn what_others_read() {
    let text = HOLDS
        .replace("hello you", "a|b <c> 'd, e:f'")
        .replace("syscalls = 3", "syscalls = 2");
    let mut checked = measured(&file(&text), "hello\n");
    let reason = "no /dev/kvm".to_owned();
    let machine = Machine::KvmUserApic;
    checked.missing.push(Missing { machine, reason });
    let annotations = checked.annotations();
    let expected = "::error file=a.toml,line=8,title=a|b <c> 'd%2C e%3Af' on kvm::syscalls: expected 2, measured 3 (+1, +50.0%25)";
    assert_eq!(annotations.lines().next(), Some(expected));
    assert_eq!(annotations.lines().count(), 4);
    assert!(
        annotations.ends_with("::kvm_user_apic: no /dev/kvm\n"),
        "{annotations}"
    );
    let markdown = checked.markdown();
    let row = "| 8 | `a\\|b <c> 'd, e:f'` | kvm | `syscalls` | `2` | `3` | +1 (+50.0%) |";
    assert_eq!(
        markdown.lines().filter(|line| line == &row).count(),
        1,
        "{markdown}"
    );
    let junit = checked.junit();
    for part in [
        "<testsuites name=\"vmm check\" tests=\"4\" skipped=\"1\" failures=\"3\"",
        "classname=\"kvm\" assertions=\"8\"",
        "message=\"a.toml:8: syscalls: expected 2, measured 3 (+1, +50.0%)\"",
        "a|b &lt;c&gt;",
        "<skipped message=\"no /dev/kvm\"/>",
    ] {
        assert!(junit.contains(part), "no {part}: {junit}");
    }
    let json: Value = serde_json::from_str(&checked.to_json()).expect("JSON");
    let figure = json["cases"][0]["figures"].as_array().expect("a list");
    let figure = figure
        .iter()
        .find(|figure| figure["holds"] == false)
        .expect("one");
    assert_eq!((&figure["line"], &figure["more"]), (&8.into(), &1.into()));
}
