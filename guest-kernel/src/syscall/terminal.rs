//! `ioctl`: control of terminals, and the number of bytes that can be read. What is asked of the
//! master of a pseudo-terminal is asked of the terminal, but nobody is in its background.

use core::mem::offset_of;

use arch::trap::Arguments;
use devices::input::Available;
use linux_raw_sys::general::{self as linux, termios};
use linux_raw_sys::ioctl;
use mm::UserSlice;

use crate::fs::device::ENTROPY;
use crate::fs::events::Event;
use crate::fs::input_stream::INPUT;
use crate::fs::open_file::Object;
use crate::fs::terminal::{self, Settings, Terminal, WindowSize};
use crate::fs::{self, OpenFile};
use crate::proc::capability::Capability;
use crate::proc::signal::{Signal, send_to_group};
use crate::proc::{current, table};
use crate::syscall::{Errno, SyscallResult, interface, pseudo_terminal, sigio};

/// Bytes of Linux's `struct termios`, without what aligns its end: the kernel's has none.
const TERMIOS_SIZE: usize = offset_of!(termios, c_cc) + linux_raw_sys::general::NCCS as usize;
const _: () = assert!(TERMIOS_SIZE == 36);

/// Bytes of a `struct termio`, where its line discipline is, and characters after that.
const TERMIO_SIZE: usize = 18;
const TERMIO_LINE: usize = 8;
const TERMIO_CHARACTERS: usize = 8;

