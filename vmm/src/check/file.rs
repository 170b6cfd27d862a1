//! The file that says which guests run where, and what must hold.
//!
//! It is read twice: by serde, which knows every key, and as a document, which knows the line of
//! each. A figure is found again in it by its [`Place`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use toml_edit::{Document, DocumentMut, Item, Value};

use super::Bound;
use crate::bundled::COMPILER;
use crate::compare::Machine;
use crate::exit::ExitReason;
use crate::report::ExitDetail;

/// Such a file, read.
#[derive(Debug)]
pub struct CheckFile {
    path: PathBuf,
    document: Document<String>,
    compiler: Option<Compiler>,
    /// Percent by which instructions and frames may differ from what is said exactly, if they may: where
    /// another compiler than the file's has made the guests.
    pub margin: Option<f64>,
    /// Its guests, in order.
    pub guests: Vec<Guest>,
}

/// What is wrong with a file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{path}:{line}: {what}", path = .path.display())]
pub struct FileError {
    path: PathBuf,
    line: usize,
    what: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default = "everywhere")]
    machines: Vec<Machine>,
    compiler: Option<Compiler>,
    #[serde(default)]
    guest: Vec<Guest>,
}

/// What has made the guests whose instructions the file counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compiler {
    /// As [`COMPILER`].
    version: String,
    /// Percent by which guests of others may differ.
    others_within: f64,
}

fn everywhere() -> Vec<Machine> {
    Machine::ALL.to_vec()
}

/// A guest, where it runs, and what must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Program, arguments and options, as `vmm run` takes them.
    pub run: String,
    /// Where it runs: those of the file, unless it has its own.
    #[serde(default)]
    pub machines: Vec<Machine>,
    /// How it ends, or its exit status; without, it ends with 0.
    pub outcome: Option<Ending>,
    /// All that it prints.
    pub output: Option<String>,
    /// What is somewhere in that.
    pub contains: Option<String>,
    /// System calls, on every machine.
    pub syscalls: Option<Bound>,
    /// Exits on every machine.
    #[serde(default)]
    pub exits: BTreeMap<Exits, Bound>,
    /// What holds in the emulator, for its interpreter too.
    #[serde(default)]
    pub emu: Figures,
    /// What holds under KVM.
    #[serde(default)]
    pub kvm: Figures,
    /// What holds under KVM with the VMM's local APIC.
    #[serde(default)]
    pub kvm_user_apic: Figures,
}

/// What must hold on some machines.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Instructions in ring 0.
    pub ring0: Option<Bound>,
    /// Instructions in ring 3.
    pub ring3: Option<Bound>,
    /// Instructions before the first one in ring 3.
    pub boot_instructions: Option<Bound>,
    /// System calls.
    pub syscalls: Option<Bound>,
    /// Switches from one thread to another.
    pub context_switches: Option<Bound>,
    /// Timer ticks taken.
    pub timer_ticks: Option<Bound>,
    /// Page faults of programs.
    pub page_faults: Option<Bound>,
    /// Processes made.
    pub forks: Option<Bound>,
    /// Frames given out for the first time.
    pub frames: Option<Bound>,
    /// Exits.
    #[serde(default)]
    pub exits: BTreeMap<Exits, Bound>,
}

/// How a guest ends: by an exit status, or in words as of a report.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "give an exit status, as 0, or words, as \"killed by signal 11\""
)]
pub enum Ending {
    /// Exit status of `vmm run`.
    Status(u8),
    /// Words, with or without what a report adds after a colon.
    Words(String),
}

/// Exits that are counted together: `total`, `pio_out` or `pio_out port 0x3f8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exits {
    /// All.
    Total,
    /// Those for one reason.
    Of(ExitReason),
    /// Those of them for one port, address or MSR.
    At(ExitReason, ExitDetail),
}

impl fmt::Display for Exits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total => f.write_str("total"),
            Self::Of(reason) => f.write_str(reason.name()),
            Self::At(reason, detail) => write!(f, "{} {detail}", reason.name()),
        }
    }
}

