//! The page of `vmm trace`.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use vmm::html::HtmlSink;
use vmm::trace::{Call, Event, ThreadId, TraceSink, What};

use crate::support::{Target, binary, list, output_with_input};
use crate::{Browser, Case, Folder, open};

pub const CASES: &[Case] = &[
    ("trace", trace),
    ("trace_of_several_cpus", trace_of_several_cpus),
    (
        "a_sleeper_leaves_its_cpu_idle",
        a_sleeper_leaves_its_cpu_idle,
    ),
    ("timeline", timeline),
    ("filters", filters),
    ("hostile_output", hostile_output),
    ("a_million_events", a_million_events),
];

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// The page of a trace with these options and words, and the trace as text.
#[track_caller]
fn traced(folder: &Folder, words: &[&str]) -> (Browser, Value, String) {
    let [page, lines] = [folder.file("page.html"), folder.file("lines")];
    let options = ["trace", "--html", text(&page), "--output", text(&lines)];
    let output = output_with_input(Command::new(binary()).args(options).args(words), None);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "", "{words:?}");
    let (browser, data) = open(&page);
    let lines = std::fs::read_to_string(&lines).expect("a trace is text");
    (browser, data, lines)
}

/// Events of each kind that the browser finds in the chunks.
fn kinds(browser: &mut Browser) -> Value {
    browser.value(
        "{ const kinds = KINDS.map(() => 0); for (const c of chunks) for (const e of contents(c).events) kinds[e[1]]++; kinds }",
    )
}

fn trace() {
    let folder = Folder::new("trace");
    let machines = [Target::Emu, Target::Kvm];
    for target in machines
        .into_iter()
        .filter(|target| target.missing().is_none())
    {
        let words = [target.options(), &["--console", "serial", "fork"]].concat();
        let (mut browser, data, lines) = traced(&folder, &words);
        assert_eq!(kinds(&mut browser), data["kinds"]);
        let count = |part: &str| lines.lines().filter(|line| line.contains(part)).count();
        let known = |kind: usize| data["kinds"][kind].as_u64().unwrap_or_default() as usize;
        assert_eq!(known(0) + known(1), count("  [vCPU] "), "exits");
        assert_eq!(known(4), count(" page fault: "), "faults");
        assert_eq!(known(5), count("]      tick "), "ticks");
        assert_eq!(known(6), count(" switch to "), "switches");
        let threads = list(&data["threads"])
            .iter()
            .filter(|thread| thread[2] == "fork");
        assert_eq!(threads.count(), 2);
        // All time is some CPU's, in some state.
        let spent = browser.value(
            "chunks.reduce((sum, c) => sum + c.cpus.reduce((s, [spent]) => s + spent.reduce((a, b) => a + b), 0), 0)",
        );
        assert_eq!(spent, data["ns"]);
        std::fs::remove_dir_all(folder.file("page.profile")).ok();
    }
}

fn trace_of_several_cpus() {
    let folder = Folder::new("trace_cpus");
    let words = ["--accel", "emu", "--cpus", "2", "threads"];
    let (mut browser, data, _) = traced(&folder, &words);
    assert_eq!(data["cpus"], 2);
    let seen = browser
        .value("[...new Set(chunks.flatMap(c => contents(c).events.map(e => e[2])))].sort()");
    assert_eq!(seen, json!([0, 1]));
    // Where a time is on the screen, each CPU is in one state at most.
    let most = browser.value(
        "{ const b = bins(400); chunks.forEach(c => exact(b, c, 400)); \
           Math.max(...b.flatMap(c => [...Array(400).keys()].map(x => c.states.reduce((s, a) => s + a[x], 0)))) }",
    );
    assert!(most.as_f64() <= Some(1.001), "{most}");
}

