use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};

use abi::Errno;
use abi::host_files::{Attributes, BUFFER_LEN, Entry, Operation, ROOT, Record, Reply, Request};
use vm_memory::{Bytes, GuestAddress};

use super::HostFiles;
use crate::host_files::tests::Scratch;
use crate::host_files::{FilesConfig, Root, Save, Saving};
use crate::layout::PAGE;
use crate::memory::{FileWindow, GuestRam};

const RAM: u64 = 1 << 20;
const FRAME: u32 = 16;
const WINDOW: u64 = 4 << 30;

/// A machine without a CPU, and a folder of the host as its root.
struct Asker {
    scratch: Scratch,
    device: HostFiles,
    ram: GuestRam,
    window: FileWindow,
}

impl Asker {
    fn new() -> Self {
        let scratch = Scratch::new();
        let root = Root::read(&scratch.folder("root")).expect("a folder");
        let files = FilesConfig {
            root: Some(root),
            added: Vec::new(),
        };
        let window = FileWindow::new(WINDOW..WINDOW + (64 << 20)).expect("addresses");
        let ram = GuestRam::new(RAM).expect("memory");
        let tree = files.open().expect("a tree");
        let saves = ["new", "folder"].map(|name| Save {
            guest: format!("/guest/{name}").into(),
            host: scratch.path(name),
            always: false,
        });
        scratch.folder("folder");
        let saving = Saving::prepare(&saves).expect("nothing is there");
        Self {
            scratch,
            device: HostFiles::new(tree, saving, ram.clone(), window.clone()),
            ram,
            window,
        }
    }

    fn ask(
        &mut self,
        operation: u64,
        node: u64,
        position: u64,
        name: &[u8],
    ) -> Result<(u64, Vec<u8>), Errno> {
        let mut buffer = vec![0; BUFFER_LEN];
        let request = Request {
            operation,
            node,
            position,
            len: name.len() as u64,
        };
        request.write(&mut buffer);
        buffer[Request::LEN..][..name.len()].copy_from_slice(name);
        self.ask_raw(buffer)
    }

    fn ask_raw(&mut self, mut buffer: Vec<u8>) -> Result<(u64, Vec<u8>), Errno> {
        let at = GuestAddress(u64::from(FRAME) * PAGE);
        let memory = self.ram.mmap();
        memory.write_slice(&buffer, at).expect("it is RAM");
        self.device.answer(FRAME);
        memory.read_slice(&mut buffer, at).expect("it is RAM");
        let reply = Reply::read(&buffer).expect("it is large enough");
        match reply.error {
            0 => Ok((
                reply.position,
                buffer[Reply::LEN..][..reply.len as usize].to_vec(),
            )),
            error => Err(Errno::new(error)),
        }
    }

    fn look_up(&mut self, node: u64, name: &[u8]) -> Result<Attributes, Errno> {
        let (_, bytes) = self.ask(Operation::LookUp as u64, node, 0, name)?;
        Ok(Attributes::read(&bytes).expect("attributes"))
    }

    fn map(&mut self, node: u64) -> Result<(u64, Attributes), Errno> {
        let (address, bytes) = self.ask(Operation::Map as u64, node, 0, b"")?;
        Ok((address, Attributes::read(&bytes).expect("attributes")))
    }

