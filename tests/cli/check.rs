//! `vmm check`, as CI sees it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use serde_json::Value;

use super::{FAILURE, USAGE, refused};
use crate::confined::filters_beside_a_guest;
use crate::support::elf::TempFile;
use crate::support::suite::plain;
use crate::support::{Running, binary, list, output_with_input, reported_json};

/// What holds of `hello` in the emulator.
const HELLO: &str = "machines = ['emu', 'interpreter']

[[guest]] # the first one
run = 'hello'
output = \"Hello from ring 3!\\n\"
exits = { pio_out = 20, 'pio_out port 0x3f8' = 19 }
syscalls = 2
";

pub fn trials() -> Vec<Trial> {
    vec![
        plain("check_says_what_does_not_hold", says_what_does_not_hold),
        plain("check_holds_a_guest_to_its_memory", holds_to_memory),
        plain("check_updates_its_file", updates_its_file),
        plain(
            "check_leaves_what_it_cannot_write",
            leaves_what_it_cannot_write,
        ),
        plain("check_refuses_wrong_files", refuses_wrong_files),
        plain("each_thread_of_a_check_is_confined", is_confined),
        plain("every_bundled_program_is_checked", every_program_is_checked),
    ]
}

/// Status and standard output of `vmm check` with these arguments, which says nothing else.
#[track_caller]
fn checked(args: &[&str], actions: &str) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command
        .arg("check")
        .args(args)
        .env("GITHUB_ACTIONS", actions);
    let output = output_with_input(&mut command, None);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "", "{args:?}");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("text"),
    )
}

fn path(file: &TempFile) -> &str {
    file.path().to_str().expect("a name that is text")
}

fn says_what_does_not_hold() {
    let file = TempFile::new("guests.toml", HELLO.as_bytes());
    let verdict = "10 figures of 2 runs hold, on emu, interpreter\n";
    assert_eq!(
        checked(&[path(&file)], "true"),
        (Some(0), verdict.to_owned())
    );

    let wrong = HELLO.replace("syscalls = 2", "syscalls = 4");
    let file = TempFile::new("guests.toml", wrong.as_bytes());
    let [junit, markdown] = ["junit", "markdown"].map(|name| TempFile::new(name, b"# Before\n"));
    let args = [
        path(&file),
        "--junit",
        path(&junit),
        "--markdown",
        path(&markdown),
    ];
    let (status, text) = checked(&args, "");
    let name = path(&file);
    let line = |machine| {
        format!("{name}:7: hello on {machine}: syscalls: expected 4, measured 2 (-2, -50.0%)\n")
    };
    let verdict = "8 figures of 2 runs hold, 2 not, on emu, interpreter\n";
    let expected = [&line("emu"), &line("interpreter"), verdict].concat();
    assert_eq!((status, text), (Some(1), expected));
    let read = |file: &TempFile| fs::read_to_string(file.path()).expect("text");
    let junit = read(&junit);
    assert!(
        junit.contains("tests=\"2\" skipped=\"0\" failures=\"2\""),
        "{junit}"
    );
    let markdown = read(&markdown);
    assert!(markdown.starts_with("# Before\n### "), "{markdown}");
    assert!(
        markdown.contains("| 7 | `hello` | emu | `syscalls` |"),
        "{markdown}"
    );

    let (_, text) = checked(&[name], "true");
    let error = format!("::error file={name},line=7,title=hello on emu::syscalls: expected 4, ");
    assert_eq!(
        text.lines().filter(|line| line.starts_with(&error)).count(),
        1,
        "{text}"
    );
    assert_eq!(text.lines().count(), 5, "{text}");
    let [json, page] = ["json", "html"].map(|name| TempFile::new(name, b""));
    checked(&[name, "--json", path(&json), "--html", path(&page)], "");
    let json: Value = serde_json::from_str(&read(&json)).expect("JSON");
    assert_eq!(list(&json["cases"]).len(), 2, "{json:#}");
    let page = read(&page);
    assert_eq!(
        page.matches("<tr class=\"differs broken\">").count(),
        2,
        "{page}"
    );
}

/// One frame more than the file has is a line for each machine.
fn holds_to_memory() {
    let (_, _, run) = reported_json(&["run", "--accel", "emu", "hello"]);
    let frames = run["guest"]["frames"].as_u64().expect("a count");
    assert!(frames > 10, "{run:#}");
    let with = |frames| format!("{HELLO}emu.frames = {frames}\n");
    let file = TempFile::new("guests.toml", with(frames - 1).as_bytes());
    let name = path(&file);
    let (status, text) = checked(&[name], "");
    let less = frames - 1;
    let says = format!("frames: expected {less}, measured {frames} (+1, +");
    let of = |machine| format!("{name}:8: hello on {machine}: {says}");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(&of("emu")), "{text}");
    assert!(lines[1].starts_with(&of("interpreter")), "{text}");
    let verdict = "10 figures of 2 runs hold, 2 not, on emu, interpreter";
    assert_eq!((status, &lines[2..]), (Some(1), &[verdict] as &[_]));

    fs::write(file.path(), with(frames)).expect("the file can be written");
    assert_eq!(checked(&[name], "").0, Some(0));
}