impl FromStr for Exits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "total" {
            return Ok(Self::Total);
        }
        let (name, detail) = text.split_once(' ').unwrap_or((text, ""));
        let mut reasons = ExitReason::ALL.iter().copied();
        let Some(reason) = reasons.find(|reason| reason.name() == name) else {
            let names = ExitReason::ALL.iter().map(|reason| reason.name());
            let names: Vec<_> = names.collect();
            return Err(format!(
                "no exits `{name}`: there are total, {}",
                names.join(", ")
            ));
        };
        if detail.is_empty() {
            return Ok(Self::Of(reason));
        }
        let number = detail.rsplit("0x").next().unwrap_or_default();
        let number = u64::from_str_radix(number, 16).unwrap_or_default();
        let at = Self::At(reason, ExitDetail::new(reason, number));
        match at.to_string() == text {
            true => Ok(at),
            false => Err(format!(
                "no exits `{text}`: give them as a report does, as in `{at}`"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Exits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Where a figure is in a file: below the guest with this number, the keys that lead to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the guest, from 0.
    pub guest: usize,
    /// Keys of tables, and of the figure.
    pub keys: Vec<String>,
}

impl CheckFile {
    /// Reads `text`, which the file at `path` has.
    ///
    /// # Errors
    /// No TOML, a key that does not exist, a value that makes no sense.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let error = |span: Option<Range<usize>>, what: &str| FileError {
            path: path.to_owned(),
            line: line_at(text, span),
            what: what.replace('\n', ", "),
        };
        let document = Document::parse(text.to_owned())
            .map_err(|wrong| error(wrong.span(), wrong.message()))?;
        let content: Content = toml_edit::de::from_document(document.clone())
            .map_err(|wrong| error(wrong.span(), wrong.message()))?;
        let mut file = Self {
            path: path.to_owned(),
            document,
            margin: None,
            compiler: content.compiler,
            guests: content.guest,
        };
        let other = file
            .compiler
            .as_ref()
            .filter(|compiler| compiler.version != COMPILER);
        file.margin = other.map(|compiler| compiler.others_within);
        for guest in &mut file.guests {
            if guest.machines.is_empty() {
                guest.machines.clone_from(&content.machines);
            }
        }
        match file.guests.is_empty() {
            true => Err(error(
                None,
                "no guest: begin one with [[guest]] and run = \"hello\"",
            )),
            false => Ok(file),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.document.raw()
    }

    /// Itself, to be changed, with the compiler that has made the guests.
    pub(super) fn document(&self) -> DocumentMut {
        let mut document = self.document.clone().into_mut();
        let version = document
            .get_mut("compiler")
            .and_then(|table| table.get_mut("version"));
        if let Some(Item::Value(version)) = version {
            replace(version, COMPILER.into());
        }
        document
    }

    /// Why instructions are not held to exactly, if they are not.
    pub fn note(&self) -> Option<String> {
        let (percent, compiler) = (self.margin?, self.compiler.as_ref()?);
        let theirs = &compiler.version;
        Some(format!(
            "instructions and frames may differ by {percent}%: the file's are of {theirs}, these guests of {COMPILER}"
        ))
    }

    /// Whether a guest runs on `machine`.
    pub fn wants(&self, machine: Machine) -> bool {
        self.guests
            .iter()
            .any(|guest| guest.machines.contains(&machine))
    }

    /// The line of a figure, from 1; of the guest if the file does not have it.
    pub fn line(&self, place: &Place) -> usize {
        let guests = self.document.get("guest");
        let guest = guests.and_then(|guests| guests.get(place.guest));
        let mut keys = place.keys.iter();
        let found = guest.and_then(|guest| keys.try_fold(guest, |item, key| item.get(key)));
        line_at(self.text(), found.or(guest).and_then(Item::span))
    }

    /// What is wrong with the guest of this number, whose words make no machine.
    pub fn error(&self, guest: usize, what: &dyn fmt::Display) -> FileError {
        let keys = vec!["run".to_owned()];
        FileError {
            path: self.path.clone(),
            line: self.line(&Place { guest, keys }),
            what: what.to_string(),
        }
    }
}

/// Puts `new` in the place of `value`, with the comments and blanks around it.
pub(super) fn replace(value: &mut Value, mut new: Value) {
    *new.decor_mut() = value.decor().clone();
    *value = new;
}

fn line_at(text: &str, span: Option<Range<usize>>) -> usize {
    let before = text.get(..span.unwrap_or_default().start).unwrap_or(text);
    1 + before.matches('\n').count()
}