/// Interrupts that come meanwhile do not end it.
fn a_sleeper_leaves_its_cpu_idle() {
    let folder = Folder::new("sleeper");
    let machines = [Target::Emu, Target::Kvm, Target::KvmUserApic];
    for target in machines
        .into_iter()
        .filter(|target| target.missing().is_none())
    {
        let words = [target.options(), &["sleep", "300"]].concat();
        let (mut browser, _, _) = traced(&folder, &words);
        let idle = browser.value("chunks.reduce((sum, c) => sum + c.cpus[0][0][3], 0)");
        assert!(idle.as_f64() > Some(200e6), "{idle} ns on {target}");
        std::fs::remove_dir_all(folder.file("page.profile")).ok();
    }
}

/// The calls of a program by mouse and keys, from the whole run to one of them.
fn timeline() {
    let folder = Folder::new("timeline");
    let words = ["--accel", "emu", "--deterministic", "fork"];
    let (mut browser, data, _) = traced(&folder, &words);
    let span = |browser: &mut Browser| {
        let span = browser.value("[view.from, view.to]");
        [
            span[0].as_f64().unwrap_or(-1.0),
            span[1].as_f64().unwrap_or(-1.0),
        ]
    };
    let whole = [0.0, data["ns"].as_f64().unwrap_or_default()];
    assert_eq!(span(&mut browser), whole);
    browser.value("canvas.focus()");
    browser.press("+");
    let [from, to] = span(&mut browser);
    assert_eq!(to - from, whole[1] / 2.0);
    browser.press("ArrowRight");
    assert!(span(&mut browser)[0] > from);
    browser.press("0");
    assert_eq!(span(&mut browser), whole);
    // By a click on a call, then close to it.
    browser.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))");
    let place = browser.value(
        "{ canvas.scrollIntoView(); const hit = shown.hits.find(([, c, i]) => string(contents(c).events[i][4]) === 'wait4'); \
           const e = contents(hit[1]).events[hit[2]]; const box = canvas.getBoundingClientRect(); \
           [box.left + LABELS + (x(hit[0]) + x(hit[0] - e[7])) / 2, box.top + top_(0, 2) + 9] }",
    );
    let calls = browser.value(
        "{ const hit = shown.hits.find(([, c, i]) => string(contents(c).events[i][4]) === 'wait4'); hit[1].first + hit[2] }",
    );
    browser.click(&place);
    // It, or another one within it, as of its child.
    let chosen = browser.value("KINDS[shown.selected.kind][1]");
    assert_eq!(chosen, "call", "at {place}");
    browser.value(&format!("choose({calls}, true)"));
    let detail = browser.value(
        "Object.fromEntries([...document.querySelectorAll('#detail dl > div')].map(d => [...d.children].map(e => e.textContent)))",
    );
    assert_eq!(detail["call"], "wait4");
    assert!(
        detail["arguments"]
            .as_str()
            .is_some_and(|arguments| arguments.contains("exited with")),
        "{detail}"
    );
    let [from, to] = span(&mut browser);
    assert!(to - from < whole[1] && from > 0.0, "{from} to {to}");
    browser.assert_quiet();
}

fn filters() {
    let folder = Folder::new("filters");
    let (mut browser, data, _) =
        traced(&folder, &["--accel", "emu", "--console", "serial", "fork"]);
    let total = list(&data["kinds"])
        .iter()
        .filter_map(Value::as_u64)
        .sum::<u64>();
    let found = |browser: &mut Browser, change: &str| {
        browser.value(&format!(
            "new Promise(done => {{ {change}; filter(); \
               const look = () => document.body.dataset.found ? done(Number(document.body.dataset.found)) : setTimeout(look, 5); look(); }})"
        ))
    };
    assert_eq!(found(&mut browser, ""), total);
    let writes = found(&mut browser, "at('words').value = 'write( child:'");
    let shown =
        browser.value("[...document.querySelectorAll('.line .what')].map(e => e.textContent)");
    let shown = list(&shown);
    assert_eq!(writes, shown.len());
    assert!(!shown.is_empty());
    for line in shown.iter().filter_map(Value::as_str) {
        assert!(line.starts_with("write(1, \"child"), "{line}");
    }
    let others = "at('words').value = ''; for (const box of at('kinds').querySelectorAll('input')) box.checked = box.value === 'tick'";
    assert_eq!(found(&mut browser, others), data["kinds"][5]);
    let child = "for (const box of at('kinds').querySelectorAll('input')) box.checked = true; at('who').value = '2'";
    let of_child = found(&mut browser, child).as_u64();
    assert!(
        (1..total).contains(&of_child.unwrap_or_default()),
        "{of_child:?} of {total}"
    );
    // The list by keys, from its first row to its last.
    browser.value("at('list').focus()");
    browser.press("End");
    let last = browser.value("[shown.selected.number, matches[matches.length - 1], document.querySelector('[aria-selected=true]')?.id]");
    assert_eq!(last[0], last[1]);
    assert_eq!(last[2], format!("e{}", last[0]));
    browser.assert_quiet();
}

