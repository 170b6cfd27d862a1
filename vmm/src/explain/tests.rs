//! Each name has its text, each text its name, and figures are those of the READMEs.

use std::collections::HashSet;

use serde_json::Value;

use super::{Kind, all, counter, find};
use crate::cpu::EmulatorCounts;
use crate::exit::ExitReason;
use crate::report::{EmuCounters, GuestCounters, GuestCpu, HostInstructions};
use crate::trace::call_numbers;

/// The names that have texts, of one kind.
fn names(kind: Kind) -> Vec<&'static str> {
    let texts = all().iter().filter(|text| text.kind == kind);
    texts.map(|text| text.name).collect()
}

fn sorted<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
    names.sort_unstable();
    names
}

/// Public constants of a source whose types begin with one of `types`, but for lengths and values.
fn constants(source: &str, types: &[&str]) -> Vec<String> {
    let lines = source.lines();
    let constants = lines.filter_map(|line| line.strip_prefix("pub const ")?.split_once(": "));
    let chosen = constants.filter(|(name, rest)| {
        !name.ends_with("_LEN") && types.iter().any(|kind| rest.starts_with(kind))
    });
    sorted(chosen.map(|(name, _)| name.to_lowercase()))
}

#[test]
fn each_exit_reason_has_its_text() {
    let reasons = ExitReason::ALL.iter().map(|reason| reason.name());
    assert_eq!(sorted(names(Kind::Exit)), sorted(reasons));
}

#[test]
fn each_port_address_and_msr_has_its_text() {
    let ports = include_str!("../../../guest-kernel/abi/src/ports.rs");
    assert_eq!(sorted(names(Kind::Port)), constants(ports, &["u16"]));
    assert_eq!(sorted(names(Kind::Gpa)), constants(ports, &["u64"]));
    let msrs = include_str!("../../../guest-kernel/x86/src/msr.rs");
    let types = ["u32", "RangeInclusive<u32>", "[u32"];
    assert_eq!(sorted(names(Kind::Msr)), constants(msrs, &types));
}

#[test]
fn each_system_call_has_its_text() {
    let calls = call_numbers().map(|(name, _)| name);
    assert_eq!(sorted(names(Kind::Syscall)), sorted(calls));
}

/// Those of KVM are as many as a kernel has; `tests/cli` looks at the ones of a run.
#[test]
fn each_counter_of_ours_has_its_text() {
    let emu = EmuCounters::new(Default::default(), EmulatorCounts::default());
    let parts = [
        serde_json::to_value(emu),
        serde_json::to_value(GuestCounters::default()),
        serde_json::to_value(GuestCpu::default()),
        serde_json::to_value(HostInstructions::default()),
    ];
    for part in parts {
        let Value::Object(fields) = part.expect("counters are JSON") else {
            panic!("counters are objects");
        };
        for name in fields.keys() {
            assert_ne!(counter(name), "", "{name}");
        }
    }
    assert_eq!(counter("of a later kernel"), "");
}

#[test]
fn texts_are_whole_and_each_its_own() {
    let (mut seen, mut titles) = (HashSet::new(), HashSet::new());
    for text in all() {
        let name = text.name;
        assert!(text.about.len() > 10 && text.about.ends_with('.'), "{name}");
        assert!(seen.insert(&text.about), "{name}: {}", text.about);
        assert!(titles.insert((text.kind.name(), name)), "{name} twice");
        for part in [&text.cause, &text.cost, &text.avoid, &text.source] {
            let part = part.as_deref().unwrap_or("as there is none.");
            assert!(part.len() > 5 && part.ends_with('.'), "{name}: {part}");
            assert!(
                !part.contains('{') && !part.contains("  "),
                "{name}: {part}"
            );
        }
        assert!(text.source.is_some() && text.cost.is_some(), "{name}");
        let has_number = !matches!(text.kind, Kind::Exit | Kind::Counter);
        assert_eq!(!text.numbers.is_empty(), has_number, "{name}");
    }
}

/// A measured figure is what a README has: where that changes, the text must.
#[test]
fn figures_are_those_of_the_readmes() {
    let readmes = [
        include_str!("../../../README.md"),
        include_str!("../../README.md"),
        include_str!("../../cpu/README.md"),
    ];
    let mut figures = 0;
    for text in all() {
        let cost = text.cost.as_deref().unwrap_or_default();
        let words: Vec<_> = cost.split(' ').collect();
        for pair in words.windows(2) {
            let unit = pair[1].trim_end_matches(|c: char| c.is_ascii_punctuation());
            if !["ns", "us", "ms"].contains(&unit) {
                continue;
            }
            let number = pair[0].trim_start_matches('(');
            let figure = format!("{number} {unit}");
            let is_there = readmes.iter().any(|readme| readme.contains(&figure));
            assert!(is_there, "{}: {figure}", text.name);
            figures += 1;
        }
    }
    assert!(figures > 50, "only {figures}");
}

#[test]
fn names_numbers_and_kinds_lead_to_texts() {
    let titles = |name: &str| -> Vec<String> {
        let found = find(name).unwrap_or_else(|error| panic!("{error}"));
        let titles = found
            .iter()
            .map(|text| format!("{} {}", text.kind.name(), text.name));
        titles.collect()
    };
    assert_eq!(titles("pio_out"), ["exit pio_out"]);
    for port in ["0x3f8", "0x3ff", "1016", "port 0x3f8", "serial"] {
        assert_eq!(titles(port), ["port serial"], "{port}");
    }
    assert_eq!(titles("0x5e4"), ["port input_data"]);
    assert_eq!(titles("copies"), ["counter copies", "port copies"]);
    assert_eq!(titles("0x10"), ["msr tsc", "syscall ioctl"]);
    assert_eq!(titles("msr 0x80b"), ["msr x2apic"]);
    assert_eq!(titles("IA32_LSTAR"), ["msr lstar"]);
    assert_eq!(titles("0x26f"), ["msr mtrr_fixed"]);
    assert_eq!(titles("gpa 0xfee000b0"), ["gpa local_apic"]);
    assert_eq!(titles("I/O APIC"), ["gpa io_apic"]);
    assert_eq!(titles("0"), ["syscall read"]);
    let error = find("pio_ot").expect_err("no such name").to_string();
    assert!(error.contains("(did you mean pio_out"), "{error}");
    assert!(find("0xffffffffffffffff").is_err() && find("").is_err());
}