/// A folder for one test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringfence-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("the temporary folder can be written");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It exists: `new` made it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where it is, with its rights, through a link; and nothing else is left in the folder.
fn updates_its_file() {
    let folder = Folder::new("updated");
    let [file, link] = ["guests.toml", "link.toml"].map(|name| folder.0.join(name));
    let wrong = HELLO
        .replace("syscalls = 2", "syscalls = 0")
        .replace("hello'", "echo a'");
    fs::write(&file, wrong).expect("the folder can be written");
    let rights = fs::Permissions::from_mode(0o640);
    fs::set_permissions(&file, rights).expect("it is ours");
    symlink(&file, &link).expect("the folder can be written");
    let mut command = Command::new(binary());
    command.args(["check", "--update"]).arg(&link);
    let output = output_with_input(&mut command, None);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.ends_with("has now what was measured\n"), "{said}");
    let text = fs::read_to_string(&file).expect("text");
    assert!(
        text.contains("[[guest]] # the first one\nrun = 'echo a'\n"),
        "{text}"
    );
    assert!(
        text.contains("'pio_out port 0x3f8' = 2 }\nsyscalls = "),
        "{text}"
    );
    let (status, _) = checked(&[file.to_str().expect("text")], "");
    assert_eq!(status, Some(0), "{text}");
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(link.is_symlink());
    assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 2);
}

fn leaves_what_it_cannot_write() {
    let wrong = HELLO.replace("syscalls", "contains = 'bye'\nsyscalls");
    let file = TempFile::new("guests.toml", wrong.as_bytes());
    let mut command = Command::new(binary());
    command.args(["check", "--update", path(&file)]);
    let output = output_with_input(&mut command, None);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(":7: contains: no one value"), "{said}");
    assert_eq!(fs::read_to_string(file.path()).expect("text"), wrong);
}

fn refuses_wrong_files() {
    for (from, to, parts) in [
        (
            "syscalls",
            "sycalls",
            &[":7: ", "`sycalls`", "`syscalls`"] as &[_],
        ),
        (
            "'hello'",
            "'helo'",
            &[":4: ", "\"helo\"", "did you mean hello?"],
        ),
        ("'hello'", "'--cpu 2 hello'", &[":4: ", "--cpu", "--cpus"]),
        ("'hello'", "''", &[":4: ", "PROGRAM"]),
        ("'hello'", "'\"hello'", &[":4: ", "quote"]),
    ] {
        let file = TempFile::new("guests.toml", HELLO.replace(from, to).as_bytes());
        refused(&["check", path(&file)], USAGE, parts);
    }
    refused(&["check", "no/such.toml"], USAGE, &["no/such.toml: "]);
    let file = TempFile::new("guests.toml", HELLO.as_bytes());
    refused(
        &["check", path(&file), "--junit", "/no/such"],
        FAILURE,
        &["/no/such: "],
    );
}

/// As those of a comparison.
fn is_confined() {
    let endless = HELLO
        .replace("hello", "spin 3600000")
        .replace("'emu', ", "");
    let file = TempFile::new("guests.toml", endless.as_bytes());
    let mut command = Command::new(binary());
    command.args(["check", path(&file)]).stdout(Stdio::null());
    let vmm = Running(command.spawn().expect("it is a program"));
    let threads = filters_beside_a_guest(&vmm);
    assert!(threads.len() >= 3, "{threads:?}");
    assert!(threads.iter().all(|(_, mode)| mode == "2"), "{threads:?}");
}

/// The project's own file has each of them, and says what it costs in the emulator.
fn every_program_is_checked() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests.toml");
    let text = fs::read_to_string(&file).expect("text");
    let file = vmm::check::CheckFile::parse(&file, &text).unwrap_or_else(|why| panic!("{why}"));
    let output = output_with_input(Command::new(binary()).args(["list", "--json"]), None);
    let programs: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for program in list(&programs["programs"]) {
        let name = program["name"].as_str().expect("text");
        let is_it = |guest: &&vmm::check::Guest| guest.run.split(' ').any(|word| word == name);
        let guest = file.guests.iter().find(is_it);
        let guest = guest.unwrap_or_else(|| panic!("tests/guests.toml has no {name}"));
        assert!(
            guest.emu.ring0.is_some() && !guest.emu.exits.is_empty(),
            "{name}"
        );
    }
}