/// What a program writes is text, whatever it is.
fn hostile_output() {
    let folder = Folder::new("hostile_output");
    let said =
        "</script><script>document.title='taken'</script><!-- <img src=x onerror=alert(1)> \u{e9}";
    let (mut browser, _, _) = traced(
        &folder,
        &["--accel", "emu", "--only", "syscalls", "echo", said],
    );
    let page = browser.value("[document.title, document.images.length, [...document.querySelectorAll('script:not([type])')].length]");
    assert_eq!(page[1], 0);
    assert_eq!(page[2], 1);
    assert!(
        page[0]
            .as_str()
            .is_some_and(|title| title.starts_with("echo </script>")),
        "{page}"
    );
    let rows = browser
        .value("[...document.querySelectorAll('.line .what')].map(e => e.textContent).join()");
    assert!(
        rows.as_str()
            .is_some_and(|rows| rows.contains("\"</script><script>docum")),
        "{rows}"
    );
    browser.assert_quiet();
}

/// Of a trace with so many events, a part is read that depends on the screen alone.
fn a_million_events() {
    const EVENTS: u64 = 1_000_000;
    let folder = Folder::new("million");
    let path = folder.file("page.html");
    let file = BufWriter::new(File::create(&path).expect("a file"));
    let mut sink = HtmlSink::new(file, "made up");
    let thread = Some(ThreadId { pid: 1, tid: 1 });
    let mut call = Call {
        number: 39,
        arguments: Some([0; 6]),
        pid: 1,
        ..Call::default()
    };
    let mut tell = |ns, what: What<'_>| {
        let cpu = None;
        let event = Event {
            ns,
            cpu,
            thread,
            what,
        };
        sink.event(&event).expect("the file can be written");
    };
    for number in 0..EVENTS {
        // A second of nothing after each thousandth one.
        let ns = number * 1000 + number / 1000 * 1_000_000_000;
        call.started_ns = ns;
        tell(ns, What::Call(&call));
        tell(
            ns + 400,
            What::Return {
                call: &call,
                result: number % 10,
            },
        );
    }
    sink.finish(EVENTS * 1_001_000)
        .expect("the file can be written");
    let mut browser = Browser::open(&path, 1280);
    assert_eq!(browser.value("total"), EVENTS);
    // One chunk for each two points at most, before and after zooming and scrolling.
    let most = browser.value("Math.ceil(inner() / 2)").as_u64();
    let read = |browser: &mut Browser, act: &str| {
        browser
            .value(&format!("read.clear(); {act}; draw(); read.size"))
            .as_u64()
    };
    assert!(read(&mut browser, "") <= most);
    assert!(read(&mut browser, "show(whole / 3, whole / 3 + whole / 40)") <= most);
    assert!(read(&mut browser, "scrollTo(700000)") <= most);
    let rows = browser
        .value("document.querySelectorAll('.line').length")
        .as_u64();
    assert!(rows < Some(60), "{rows:?}");
    // The call that is asked for is there, whole.
    browser.value("choose(654321, true); draw()");
    let chosen = browser.value("[words(shown.selected), shown.selected.ns, begin(shown.selected)]");
    let ns = 654_321_u64 * 1000 + 654 * 1_000_000_000 + 400;
    assert_eq!(chosen, json!(["getpid() = 1", ns, ns - 400]));
    browser.assert_quiet();
}
