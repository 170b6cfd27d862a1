//! The release archive: that its pages and completions have what `vmm` has, and that the same
//! binary makes the same archive.

#[path = "support/mod.rs"]
mod support;

use std::io::Read as _;
use std::process::Command;

use flate2::read::GzDecoder;
use release::{NAME, archive, checksum, files};

use support::elf::TempFile;
use support::suite::{self, plain};
use support::{binary, output_with_input};

fn main() {
    suite::main(vec![
        plain("pages_have_every_option", pages),
        plain("completions_have_every_option", completions),
        plain("an_archive_can_be_made_again", made_again),
    ]);
}

fn help(args: &[&str]) -> String {
    let output = output_with_input(Command::new(binary()).args(args), None);
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

/// Each command that `vmm --help` has, with the options in its own help.
fn commands() -> Vec<(String, Vec<String>)> {
    let help_of_all = help(&["--help"]);
    let commands = help_of_all.split_once("Commands:\n").expect("a list").1;
    let commands = commands.split_once("\n\n").expect("an end").0.lines();
    // Lines that go on are further to the right.
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    let found: Vec<_> = names
        .map(|name| {
            let text = help(&[name, "--help"]);
            // As in `  -h, --help` or `      --accel <ACCEL>`; what is said of them is further in.
            let options = text.lines().filter_map(|line| {
                let option = line.trim_start();
                let is_one =
                    option.starts_with('-') && [2, 6].contains(&(line.len() - option.len()));
                is_one.then_some(option)
            });
            let words = options.flat_map(|line| line.split([' ', ',', '[', '=']));
            let options = words.filter(|word| word.starts_with("--"));
            (name.to_owned(), options.map(ToOwned::to_owned).collect())
        })
        .collect();
    assert!(found.len() >= 7, "{found:?}");
    found
}

/// A file of a release, as text.
fn text(path: &str) -> String {
    let files = files(b"vmm".to_vec()).expect("pages can be made");
    let file = files.into_iter().find(|file| file.path == path);
    let file = file.unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8(file.bytes).expect("text")
}

fn pages() {
    let all = text("share/man/man1/vmm.1");
    assert!(!all.contains("help(1)"), "{all}");
    let mut options = 0;
    for (command, its_options) in commands() {
        assert!(
            all.contains(&format!("vmm\\-{command}(1)")),
            "{command}: {all}"
        );
        let page = text(&format!("share/man/man1/vmm-{command}.1"));
        let title = format!(".TH vmm-{command} 1 2026-01-01 \"Ringfence ");
        assert!(page.contains(&title), "{command}: {page}");
        for option in its_options {
            let shown = format!("\\fB{}\\fR", option.replace('-', "\\-"));
            let mut entries = page.split("\n.TP\n").skip(1);
            let is_there = entries.any(|entry| {
                let heading = entry.lines().next().unwrap_or_default();
                heading.contains(&shown)
            });
            assert!(is_there, "{command} {option}: {page}");
            options += 1;
        }
    }
    assert!(options > 60, "{options}");
}

fn completions() {
    let bash = text("share/bash-completion/completions/vmm");
    let zsh = text("share/zsh/site-functions/_vmm");
    let fish = text("share/fish/vendor_completions.d/vmm.fish");
    // What a script has between two places, of which the first names a command.
    let part = |script: &str, begin: String, end: &str| {
        let rest = script.split_once(&begin);
        let (_, rest) = rest.unwrap_or_else(|| panic!("no {begin:?}"));
        rest.split_once(end).expect("an end").0.to_owned()
    };
    for (command, options) in commands() {
        let in_bash = part(&bash, format!(" vmm__subcmd__{command})\n"), "\"\n");
        let in_zsh = part(&zsh, format!("({command})\n_arguments"), "\n&& ret=0");
        let of_command = format!("__fish_vmm_using_subcommand {command}\" ");
        let in_fish: Vec<_> = fish
            .lines()
            .filter(|line| line.contains(&of_command))
            .collect();
        for option in options {
            assert!(in_bash.contains(&option), "{command} {option}: {in_bash}");
            let mut forms = [format!("{option}["), format!("{option}=[")].into_iter();
            let is_in_zsh = forms.any(|form| in_zsh.contains(&form));
            assert!(is_in_zsh, "{command} {option}: {in_zsh}");
            let long = format!(" -l {} ", option.trim_start_matches('-'));
            let mut lines = in_fish.iter().map(|line| format!("{line} "));
            assert!(lines.any(|line| line.contains(&long)), "{command} {option}");
        }
    }
    let script = TempFile::new("completions", bash.as_bytes());
    let checked = Command::new("bash").arg("-n").arg(script.path()).status();
    match checked {
        Ok(status) => assert!(status.success(), "{bash}"),
        // The nested host has no such shell.
        Err(why) => eprintln!("completions_have_every_option: bash has not read them: {why}"),
    }
}

fn made_again() {
    let vmm = b"any binary".repeat(10_000);
    let files = files(vmm.clone()).expect("pages can be made");
    let first = archive(&files).expect("names are short");
    assert!(first == archive(&files).expect("names are short"));
    let mut paths = Vec::new();
    let mut unpacked = tar::Archive::new(GzDecoder::new(first.as_slice()));
    for entry in unpacked.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let header = entry.header();
        let (uid, gid) = (header.uid().expect("one"), header.gid().expect("one"));
        assert_eq!(
            (uid, gid, header.mtime().expect("one")),
            (0, 0, 1_767_225_600)
        );
        let mode = header.mode().expect("one");
        let path = entry.path().expect("a path").display().to_string();
        let path = path.strip_prefix(&format!("{NAME}/")).expect("one folder");
        let is_binary = path == "bin/vmm";
        assert_eq!(mode, if is_binary { 0o755 } else { 0o644 }, "{path}");
        if is_binary {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("contents");
            assert!(bytes == vmm, "it is the binary");
        }
        paths.push(path.to_owned());
    }
    assert!(paths.is_sorted(), "{paths:?}");
    for path in [
        "bin/vmm",
        "share/doc/ringfence/LICENSE-MIT",
        "share/man/man1/vmm.1",
    ] {
        assert!(
            paths.iter().any(|other| other == path),
            "no {path}: {paths:?}"
        );
    }
    // FIPS 180-2, B.1.
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc\n";
    assert_eq!(checksum("abc", b"abc"), known);
}
