//! The pages of `vmm run`, `vmm check`, `vmm compare` and `vmm bench`.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Target, binary, list, output_with_input};
use crate::{Browser, Case, Folder, open};

pub const CASES: &[Case] = &[
    ("run", run),
    ("run_of_several_cpus", run_of_several_cpus),
    ("run_that_ended_badly", run_that_ended_badly),
    ("check", check),
    ("compare", compare),
    ("bench", bench),
    ("bench_of_several_reports", bench_of_several_reports),
    ("hostile_words", hostile_words),
];

/// Runs `vmm` with these arguments, which ends with `status`.
#[track_caller]
fn vmm(args: &[&str], status: i32) {
    let output = output_with_input(Command::new(binary()).args(args), None);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// The page of a command with these options and words.
#[track_caller]
fn page_of(folder: &Folder, command: &str, rest: &[&str], status: i32) -> (Browser, Value) {
    let path = folder.file("page.html");
    let report = ["--report", "html", "--report-file", text(&path)];
    vmm(&[&[command], &report[..], rest].concat(), status);
    open(&path)
}

/// The words of the first cells of a table's rows that are shown.
fn column(browser: &mut Browser, table: &str, cell: usize) -> Vec<String> {
    let rows = browser.value(&format!(
        "[...document.querySelectorAll('{table} tbody tr')].filter(r => !r.hidden).map(r => r.cells[{cell}].textContent)"
    ));
    let words = list(&rows).iter().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

fn run() {
    let folder = Folder::new("run");
    let machines = [Target::Emu, Target::Kvm, Target::KvmUserApic];
    for target in machines
        .into_iter()
        .filter(|target| target.missing().is_none())
    {
        let words = [target.options(), &["hello"]].concat();
        let (mut browser, data) = page_of(&folder, "run", &words, 0);
        assert_eq!(
            browser.value("document.querySelector('h1').textContent"),
            "hello"
        );
        assert_eq!(
            browser.value("document.querySelector('.outcome').textContent"),
            "exited with status 0"
        );
        let reasons = column(&mut browser, "#exit-rows", 0);
        let expected = list(&data["exits"])
            .iter()
            .map(|row| row["reason"].as_str());
        assert_eq!(reasons, expected.flatten().collect::<Vec<_>>());
        sorts_and_filters(&mut browser, &data);
        if target == Target::Kvm {
            let of_kvm =
                browser.value("document.querySelector('#kvm tbody tr .why').textContent.length");
            assert!(of_kvm.as_u64() > Some(10), "no explanation: {of_kvm}");
        }
        browser.assert_quiet();
        std::fs::remove_dir_all(folder.file("page.profile")).ok();
    }
}

/// The table of exits by a key press on a heading, and by the words of a row.
fn sorts_and_filters(browser: &mut Browser, data: &Value) {
    let mut counts: Vec<_> = list(&data["exits"])
        .iter()
        .map(|row| row["count"].as_u64())
        .collect();
    counts.sort_by_key(|&count| std::cmp::Reverse(count));
    browser.value("document.querySelectorAll('#exit-rows thead button')[3].focus()");
    browser.press("Enter");
    let shown = |browser: &mut Browser| -> Vec<_> {
        let cells = column(browser, "#exit-rows", 3).into_iter();
        cells
            .map(|count| count.replace(',', "").parse::<u64>().ok())
            .collect()
    };
    assert_eq!(shown(browser), counts);
    assert_eq!(
        browser.value("document.querySelector('#exit-rows [aria-sort]').ariaSort"),
        "descending"
    );
    browser.press("Enter");
    counts.reverse();
    assert_eq!(shown(browser), counts);
    browser.value(
        "{ const i = document.querySelector('#exits [type=search]'); i.value = 'OUT serial'; \
           i.dispatchEvent(new Event('input', { bubbles: true })); }",
    );
    assert_eq!(column(browser, "#exit-rows", 1), ["port 0x3f8"]);
}

fn run_of_several_cpus() {
    let folder = Folder::new("cpus");
    let (mut browser, data) = page_of(
        &folder,
        "run",
        &["--accel", "emu", "--cpus", "2", "threads"],
        0,
    );
    let exits = column(&mut browser, "#cpus", 1);
    let expected = list(&data["vcpus"])
        .iter()
        .map(|vcpu| vcpu["exits_total"].to_string());
    assert_eq!(exits, expected.collect::<Vec<_>>());
    assert_eq!(exits.len(), 2);
}

fn run_that_ended_badly() {
    let folder = Folder::new("bad");
    let limit = [
        "--accel",
        "emu",
        "--max-instructions",
        "200000",
        "spin",
        "1000",
    ];
    let (mut browser, data) = page_of(&folder, "run", &limit, 124);
    let outcome = browser.value("document.querySelector('.outcome.bad').textContent");
    assert_eq!(outcome, "too many instructions");
    let code = browser.value("document.querySelector('#state').textContent");
    let code = code.as_str().unwrap_or_default();
    let state = &data["state"];
    let marked = browser.value("document.querySelector('#state pre mark').textContent");
    let [rip, text] = [&state["registers"]["rip"], &state["instruction"]["text"]];
    let [rip, text] = [rip, text].map(|part| part.as_str().unwrap_or("?"));
    assert_eq!(marked, format!("{rip}  {text}"));
    let lines = browser
        .value("document.querySelector('#state pre').textContent.trim().split('\\n').length");
    assert_eq!(lines, list(&state["code"]).len());
    for part in [
        &state["registers"]["rip"],
        &state["instruction"]["bytes"],
        &state["instruction"]["text"],
    ] {
        assert!(
            code.contains(part.as_str().unwrap_or("?")),
            "no {part}: {code}"
        );
    }
    let registers = browser.value(
        "Object.fromEntries([...document.querySelectorAll('.registers > div')].map(d => [...d.children].map(e => e.textContent)))",
    );
    assert_eq!(registers, state["registers"]);
}

fn check() {
    let folder = Folder::new("check");
    let [guests, page] = ["guests.toml", "page.html"].map(|name| folder.file(name));
    let words = "machines = ['emu']\n[[guest]]\nrun = 'echo <b>'\nsyscalls = 3\nexits.hlt = 1\n";
    std::fs::write(&guests, words).expect("the folder can be written");
    vmm(&["check", "--html", text(&page), text(&guests)], 1);
    let (mut browser, data) = open(&page);
    let figures = list(&data["cases"][0]["figures"]);
    let names = figures
        .iter()
        .filter_map(|figure| figure["figure"].as_str());
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["outcome", "syscalls", "exits hlt"]);
    assert_eq!(column(&mut browser, "#figure-rows", 3), names);
    browser.value("document.querySelector('#figures [type=checkbox]').click()");
    assert_eq!(column(&mut browser, "#figure-rows", 1), ["echo <b>"]);
    assert_eq!(column(&mut browser, "#figure-rows", 6), ["-1"]);
    browser.assert_quiet();
}

fn compare() {
    let folder = Folder::new("compare");
    let (mut browser, data) = page_of(&folder, "compare", &["--runs", "2", "hello"], 0);
    let machines = list(&data["machines"]);
    let rows = column(&mut browser, "#instructions", 0);
    let expected = machines
        .iter()
        .filter_map(|machine| machine["machine"].as_str());
    assert_eq!(rows, expected.collect::<Vec<_>>());
    let points = browser.value("document.querySelectorAll('#time .spread i').length");
    assert_eq!(points, 2 * machines.len());
    browser.value("document.querySelector('#exits [type=checkbox]').click()");
    let shown = column(&mut browser, "#exit-rows", 0).len();
    let differing = list(&data["exits"])
        .iter()
        .filter(|row| !row["cause"].is_null());
    assert_eq!(shown, differing.count());
    browser.assert_quiet();
}

fn bench() {
    let folder = Folder::new("bench");
    let what = ["--on", "emu", "--samples", "3", "exit_pio_out", "store"];
    let (mut browser, data) = page_of(&folder, "bench", &what, 0);
    let measures = list(&data["files"][0]["report"]["measures"]);
    for measure in measures {
        assert_eq!(
            list(&measure["figures"][0]["samples_ns"]).len(),
            3,
            "{measure:#}"
        );
    }
    assert_eq!(
        browser.value("document.querySelectorAll('.chart').length"),
        measures.len()
    );
    let points = browser.value("document.querySelectorAll('.chart .track i').length");
    assert_eq!(points, 3 * measures.len());
}

/// A report of `vmm bench` with one measure, of these samples.
fn report(kernel: &str, samples: [f64; 3]) -> String {
    json!({
        "schema": 1, "version": "0", "samples": 3, "cpus": 1, "machines": ["emu"], "missing": [], "stopped": null,
        "host": { "cpu": "A & B", "cpus": 1, "kernel": kernel, "kvm": null },
        "measures": [{
            "name": "store", "about": "store of a byte", "absent": [{ "machine": "kvm", "reason": "</script>" }],
            "figures": [{
                "machine": "emu", "ns": { "min": samples[0], "median": samples[1], "max": samples[2] },
                "samples_ns": samples, "exits": 0.25,
            }],
        }],
    })
    .to_string()
}

fn bench_of_several_reports() {
    let folder = Folder::new("several");
    let samples = [[10.0, 11.0, 12.0], [11.5, 12.5, 14.0], [22.0, 23.0, 24.0]];
    let files: Vec<_> = (0..3)
        .map(|number| folder.file(&format!("{number}.json")))
        .collect();
    for (file, samples) in files.iter().zip(samples) {
        std::fs::write(file, report("</script><script>throw 1</script>", samples)).expect("a file");
    }
    let page = folder.file("page.html");
    let files: Vec<_> = files.iter().map(|file| text(file)).collect();
    vmm(&[&["bench", "--html", text(&page)], &files[..]].concat(), 0);
    let (mut browser, data) = open(&page);
    assert_eq!(list(&data["files"]).len(), 3);
    let row = browser.value(
        "[...document.querySelector('#against-rows tbody tr').cells].map(c => c.textContent)",
    );
    let expected = [
        "store",
        "emu",
        "11.0 ns",
        "12.5 ns",
        "23.0 ns",
        "1.14\u{d7}",
        "2.09\u{d7}",
        "slower",
    ];
    assert_eq!(row, json!(expected));
    assert_eq!(
        browser.value("document.querySelectorAll('.track i').length"),
        9
    );
}

/// What a program is given and says is no part of the page's own.
fn hostile_words() {
    let folder = Folder::new("hostile");
    let words = [
        "</script><script>document.title='taken'</script>",
        "<img src=x onerror=\"document.title='taken'\">",
        "&lt;!--",
        "\u{202e}\u{2028}'\"`",
    ];
    for command in ["run", "compare"] {
        let rest = [&["args"][..], &words].concat();
        let options = if command == "run" {
            &["--accel", "emu"][..]
        } else {
            &["--runs", "1"]
        };
        let (mut browser, _) = page_of(&folder, command, &[options, &rest].concat(), 0);
        let title = browser.value("document.querySelector('h1').textContent");
        let title = title.as_str().unwrap_or_default();
        for word in &words[..3] {
            assert!(title.contains(word), "{title}");
        }
        let page =
            browser.value("document.title + document.images.length + document.scripts.length");
        assert!(
            page.as_str()
                .is_some_and(|page| page.ends_with("02") && !page.starts_with("taken")),
            "{page}"
        );
        std::fs::remove_dir_all(folder.file("page.profile")).ok();
    }
}