/// `ioctl(fd, request, argument)`
pub fn ioctl(&[fd, request, argument, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    match request as u32 {
        ioctl::FIONREAD => {
            let available = u32::try_from(available(&file)?).unwrap_or(u32::MAX);
            tell(argument, &available.to_le_bytes())
        }
        ioctl::FIOCLEX | ioctl::FIONCLEX => {
            let closes = request as u32 == ioctl::FIOCLEX;
            fs::files().set_close_on_exec(fd, closes)?;
            Ok(0)
        }
        ioctl::FIONBIO => {
            let mut value = [0; 4];
            UserSlice::new(argument, 4).copy_in(&current().space(), &mut value)?;
            file.set_nonblocking(value != [0; 4]);
            Ok(0)
        }
        ioctl::FIOASYNC => sigio::set_async(&file, fd, argument),
        ioctl::RNDGETENTCNT if file.is_random() => tell(argument, &ENTROPY.to_le_bytes()),
        request => {
            if let Object::Socket(socket) = file.object() {
                return interface::request(socket, request, argument);
            }
            let terminal = file.terminal()?;
            if let Object::Master(master) = file.object() {
                return match pseudo_terminal::request(master, request, argument) {
                    Err(Errno::ENOTTY) => of_either(terminal, true, request, argument),
                    result => result,
                };
            }
            match terminal.is_hung_up() {
                true if request == ioctl::TIOCSPGRP => Err(Errno::ENOTTY),
                true => Err(Errno::EIO),
                false => of_either(terminal, false, request, argument),
            }
        }
    }
}

fn available(file: &OpenFile) -> Result<u64, Errno> {
    match file.object() {
        Object::ReadEnd(_) | Object::WriteEnd(_) | Object::BothEnds(..) => {
            Ok(file.pipe()?.len() as u64)
        }
        Object::Device(_) | Object::Slave(_) => match file.terminal()? {
            terminal if terminal.is_hung_up() => Err(Errno::EIO),
            terminal => Ok(terminal.available() as u64),
        },
        Object::Master(master) => Ok(master.available() as u64),
        Object::Namespace(_) => Err(Errno::ENOTTY),
        Object::Node(_) => Ok(file.pages()?.len().saturating_sub(file.offset())),
        Object::Input => Ok(match INPUT.available() {
            Available::Bytes(count) => count as u64,
            Available::End => 0,
        }),
        Object::Socket(socket) => socket.available(),
        Object::Event(Event::Inotify(inotify)) => Ok(inotify.available()),
        Object::Event(_) | Object::Output(_) => Err(Errno::ENOTTY),
    }
}

/// A request to a terminal, or to its master.
fn of_either(terminal: &Terminal, is_master: bool, request: u32, argument: u64) -> SyscallResult {
    let require_foreground = || match is_master {
        true => Ok(()),
        false => terminal.require_foreground(Signal::SIGTTOU),
    };
    match request {
        ioctl::TCGETS => tell(argument, &termios_bytes(&terminal.settings().to_linux())),
        ioctl::TCSETS | ioctl::TCSETSW | ioctl::TCSETSF => {
            require_foreground()?;
            let mut bytes = [0; TERMIOS_SIZE];
            UserSlice::new(argument, TERMIOS_SIZE as u64)
                .copy_in(&current().space(), &mut bytes)?;
            let settings = Settings::from_linux(&termios_from(&bytes), terminal.supported());
            terminal.set(settings, request == ioctl::TCSETSF);
            Ok(0)
        }
        ioctl::TCGETA => tell(argument, &termio_bytes(&terminal.settings().to_linux())),
        ioctl::TCSETA | ioctl::TCSETAW | ioctl::TCSETAF => {
            require_foreground()?;
            let mut bytes = [0; TERMIO_SIZE];
            UserSlice::new(argument, TERMIO_SIZE as u64).copy_in(&current().space(), &mut bytes)?;
            let changed = with_termio(terminal.settings().to_linux(), &bytes);
            let settings = Settings::from_linux(&changed, terminal.supported());
            terminal.set(settings, request == ioctl::TCSETAF);
            Ok(0)
        }
        ioctl::TIOCGWINSZ => {
            let size = terminal.window_size();
            let [x, y] = size.pixels;
            let words = [size.rows, size.columns, x, y].map(u16::to_le_bytes);
            tell(argument, words.as_flattened())
        }
        ioctl::TIOCSWINSZ => {
            let mut bytes = [0; 8];
            UserSlice::new(argument, 8).copy_in(&current().space(), &mut bytes)?;
            let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            terminal.set_window_size(WindowSize {
                rows: word(0),
                columns: word(2),
                pixels: [word(4), word(6)],
            });
            Ok(0)
        }
        ioctl::TIOCGPGRP => {
            require_control_unless(is_master, terminal)?;
            tell(argument, &terminal.foreground().to_le_bytes())
        }
        ioctl::TIOCGSID => {
            require_control_unless(is_master, terminal)?;
            if terminal.session() == 0 {
                return Err(Errno::ENOTTY);
            }
            tell(argument, &terminal.session().to_le_bytes())
        }
        ioctl::TIOCSPGRP => set_foreground(terminal, argument),
        ioctl::TIOCSCTTY => claim(terminal, argument),
        ioctl::TIOCNOTTY if !is_master => give_up(terminal),
        // What is written is shown at once.
        ioctl::TIOCOUTQ => tell(argument, &0_u32.to_le_bytes()),
        ioctl::TCSBRK | ioctl::TCSBRKP => require_foreground().map(|()| 0),
        ioctl::TCFLSH => {
            require_foreground()?;
            flush(terminal, is_master, argument)
        }
        ioctl::TCXONC => {
            require_foreground()?;
            control_flow(terminal, argument)
        }
        _ => Err(Errno::ENOTTY),
    }
}

/// Discards what waits in one direction or both.
fn flush(terminal: &Terminal, is_master: bool, argument: u64) -> SyscallResult {
    const INPUT: u64 = 0;
    const OUTPUT: u64 = 1;
    const BOTH: u64 = 2;
    match (argument, is_master) {
        (INPUT | BOTH, true) => terminal.flush_output(),
        (INPUT, false) => terminal.flush(),
        (OUTPUT, false) => terminal.flush_output(),
        (BOTH, false) => {
            terminal.flush();
            terminal.flush_output();
        }
        // What a master writes has been taken at once.
        (OUTPUT, true) => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Stops output or lets it go on, or sends the key that does so at the other end.
fn control_flow(terminal: &Terminal, argument: u64) -> SyscallResult {
    let is_done = match u32::try_from(argument) {
        Ok(linux::TCOOFF) => terminal.stop_output(true),
        Ok(linux::TCOON) => terminal.stop_output(false),
        Ok(linux::TCIOFF) => terminal.send_key(linux::VSTOP),
        Ok(linux::TCION) => terminal.send_key(linux::VSTART),
        _ => return Err(Errno::EINVAL),
    };
    match is_done {
        true => Ok(0),
        false => Err(Errno::ENOTTY),
    }
}

fn require_control_unless(is_master: bool, terminal: &Terminal) -> Result<(), Errno> {
    match is_master {
        true => Ok(()),
        false => require_control(terminal),
    }
}

/// Lets the current process go on if the terminal is its session's.
fn require_control(terminal: &Terminal) -> Result<(), Errno> {
    match current().session() == terminal.session() {
        true => Ok(()),
        false => Err(Errno::ENOTTY),
    }
}

/// Puts the process group whose number is at `argument` into the foreground.
fn set_foreground(terminal: &Terminal, argument: u64) -> SyscallResult {
    require_control(terminal)?;
    let allowed = terminal.require_foreground(Signal::SIGTTOU);
    allowed.map_err(|errno| match errno {
        Errno::EIO => Errno::ENOTTY,
        errno => errno,
    })?;
    let process = current();
    let mut group = [0; 4];
    UserSlice::new(argument, 4).copy_in(&process.space(), &mut group)?;
    let group = u32::try_from(i32::from_le_bytes(group)).map_err(|_| Errno::EINVAL)?;
    let member = table::processes().find(|process| process.group() == group);
    if member.ok_or(Errno::ESRCH)?.session() != process.session() {
        return Err(Errno::EPERM);
    }
    terminal.set_foreground(group);
    Ok(0)
}

/// Makes the terminal that of the session which the process leads and that has none yet. Not
/// if another has claimed it, unless `argument` is 1 and the superuser does it.
fn claim(terminal: &Terminal, argument: u64) -> SyscallResult {
    const STEAL: u64 = 1;
    let process = current();
    let session = process.session();
    if session != process.pid() {
        return Err(Errno::EPERM);
    }
    if terminal.session() == session {
        terminal.set_foreground(terminal.foreground());
        return Ok(0);
    }
    let may_steal = argument == STEAL && process.may(Capability::SysAdmin);
    let is_taken = terminal.is_claimed() && !may_steal;
    if is_taken || terminal::of_session(session).is_some() {
        return Err(Errno::EPERM);
    }
    terminal.be_claimed(session, process.group());
    Ok(0)
}

/// Releases the terminal for the whole session; only its leader may.
fn give_up(terminal: &Terminal) -> SyscallResult {
    let process = current();
    require_control(terminal)?;
    if process.session() != process.pid() {
        return Err(Errno::EPERM);
    }
    let foreground = terminal.let_go();
    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
        send_to_group(foreground, signal);
    }
    Ok(0)
}

pub(super) fn tell(address: u64, bytes: &[u8]) -> SyscallResult {
    UserSlice::new(address, bytes.len() as u64).copy_out(&current().space(), bytes)?;
    Ok(0)
}

/// Offsets of the four flag words.
const FLAGS: [usize; 4] = [
    offset_of!(termios, c_iflag),
    offset_of!(termios, c_oflag),
    offset_of!(termios, c_cflag),
    offset_of!(termios, c_lflag),
];

fn termios_bytes(from: &termios) -> [u8; TERMIOS_SIZE] {
    let mut bytes = [0; TERMIOS_SIZE];
    let flags = [from.c_iflag, from.c_oflag, from.c_cflag, from.c_lflag];
    for (offset, value) in FLAGS.into_iter().zip(flags) {
        bytes[offset..][..4].copy_from_slice(&value.to_le_bytes());
    }
    bytes[offset_of!(termios, c_line)] = from.c_line;
    bytes[offset_of!(termios, c_cc)..].copy_from_slice(&from.c_cc);
    bytes
}

fn termios_from(bytes: &[u8; TERMIOS_SIZE]) -> termios {
    let flags = FLAGS.map(|offset| {
        let word = bytes[offset..].first_chunk().copied();
        u32::from_le_bytes(word.unwrap_or_default())
    });
    let characters = bytes[offset_of!(termios, c_cc)..].first_chunk().copied();
    termios {
        c_iflag: flags[0],
        c_oflag: flags[1],
        c_cflag: flags[2],
        c_lflag: flags[3],
        c_line: bytes[offset_of!(termios, c_line)],
        c_cc: characters.unwrap_or_default(),
    }
}

/// The older `struct termio`, which has the low halves of the flags and some of the characters.
fn termio_bytes(from: &termios) -> [u8; TERMIO_SIZE] {
    let mut bytes = [0; TERMIO_SIZE];
    let flags = [from.c_iflag, from.c_oflag, from.c_cflag, from.c_lflag];
    for (half, value) in bytes.chunks_exact_mut(2).zip(flags) {
        half.copy_from_slice(&(value as u16).to_le_bytes());
    }
    bytes[TERMIO_LINE] = from.c_line;
    bytes[TERMIO_LINE + 1..][..TERMIO_CHARACTERS].copy_from_slice(&from.c_cc[..TERMIO_CHARACTERS]);
    bytes
}

/// What that changes of a `struct termios`.
fn with_termio(old: termios, bytes: &[u8; TERMIO_SIZE]) -> termios {
    let with_half = |number: usize, old: u32| {
        let half = u16::from_le_bytes([bytes[2 * number], bytes[2 * number + 1]]);
        old & !u32::from(u16::MAX) | u32::from(half)
    };
    let mut new = termios {
        c_iflag: with_half(0, old.c_iflag),
        c_oflag: with_half(1, old.c_oflag),
        c_cflag: with_half(2, old.c_cflag),
        c_lflag: with_half(3, old.c_lflag),
        c_line: bytes[TERMIO_LINE],
        ..old
    };
    new.c_cc[..TERMIO_CHARACTERS].copy_from_slice(&bytes[TERMIO_LINE + 1..][..TERMIO_CHARACTERS]);
    new
}

#[cfg(test)]
mod tests {
    use super::{Settings, termios_bytes, termios_from};
    use crate::fs::terminal::Supported;

    #[test]
    fn settings_survive_the_way_to_a_program_and_back() {
        let bytes = termios_bytes(&Settings::COOKED.to_linux());
        assert_eq!(bytes[17..22], [3, 0x1c, 0x7f, 0x15, 4]);
        let back = Settings::from_linux(&termios_from(&bytes), &Supported::PORT);
        assert_eq!(back, Settings::COOKED);
    }
}
