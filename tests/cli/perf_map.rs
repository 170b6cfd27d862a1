//! `--perf-map`: names of translated code where `perf` looks for them.

use std::fs;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::support::binary;
use crate::support::suite::plain;

pub fn trials() -> Vec<Trial> {
    vec![plain("perf_map_names_functions", names_functions)]
}

/// `START SIZE NAME`, a line each (Linux, tools/perf/Documentation/jit-interface.txt).
fn names_functions() {
    let mut vmm = Command::new(binary());
    vmm.args(["run", "--perf-map", "--report", "none", "collatz", "10000"]);
    let mut child = vmm.stdout(Stdio::null()).spawn().expect("it starts");
    let map = format!("/tmp/perf-{}.map", child.id());
    assert!(child.wait().expect("our child").success());
    let text = fs::read_to_string(&map).expect("it is there");
    fs::remove_file(&map).expect("ours");
    let mut ranges = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let mut number = || u64::from_str_radix(words.next()?, 16).ok();
        let (start, size) = (number().expect("a start"), number().expect("a size"));
        assert!(size > 0, "{line}");
        ranges.push(start..start + size);
        assert!(
            words.next().is_some_and(|name| name.contains(" [0x")),
            "{line}"
        );
    }
    ranges.sort_by_key(|range| range.start);
    let in_order = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
    assert!(in_order, "one name for each place:\n{text}");
    // The program's loop, by name and by its address.
    let named = |line: &str| line.contains(" collatz: program_main+0x") && line.ends_with(']');
    assert!(
        text.lines().filter(|line| named(line)).count() >= 3,
        "{text}"
    );
}
