//! Which files each role can open and make.

use std::fs;
use std::fs::File;
use std::path::Path;

use libc::c_int;

use super::{in_a_child, needs};
use crate::cpu::HostKind;
use crate::sandbox::{Role, files};

/// What opening `path` for reading says: 0, or the number of the error.
fn opens(path: &Path) -> c_int {
    match File::open(path) {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

#[test]
fn only_the_guests_files_can_be_opened() {
    if files::version().is_none() {
        panic!("this host has no Landlock, which this test needs");
    }
    let mut needs = needs(HostKind::Emulator);
    needs.reads = vec!["src/sandbox".into()];
    for (role, path, expected) in [
        (Role::Vcpu, "src/sandbox/tests.rs", 0),
        (Role::Vcpu, "src/sandbox.rs", libc::EACCES),
        (Role::Vcpu, "/proc/self/maps", libc::EACCES),
        (Role::Events, "src/sandbox/tests.rs", libc::EACCES),
        (Role::Watcher, "/dev/null", libc::EACCES),
        (Role::Maker, "src/sandbox/tests.rs", 0),
        (Role::Maker, "src/sandbox.rs", libc::EACCES),
        (Role::Maker, "/proc/self/exe", 0),
        (Role::Maker, "/proc/self/maps", libc::EACCES),
    ] {
        let found = in_a_child(|| match files::confine(role, &needs) {
            Ok(()) => opens(Path::new(path)),
            Err(_) => -1,
        });
        assert_eq!(found, (expected, String::new()), "{role:?} {path}");
    }
}

#[test]
fn files_are_made_where_they_are_to_be() {
    if files::version().is_none() {
        panic!("this host has no Landlock, which this test needs");
    }
    let top = std::env::temp_dir().join(format!("ringfence-makes-{}", std::process::id()));
    let (inside, outside) = (top.join("inside"), top.join("outside"));
    for folder in [&inside, &outside] {
        fs::create_dir_all(folder).expect("a folder");
    }
    let mut needs = needs(HostKind::Emulator);
    needs.makes = vec![inside.clone()];
    let makes = |folder: &Path| {
        let path = folder.join("new");
        in_a_child(|| match files::confine(Role::Vcpu, &needs) {
            Ok(()) => match File::options().write(true).create_new(true).open(path) {
                Ok(_) => 0,
                Err(error) => error.raw_os_error().unwrap_or(-1),
            },
            Err(_) => -1,
        })
    };
    assert_eq!(makes(&inside).0, 0);
    assert_eq!(makes(&outside).0, libc::EACCES);
    fs::remove_dir_all(&top).expect("it is there");
}
