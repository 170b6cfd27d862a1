//! The result of a run of `vmm`, and assertions about it.

use std::fmt;
use std::process::{Command, Output};

use serde_json::Value;

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    command: String,
    /// Exit status; `None` if a signal killed the VMM.
    pub status: Option<i32>,
    /// What programs wrote to standard output.
    pub stdout: String,
    /// What programs wrote to standard error, between lines of their kernel and the VMM.
    pub stderr: String,
    /// The JSON report, `Null` if there is none.
    pub report: Value,
}

impl Ended {
    /// What `command` has come to, with its JSON report.
    pub fn new(command: &Command, output: &Output, report: &[u8]) -> Self {
        Self {
            command: format!("{command:?}"),
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            report: serde_json::from_slice(report).unwrap_or(Value::Null),
        }
    }

    /// Asserts that nothing was done that only a software-backed KVM needs, unless it was
    /// one.
    #[track_caller]
    pub(super) fn needs_no_remedy_on_hardware(&self) {
        if self.report["host_kind"] != "hardware" {
            return;
        }
        let remedies = self.report["remedies"].as_object();
        let remedies = remedies.unwrap_or_else(|| panic!("no remedies\n{self}"));
        for (name, count) in remedies {
            assert_eq!(count, 0, "{name}\n{self}");
        }
    }

    /// Asserts the exit status; shows everything if it differs.
    #[track_caller]
    pub fn status(&self, expected: i32) -> &Self {
        assert_eq!(self.status, Some(expected), "{self}");
        self
    }

    /// Asserts what programs wrote to standard output, to the letter.
    #[track_caller]
    pub fn prints(&self, expected: &str) -> &Self {
        assert_eq!(self.stdout, expected, "{self}");
        self
    }

    /// Asserts that `part` is in what they wrote there.
    #[track_caller]
    pub fn prints_part(&self, part: &str) -> &Self {
        let found = self.stdout.contains(part);
        assert!(found, "no {part:?} in the output\n{self}");
        self
    }

    /// Asserts what programs wrote to standard error, to the letter.
    #[track_caller]
    pub fn complains(&self, expected: &str) -> &Self {
        let is_own = |line: &&str| !is_kernels(line) && !line.starts_with("vmm: ");
        let own: String = self.stderr.split_inclusive('\n').filter(is_own).collect();
        assert_eq!(own, expected, "{self}");
        self
    }

    /// The kernel's own lines.
    pub fn kernel_lines(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| is_kernels(line))
            .collect()
    }

    /// Asserts that one of them has `part`.
    #[track_caller]
    pub fn kernel_says(&self, part: &str) -> &Self {
        let mut lines = self.kernel_lines().into_iter();
        let found = lines.any(|line| line.contains(part));
        assert!(found, "no {part:?} from the kernel\n{self}");
        self
    }

    /// Asserts `outcome.kind` of the report.
    #[track_caller]
    pub fn outcome(&self, kind: &str) -> &Self {
        assert_eq!(self.report["outcome"]["kind"], kind, "{self}");
        self
    }

    /// A counter of the report, by path, as `["guest", "timer_ticks"]`.
    #[track_caller]
    pub fn count(&self, path: &[&str]) -> u64 {
        let value = path.iter().fold(&self.report, |value, key| &value[key]);
        value
            .as_u64()
            .unwrap_or_else(|| panic!("{path:?} is {value}\n{self}"))
    }

    /// Exits with this reason, of all details together.
    pub fn exits(&self, reason: &str) -> u64 {
        let exits = self.report["exits"].as_array();
        exits
            .into_iter()
            .flatten()
            .filter(|exit| exit["reason"] == reason)
            .filter_map(|exit| exit["count"].as_u64())
            .sum()
    }

    /// Port I/O exits as (reason, port, count), in order: what must not depend on the
    /// accelerator.
    pub fn port_exits(&self) -> Vec<(String, String, u64)> {
        let exits = self.report["exits"].as_array();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        exits
            .into_iter()
            .flatten()
            .map(|exit| {
                (
                    text(&exit["reason"]),
                    text(&exit["detail"]),
                    exit["count"].as_u64(),
                )
            })
            .filter(|(reason, ..)| reason.starts_with("pio_"))
            .map(|(reason, detail, count)| (reason, detail, count.unwrap_or_default()))
            .collect()
    }
}

fn is_kernels(line: &str) -> bool {
    line.starts_with("kernel: ") || line.starts_with("kernel panic: ")
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Enough of an output to see what went wrong.
        const SHOWN: usize = 4000;
        let shown = |text: &str| text.chars().take(SHOWN).collect::<String>();
        writeln!(f, "{} -> {:?}", self.command, self.status)?;
        writeln!(f, "--- stdout\n{}", shown(&self.stdout))?;
        writeln!(f, "--- stderr\n{}", shown(&self.stderr))?;
        write!(f, "--- report\n{:#}", self.report)
    }
}
