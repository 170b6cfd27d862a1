//! The program that a guest runs first: a bundled one, or a file of the host.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use crate::boot::elf::{ElfError, Executable};
use crate::bundled::{self, PROGRAMS};
use crate::near::{did_you_mean, near};

/// A static ELF executable for ring 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Name of its file in the guest's `/bin`.
    pub name: String,
    /// The ELF file.
    pub elf: Cow<'static, [u8]>,
}

/// Why a program cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Neither bundled nor a file.
    #[error("no program {name:?}{}; see `vmm list`, or give the path of a static ELF file", did_you_mean(.near))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Bundled programs with similar names, the nearest first.
        near: Vec<&'static str>,
    },
    /// The file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The host's reason.
        source: io::Error,
    },
    /// The file is not a static x86-64 executable.
    #[error("{path}: {source}", path = .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
}

impl Program {
    /// The bundled program called `name`, or the host's file at that path. A name with a
    /// slash is always a path; a bundled program hides a file of the same name.
    ///
    /// # Errors
    /// There is no such program, or the file is not a static x86-64 executable.
    pub fn find(name: &str) -> Result<Self, ProgramError> {
        if let Some(program) = bundled::program(name) {
            return Ok(Self {
                name: name.to_owned(),
                elf: Cow::Borrowed(program.elf),
            });
        }
        let path = Path::new(name);
        if !name.contains('/') && !path.is_file() {
            return Err(ProgramError::Unknown {
                name: name.to_owned(),
                near: near(name, PROGRAMS.iter().map(|program| program.name)),
            });
        }
        let elf = std::fs::read(path).map_err(|source| ProgramError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Executable::parse(&elf).map_err(|source| ProgramError::Unfit {
            path: path.to_owned(),
            source,
        })?;
        let file_name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            name: file_name.to_string_lossy().into_owned(),
            elf: Cow::Owned(elf),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested() {
        let error = Program::find("helo").expect_err("there is no such program");
        assert!(error.to_string().contains("did you mean hello"), "{error}");
    }

    #[test]
    fn a_path_is_a_file_of_the_host() {
        let missing = Program::find("./no/such/file").expect_err("no such file");
        assert!(matches!(missing, ProgramError::Unreadable { .. }));
        let script = Program::find("./Cargo.toml").expect_err("not an ELF file");
        assert_eq!(script.to_string(), "./Cargo.toml: not an ELF file");
    }
}
