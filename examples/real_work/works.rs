//! Programs that many hosts have, and what they are given to do: most of a second, on a fast
//! processor.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fs};

use vmm::process_config::SEARCH_PATH;

use crate::measured::Fallible;

/// What all of them start with. A guest has one CPU, so Go's gets no more on the host.
pub const ENVIRONMENT: [(&str, &str); 3] =
    [("PATH", SEARCH_PATH), ("HOME", "/"), ("GOMAXPROCS", "1")];

/// The argument that makes this example the Rust program among them: [`count`].
pub const COUNT: &str = "count";

/// Files in the working directory.
const TEXT: &str = "text";
const LINES: &str = "lines";
const ROWS: &str = "rows.sql";

/// Folders of Go's library: one with little source, and one with much.
const GO_FOLDERS: [&str; 2] = ["sort", "net"];

pub struct Work {
    name: &'static str,
    /// A path, or a name along PATH.
    pub program: PathBuf,
    pub args: Vec<String>,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Work {
    fn new(name: &'static str, program: impl Into<PathBuf>, args: &[&str]) -> Self {
        Self {
            name,
            program: program.into(),
            args: args.iter().map(ToString::to_string).collect(),
        }
    }

    /// Whether the host has the program, and what it works on.
    pub fn is_there(&self) -> bool {
        find(&self.program).is_some() && !self.args.is_empty()
    }
}

/// Where a program is.
fn find(program: &Path) -> Option<PathBuf> {
    let mut paths = env::split_paths(SEARCH_PATH).map(|folder| folder.join(program));
    paths.find(|path| path.is_file())
}

/// All works, of which each is `percent` of its whole size. Writes their files to `folder`.
pub fn all(folder: &Path, percent: usize) -> Fallible<Vec<Work>> {
    let part = |whole: usize| (whole * percent / 100).max(1);
    let text = text(part(64 << 20));
    fs::write(folder.join(TEXT), &text)?;
    fs::write(folder.join(LINES), &text[..part(5 << 20)])?;
    fs::write(folder.join(ROWS), rows(part(100_000)))?;
    let loops = part(6_000_000);
    let python = format!("print(sum(i * i % 7 for i in range({loops})))");
    let gofmt = find("gofmt".as_ref()).unwrap_or_default();
    let go_folders = go_folders(&gofmt, percent).unwrap_or_default();
    Ok(vec![
        Work::new("sha256sum", "busybox", &["sha256sum", TEXT]),
        Work::new("sort", "busybox", &["sort", LINES]),
        Work::new("gzip", "gzip", &["-c", LINES]),
        Work::new(
            "sqlite3",
            "sqlite3",
            &[":memory:", &format!(".read {ROWS}")],
        ),
        Work::new("python3", "python3", &["-c", &python]),
        Work::new("count (Rust)", env::current_exe()?, &[COUNT, LINES]),
        Work {
            name: "gofmt (Go)",
            program: gofmt,
            args: go_folders,
        },
    ])
}

/// Lines of two numbers that look like chance.
fn text(len: usize) -> String {
    let mut text = String::with_capacity(len + 16);
    let mut random = 1_u64;
    while text.len() < len {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (first, second) = (random >> 44, random >> 40 & 0xfff);
        // It is a string, which takes everything.
        let _ = writeln!(text, "{first} {second:x}");
    }
    text.truncate(len);
    text
}

/// Inserts as many rows, one by one, and says what is there then.
fn rows(count: usize) -> String {
    let mut sql = "CREATE TABLE t(a INTEGER PRIMARY KEY, b INT, c TEXT);\nBEGIN;\n".to_owned();
    for row in 0..count {
        let value = row * 7919 % 100_003;
        let _ = writeln!(sql, "INSERT INTO t VALUES({row}, {value}, 'row {row}');");
    }
    sql + "COMMIT;\nSELECT count(*), sum(b), max(c) FROM t WHERE b > 500;\n"
}

/// Of [`GO_FOLDERS`] as many, at least one. They are beside the folder of Go's programs.
fn go_folders(gofmt: &Path, percent: usize) -> Option<Vec<String>> {
    let program = gofmt.canonicalize().ok()?;
    let library = program.ancestors().nth(2)?.join("src");
    let folders = GO_FOLDERS.map(|name| library.join(name));
    let some = &folders[..(folders.len() * percent / 100).clamp(1, folders.len())];
    let names = some.iter().filter(|folder| folder.is_dir());
    names
        .map(|folder| folder.to_str().map(String::from))
        .collect()
}

/// Says which words of a file come most often.
pub fn count(file: &str) -> Fallible<()> {
    let text = fs::read_to_string(file)?;
    let mut counts = HashMap::<_, u32>::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_default() += 1;
    }
    let mut words: Vec<_> = counts.into_iter().collect();
    words.sort_unstable_by_key(|&(word, count)| (Reverse(count), word));
    for (word, count) in words.iter().take(10) {
        println!("{count} {word}");
    }
    Ok(())
}
