//! The program that a guest runs first: a bundled one, or a file of the host.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::boot::Archive;
use crate::boot::elf::{Addresses, ElfError, Executable};
use crate::bundled::{self, PROGRAMS};
use crate::host_files::Tree;
use crate::image::{Image, ImageError};
use crate::layout::DEVICE_HOLE;
use crate::near::{did_you_mean, near};
use crate::process_config::ProcessConfig;

/// Where an archive has programs that are named without a folder, the first to look at
/// first.
const FOLDERS: [&str; 5] = ["bin", "usr/bin", "sbin", "usr/sbin", "usr/local/bin"];

/// A static ELF executable for ring 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name: the last part of its path.
    pub name: String,
    /// Its path in the guest, from the root.
    path: String,
    /// What its file is to be; none if the guest's initramfs has it already.
    file: Option<Image>,
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
    /// The guest's root has none of that name or path.
    #[error(
        "the guest's root has no program {name:?}{where_}: PROGRAM is a path there, or a name along its PATH"
    )]
    NotInRoot {
        /// What was asked for.
        name: String,
        /// Where it was looked for, if it was a name.
        where_: String,
    },
    /// The guest's root has it, but not for running.
    #[error("{path} in the guest's root {why}")]
    NotExecutable {
        /// Its path there.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ImageError),
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
    pub fn find(name: impl AsRef<OsStr>) -> Result<Self, ProgramError> {
        Self::find_in(name, None, DEVICE_HOLE)
    }

    /// The same in a guest that has the files of `initramfs` and `memory` bytes. A file of
    /// the archive at that path, or of that name in one of the usual folders, comes first;
    /// a bundled program or one of the host is put before the archive.
    ///
    /// # Errors
    /// As of [`find`](Self::find).
    pub fn find_in(
        name: impl AsRef<OsStr>,
        initramfs: Option<&Archive>,
        memory: u64,
    ) -> Result<Self, ProgramError> {
        let name = name.as_ref();
        let text = name.to_string_lossy();
        if let Some(archive) = initramfs
            && let Some(program) = Self::in_archive(&text, archive)?
        {
            return Ok(program);
        }
        if let Some(program) = bundled::program(&text) {
            return Ok(Self::in_bin(&text, Image::Bundled(program.elf)));
        }
        let path = Path::new(name);
        if !text.contains('/') && !path.exists() {
            return Err(ProgramError::Unknown {
                near: near(&text, PROGRAMS.iter().map(|program| program.name)),
                name: text.into_owned(),
            });
        }
        let file = Image::read(path, memory.min(DEVICE_HOLE))?;
        check(&file, path)?;
        let name = path.file_name().unwrap_or(name).to_string_lossy();
        Ok(Self::in_bin(&name, file))
    }

    /// The program at the path `name` in `tree`, or of that name in the folders of PATH there,
    /// as it starts by `process`. What kind of file it is, and what it needs, is left to the
    /// guest.
    ///
    /// # Errors
    /// There is no such program.
    pub fn find_in_root(
        name: impl AsRef<OsStr>,
        tree: &mut Tree,
        process: &ProcessConfig,
    ) -> Result<Self, ProgramError> {
        let name = name.as_ref().to_string_lossy();
        let search_path = process.variable("PATH").unwrap_or_default();
        let search_path = String::from_utf8_lossy(search_path);
        let directory = process.directory.as_deref().unwrap_or(Path::new("/"));
        let is_path = name.contains('/');
        let paths: Vec<_> = match is_path {
            true => vec![directory.join(&*name)],
            false => {
                let folders = search_path.split(':').filter(|folder| !folder.is_empty());
                folders
                    .map(|folder| directory.join(folder).join(&*name))
                    .collect()
            }
        };
        let mut refused = None;
        for path in paths.iter().filter(|_| !name.is_empty()) {
            let Ok(found) = tree.resolve(path.as_os_str().as_bytes()) else {
                continue;
            };
            let path = path.to_string_lossy().into_owned();
            let why = match found.attributes.mode {
                mode if mode & libc::S_IFMT == libc::S_IFDIR => "is a folder",
                mode if mode & libc::S_IFMT != libc::S_IFREG => "is no file",
                mode if mode & 0o111 == 0 => "may not be executed: chmod +x it",
                _ => {
                    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                    let file = None;
                    return Ok(Self { name, path, file });
                }
            };
            refused.get_or_insert(ProgramError::NotExecutable { path, why });
        }
        let where_ = match is_path {
            true => String::new(),
            false => format!(" in {search_path}"),
        };
        Err(refused.unwrap_or(ProgramError::NotInRoot {
            name: name.into_owned(),
            where_,
        }))
    }

    /// A program that is to be in the guest's `/bin`.
    fn in_bin(name: &str, file: Image) -> Self {
        Self {
            name: name.to_owned(),
            path: format!("/{}/{name}", bundled::FOLDER),
            file: Some(file),
        }
    }

    /// The program that `archive` has under this name or path.
    fn in_archive(name: &str, archive: &Archive) -> Result<Option<Self>, ProgramError> {
        let paths: Vec<_> = match name.contains('/') {
            true => vec![name.trim_start_matches("./").trim_matches('/').to_owned()],
            false => FOLDERS.map(|folder| format!("{folder}/{name}")).to_vec(),
        };
        for path in paths {
            let found = archive.find(path.as_bytes());
            let Some(entry) = found.filter(|entry| entry.may_run()) else {
                continue;
            };
            // Links and scripts are left to the guest.
            if entry.contents.starts_with(&elf::abi::ELFMAGIC) {
                match check(entry.contents, Path::new(&path)) {
                    // What loads it is in the archive too.
                    Ok(())
                    | Err(ProgramError::Unfit {
                        source: ElfError::NotStatic,
                        ..
                    }) => {}
                    Err(error) => return Err(error),
                }
            }
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            let (path, file) = (format!("/{path}"), None);
            return Ok(Some(Self { name, path, file }));
        }
        Ok(None)
    }

    /// Its path in the guest, from the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The ELF file that is to be put into the guest; `None` if its initramfs has it.
    pub fn file(&self) -> Option<&[u8]> {
        self.file.as_deref()
    }
}

/// Checks that `file`, which is from `path`, is a program.
fn check(file: &[u8], path: &Path) -> Result<(), ProgramError> {
    Executable::parse(file)
        .and_then(|executable| executable.separate(Addresses::Virtual))
        .map_err(|source| ProgramError::Unfit {
            path: path.to_owned(),
            source,
        })
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
        assert!(matches!(missing, ProgramError::Unreadable(_)));
        let script = Program::find("./Cargo.toml").expect_err("not an ELF file");
        assert_eq!(script.to_string(), "./Cargo.toml: not an ELF file");
    }
}
