//! Kernels, archives and programs of the host: regular files, whole ones, that fit.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use super::{FAILURE, refused};
use crate::support::elf::{self, TempFile};
use crate::support::suite::plain;
use crate::support::{binary, output_with_input};

/// Longer than setting up any machine; a file that blocks would block for ever.
const PROMPT: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    vec![
        plain("images_are_regular_files", images_are_regular_files),
        plain("images_fit_into_memory", images_fit_into_memory),
        plain("overlapping_segments", overlapping_segments),
        plain("many_notes", many_notes),
        plain("programs_of_an_archive", programs_of_an_archive),
        plain(
            "program_put_before_an_archive",
            program_put_before_an_archive,
        ),
        plain("compressed_archive", compressed_archive),
        plain("archives_that_are_none", archives_that_are_none),
        plain("input_of_compare", input_of_compare),
    ]
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

fn images_are_regular_files() {
    let folder = Folder::new("fifo");
    let fifo = folder.0.join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()), "no mkfifo");
    for (path, kind) in [
        (text(&fifo), "is a pipe"),
        ("/dev/zero", "is a device"),
        ("/", "is a directory"),
    ] {
        let start = Instant::now();
        refused(&["run", path], FAILURE, &[path, kind]);
        for option in ["--kernel", "--initrd"] {
            refused(&["run", option, path, "hello"], FAILURE, &[path, kind]);
        }
        let args = ["compare", "--input", path, "hello"];
        refused(&args, FAILURE, &[path, kind]);
        assert!(start.elapsed() < PROMPT, "{path} was waited for");
    }
}

fn images_fit_into_memory() {
    let large = TempFile::new("large", b"");
    let file = fs::OpenOptions::new().write(true).open(large.path());
    // Sparse: it is refused by its size, not read.
    file.and_then(|file| file.set_len(1 << 40))
        .expect("a sparse file");
    let path = text(large.path());
    for args in [
        &["run", path][..],
        &["run", "--kernel", path, "hello"],
        &["run", "--initrd", path, "hello"],
    ] {
        refused(args, FAILURE, &["1T", "64M", "--memory"]);
    }
}

/// An ELF file of 60,000 segments, of `kind`, of a megabyte each: the same one.
fn many_segments(kind: u32) -> Vec<u8> {
    const COUNT: u16 = 60_000;
    const SIZE: u64 = 1 << 20;
    let mut file = elf::program(0);
    let header = file[64..120].to_vec();
    file.truncate(64);
    file[56..58].copy_from_slice(&COUNT.to_le_bytes());
    for _ in 0..COUNT {
        let mut header = header.clone();
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[32..40].copy_from_slice(&SIZE.to_le_bytes());
        header[40..48].copy_from_slice(&SIZE.to_le_bytes());
        file.extend(header);
    }
    file
}

fn refused_at_once(bytes: &[u8], part: &str) {
    let file = TempFile::new("segments", bytes);
    let path = text(file.path());
    let start = Instant::now();
    refused(&["run", path], FAILURE, &["damaged", part]);
    refused(
        &["run", "--kernel", path, "hello"],
        FAILURE,
        &["damaged", part],
    );
    assert!(start.elapsed() < PROMPT, "it takes long to be refused");
}

fn overlapping_segments() {
    refused_at_once(&many_segments(1), "segments overlap");
}

fn many_notes() {
    refused_at_once(&many_segments(4), "of notes");
}

/// A folder that is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("ringfence-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is there: `new` made it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An archive in "newc" format with these files, executable.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let end = [("TRAILER!!!", &b""[..])];
    for (path, contents) in files.iter().chain(&end) {
        let (size, name_size) = (contents.len(), path.len() + 1);
        let header = format!(
            "070701{:08x}{:08x}{:032x}{size:08x}{:032x}{name_size:08x}{:08x}",
            0, 0o100_755, 0, 0, 0
        );
        archive.extend(header.as_bytes());
        archive.extend(path.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(*contents);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

fn with_archive(archive: &[u8], program: &str) -> Output {
    let file = TempFile::new("initrd", archive);
    let mut command = Command::new(binary());
    command.args(["run", "--accel", "emu", "--report", "none"]);
    command.arg("--initrd").arg(file.path()).arg(program);
    output_with_input(&mut command, None)
}

#[track_caller]
fn ends_with(archive: &[u8], program: &str, status: i32) {
    let output = with_archive(archive, program);
    assert_eq!(output.status.code(), Some(status), "{program}: {output:?}");
}

fn programs_of_an_archive() {
    let programs = [
        ("bin/one", elf::program(1)),
        ("./usr/bin/two", elf::program(2)),
        ("opt/three", elf::program(3)),
    ];
    let files = programs.each_ref().map(|(path, elf)| (*path, &elf[..]));
    let archive = archive(&files);
    for (name, status) in [
        ("one", 1),
        ("two", 2),
        ("bin/one", 1),
        ("/usr/bin/two", 2),
        ("./opt/three", 3),
    ] {
        ends_with(&archive, name, status);
    }
    let output = with_archive(&archive, "three");
    assert_eq!(
        output.status.code(),
        Some(2),
        "not in a usual folder: {output:?}"
    );
}

fn program_put_before_an_archive() {
    let other = elf::program(1);
    let archive = archive(&[("bin/other", &other)]);
    let host = TempFile::new("host", &elf::program(7));
    ends_with(&archive, text(host.path()), 7);
    ends_with(&archive, "other", 1);
    // Bundled ones are the VMM's to put there.
    ends_with(&archive, "hello", 0);
}

fn compressed_archive() {
    let file = TempFile::new("plain", &archive(&[("bin/five", &elf::program(5))]));
    let packed = Command::new("gzip").arg("-c").arg(file.path()).output();
    let packed = packed.expect("gzip is there").stdout;
    ends_with(&packed, "five", 5);
    let output = with_archive(&packed[..packed.len() / 2], "five");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(FAILURE), "{stderr}");
    assert!(stderr.contains("truncated"), "{stderr}");
    // 128 MiB of zeros in some 128 KiB.
    let mut gzip = Command::new("gzip");
    let gzip = gzip.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut bomb = gzip.spawn().expect("gzip is there");
    let mut input = bomb.stdin.take().expect("it is piped");
    let feeder = std::thread::spawn(move || {
        let zeros = vec![0; 1 << 20];
        (0..128).try_for_each(|_| input.write_all(&zeros))
    });
    let bomb = bomb.wait_with_output().expect("gzip runs").stdout;
    feeder
        .join()
        .expect("it does not panic")
        .expect("gzip reads");
    let output = with_archive(&bomb, "five");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("unpacks to more than the 64M"), "{stderr}");
}

fn archives_that_are_none() {
    let whole = archive(&[("bin/five", &elf::program(5))]);
    for (bytes, part) in [
        (&b""[..], "empty"),
        (b"hello", "not a cpio archive"),
        (b"\xfd7zXZ\0...", "compressed by xz"),
        (&whole[..150], "truncated"),
        (&whole[..whole.len() - 100], "truncated"),
    ] {
        let output = with_archive(bytes, "five");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(FAILURE), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(part), "no {part:?}: {stderr}");
    }
}

fn input_of_compare() {
    for input in ["/dev/null", "Cargo.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(input);
        let args = ["compare", "--runs", "1", "--report", "none", "--input"];
        let mut command = Command::new(binary());
        command.args(args).arg(path).arg("hello");
        let output = output_with_input(&mut command, None);
        assert_eq!(output.status.code(), Some(0), "{input}: {output:?}");
    }
}
