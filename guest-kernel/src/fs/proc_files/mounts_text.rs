//! The mounts that a process sees (Linux, proc(5): `mounts`, `mountinfo`).

use core::fmt::{self, Write};

use abi::Errno;
use mm::{Frame, OutOfMemory};

use crate::fs::mount::{self, Location, Mount, MountFlags};
use crate::fs::path::Backwards;
use crate::fs::proc_files::window::Window;
use crate::fs::process_files;
use crate::proc::process::Process;

/// Flags with the words for them, in Linux's order.
const WORDS: [(MountFlags, &str); 5] = [
    (MountFlags::NO_RIGHTS, ",nosuid"),
    (MountFlags::NO_DEVICES, ",nodev"),
    (MountFlags::NO_PROGRAMS, ",noexec"),
    (MountFlags::NO_ACCESS_TIMES, ",noatime"),
    (MountFlags::NO_DIRECTORY_TIMES, ",nodiratime"),
];

/// Writes a line for each mount that its root leads to.
///
/// # Errors
/// There is no memory.
pub fn write(process: &Process, to: &mut Window, in_detail: bool) -> Result<fmt::Result, Errno> {
    let surroundings = process_files::surroundings(process).ok_or(Errno::EINVAL)?;
    let start = surroundings.start()?;
    let namespace = process_files::mounts_number(process);
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    for mount in mount::all_of(namespace) {
        let mut path = Backwards::new(frame.bytes_mut());
        let top = Location {
            node: mount.top().clone(),
            mount: mount.clone(),
        };
        // What has no path, or too long a one, cannot be told.
        if path.push_path(&start.root, &top) != Ok(true) {
            continue;
        }
        // A window is never full.
        let _ = match in_detail {
            false => write_short(&mount, path.bytes(), to),
            true => write_long(&mount, path.bytes(), to)?,
        };
    }
    Ok(Ok(()))
}

fn write_short(mount: &Mount, place: &[u8], to: &mut Window) -> fmt::Result {
    let file_system = mount.file_system();
    push_escaped(mount.source(), to);
    to.push(b" ");
    push_escaped(place, to);
    write!(to, " {}", file_system.kind().name())?;
    push_flags(mount, mount.is_read_only(), to)?;
    writeln!(to, "{} 0 0", file_system.options())
}

fn write_long(mount: &Mount, place: &[u8], to: &mut Window) -> Result<fmt::Result, Errno> {
    let file_system = mount.file_system();
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let mut shown = Backwards::new(frame.bytes_mut());
    push_shown(mount, &mut shown)?;
    let number = mount.number();
    let parent = mount.parent().map_or(number, |parent| parent.number());
    let device = file_system.device();
    let write = || {
        write!(to, "{number} {parent} 0:{device} ")?;
        push_escaped(shown.bytes(), to);
        to.push(b" ");
        push_escaped(place, to);
        push_flags(mount, mount.has(MountFlags::READ_ONLY), to)?;
        write!(to, " - {} ", file_system.kind().name())?;
        push_escaped(mount.source(), to);
        let access = match file_system.is_read_only() {
            true => "ro",
            false => "rw",
        };
        writeln!(to, " {access}{}", file_system.options())
    };
    Ok(write())
}

/// Puts the path of what a mount shows, from the root of its file system, in front.
fn push_shown(mount: &Mount, path: &mut Backwards<'_>) -> Result<(), Errno> {
    let mut node = mount.top().clone();
    if let Some((directory, name)) = mount.top_place() {
        path.push(name)?;
        path.push(b"/")?;
        node = directory.clone();
    }
    path.push_names(node, mount.file_system().top())
}

fn push_flags(mount: &Mount, is_read_only: bool, to: &mut Window) -> fmt::Result {
    to.write_str(if is_read_only { " ro" } else { " rw" })?;
    for (flag, word) in WORDS {
        if mount.has(flag) {
            to.write_str(word)?;
        }
    }
    let others = MountFlags::NO_ACCESS_TIMES | MountFlags::ALL_ACCESS_TIMES;
    match mount.flags().intersects(others) {
        true => Ok(()),
        false => to.write_str(",relatime"),
    }
}

/// Puts bytes there, those in octal that would end a field.
fn push_escaped(bytes: &[u8], to: &mut Window) {
    let ends_field = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\\');
    for piece in bytes.split_inclusive(ends_field) {
        match piece.split_last() {
            Some((last, plain)) if ends_field(last) => {
                to.push(plain);
                let _ = write!(to, "\\{last:03o}");
            }
            _ => to.push(piece),
        }
    }
}
