//! What programs expect to find in every tree, made where nothing else has made it.

use formats::initramfs::Entry;
use linux_raw_sys::general as linux;

const fn entry(path: &'static str, mode: u32, contents: &'static str) -> Entry<'static> {
    Entry {
        path: path.as_bytes(),
        mode,
        owner: [0, 0],
        time: 0,
        identity: None,
        device: [0, 0],
        contents: contents.as_bytes(),
    }
}

const fn directory(path: &'static str, mode: u32) -> Entry<'static> {
    entry(path, linux::S_IFDIR | mode, "")
}

const fn link(path: &'static str, target: &'static str) -> Entry<'static> {
    entry(path, linux::S_IFLNK | 0o777, target)
}

const fn file(path: &'static str, contents: &'static str) -> Entry<'static> {
    entry(path, linux::S_IFREG | 0o644, contents)
}

/// In `/dev`, beside the devices.
pub const DEV: [Entry<'static>; 5] = [
    link("dev/fd", "/proc/self/fd"),
    link("dev/stdin", "/proc/self/fd/0"),
    link("dev/stdout", "/proc/self/fd/1"),
    link("dev/stderr", "/proc/self/fd/2"),
    directory("dev/shm", 0o1777),
];

/// Where there is no tree of the host.
pub const ROOT: [Entry<'static>; 10] = [
    directory("tmp", 0o1777),
    directory("var/tmp", 0o1777),
    directory("run", 0o755),
    directory("root", 0o700),
    file(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    ),
    file("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    file("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"),
    file(
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files\n",
    ),
    file("etc/shells", "/bin/sh\n"),
    file("etc/hostname", "ringfence\n"),
];
