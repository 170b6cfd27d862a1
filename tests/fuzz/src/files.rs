//! A guest that asks for files of the host, and hands over its own: any requests, in any order.
//!
//! ```text
//! FOLDER/          made once
//!     secret       what nobody may reach
//!     root/        the guest's root, with links that lead out of it
//!     saved/N/     made for an input: what is saved goes to new and empty in it
//! ```
//!
//! Checked: answers fit into their buffer, and have nothing but names and contents of the root;
//! nothing is made but in `new` and `empty`; the root stays as it is.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::host_files::{Attributes, BUFFER_LEN, Entry, Operation, ROOT, Record, Reply, Request};
use vmm::devices::HostFiles;
use vmm::host_files::{Addition, FilesConfig, Root, Save, Saving};
use vmm::memory::{FileWindow, GuestRam};

use crate::Input;

const PAGE: u64 = 0x1000;
const RAM: u64 = 1 << 20;
const FRAME: u32 = 16;
const WINDOW: u64 = 4 << 30;
const WINDOW_LEN: u64 = 1 << 20;
/// What begins each file of the root, and the one outside of it.
const INSIDE: &[u8] = b"inside";
const OUTSIDE: &[u8] = b"outside, and long enough to be another file";
/// Names in the root, some of which are there.
const NAMES: &[&str] = &[
    "file", "large", "empty", "folder", "inner", "again", "out", "up", "loop", "added", "one",
];
/// What has special meanings, is too long, or is elsewhere.
const ODD: &[&str] = &[
    "",
    ".",
    "..",
    "../secret",
    "secret",
    "/",
    "a/b",
    "new",
    "saved",
    "\0",
];

struct Host(PathBuf);

/// A guest without a CPU.
struct Guest {
    device: HostFiles,
    ram: GuestRam,
    window: FileWindow,
    /// Nodes that it has been told of, and what it has made.
    nodes: Vec<u64>,
    positions: Vec<u64>,
}

pub fn run(data: &[u8]) {
    static HOST: OnceLock<Host> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let host = HOST.get_or_init(Host::new);
    let saved = host.0.join("saved");
    let saved = saved.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    fs::create_dir_all(saved.join("empty")).expect("a folder");
    let mut input = Input::new(data);
    let mut guest = Guest::new(host, &saved);
    while !input.is_empty() {
        guest.ask(&mut input);
    }
    let (lines, _) = guest.device.saving().finish(true);
    assert!(lines.len() <= 11, "{lines:?}");
    let mut made: Vec<_> = names(&saved);
    made.retain(|name| name != "empty" && name != "new");
    assert!(made.is_empty(), "{made:?}");
    fs::remove_dir_all(&saved).expect("it is ours");
    host.check();
}

impl Host {
    fn new() -> Self {
        let folder = place();
        let root = folder.join("root");
        fs::create_dir_all(root.join("folder/inner")).expect("a folder");
        fs::write(folder.join("secret"), OUTSIDE).expect("a file");
        for (name, len) in [("file", 100), ("large", 9000), ("folder/one", 10)] {
            let mut bytes = INSIDE.to_vec();
            bytes.resize(len, b'.');
            fs::write(root.join(name), bytes).expect("a file");
        }
        fs::write(root.join("empty"), b"").expect("a file");
        fs::hard_link(root.join("file"), root.join("folder/again")).expect("a link");
        for (name, target) in [("out", "/"), ("up", ".."), ("loop", "loop")] {
            symlink(target, root.join(name)).expect("a link");
        }
        symlink("../../secret", root.join("folder/out")).expect("a link");
        // SAFETY: the function may be called when the process ends.
        unsafe { libc::atexit(remove) };
        Self(folder)
    }

    /// Nothing is in the folder, or has changed in it, but what is there from the start.
    fn check(&self) {
        assert_eq!(names(&self.0), ["root", "saved", "secret"]);
        let root = self.0.join("root");
        let top = ["empty", "file", "folder", "large", "loop", "out", "up"];
        assert_eq!(names(&root), top);
        assert_eq!(
            names(&root.join("folder")),
            ["again", "inner", "one", "out"]
        );
        assert_eq!(names(&root.join("folder/inner")), [""; 0]);
        let secret = fs::read(self.0.join("secret")).expect("it is there");
        assert_eq!(secret, OUTSIDE);
        let found = fs::metadata(root.join("file")).expect("it is there");
        assert_eq!((found.size(), found.nlink()), (100, 2));
    }
}

/// Where the folder is.
fn place() -> PathBuf {
    let name = format!("ringfence-fuzz-{}", std::process::id());
    std::env::temp_dir().join(name)
}

