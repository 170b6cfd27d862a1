//! The memory areas of a process, line by line.

use core::fmt::{self, Write};

use abi::Errno;
use mm::inspect::Seen;
use mm::mapping::VDSO;
use mm::page_tables::Access;
use mm::{FilePages, Frame, OutOfMemory, Shared};

use crate::fs::mapped::{self, Described};
use crate::fs::proc_files::process_text::{PAGE, space};
use crate::fs::proc_files::window::Window;
use crate::fs::{process_files, running};
use crate::proc::ipc::shared_memory;
use crate::proc::process::Process;

/// Writes a line for each area, up to the end of the window; perhaps with what is in memory of it.
///
/// # Errors
/// There is no memory.
pub fn write(process: &Process, to: &mut Window, detail: bool) -> Result<fmt::Result, Errno> {
    let Some(space) = space(process) else {
        return Ok(Ok(()));
    };
    let mut next = 0;
    while let Some(seen) = space.seen_from(next).filter(|_| !to.is_full()) {
        next = seen.area.end;
        write_area(process, &seen, to)?;
        if detail {
            let locked = match seen.area.is_locked() {
                true => seen.resident,
                false => 0,
            };
            let sizes = [seen.area.size(), seen.resident, locked];
            let [size, resident, locked] = sizes.map(|bytes| bytes / 1024);
            for (name, kib) in [
                ("Size", size),
                ("KernelPageSize", PAGE / 1024),
                ("MMUPageSize", PAGE / 1024),
                ("Rss", resident),
                ("Pss", resident),
                ("Shared_Clean", 0),
                ("Shared_Dirty", 0),
                ("Private_Clean", 0),
                ("Private_Dirty", resident),
                ("Referenced", resident),
                ("Anonymous", resident),
                ("Swap", 0),
                ("Locked", locked),
            ] {
                let width = 23 - name.len();
                let _ = writeln!(to, "{name}:{kib:>width$} kB");
            }
        }
    }
    Ok(Ok(()))
}

/// Where the name of what is mapped starts in a line.
const NAME_COLUMN: usize = 73;

fn write_area(process: &Process, seen: &Seen, to: &mut Window) -> Result<(), Errno> {
    let area = &seen.area;
    let letter = |access, letter| match area.access.contains(access) {
        true => letter,
        false => '-',
    };
    let sharing = if seen.is_shared() { 's' } else { 'p' };
    let file = seen.file();
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let stack = process.places().stack;
    let Described {
        device,
        number,
        path: name,
    } = match file {
        Some((pages, _)) => name_of(process, pages, &mut frame)?,
        None if area.start == VDSO => Described::as_memory(b"[vdso]"),
        None if (area.start..area.end).contains(&stack) => Described::as_memory(b"[stack]"),
        None if seen.is_heap => Described::as_memory(b"[heap]"),
        None => Described::as_memory(b""),
    };
    let mut line = Line::default();
    let _ = write!(
        line,
        "{:08x}-{:08x} {}{}{}{sharing} {:08x} 00:{device:02x} {number} ",
        area.start,
        area.end,
        letter(Access::READ, 'r'),
        letter(Access::WRITE, 'w'),
        letter(Access::EXECUTE, 'x'),
        file.map_or(0, |(_, offset)| offset),
    );
    to.push(&line.bytes[..line.len]);
    if !name.is_empty() {
        let _ = write!(to, "{:1$}", "", NAME_COLUMN.saturating_sub(line.len));
    }
    // A line ends nowhere else.
    let mut parts = name.split(|&byte| byte == b'\n');
    to.push(parts.next().unwrap_or_default());
    for part in parts {
        to.push(b"\\012");
        to.push(part);
    }
    to.push(b"\n");
    Ok(())
}

/// Which file is mapped, and what it is called.
fn name_of<'f>(
    process: &Process,
    pages: &Shared<FilePages>,
    frame: &'f mut Frame,
) -> Result<Described<'f>, Errno> {
    /// Minor number of what files without a name are on.
    const NAMELESS: u32 = 1;
    let nameless = |number, path| Described {
        device: NAMELESS,
        number,
        path,
    };
    if pages.label().is_none()
        && let Ok(opened) = running::program(process)
    {
        mapped::note_program(pages, &opened);
    }
    if pages.label().is_some() {
        let here = process_files::here()?;
        return match mapped::describe(&here.root, pages, None, frame.bytes_mut()) {
            Ok(Some(found)) => Ok(found),
            Err(Errno::ENOMEM) => Err(Errno::ENOMEM),
            // Its directory is nowhere.
            Ok(None) | Err(_) => Ok(nameless(0, b"")),
        };
    }
    let Some((key, number)) = shared_memory::named(pages) else {
        return Ok(nameless(0, b"/dev/zero (deleted)"));
    };
    let mut line = Line::default();
    let _ = write!(line, "/SYSV{key:08x} (deleted)");
    let name = &mut frame.bytes_mut()[..line.len];
    name.copy_from_slice(&line.bytes[..line.len]);
    Ok(nameless(number, name))
}

/// The start of a line, whose length counts.
struct Line {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Line {
    const MAX: usize = 128;
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; Self::MAX],
            len: 0,
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.len..self.len + text.len());
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
