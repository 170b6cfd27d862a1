//! The memory areas of a process, line by line.

use core::fmt::{self, Write};

use abi::Errno;
use mm::inspect::Seen;
use mm::mapping::VDSO;
use mm::page_tables::Access;
use mm::{Frame, OutOfMemory, Shared};

use crate::fs::proc_files::process_text::{PAGE, space};
use crate::fs::proc_files::window::Window;
use crate::fs::{path, process_files, running};
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
            let [size, resident] = [seen.area.size(), seen.resident].map(|bytes| bytes / 1024);
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
    let program = running::program(process).ok();
    let program = program.as_ref();
    let file = seen.file();
    let mapped = file.and_then(|(pages, _)| {
        program.filter(|opened| {
            opened
                .node
                .pages()
                .is_some_and(|own| Shared::is_same(own, pages))
        })
    });
    let offset = file.map_or(0, |(_, offset)| offset);
    let number = mapped.map_or(0, |opened| opened.node.number());
    let mut line = Line::default();
    let _ = write!(
        line,
        "{:08x}-{:08x} {}{}{}{sharing} {offset:08x} 00:{:02x} {number} ",
        area.start,
        area.end,
        letter(Access::READ, 'r'),
        letter(Access::WRITE, 'w'),
        letter(Access::EXECUTE, 'x'),
        u8::from(file.is_some()),
    );
    let stack = process.places().stack;
    let name = match area.start {
        VDSO => "[vdso]",
        _ if (area.start..area.end).contains(&stack) => "[stack]",
        _ if seen.is_heap => "[heap]",
        _ => "",
    };
    to.push(&line.bytes[..line.len]);
    if name.is_empty() && mapped.is_none() {
        to.push(b"\n");
        return Ok(());
    }
    let _ = write!(to, "{:1$}", "", NAME_COLUMN.saturating_sub(line.len));
    to.push(name.as_bytes());
    if let Some(opened) = mapped {
        let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
        let root = process_files::files().start()?.root;
        if let Ok(path) = path::write_opened(&root, opened, frame.bytes_mut()) {
            to.push(path);
        }
    }
    to.push(b"\n");
    Ok(())
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
