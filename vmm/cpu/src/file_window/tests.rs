use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CHUNK, FileWindow, PAGE};
use crate::Kick;

const GPA: u64 = 5 << 30;

/// A file of the host without a name.
fn file(bytes: &[u8]) -> File {
    // SAFETY: the descriptor is new, and nobody else's.
    let mut file = unsafe { File::from_raw_fd(libc::memfd_create(c"test".as_ptr(), 0)) };
    file.write_all(bytes).expect("memory");
    file
}

fn window() -> FileWindow {
    FileWindow::new(GPA..GPA + 64 * CHUNK).expect("addresses")
}

fn bytes(window: &FileWindow, gpa: u64, len: u64) -> Vec<u8> {
    let read = |gpa| {
        let host = window.host(gpa).expect("it is used");
        // SAFETY: the byte is mapped.
        unsafe { host.read_volatile() }
    };
    (gpa..gpa + len).map(read).collect()
}

#[test]
fn files_are_mapped_and_small_ones_packed() {
    let window = window();
    assert_eq!(window.host(GPA), None);
    let large: Vec<_> = (0..PAGE + 100).map(|n| n as u8).collect();
    let (at, len) = window
        .add("large", &file(&large), 0, PAGE + 100)
        .expect("room");
    assert_eq!((at, len), (GPA, PAGE + 100));
    assert_eq!(bytes(&window, at, len), large);
    assert_eq!(bytes(&window, at + len, PAGE - 100), vec![0; 3996]);
    let small = file(b"one two three");
    let (first, _) = window.add("small", &small, 0, 13).expect("room");
    let (second, len) = window.add("part", &small, 4, 900).expect("room");
    assert_eq!((first, second, len), (GPA + 2 * PAGE, first + 64, 9));
    assert_eq!(bytes(&window, second, 9), b"two three");
    let (shifted, _) = window.add("shifted", &file(&large), 1, PAGE).expect("room");
    assert!(shifted.is_multiple_of(PAGE));
    assert_eq!(bytes(&window, shifted, PAGE), large[1..=4096]);
    assert_eq!(window.used(), 2 * PAGE + CHUNK);
    assert_eq!(window.host(GPA + window.used()), None);
}

#[test]
fn a_full_window_refuses_and_goes_on() {
    let window = window();
    let large = file(b"");
    large.set_len(63 * CHUNK).expect("holes");
    window.add("large", &large, 0, 63 * CHUNK).expect("room");
    let refused = window
        .add("again", &large, 0, 2 * CHUNK)
        .expect_err("no room");
    assert_eq!(refused.raw_os_error(), Some(libc::ENOMEM));
    assert!(window.add("endless", &large, 0, u64::MAX).is_err());
    assert!(window.add("endless", &large, 1, u64::MAX).is_err());
    window.add("small", &file(b"x"), 0, 1).expect("room");
}

#[derive(Default)]
struct Kicks(AtomicUsize);

impl Kick for Kicks {
    fn kick(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_cut_file_reads_as_zeros_and_is_named() {
    let window = window();
    let kicks = Arc::new(Kicks::default());
    window.set_reader(kicks.clone());
    let other = file(&[1; 2 * PAGE as usize]);
    window.add("other", &other, 0, 2 * PAGE).expect("room");
    let cut = file(&[7; 3 * PAGE as usize]);
    let (at, _) = window.add("/data/cut", &cut, 0, 3 * PAGE).expect("room");
    assert_eq!(window.cut_file(), None);
    cut.set_len(PAGE).expect("a cut");
    assert!(
        window
            .cut_file()
            .expect("it is seen")
            .starts_with("/data/cut: ")
    );
    assert!(!window.is_cut());
    let reading = window.read_here();
    assert_eq!(bytes(&window, at, 1), [7]);
    assert_eq!(bytes(&window, at + 2 * PAGE, 2), [0, 0]);
    drop(reading);
    assert!(window.is_cut());
    assert_eq!(kicks.0.load(Ordering::Relaxed), 1);
    assert!(
        window
            .cut_file()
            .expect("it was met")
            .starts_with("/data/cut: ")
    );
}
