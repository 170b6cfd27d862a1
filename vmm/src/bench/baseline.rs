//! Figures of an earlier run, read from its JSON.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::compare::Machine;

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
    #[error("{path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The host's reason.
        source: io::Error,
    },
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
        let path = path.to_owned();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| BaselineError::Unfit { path, source }),
            Err(source) => Err(BaselineError::Unreadable { path, source }),
        }
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
