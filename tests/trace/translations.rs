//! `--only translations`: what the emulator translates, beside what becomes of it.

use std::fs;

use serde_json::Value;

use crate::support::Target;
use crate::support::elf::TempFile;
use crate::{Case, trace, vmm_trace};

pub const CASES: &[Case] = &[("translations_stand_side_by_side", side_by_side)];

/// As many as the report counts, each with all of its instructions.
fn side_by_side(target: Target) {
    let program = ["collatz", "10000"];
    let json = TempFile::new("json", b"");
    let path = json.path().to_str().expect("temporary paths are text");
    let options = ["--deterministic", "--only", "translations"];
    let traced = trace(
        target,
        &[&options[..], &["--perfetto", path]].concat(),
        &program,
    );
    assert_eq!(traced.status, Some(0), "{}", traced.stderr);
    let text = &traced.text;
    let run = target
        .vmm(program[0])
        .args(&program[1..])
        .options(&options[..1])
        .run();
    let blocks = run.count(&["emu", "translated_blocks"]) as usize;
    let heads = || text.lines().filter(|line| !line.starts_with(' '));
    assert_eq!(heads().count(), blocks, "{text}");
    assert!(
        blocks > 0 && heads().all(|line| line.contains("[vCPU]       translation of 0x")),
        "{text}"
    );
    // The program's loop, with its names: each of the guest's instructions is beside one of the host's.
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains("(collatz: program_main+0x"));
    let head = lines.next().expect("its loop is hot");
    assert!(
        head.contains(", ring 3: ") && head.ends_with(" of host code"),
        "{head}"
    );
    let instructions = head
        .split(", ring 3: ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let instructions: usize = instructions
        .and_then(|count| count.parse().ok())
        .expect("a number");
    let rows: Vec<_> = lines.take_while(|line| line.starts_with(' ')).collect();
    let guest = rows.iter().filter(|row| row.starts_with("    4"));
    assert_eq!(guest.count(), instructions, "{rows:#?}");
    assert!(rows.iter().all(|row| row.len() > 50), "{rows:#?}");
    let told: Vec<Value> =
        serde_json::from_slice(&fs::read(path).expect("it is there")).expect("JSON");
    let told = told.iter().filter(|event| event["name"] == "translation");
    assert_eq!(told.count(), blocks);
}

pub fn refused() {
    for (options, why) in [
        (["--accel", "kvm"], "needs --accel emu"),
        (["--engine", "interpreter"], "needs --engine translator"),
    ] {
        let options = [&options[..], &["--only", "exits,translations"]].concat();
        let refused = vmm_trace(&options, &["hello"]);
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
}
