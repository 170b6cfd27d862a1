//! The file for ui.perfetto.dev, held against Chrome's "Trace Event Format".

use std::collections::{HashMap, HashSet};
use std::fs;

use serde_json::Value;

use crate::support::Target;
use crate::support::elf::TempFile;
use crate::{Case, vmm_trace};

pub const CASES: &[Case] = &[("perfetto_file", perfetto_file)];

fn perfetto_file(target: Target) {
    let programs: [&[&str]; 4] = [&["hello"], &["fork"], &["threads"], &["sleep", "30"]];
    for program in programs {
        let file = TempFile::new("trace.json", b"");
        let path = file.path().to_str().expect("temporary paths are text");
        let options = ["--console", "serial", "--perfetto", path];
        let output = vmm_trace(&[target.options(), &options].concat(), program);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*stderr),
            (Some(0), ""),
            "{program:?}"
        );
        let text = fs::read_to_string(path).expect("JSON is text");
        let events: Vec<Value> = serde_json::from_str(&text).expect("an array");
        let trace = Trace::check(&events);
        assert!(trace.names.contains("virtual machine"), "{program:?}");
        let tracks: &[&str] = match target.cpus() {
            1 => &["vCPU", "running"],
            _ if program == ["threads"] => &["vCPU 0", "running on CPU 0", "running on CPU 1"],
            _ => &["vCPU 0", "running on CPU 0"],
        };
        for track in tracks {
            assert!(trace.names.contains(*track), "{program:?}: no {track}");
        }
        assert!(trace.names.contains(program[0]), "{program:?}");
        // One for each byte of output, one for the end.
        assert!(
            trace.slices["exits"] > output.stdout.len() && !output.stdout.is_empty(),
            "{program:?}: {:?}",
            trace.slices
        );
        assert!(
            trace.slices["syscalls"] > 1,
            "{program:?}: {:?}",
            trace.slices
        );
        assert!(trace.slices["sched"] > 0, "{program:?}: {:?}", trace.slices);
    }
}

/// What a file that keeps to the format has in it.
#[derive(Default)]
struct Trace {
    /// What tracks are called.
    names: HashSet<String>,
    /// Slices by category.
    slices: HashMap<String, usize>,
    /// Tracks with a name.
    named: HashSet<(u64, u64)>,
    /// Tracks with events.
    used: HashSet<(u64, u64)>,
    /// Slices by track: start and end.
    spans: HashMap<(u64, u64), Vec<(f64, f64)>>,
    /// Time of the last event that happened at its place in the file, by track.
    last: HashMap<(u64, u64), f64>,
}

impl Trace {
    fn check(events: &[Value]) -> Self {
        let mut trace = Self::default();
        for event in events {
            trace.event(event);
        }
        for track in &trace.used {
            assert!(trace.named.contains(track), "{track:?} has no name");
        }
        for (track, spans) in &mut trace.spans {
            nest(*track, spans);
        }
        trace
    }

    fn event(&mut self, event: &Value) {
        let number = |key: &str| {
            event[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key} of {event}"))
        };
        let track = (number("pid"), number("tid"));
        let ts = event["ts"]
            .as_f64()
            .unwrap_or_else(|| panic!("ts of {event}"));
        let name = event["name"]
            .as_str()
            .unwrap_or_else(|| panic!("name of {event}"));
        assert!(!name.is_empty() && ts >= 0.0, "{event}");
        let category = event["cat"].as_str();
        let end = match event["ph"].as_str() {
            Some("M") => return self.metadata(track, name, event),
            Some("X") => {
                let duration = event["dur"].as_f64().unwrap_or_else(|| panic!("{event}"));
                assert!(duration >= 0.0, "{event}");
                self.spans
                    .entry(track)
                    .or_default()
                    .push((ts, ts + duration));
                let category = category.unwrap_or_else(|| panic!("{event}"));
                *self.slices.entry(category.to_owned()).or_default() += 1;
                ts + duration
            }
            Some("i") => {
                assert_eq!(event["s"], "t", "{event}");
                assert!(category.is_some(), "{event}");
                ts
            }
            _ => panic!("no such phase: {event}"),
        };
        self.used.insert(track);
        // Events are written when they end.
        let last = self.last.insert(track, end).unwrap_or(0.0);
        assert!(end > last - ROUNDING, "{event} after {last}");
    }

    fn metadata(&mut self, track: (u64, u64), name: &str, event: &Value) {
        let given = event["args"]["name"].as_str();
        let given = given.unwrap_or_else(|| panic!("no name in {event}"));
        self.names.insert(given.to_owned());
        match name {
            "thread_name" => self.named.insert(track),
            "process_name" => true,
            _ => panic!("no such metadata: {event}"),
        };
    }
}

/// Times are microseconds with three decimals, and sums of two of them.
const ROUNDING: f64 = 0.0005;

/// Asserts that each slice of a track ends before the next starts, or lies within it.
fn nest(track: (u64, u64), spans: &mut [(f64, f64)]) {
    spans.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut open: Vec<f64> = Vec::new();
    for &(start, end) in spans.iter() {
        while open.last().is_some_and(|&last| last <= start + ROUNDING) {
            open.pop();
        }
        if let Some(&outer) = open.last() {
            assert!(
                end <= outer + ROUNDING,
                "{track:?}: {start} to {end} in {outer}"
            );
        }
        open.push(end);
    }
}
