//! Figures of an earlier run, read from its JSON.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::compare::Machine;
use crate::image::{self, ImageError};

/// More than any report has.
const MAX_BYTES: u64 = 16 << 20;

/// An earlier run.
#[derive(Debug, Deserialize)]
pub struct Baseline {
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

impl Baseline {
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
        serde_json::from_str(&text).map_err(|source| BaselineError::Unfit {
            path: path.to_owned(),
            source,
        })
    }

    /// Nanoseconds that an operation took then.
    pub fn ns(&self, measure: &str, machine: Machine) -> Option<f64> {
        let measured = self
            .measures
            .iter()
            .find(|earlier| earlier.name == measure)?;
        let mut figures = measured.figures.iter();
        let figure = figures.find(|figure| figure.machine == machine.name())?;
        Some(figure.ns.median)
    }
}
