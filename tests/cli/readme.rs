//! READMEs and program agree: every option, command, example and test that one has, the
//! other has. And their links lead somewhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;

use crate::layers::in_folder;
use crate::support::suite::plain;
use crate::support::{binary, output_with_input};

pub fn trials() -> Vec<Trial> {
    vec![
        plain("readme_has_every_option", every_option),
        plain("readme_has_every_example", every_example),
        plain("readme_names_tests_that_are_there", tests_are_there),
        plain("each_promise_of_security_has_a_test", promises_have_tests),
        plain("links_of_readmes_lead_somewhere", links_lead_somewhere),
    ]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of this repository.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What `vmm` prints with these arguments.
fn help(args: &[&str]) -> String {
    let output = output_with_input(Command::new(binary()).args(args), None);
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

fn every_option() {
    let readme = read("README.md");
    let commands = help(&["--help"]);
    let commands = commands.split_once("Commands:\n").expect("a list").1;
    let commands = commands.split_once("\n\n").expect("an end").0;
    let names = commands.lines().filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then_some(name)
    });
    for command in names {
        assert!(readme.contains(&format!("`vmm {command}")), "no {command}");
        let help = help(&[command, "--help"]);
        let options = help.split(|c: char| !c.is_ascii_lowercase() && c != '-');
        for option in options.filter(|word| word.starts_with("--") && *word != "--help") {
            assert!(readme.contains(option), "vmm {command} has {option}");
        }
    }
}

fn every_example() {
    let readme = read("examples/README.md");
    let files = fs::read_dir(root().join("examples")).expect("there are examples");
    for file in files {
        let path = file.expect("the folder can be read").path();
        // An example of several files is a folder; the first thing to read is this one. One
        // without it has what several examples share.
        let source = if path.is_dir() {
            path.join("main.rs")
        } else {
            path.clone()
        };
        let is_example = source
            .extension()
            .is_some_and(|extension| extension == "rs");
        if !is_example || !source.exists() {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.expect("names are text");
        assert!(readme.contains(&format!("`{name}`")), "no example {name}");
        let lines = fs::read_to_string(source).expect("text").lines().count();
        assert!(lines < 100, "{name} has {lines} lines");
    }
}

/// In the table of requirements a test is `suite:` and names in backquotes.
fn tests_are_there() {
    let readme = read("tests/README.md");
    let manifest = read("Cargo.toml");
    let suites = manifest.split("[[test]]\nname = \"").skip(1);
    let mut found = 0;
    for suite in suites.filter_map(|rest| rest.split('"').next()) {
        // A file, a folder or both.
        let tests = root().join("tests");
        let mut sources = fs::read_to_string(tests.join(format!("{suite}.rs"))).unwrap_or_default();
        for file in fs::read_dir(tests.join(suite)).into_iter().flatten() {
            let path = file.expect("the folder can be read").path();
            if path.is_file() {
                sources += &fs::read_to_string(path).expect("text");
            }
        }
        assert!(!sources.is_empty(), "there is a suite {suite}");
        for cited in readme.split(&format!("{suite}:`")).skip(1) {
            // As in `one`, `two`; other:`three` |
            let names = cited.split([';', '|']).next().unwrap_or_default();
            for name in names.split(',').map(|name| name.trim().trim_matches('`')) {
                assert!(
                    sources.contains(&format!("\"{name}\""))
                        || sources.contains(&format!("fn {name}(")),
                    "{suite} has no test {name}"
                );
                found += 1;
            }
        }
    }
    assert!(found > 0, "the README names no test");
}

/// In the table of the second line each row ends with the names of tests.
fn promises_have_tests() {
    let folders = ["vmm", "tests"].map(|folder| in_folder(&root().join(folder)));
    let files = folders.iter().flatten();
    let texts = files.map(|path| fs::read_to_string(path).expect("text"));
    let sources: String = texts.collect();
    let security = read(".github/SECURITY.md");
    let table = security.split_once("| promise |").expect("a table").1;
    let rows = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| "));
    let mut found = 0;
    for row in rows {
        let tests = row.rsplit(" | ").next().unwrap_or_default();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test for: {row}");
        for name in names.iter().filter(|name| !name.ends_with('/')) {
            let name = name.rsplit("::").next().unwrap_or_default();
            // A trial, perhaps for each machine, or a function.
            let forms = [
                format!("\"{name}\""),
                format!("\"{name}::"),
                format!("fn {name}("),
            ];
            let is_there = forms.iter().any(|form| sources.contains(form));
            assert!(is_there, "there is no test {name}");
            found += 1;
        }
    }
    assert!(found > 10, "tests of {found} names");
}

/// A link is `](path)` or `](path#heading)`, from the folder of its file.
fn links_lead_somewhere() {
    let files = [
        "README.md",
        "vmm/README.md",
        "vmm/cpu/README.md",
        "guest-kernel/README.md",
        "guest-user/README.md",
        "tests/README.md",
        "tests/nested/README.md",
        "examples/README.md",
        ".github/CONTRIBUTING.md",
        ".github/SECURITY.md",
        ".github/CHANGELOG.md",
    ];
    for file in files {
        let folder = root().join(file).with_file_name("");
        let text = read(file);
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (path, heading) = link.split_once('#').unzip();
            let target = folder.join(path.unwrap_or(link));
            assert!(target.is_file(), "{file}: {link}");
            if let Some(heading) = heading {
                let text = fs::read_to_string(target).expect("text").to_lowercase();
                assert!(text.contains(&format!("# {heading}")), "{file}: {link}");
            }
        }
    }
}
