//! What a process inherits and no guest's machine needs: if a guest ever broke out of it, it would
//! have that too.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// The first descriptor that is not a standard stream.
const FIRST: u32 = 3;
/// What is before a descriptor's number: `/dev/fd/N`, `/proc/self/fd/N`, and so on.
const FOLDER: &[u8] = b"/fd/";

/// Gives up the right to have more rights by executing a file, and all open files but the standard
/// streams and those that `words` name, as shells do for `<(command)`.
///
/// # Errors
/// The host is older than Linux 5.9, or forbids it.
pub fn give_up(words: impl Iterator<Item = impl AsRef<OsStr>>) -> io::Result<()> {
    // SAFETY: it touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut kept = Vec::new();
    for word in words {
        kept.extend(descriptors(word.as_ref().as_bytes()));
    }
    kept.sort_unstable();
    let mut first = FIRST;
    for descriptor in kept.into_iter().filter(|descriptor| *descriptor >= FIRST) {
        close(first, descriptor - 1)?;
        first = first.max(descriptor.saturating_add(1));
    }
    close(first, u32::MAX)
}

/// Closes descriptors `first` to `last`, if there are any.
fn close(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: nothing of this process has opened a file yet.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The descriptors that a word may name, anywhere in it.
fn descriptors(word: &[u8]) -> impl Iterator<Item = u32> {
    let starts = word.windows(FOLDER.len()).enumerate();
    let starts = starts.filter(|(_, bytes)| *bytes == FOLDER);
    starts.filter_map(|(start, _)| {
        let digits = word[start + FOLDER.len()..].iter();
        let digits = digits.take_while(|byte| byte.is_ascii_digit());
        let text: String = digits.map(|digit| char::from(*digit)).collect();
        text.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::descriptors;

    #[test]
    fn words_name_descriptors() {
        let names = |word: &str| Vec::from_iter(descriptors(word.as_bytes()));
        assert_eq!(names("/dev/fd/63"), [63]);
        assert_eq!(names("--file=/proc/self/fd/4:/etc/passwd"), [4]);
        assert_eq!(names("/dev/fd/9,/dev/fd/10"), [9, 10]);
        assert_eq!(names("/proc/thread-self/fd/5"), [5]);
        assert_eq!(names("/proc/1234/fd/6/name"), [6]);
        for word in ["", "/dev/fd/", "/dev/fd/x", "/dev/fd/4294967296", "fd/3"] {
            assert_eq!(names(word), [0; 0], "{word}");
        }
    }
}
