//! Figures of an earlier run, read from its JSON.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::Bench;
use crate::compare::Machine;
use crate::image::{self, ImageError};

/// More than any report has.
const MAX_BYTES: u64 = 16 << 20;

/// A run of `vmm bench`, as its JSON has it.
#[derive(Debug)]
pub struct Earlier {
    /// What it is called: its file's name.
    pub name: String,
    /// All of it.
    pub json: Value,
    figures: Baseline,
}

#[derive(Debug, Deserialize)]
struct Baseline {
    measures: Vec<Measured>,
}

#[derive(Debug, Deserialize)]
struct Measured {
    name: String,
    figures: Vec<Figure>,
}

#[derive(Debug, Deserialize)]
struct Figure {
    machine: String,
    ns: Nanoseconds,
}

#[derive(Debug, Deserialize)]
struct Nanoseconds {
    median: f64,
}

/// Why there are no earlier figures.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ImageError),
    /// The file is something else.
    #[error("{path}: not a report of `vmm bench --report json`: {source}", path = .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Earlier {
    /// Reads a report of `vmm bench --report json`.
    ///
    /// # Errors
    /// There is no such file, or it is no such report.
    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let mut text = String::new();
        let file = image::open_or_null(path)?;
        file.take(MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|source| ImageError::unreadable(path, source))?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self::parse(name.to_string_lossy().into_owned(), &text).map_err(|source| {
            BaselineError::Unfit {
                path: path.to_owned(),
                source,
            }
        })
    }

    /// A run of now, called `name`.
    ///
    /// # Errors
    /// None: every report is one.
    pub fn now(name: &str, bench: &Bench) -> Result<Self, serde_json::Error> {
        Self::parse(name.to_owned(), &bench.to_json())
    }

    fn parse(name: String, text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self {
            name,
            figures: serde_json::from_str(text)?,
            json: serde_json::from_str(text)?,
        })
    }

    /// Nanoseconds that an operation took then.
    pub fn ns(&self, measure: &str, machine: Machine) -> Option<f64> {
        let mut measured = self.figures.measures.iter();
        let measured = measured.find(|earlier| earlier.name == measure)?;
        let mut figures = measured.figures.iter();
        let figure = figures.find(|figure| figure.machine == machine.name())?;
        Some(figure.ns.median)
    }
}
