//! What the names in reports and traces mean, and what they cost (`vmm explain`).
//!
//! Texts are data: a Markdown file for each kind, of which `texts.rs` says the form. Names and
//! numbers come from where the machine has them, and tests hold the two together, so that an exit
//! reason, a port, an MSR or a system call cannot be without its text. Pages of reports have their
//! sentences from here too. Rejected: texts in Rust, which would be strings with their ends in
//! quotes; texts beside the constants, which the guest's kernel has no use for.

mod places;
mod texts;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};

use crate::exit::ExitReason;
use crate::near::{did_you_mean, near};
use crate::printable::wrap;

/// What a name is of, as it is called on the command line.
#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, Serialize, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Why a vCPU left the guest.
    Exit,
    /// A figure of a report.
    Counter,
    /// An I/O port.
    Port,
    /// A guest-physical address of a device.
    Gpa,
    /// A model-specific register.
    Msr,
    /// A system call of the bundled kernel.
    Syscall,
}

impl Kind {
    /// All of them, in the order in which they are listed.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// What its names are, for a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Exit => "VM exits",
            Self::Counter => "Counters",
            Self::Port => "I/O ports",
            Self::Gpa => "Addresses of devices",
            Self::Msr => "Model-specific registers",
            Self::Syscall => "System calls",
        }
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.into()
    }

    fn text(self) -> &'static str {
        match self {
            Self::Exit => include_str!("exits.md"),
            Self::Counter => include_str!("counters.md"),
            Self::Port => include_str!("ports.md"),
            Self::Gpa => include_str!("addresses.md"),
            Self::Msr => include_str!("msrs.md"),
            Self::Syscall => include_str!("calls.md"),
        }
    }
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What it is of.
    pub kind: Kind,
    /// The name.
    pub name: &'static str,
    /// Its numbers; an exit or a counter has none.
    pub numbers: Vec<RangeInclusive<u64>>,
    /// What it is.
    pub about: String,
    /// What brings it about.
    pub cause: Option<String>,
    /// What it costs, on each kind of machine as far as that was measured.
    pub cost: Option<String>,
    /// How there is less of it.
    pub avoid: Option<String>,
    /// Where there is more: a manual's section, the kernel's documentation, a file.
    pub source: Option<String>,
}

impl Explanation {
    /// The name, with its first number where it has one, as reports write it.
    pub fn title(&self) -> String {
        match (self.kind, self.numbers.first()) {
            (_, None) => self.name.to_owned(),
            (Kind::Syscall, Some(number)) => format!("{} ({})", self.name, number.start()),
            (_, Some(number)) => format!("{} ({:#x})", self.name, number.start()),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.kind.name(), self.title())?;
        write!(f, "{}", wrap("  ", &self.about))?;
        for (label, text) in [
            ("  Cause   ", &self.cause),
            ("  Cost    ", &self.cost),
            ("  Avoid   ", &self.avoid),
            ("  Source  ", &self.source),
        ] {
            if let Some(text) = text {
                write!(f, "{}", wrap(label, text))?;
            }
        }
        Ok(())
    }
}

static ALL: LazyLock<Vec<Explanation>> = LazyLock::new(|| {
    let kinds = Kind::ALL.iter();
    kinds
        .flat_map(|kind| texts::read(*kind, kind.text()))
        .collect()
});

/// All that is explained, by kind.
pub fn all() -> &'static [Explanation] {
    &ALL
}

/// Nothing has this name.
#[derive(Debug, thiserror::Error)]
#[error("nothing here is called {name:?}{}; `vmm explain` lists all", did_you_mean(.near))]
pub struct UnknownName {
    name: String,
    near: Vec<&'static str>,
}

/// All that `name` means: a name or a number, after a kind or not, as in `pio_out`, `0x3f8`,
/// `msr 0x80b`, `local APIC`.
///
/// # Errors
/// It means nothing; the error says what is called alike.
pub fn find(name: &str) -> Result<Vec<&'static Explanation>, UnknownName> {
    let (kind, rest) = match name.split_once(' ') {
        Some((first, rest)) => match Kind::ALL.iter().find(|kind| kind.name() == first) {
            Some(&kind) => (Some(kind), rest),
            None => (None, name),
        },
        None => (None, name),
    };
    let is_meant = |text: &&Explanation| kind.is_none_or(|kind| kind == text.kind);
    let (word, number) = (normal(rest), number(rest));
    let found = all().iter().filter(is_meant).filter(|text| match number {
        Some(number) => text.numbers.iter().any(|range| range.contains(&number)),
        None => text.name == word,
    });
    let found: Vec<_> = found.collect();
    match found.is_empty() {
        false => Ok(found),
        true => Err(UnknownName {
            name: name.to_owned(),
            near: near(&word, all().iter().filter(is_meant).map(|text| text.name)),
        }),
    }
}

/// A name as it is here, of one as reports or manuals have it.
fn normal(name: &str) -> String {
    let name = name.to_lowercase().replace(' ', "_").replace('/', "");
    name.strip_prefix("ia32_").unwrap_or(&name).to_owned()
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// What the counter `name` counts; nothing for one that is not known here.
pub fn counter(name: &str) -> &'static str {
    about(Kind::Counter, name)
}

/// What exits for this reason are.
pub fn exit(reason: ExitReason) -> &'static str {
    about(Kind::Exit, reason.name())
}

fn about(kind: Kind, name: &str) -> &'static str {
    let found = all()
        .iter()
        .find(|text| text.kind == kind && text.name == name);
    found.map_or("", |text| &text.about)
}

#[cfg(test)]
mod tests;
