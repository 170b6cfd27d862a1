//! Files of `/proc` that can be written, and the memory of processes.

use core::str::FromStr;

use abi::Errno;
use mm::frames::FRAME_SIZE;
use mm::{AddressSpace, Frame, OutOfMemory, Shared};

use crate::fs::proc_files::ProcFile;
use crate::fs::proc_files::access::check_inspectable;
use crate::fs::proc_files::process_text::{ProcessText, space};
use crate::fs::proc_files::text::SystemText;
use crate::fs::transfer::{self, Source, Step, Target};
use crate::proc::capability::Capability;
use crate::proc::process::{Name, Process};
use crate::proc::{current, system, table};

/// Bytes of a text that count.
const TEXT: usize = system::Name::MAX + 1;

/// Writes to a file of `/proc`, to memory at `offset`.
///
/// # Errors
/// EINVAL: what is written, or who writes it. ESRCH: the process has gone. EACCES, EIO, EFAULT,
/// ENOMEM.
pub fn write(file: ProcFile, offset: u64, source: &mut dyn Source) -> Result<u64, Errno> {
    if let ProcFile::Memory(pid) = file {
        return write_memory(pid, offset, source);
    }
    let (mut buffer, mut len) = ([0; TEXT], 0);
    // The rest counts as written.
    let all = source.left() as u64;
    while len < TEXT && source.left() > 0 {
        len += source.take(&mut buffer[len..]);
        if len < TEXT && source.left() > 0 {
            source.resolve()?;
        }
    }
    let written = &buffer[..len];
    match file {
        ProcFile::OfProcess(ProcessText::Comm, id) => {
            let thread = table::thread(id).ok_or(Errno::ESRCH)?;
            if thread.process().pid() != current().pid() {
                return Err(Errno::EINVAL);
            }
            thread.set_name(Name::new(written));
        }
        ProcFile::OfProcess(ProcessText::OomAdjustment, id) => {
            adjust(table::process(id).ok_or(Errno::ESRCH)?, written)?;
        }
        ProcFile::System(text) => change(text, written)?,
        _ => return Err(Errno::EBADF),
    }
    Ok(all)
}

/// Changes what is so for all. Whoever may open the file may do it.
fn change(text: SystemText, written: &[u8]) -> Result<(), Errno> {
    match text {
        SystemText::HostName => current().with_names(|names| names.host.set(written.trim_ascii())),
        SystemText::DomainName => {
            current().with_names(|names| names.domain.set(written.trim_ascii()))
        }
        SystemText::Setting(setting) => setting.set(parse(written)?),
        _ => Err(Errno::EBADF),
    }
}

/// The number that a text is.
fn parse<T: FromStr>(written: &[u8]) -> Result<T, Errno> {
    let text = str::from_utf8(written).map_err(|_| Errno::EINVAL)?;
    text.trim().parse().map_err(|_| Errno::EINVAL)
}

/// Takes how much rather than others a process should be ended.
fn adjust(process: &Process, written: &[u8]) -> Result<(), Errno> {
    const MOST: i16 = 1000;
    let value: i16 = parse(written)?;
    if !(-MOST..=MOST).contains(&value) {
        return Err(Errno::EINVAL);
    }
    let is_privileged = current().may(Capability::SysResource);
    if value < process.attributes().oom_minimum && !is_privileged {
        return Err(Errno::EACCES);
    }
    process.change_attributes(|own| {
        own.oom_adjustment = value;
        if is_privileged {
            own.oom_minimum = value;
        }
    });
    Ok(())
}

/// The memory of a process that the current one may look into: it might have changed since the
/// file was opened.
fn memory(pid: u32) -> Result<Shared<AddressSpace>, Errno> {
    let process = table::process(pid).ok_or(Errno::ESRCH)?;
    check_inspectable(process)?;
    space(process).ok_or(Errno::ESRCH)
}

/// Bytes from `address` to the end of its page, at most `most`.
fn on_page(address: u64, most: usize) -> usize {
    most.min(FRAME_SIZE - address as usize % FRAME_SIZE)
}

/// Reads the memory of a process from `offset` on, as far as it could itself.
///
/// # Errors
/// EIO: nothing is there. EACCES, ESRCH, EFAULT, ENOMEM.
pub fn read_memory(pid: u32, offset: u64, target: &mut dyn Target) -> Result<u64, Errno> {
    let space = memory(pid)?;
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    transfer::run(target, |target, done| {
        let address = offset.checked_add(done).ok_or(Errno::EIO)?;
        let wanted = on_page(address, target.left());
        let bytes = &mut frame.bytes_mut()[..wanted];
        space.get(address, bytes).map_err(|_| Errno::EIO)?;
        Ok(Step::copied(target.put(bytes), wanted))
    })
}

fn write_memory(pid: u32, offset: u64, source: &mut dyn Source) -> Result<u64, Errno> {
    let space = memory(pid)?;
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    transfer::run(source, |source, done| {
        let address = offset.checked_add(done).ok_or(Errno::EIO)?;
        let wanted = on_page(address, source.left());
        let moved = source.take(&mut frame.bytes_mut()[..wanted]);
        let bytes = &frame.bytes()[..moved];
        space.put(address, bytes).map_err(|_| Errno::EIO)?;
        Ok(Step::copied(moved, wanted))
    })
}
