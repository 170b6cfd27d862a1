//! What a release is: `vmm`, its manual pages and completions, licences, in one archive.
//!
//! Pages and completions are made of the command line's definition, by a program of its own, so
//! that `vmm` has no code for them. `tests/release.rs` holds the contents to what `vmm` says of
//! itself. The same binary makes the same archive, byte by byte, whenever and by whomever.
//! Rejected: a hidden command of `vmm`, and a build script, which each build would pay for.

use std::io;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// The archive's folder, and its name without the ending.
pub const NAME: &str = concat!("ringfence-", env!("CARGO_PKG_VERSION"), "-x86_64-linux");

/// The time of all files and pages, whenever they were made: the first second of 2026.
const TIME: u64 = 1_767_225_600;
const DATE: &str = "2026-01-01";

/// A file of the archive.
#[derive(Debug)]
pub struct File {
    /// Where it is, as beneath `/usr/local`.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// Its contents.
    pub bytes: Vec<u8>,
}

impl File {
    fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            mode: 0o644,
            bytes: bytes.into(),
        }
    }
}

/// All files of a release of `vmm`, by path.
///
/// # Errors
/// A page cannot be made.
pub fn files(vmm: Vec<u8>) -> io::Result<Vec<File>> {
    let mut files = completions(&cli::command());
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    files.push(page(&command)?);
    for subcommand in command.get_subcommands() {
        files.push(page(subcommand)?);
    }
    files.push(File {
        mode: 0o755,
        ..File::new("bin/vmm", vmm)
    });
    for (name, text) in [
        ("README.md", include_str!("../../../README.md")),
        ("LICENSE-APACHE", include_str!("../../../LICENSE-APACHE")),
        ("LICENSE-MIT", include_str!("../../../LICENSE-MIT")),
    ] {
        files.push(File::new(format!("share/doc/ringfence/{name}"), text));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The manual page of a command.
fn page(command: &Command) -> io::Result<File> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = format!("share/man/man1/{name}.1");
    let source = concat!("Ringfence ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).date(DATE).source(source);
    let mut bytes = Vec::new();
    man.manual("User Commands").render(&mut bytes)?;
    // Examples are in columns.
    let page = String::from_utf8_lossy(&bytes);
    let page = page.replacen(".SH EXTRA\n", ".SH EXTRA\n.nf\n", 1);
    let page = page.replacen(".SH VERSION\n", ".fi\n.SH VERSION\n", 1);
    Ok(File::new(path, page))
}

/// Where each shell looks for them.
fn completions(command: &Command) -> Vec<File> {
    let places = [
        (Shell::Bash, "share/bash-completion/completions/vmm"),
        (Shell::Zsh, "share/zsh/site-functions/_vmm"),
        (Shell::Fish, "share/fish/vendor_completions.d/vmm.fish"),
    ];
    let made = places.map(|(shell, path)| {
        let mut bytes = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), "vmm", &mut bytes);
        File::new(path, bytes)
    });
    made.into()
}

/// A tar archive of `files`, by gzip, in a folder called [`NAME`].
///
/// # Errors
/// A name is too long for tar.
pub fn archive(files: &[File]) -> io::Result<Vec<u8>> {
    let gzip = GzEncoder::new(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    for file in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(file.mode);
        header.set_mtime(TIME);
        header.set_uid(0);
        header.set_gid(0);
        let path = format!("{NAME}/{}", file.path);
        archive.append_data(&mut header, path, file.bytes.as_slice())?;
    }
    archive.into_inner()?.finish()
}

/// The line of `sha256sum` for a file.
pub fn checksum(name: &str, bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits}  {name}\n")
}
