//! The pages of examples.

use std::path::Path;
use std::process::Command;

use crate::support::{binary, list, output_with_input};
use crate::{Case, Folder, open};

pub const CASES: &[Case] = &[
    ("many_machines", many_machines),
    ("hard_modularity", hard_modularity),
];

/// Runs an example in the emulator, which makes a page, and asserts that the page shows of each
/// chart in its data as many bars, with these names of the table's columns.
fn shows(name: &str, bars: &[usize], columns: &[&str]) {
    let folder = Folder::new(name);
    let path = folder.file("page.html");
    let example = binary().with_file_name("examples").join(name);
    let output = output_with_input(Command::new(example).arg("emu").arg(&path as &Path), None);
    assert!(output.status.success(), "{output:?}");
    let (mut browser, data) = open(&path);
    let charts = list(&data["picture"]["charts"]);
    assert_eq!(charts.len(), bars.len());
    for (number, (chart, &expected)) in charts.iter().zip(bars).enumerate() {
        assert_eq!(list(&chart["bars"]).len(), expected);
        let mut count = |what: &str| {
            let all = format!("document.querySelectorAll('#chart-{number} {what}')");
            browser.value(&format!("{all}.length"))
        };
        assert_eq!(count(".track > :is(b, em)"), expected);
        assert_eq!(count("tbody tr"), expected);
    }
    let heads =
        "[...document.querySelectorAll('#chart-0 thead th')].map(e => e.textContent.trim())";
    let heads = browser.value(heads);
    let heads: Vec<_> = list(&heads)
        .iter()
        .filter_map(|head| head.as_str())
        .collect();
    assert_eq!(heads[1..], *columns);
    browser.assert_quiet();
}

fn many_machines() {
    shows(
        "many_machines",
        &[7],
        &["time", "how it ended", "against alone"],
    );
}

fn hard_modularity() {
    let columns = ["time", "exits", "instructions", "crash", "loop", "write"];
    shows("hard_modularity", &[4], &columns);
}
