//! busybox as a guest program: built for Linux, by others, with glibc.

use std::path::Path;

/// Where distributions have it.
const PATHS: [&str; 2] = ["/usr/bin/busybox", "/bin/busybox"];

/// The host's, if it has one.
pub fn path() -> Option<&'static str> {
    PATHS.into_iter().find(|path| Path::new(path).is_file())
}

/// Why there is none here, if there is none.
pub fn missing() -> Option<&'static str> {
    match path() {
        Some(_) => None,
        None => Some("the host has no busybox"),
    }
}
