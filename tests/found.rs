//! What the fuzzer has found once, and what it begins with: `tests/fuzz`.

use std::fs;
use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};

/// Folders of inputs, each with one for each target.
const FOLDERS: [&str; 2] = ["found", "seeds"];

fn main() {
    let mut trials = Vec::new();
    for folder in FOLDERS {
        for target in fuzz::TARGETS {
            let inputs = Path::new("tests/fuzz").join(folder).join(target.name);
            // Not all targets have some.
            for entry in fs::read_dir(&inputs).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let name = format!("{folder}::{}::{name}", target.name);
                trials.push(Trial::test(name, move || {
                    let bytes = fs::read(entry.path()).map_err(Failed::from)?;
                    (target.run)(&bytes);
                    Ok(())
                }));
            }
        }
    }
    assert!(!trials.is_empty(), "tests/fuzz has inputs");
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