    /// The names in a folder, and in how many answers they came.
    fn list(&mut self, node: u64) -> Result<(Vec<String>, usize), Errno> {
        let (mut names, mut answers, mut position) = (Vec::new(), 0, 0);
        loop {
            let (next, bytes) = self.ask(Operation::List as u64, node, position, b"")?;
            answers += 1;
            let mut rest = &bytes[..];
            while let Some(entry) = Entry::read(rest) {
                let name = &rest[Entry::LEN..][..entry.name_len as usize];
                names.push(String::from_utf8_lossy(name).into_owned());
                rest = &rest[Entry::LEN + name.len().next_multiple_of(8)..];
            }
            if next == 0 {
                names.sort();
                return Ok((names, answers));
            }
            position = next;
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

#[test]
fn a_folder_is_looked_up_listed_and_mapped() {
    let mut asker = Asker::new();
    let large: Vec<_> = (0..10_000).map(|n| n as u8).collect();
    asker.scratch.file("root/large", &large);
    asker.scratch.file("root/small", b"a few bytes");
    asker.scratch.file("root/empty", b"");
    asker.scratch.folder("root/folder");
    let large_at = asker.scratch.path("root/large");
    fs::hard_link(large_at, asker.scratch.path("root/folder/again")).expect("a link");
    symlink("/etc/passwd", asker.scratch.path("root/link")).expect("a link");

    let top = asker.look_up(ROOT, b"").expect("the root");
    assert_eq!((top.node, top.mode & libc::S_IFMT), (ROOT, libc::S_IFDIR));
    let found = asker.look_up(ROOT, b"large").expect("it is there");
    assert_eq!((found.size, found.links), (10_000, 2));
    let folder = asker.look_up(ROOT, b"folder").expect("it is there");
    let again = asker.look_up(folder.node, b"again").expect("it is there");
    assert_eq!(again, found);
    let link = asker.look_up(ROOT, b"link").expect("it is there");
    assert_eq!(link.mode & libc::S_IFMT, libc::S_IFLNK);
    let target = asker.ask(Operation::ReadLink as u64, link.node, 0, b"");
    assert_eq!(target, Ok((0, b"/etc/passwd".to_vec())));
    assert_eq!(asker.map(link.node), Err(Errno::EINVAL));
    assert_eq!(asker.map(folder.node), Err(Errno::EISDIR));
    assert_eq!(asker.look_up(link.node, b"x"), Err(Errno::ENOTDIR));
    assert_eq!(asker.look_up(ROOT, b"missing"), Err(Errno::ENOENT));

    let (names, _) = asker.list(ROOT).expect("a folder");
    assert_eq!(names, ["empty", "folder", "large", "link", "small"]);
    let (address, mapped) = asker.map(found.node).expect("a file");
    assert_eq!((address, mapped.size), (WINDOW, 10_000));
    assert_eq!(asker.read(address, 10_000), large);
    assert_eq!(asker.read(address + 10_000, 2288), [0; 2288]);
    assert_eq!(asker.map(again.node), Ok((address, mapped)));
    let small = asker.look_up(ROOT, b"small").expect("it is there");
    let (address, mapped) = asker.map(small.node).expect("a file");
    assert_eq!(asker.read(address, mapped.size as usize), b"a few bytes");
    let empty = asker.look_up(ROOT, b"empty").expect("it is there");
    assert_eq!(asker.map(empty.node).map(|it| it.0), Ok(0));
}

#[test]
fn a_long_list_comes_in_parts() {
    let mut asker = Asker::new();
    let mut expected: Vec<_> = (0..1000).map(|n| format!("{n:0>200}")).collect();
    expected.sort();
    for name in &expected {
        asker.scratch.file(&format!("root/{name}"), b"");
    }
    let (names, answers) = asker.list(ROOT).expect("a folder");
    assert_eq!(names, expected);
    assert!(answers > 10, "{answers}");
}

#[test]
fn nothing_leads_out() {
    let mut asker = Asker::new();
    asker.scratch.file("secret", b"secret");
    asker.scratch.folder("root/inner/deep");
    asker.scratch.file("root/inner/deep/file", b"mine");
    for name in [&b".."[..], b".", b"a/b", b"/", b"inner/deep", b"a\0b"] {
        assert_eq!(asker.look_up(ROOT, name), Err(Errno::EINVAL));
    }
    assert_eq!(asker.look_up(ROOT, &[b'n'; 256]), Err(Errno::ENAMETOOLONG));
    assert_eq!(asker.look_up(ROOT, &[b'n'; 255]), Err(Errno::ENOENT));
    let inner = asker.look_up(ROOT, b"inner").expect("it is there").node;
    let deep = asker.look_up(inner, b"deep").expect("it is there").node;
    let file = asker.look_up(deep, b"file").expect("it is there").node;
    // The host puts a link out where a folder was.
    let inner_path = asker.scratch.path("root/inner");
    fs::rename(&inner_path, asker.scratch.path("moved")).expect("a rename");
    symlink(asker.scratch.path("moved"), &inner_path).expect("a link");
    assert_eq!(asker.look_up(deep, b"file"), Err(Errno::ELOOP));
    assert_eq!(asker.map(file), Err(Errno::ELOOP));
    assert_eq!(asker.list(deep), Err(Errno::ELOOP));
    fs::remove_file(&inner_path).expect("the link");
    assert_eq!(asker.map(file), Err(Errno::ENOENT));
    assert_eq!(asker.look_up(deep, b""), Err(Errno::ENOENT));
}

#[test]
fn files_change_while_the_guest_runs() {
    let mut asker = Asker::new();
    let path = asker.scratch.file("root/log", &[1; 5000]);
    let log = asker.look_up(ROOT, b"log").expect("it is there").node;
    let (address, mapped) = asker.map(log).expect("a file");
    fs::write(&path, [2; 9000]).expect("it grows");
    assert_eq!(asker.look_up(ROOT, b"log").map(|it| it.size), Ok(9000));
    // What is mapped stays as long as it was.
    assert_eq!(asker.map(log), Ok((address, mapped)));
    fs::remove_file(&path).expect("it goes");
    assert_eq!(asker.look_up(ROOT, b"log"), Err(Errno::ENOENT));
    assert_eq!(asker.read(address, 1).len(), 1);
    asker.scratch.folder("root/log");
    let folder = asker.look_up(ROOT, b"log").expect("another one");
    assert_ne!(folder.node, log);
    let shrinking = asker.scratch.file("root/shrinking", b"0123456789");
    let shrinking_node = asker.look_up(ROOT, b"shrinking").expect("it is there").node;
    File::options()
        .write(true)
        .open(shrinking)
        .and_then(|file| file.set_len(4).and(file.write_all_at(b"abcd", 0)))
        .expect("it shrinks");
    let (address, mapped) = asker.map(shrinking_node).expect("a file");
    assert_eq!(asker.read(address, mapped.size as usize), b"abcd");
}

#[test]
fn pseudo_file_systems_are_empty_and_devices_closed() {
    let files = FilesConfig {
        root: Some(Root::read("/".as_ref()).expect("it is there")),
        added: Vec::new(),
    };
    let mut tree = files.open().expect("a tree");
    let proc = tree.look_up(ROOT, b"proc").expect("it is mounted").node;
    assert_eq!(tree.look_up(proc, b"version"), Err(Errno::ENOENT));
    let mut entries = Vec::new();
    assert_eq!(tree.list(proc, 0, 1 << 14, &mut entries), Ok(0));
    assert!(entries.is_empty());
    let null = tree.resolve(b"/dev/null").expect("it is there").attributes;
    assert_eq!(null.mode & libc::S_IFMT, libc::S_IFCHR);
    assert_eq!(tree.open(null.node).err(), Some(Errno::ENXIO));
}

#[test]
fn made_up_requests_get_errors() {
    let mut asker = Asker::new();
    let mut seeds = fastrand::Rng::with_seed(1);
    for operation in [0, 8, u64::MAX] {
        assert_eq!(asker.ask(operation, ROOT, 0, b""), Err(Errno::ENOSYS));
    }
    for node in [0, 2, ROOT + 256, u64::MAX, 1 << 63] {
        for operation in 1..=6 {
            assert_eq!(asker.ask(operation, node, 0, b""), Err(Errno::EINVAL));
        }
    }
    let list = Operation::List as u64;
    assert_eq!(
        asker.ask(list, ROOT, 1 << 62, b"").map(|it| it.1),
        Ok(vec![])
    );
    let mut buffer = vec![0; BUFFER_LEN];
    for len in [BUFFER_LEN as u64, u64::MAX] {
        let request = Request {
            operation: 1,
            node: ROOT,
            position: 0,
            len,
        };
        request.write(&mut buffer);
        assert_eq!(asker.ask_raw(buffer.clone()), Err(Errno::EINVAL));
    }
    for _ in 0..10_000 {
        seeds.fill(&mut buffer[..64]);
        buffer[1..8].fill(0);
        buffer[0] &= 7;
        let _ = asker.ask_raw(buffer.clone());
    }
    // Neither the end of RAM, nor what is past it.
    for frame in [(RAM / PAGE) as u32 - 1, 0x4_0000, u32::MAX] {
        asker.device.answer(frame);
    }
}

/// A request to make something.
fn entry(mode: u32, size: u64, name: &[u8], link: &[u8]) -> Vec<u8> {
    let attributes = Attributes {
        mode,
        size,
        modified_ns: 1_000_000_000_500_000_000,
        ..Attributes::default()
    };
    let mut bytes = vec![0; Entry::LEN];
    let name_len = name.len() as u64;
    let entry = Entry {
        attributes,
        name_len,
    };
    entry.write(&mut bytes);
    bytes.extend_from_slice(name);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend_from_slice(link);
    bytes
}

impl Asker {
    fn make(
        &mut self,
        folder: u64,
        mode: u32,
        size: u64,
        name: &[u8],
        link: &[u8],
    ) -> Result<u64, Errno> {
        let bytes = entry(mode, size, name, link);
        let answer = self.ask(Operation::Save as u64, folder, 0, &bytes);
        answer.map(|(number, _)| number)
    }

    fn write(&mut self, file: u64, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let answer = self.ask(Operation::SaveBytes as u64, file, at, bytes);
        answer.map(drop)
    }

    fn finish(&mut self) -> (Vec<String>, Option<String>) {
        self.device.saving().finish(true)
    }
}

const FOLDER: u32 = libc::S_IFDIR | 0o755;
const FILE: u32 = libc::S_IFREG | 0o644;
const LINK: u32 = libc::S_IFLNK | 0o777;

#[test]
fn a_tree_is_saved() {
    let mut asker = Asker::new();
    let top = asker
        .make(0, FOLDER, 0, b"ignored", b"")
        .expect("it is new");
    let inner = asker
        .make(top, FOLDER, 0, b"inner", b"")
        .expect("it is new");
    let file = asker
        .make(inner, FILE, 10, b"file", b"")
        .expect("it is new");
    assert_eq!(asker.write(file, 0, b"01234"), Ok(()));
    assert_eq!(asker.write(file, 7, b"789"), Ok(()));
    assert_eq!(asker.write(file, 8, b"890"), Err(Errno::EINVAL));
    assert_eq!(asker.write(file, u64::MAX, b"0"), Err(Errno::EINVAL));
    assert_eq!(asker.make(top, LINK, 0, b"link", b"/etc/passwd"), Ok(0));
    assert_eq!(asker.write(file, 0, b"0"), Err(Errno::EINVAL));
    let second = entry(libc::S_IFREG | 0o755, 3, b"", b"");
    let (file, _) = asker
        .ask(Operation::Save as u64, 0, 1, &second)
        .expect("it is new");
    assert_eq!(asker.write(file, 0, b"two"), Ok(()));
    for index in [0, 1] {
        assert!(asker.ask(Operation::Saved as u64, 0, index, b"").is_ok());
    }
    let saved = Operation::Saved as u64;
    assert_eq!(asker.ask(saved, 0, 2, b""), Err(Errno::EINVAL));
    assert_eq!(asker.finish(), (vec![], None));
    let path = asker.scratch.path("new/inner/file");
    assert_eq!(fs::read(&path).expect("it is saved"), b"01234\0\x00789");
    let time = fs::metadata(path).and_then(|found| found.modified());
    let time = time
        .expect("it is saved")
        .duration_since(std::time::UNIX_EPOCH);
    assert_eq!(
        time.expect("it is after 1970").as_millis(),
        1_000_000_000_500
    );
    let link = fs::read_link(asker.scratch.path("new/link")).expect("it is saved");
    assert_eq!(link.as_os_str(), "/etc/passwd");
    let second = asker.scratch.path("folder/folder");
    assert_eq!(fs::read(second).expect("it is saved"), b"two");
}

#[test]
fn a_hostile_guest_saves_nothing_elsewhere() {
    let mut asker = Asker::new();
    let top = asker.make(0, FOLDER, 0, b"", b"").expect("it is new");
    for name in [&b".."[..], b".", b"", b"/tmp/x", b"a/../../x", b"a\0b"] {
        for mode in [FOLDER, FILE, LINK] {
            assert_eq!(asker.make(top, mode, 0, name, b"x"), Err(Errno::EINVAL));
        }
    }
    let long = asker.make(top, FILE, 0, &[b'n'; 256], b"");
    assert_eq!(long, Err(Errno::ENAMETOOLONG));
    for folder in [top + 1, u64::MAX] {
        assert_eq!(asker.make(folder, FILE, 0, b"x", b""), Err(Errno::EINVAL));
    }
    // A link does not lead anywhere, nor does one that the host puts there.
    let out = asker.scratch.folder("out");
    let target = out.to_str().expect("temporary paths are text");
    assert_eq!(asker.make(top, LINK, 0, b"link", target.as_bytes()), Ok(0));
    assert_eq!(asker.make(top, FILE, 0, b"link", b""), Err(Errno::EEXIST));
    assert_eq!(asker.make(top, FOLDER, 0, b"link", b""), Err(Errno::EEXIST));
    let inner = asker
        .make(top, FOLDER, 0, b"inner", b"")
        .expect("it is new");
    fs::remove_dir(asker.scratch.path("new/inner")).expect("it is empty");
    symlink(&out, asker.scratch.path("new/inner")).expect("a link");
    assert_eq!(asker.make(inner, FILE, 0, b"x", b""), Err(Errno::ELOOP));
    assert_eq!(fs::read_dir(&out).expect("a folder").count(), 0);
    // Devices, and what would fill the host.
    for number in 0..20 {
        let name = format!("device{number}");
        let device = asker.make(top, libc::S_IFCHR | 0o666, 0, name.as_bytes(), b"");
        assert_eq!(device, Ok(0));
    }
    assert_eq!(
        asker.make(top, FILE, 1 << 60, b"huge", b""),
        Err(Errno::EFBIG)
    );
    assert_eq!(
        asker.make(top, FILE, u64::MAX, b"huge", b""),
        Err(Errno::EFBIG)
    );
    let (lines, failure) = asker.finish();
    assert_eq!(lines.len(), 11);
    assert!(lines[0].ends_with("new/device0 is left out: it is no file, folder or link"));
    assert_eq!(lines[10], "10 more are left out");
    assert!(
        failure
            .expect("the first")
            .contains("new/link: File exists")
    );
}

#[test]
fn what_is_not_saved_is_told() {
    let mut asker = Asker::new();
    let missing = u64::from(libc::ENOENT as u32);
    assert!(asker.ask(Operation::Saved as u64, missing, 0, b"").is_ok());
    let told = asker.finish().1.expect("it is missing");
    assert!(told.starts_with("/guest/new of the guest is not saved: No such file"));
    assert_eq!(asker.device.saving().finish(false), (vec![], None));
    let save = |host: &str| Save {
        guest: "/x".into(),
        host: asker.scratch.path(host),
        always: true,
    };
    asker.scratch.file("there", b"");
    for (saves, why) in [
        (vec![save("there")], "exists"),
        (vec![save("root"), save("root")], "twice"),
        (vec![save("no/such")], "No such file"),
    ] {
        let refused = Saving::prepare(&saves).err().expect("it is refused");
        assert!(refused.to_string().contains(why), "{refused}");
    }
}
