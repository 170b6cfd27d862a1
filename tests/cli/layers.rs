//! No room reaches up: files of the guest kernel (requirement R24) and of the emulator use
//! their own room and those below it alone.
//!
//! The kernel's lowest, up to `mm`, are crates, so the compiler keeps them there.
//! This test keeps the rooms of one crate, by the paths that its files name. It sees only
//! paths from the crate's root, so it refuses others that leave a file's own folder.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::support::suite::plain;

/// Rooms that lie in one folder.
struct House {
    folder: &'static str,
    /// What leads from the crate's root to the folder.
    path: &'static str,
    /// Folders and files, lowest first.
    rooms: &'static [&'static str],
}

/// What k1 and k2 are, the calls on top, and what joins them.
const KERNEL: House = House {
    folder: "guest-kernel/src",
    path: "crate::",
    rooms: &["proc", "fs", "syscall", "ring3", "saving", "start"],
};

const EMULATOR: House = House {
    folder: "vmm/cpu/src/emu",
    path: "crate::emu::",
    rooms: &[
        "arithmetic",
        "state",
        "memory",
        "code",
        "outside",
        "cpu",
        "engine",
        "pairs",
        "ops/integer",
        "ops/control",
        "ops/system",
        "ops/simd",
        "ops/x87",
        "ops/native",
        "ops/mod",
        "decode",
        "translate",
        "code_at",
    ],
};

pub fn trials() -> Vec<Trial> {
    vec![
        plain("kernel_layers", || only_downward(&KERNEL)),
        plain("emulator_layers", || only_downward(&EMULATOR)),
    ]
}

fn only_downward(house: &House) {
    let mut downward = 0;
    for (height, room) in house.rooms.iter().enumerate() {
        for file in house.sources(room) {
            let text = fs::read_to_string(&file).expect("sources are text");
            let unseen = ["super::super", &format!("{}{{", house.path)];
            assert!(
                unseen.iter().all(|path| !text.contains(path)),
                "{}: say {}ROOM::..., so that this test sees it",
                file.display(),
                house.path
            );
            for used in uses(&text, house.path) {
                let other = house.room_of(used);
                let other = other.unwrap_or_else(|| panic!("{}{used} is in no room", house.path));
                assert!(
                    other <= height,
                    "{} uses {}{used}",
                    file.display(),
                    house.path
                );
                downward += usize::from(other < height);
            }
        }
    }
    assert!(
        downward > house.rooms.len(),
        "the rooms do not use each other"
    );
}

impl House {
    /// The Rust files of a room.
    fn sources(&self, room: &str) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.folder);
        match root.join(room) {
            folder if folder.is_dir() => in_folder(&folder),
            file => vec![file.with_extension("rs")],
        }
    }

    /// The height of the room that a path from the folder leads to.
    fn room_of(&self, path: &str) -> Option<usize> {
        self.rooms.iter().position(|room| {
            let room = room.trim_end_matches("/mod").replace('/', "::");
            starts(path, &room)
        })
    }
}

/// The Rust files of a folder and those below it.
pub fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let rust = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(folders.iter().flat_map(|folder| in_folder(folder)))
        .collect()
}

/// What follows each `prefix` in the code, to the end of its line; not in comments.
fn uses<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(|line| line.split("//").next())
        .flat_map(move |code| code.split(prefix).skip(1))
}

/// Whether `path` begins with `prefix` as a whole.
fn starts(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}