extern "C" fn remove() {
    let _ = fs::remove_dir_all(place());
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it is read").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

impl Guest {
    fn new(host: &Host, saved: &Path) -> Self {
        let root = host.0.join("root");
        let added = |host: &str, guest: &str| Addition {
            host: root.join(host),
            guest: guest.into(),
        };
        let files = FilesConfig {
            root: Some(Root::read(&root).expect("a folder")),
            added: vec![
                added("folder", "/added"),
                added("file", "/new/folders/file"),
                added("large", "/folder/inner/one"),
            ],
        };
        let saves = ["new", "empty", "new/no"].map(|name| Save {
            guest: format!("/guest/{name}").into(),
            host: saved.join(name),
            always: false,
        });
        let saving = Saving::prepare(&saves[..2]).expect("nothing is there");
        assert!(Saving::prepare(&saves).is_err());
        let ram = GuestRam::new(RAM).expect("memory");
        let window = FileWindow::new(WINDOW..WINDOW + WINDOW_LEN).expect("addresses");
        let tree = files.open().expect("a tree");
        Self {
            device: HostFiles::new(tree, saving, ram.clone(), window.clone()),
            ram,
            window,
            nodes: vec![ROOT],
            positions: vec![0],
        }
    }

    fn ask(&mut self, input: &mut Input) {
        if input.u8() == 0xff {
            // Neither all in RAM, nor a request.
            self.device.answer(input.number() as u32);
            return;
        }
        let operation = u64::from(input.u8() % 9);
        let node = self.one_of(&self.nodes, input);
        let position = self.one_of(&self.positions, input);
        let name = name(input);
        let bytes = match Operation::new(operation) {
            Some(Operation::Save) => entry(input, &name),
            Some(Operation::SaveBytes) => {
                let len = usize::from(input.u8());
                input.take(len).to_vec()
            }
            _ => name,
        };
        let request = Request {
            operation,
            node,
            position,
            len: match input.u8() {
                0xff => input.number(),
                _ => bytes.len() as u64,
            },
        };
        let mut buffer = vec![0; BUFFER_LEN];
        request.write(&mut buffer);
        let len = bytes.len().min(BUFFER_LEN - Request::LEN);
        buffer[Request::LEN..][..len].copy_from_slice(&bytes[..len]);
        let at = u64::from(FRAME) * PAGE;
        self.ram.write(at, &buffer).expect("it is RAM");
        self.device.answer(FRAME);
        self.ram.read(at, &mut buffer).expect("it is RAM");
        let reply = Reply::read(&buffer).expect("it is large enough");
        let answer = &buffer[Reply::LEN..][..reply.len as usize];
        if reply.error != 0 {
            assert!(answer.is_empty(), "{request:?}");
            return;
        }
        self.understand(request, reply.position, answer);
    }

    /// What was asked for is well-formed, and of the root.
    fn understand(&mut self, request: Request, position: u64, answer: &[u8]) {
        match Operation::new(request.operation).expect("others are errors") {
            Operation::LookUp => {
                let found = Attributes::read(answer).expect("attributes");
                assert_ne!(found.size, OUTSIDE.len() as u64);
                self.nodes.push(found.node);
            }
            Operation::List => {
                let mut rest = answer;
                while let Some(entry) = Entry::read(rest) {
                    let (name, after) = rest[Entry::LEN..].split_at(entry.name_len as usize);
                    let name = str::from_utf8(name).expect("names are text");
                    assert!(
                        NAMES.contains(&name) || name == "new" || name == "folders",
                        "{name}"
                    );
                    let padding = name.len().next_multiple_of(8) - name.len();
                    rest = &after[padding..];
                    self.nodes.push(entry.attributes.node);
                }
                assert!(rest.is_empty());
                self.positions.push(position);
            }
            Operation::ReadLink => {
                let targets = [&b"/"[..], b"..", b"loop", b"../../secret"];
                assert!(targets.contains(&answer), "{answer:?}");
            }
            Operation::Map => {
                let found = Attributes::read(answer).expect("attributes");
                if found.size != 0 {
                    assert_eq!(self.read(position, INSIDE.len()), INSIDE);
                    self.read(position + found.size - 1, 1);
                }
            }
            Operation::Save => {
                self.nodes.push(position);
                assert!(answer.is_empty());
            }
            Operation::SaveBytes | Operation::Saved => assert!(answer.is_empty()),
        }
    }

    /// One that it knows, or any number.
    fn one_of(&self, known: &[u64], input: &mut Input) -> u64 {
        match input.u8() {
            0xff => input.number(),
            index => known[usize::from(index) % known.len()],
        }
    }

    /// Bytes of the window.
    fn read(&self, address: u64, len: usize) -> Vec<u8> {
        let read = |offset| {
            let host = self.window.host(address + offset as u64);
            // SAFETY: the byte is mapped.
            unsafe { host.expect("it is mapped").read_volatile() }
        };
        (0..len).map(read).collect()
    }
}

fn name(input: &mut Input) -> Vec<u8> {
    match input.u8() {
        long @ 0xf0.. => vec![b'n'; 250 + usize::from(long & 0xf)],
        0xe0..0xf0 => input.take(8).to_vec(),
        0xc0..0xe0 => input.pick(ODD).as_bytes().to_vec(),
        _ => input.pick(NAMES).as_bytes().to_vec(),
    }
}

/// What is to be saved, by this name; a link leads anywhere.
fn entry(input: &mut Input, name: &[u8]) -> Vec<u8> {
    let kinds = [
        libc::S_IFDIR,
        libc::S_IFREG,
        libc::S_IFLNK,
        libc::S_IFCHR,
        0,
    ];
    let entry = Entry {
        attributes: Attributes {
            node: input.number(),
            size: input.number(),
            modified_ns: input.number() as i64,
            mode: input.pick(&kinds) | u32::from(input.u16()) & 0o7777,
            ..Attributes::default()
        },
        name_len: match input.u8() {
            0xff => input.number(),
            _ => name.len() as u64,
        },
    };
    let mut bytes = vec![0; Entry::LEN];
    entry.write(&mut bytes);
    bytes.extend_from_slice(name);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let targets = ["/tmp", "..", "../../../secret", ".", "new", ""];
    bytes.extend_from_slice(input.pick(&targets).as_bytes());
    bytes
}
