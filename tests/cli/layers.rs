//! Requirement R24: each layer of the guest kernel uses only those below it.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::suite::plain;

/// The kernel's layers, lowest first: what k0 to k2 are, and the calls on top.
const LAYERS: &[&str] = &["arch", "mm", "proc", "fs", "syscall"];

/// What goes up all the same: a process descriptor holds the process's file table.
const UPWARD: &[(&str, &str)] = &[("proc", "fs::FileTable")];

pub fn trials() -> Vec<Trial> {
    vec![plain("kernel_layers", only_downward)]
}

fn only_downward() {
    let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-kernel/src");
    let mut downward = 0;
    for (height, layer) in LAYERS.iter().enumerate() {
        for file in sources(&kernel.join(layer)) {
            let text = fs::read_to_string(&file).expect("sources are text");
            for used in uses(&text) {
                let Some(other) = LAYERS.iter().position(|other| starts(used, other)) else {
                    continue;
                };
                let allowed = other <= height
                    || UPWARD
                        .iter()
                        .any(|(from, what)| from == layer && starts(used, what));
                assert!(allowed, "{} uses crate::{used}", file.display());
                downward += usize::from(other < height);
            }
        }
    }
    assert!(downward > LAYERS.len(), "the layers do not use each other");
}

/// The Rust files of a folder and those below it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("every layer is a folder");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let rust = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(folders.iter().flat_map(|folder| sources(folder)))
        .collect()
}

/// What follows each `crate::` of the code, to the end of its line; not of comments.
fn uses(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.split("//").next())
        .flat_map(|code| code.split("crate::").skip(1))
}

/// Whether `path` begins with `prefix` as a whole.
fn starts(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}
