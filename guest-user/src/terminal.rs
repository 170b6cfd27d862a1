//! Control of a terminal beside reading and writing.

use core::mem::MaybeUninit;

pub use linux_raw_sys::general::{ECHO, TCIFLUSH, TCIOFLUSH, TCOFLUSH, TOSTOP};
use linux_raw_sys::{general as linux, ioctl};

use crate::file::Fd;
use crate::process::Pid;
use crate::syscall::{Result, call};

/// Its settings.
pub type Settings = linux::termios;

fn request(terminal: Fd, request: u32, argument: u64) -> Result<()> {
    let arguments = [terminal.into(), request.into(), argument];
    // SAFETY: the callers' arguments are numbers, or lead to what the request reads or writes.
    unsafe { call(linux::__NR_ioctl, arguments) }.map(drop)
}

/// The settings.
pub fn settings(terminal: Fd) -> Result<Settings> {
    let mut settings = MaybeUninit::<Settings>::uninit();
    request(terminal, ioctl::TCGETS, settings.as_mut_ptr() as u64)?;
    // SAFETY: the kernel has written them.
    Ok(unsafe { settings.assume_init() })
}

/// Changes the settings.
pub fn set(terminal: Fd, settings: &Settings) -> Result<()> {
    request(terminal, ioctl::TCSETS, &raw const *settings as u64)
}

/// Columns and rows of its screen.
pub fn window_size(terminal: Fd) -> Result<(u16, u16)> {
    let mut size = [0_u16; 4];
    request(terminal, ioctl::TIOCGWINSZ, size.as_mut_ptr() as u64)?;
    let [rows, columns, ..] = size;
    Ok((columns, rows))
}

/// Discards queued data: `TCIFLUSH`, `TCOFLUSH` or `TCIOFLUSH`.
pub fn flush(terminal: Fd, which: u32) -> Result<()> {
    request(terminal, ioctl::TCFLSH, which.into())
}

/// The process group in the foreground.
pub fn foreground(terminal: Fd) -> Result<Pid> {
    let mut group: Pid = 0;
    request(terminal, ioctl::TIOCGPGRP, &raw mut group as u64)?;
    Ok(group)
}

/// Puts a process group into the foreground.
pub fn set_foreground(terminal: Fd, group: Pid) -> Result<()> {
    request(terminal, ioctl::TIOCSPGRP, &raw const group as u64)
}

/// The session that it controls.
pub fn session(terminal: Fd) -> Result<Pid> {
    let mut session: Pid = 0;
    request(terminal, ioctl::TIOCGSID, &raw mut session as u64)?;
    Ok(session)
}

/// Makes it that of the session which this process leads; even if another session has it, if
/// `steals`.
pub fn claim(terminal: Fd, steals: bool) -> Result<()> {
    request(terminal, ioctl::TIOCSCTTY, steals.into())
}

/// Releases it, for the session that this process leads.
pub fn give_up(terminal: Fd) -> Result<()> {
    request(terminal, ioctl::TIOCNOTTY, 0)
}
