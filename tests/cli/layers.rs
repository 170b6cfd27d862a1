//! Requirement R24: each layer of the guest kernel uses only those below it.
//!
//! The lowest two, `arch` and `mm`, are crates, so the compiler keeps them there. This keeps
//! the rooms of the crate above, by the paths that its files name.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::suite::plain;

/// Folders and files of the kernel's crate, lowest first: what k1 and k2 are, the calls on
/// top, and what joins them.
const ROOMS: &[&str] = &["proc", "fs", "syscall", "ring3", "command_line", "start"];

pub fn trials() -> Vec<Trial> {
    vec![plain("kernel_layers", only_downward)]
}

fn only_downward() {
    let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-kernel/src");
    let mut downward = 0;
    for (height, room) in ROOMS.iter().enumerate() {
        for file in sources(&kernel, room) {
            let text = fs::read_to_string(&file).expect("sources are text");
            assert!(
                !text.contains("super::super") && !text.contains("crate::{"),
                "{}: say crate::ROOM::..., so that this test sees it",
                file.display()
            );
            for used in uses(&text) {
                let other = ROOMS.iter().position(|other| starts(used, other));
                let other = other.unwrap_or_else(|| panic!("crate::{used} is in no room"));
                assert!(other <= height, "{} uses crate::{used}", file.display());
                downward += usize::from(other < height);
            }
        }
    }
    assert!(downward > ROOMS.len(), "the rooms do not use each other");
}

/// The Rust files of a room.
fn sources(kernel: &Path, room: &str) -> Vec<PathBuf> {
    match kernel.join(room) {
        folder if folder.is_dir() => in_folder(&folder),
        file => vec![file.with_extension("rs")],
    }
}

/// The Rust files of a folder and those below it.
fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let rust = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(folders.iter().flat_map(|folder| in_folder(folder)))
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
