//! Writing to a descriptor of the host that may block for ever: a pipe that nobody reads, a
//! terminal that is stopped.
//!
//! To wait until the descriptor is ready is not enough: a terminal that is ready takes a
//! byte, perhaps, and a write of more blocks. So the descriptor must not block, but that is
//! a property of the open file, which other processes share (a shell would find its
//! terminal changed). Pipes and terminals are therefore opened anew, by `/proc/self/fd`;
//! sockets have a flag for each call; a regular file never blocks. Where a file cannot be
//! opened anew (no /proc, a terminal of another user), it is written to in pieces that
//! mostly fit.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use vmm_sys_util::eventfd::EventFd;

use crate::poll::{open_anew, poll, readable, writable};

/// Bytes that a pipe ready for writing takes without blocking (PIPE_BUF); so many are
/// also written at once to a file that is opened anew.
const PIPE_LEN: usize = 4096;
/// Bytes that a ready terminal takes, unless it makes two of a newline.
const TERMINAL_LEN: usize = 1;
/// Pause before another try where a descriptor is ready and yet takes nothing (a terminal
/// with room for one byte, and two to be written).
const PAUSE: Duration = Duration::from_millis(1);

/// How to write without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The write returns at once.
    AtOnce,
    /// By a call that has a flag for it.
    Socket,
    /// When the descriptor is ready, so many bytes at most.
    WhenReady(usize),
}

/// A writer that waits for its reader until the run is to stop.
pub struct StoppableWriter {
    file: File,
    way: Way,
    stop: EventFd,
}

/// What a write that was given up returns.
#[derive(Debug, thiserror::Error)]
#[error("nobody took it before the run was to stop")]
struct GivenUp;

/// Whether an error means that the run was to stop, not a failure of the host.
pub fn is_given_up(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<GivenUp>())
}

impl StoppableWriter {
    /// Writes to `fd` until `stop` is signalled.
    pub fn new(fd: OwnedFd, stop: EventFd) -> Self {
        let file = File::from(fd);
        let kind = file.metadata().map(|metadata| metadata.file_type());
        let is_socket = kind.as_ref().is_ok_and(FileTypeExt::is_socket);
        let may_block = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device());
        let (file, way) = match (is_socket, may_block) {
            (true, _) => (file, Way::Socket),
            (false, false) => (file, Way::AtOnce),
            (false, true) => match open_anew(&file, OpenOptions::new().write(true)) {
                Ok(anew) => (anew, Way::AtOnce),
                Err(_) => {
                    let is_terminal = io::IsTerminal::is_terminal(&file);
                    let len = if is_terminal { TERMINAL_LEN } else { PIPE_LEN };
                    (file, Way::WhenReady(len))
                }
            },
        };
        Self { file, way, stop }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.way {
            Way::AtOnce => self.file.write(bytes),
            Way::WhenReady(len) if self.is_ready()? => {
                self.file.write(&bytes[..bytes.len().min(len)])
            }
            Way::WhenReady(_) => Err(io::ErrorKind::WouldBlock.into()),
            Way::Socket => send(&self.file, bytes),
        }
    }

    fn is_ready(&self) -> io::Result<bool> {
        let mut polled = [writable(&self.file)];
        poll(&mut polled, Some(Duration::ZERO))?;
        Ok(polled[0].revents != 0)
    }

    /// Waits until another try is worth it.
    ///
    /// # Errors
    /// The run is to stop.
    fn wait(&self) -> io::Result<()> {
        let mut both = [readable(&self.stop), writable(&self.file)];
        poll(&mut both, None)?;
        if both[0].revents == 0 {
            poll(&mut both[..1], Some(PAUSE))?;
        }
        match both[0].revents {
            0 => Ok(()),
            _ => Err(io::Error::other(GivenUp)),
        }
    }
}

impl Write for StoppableWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIPE_LEN)];
        loop {
            match self.try_write(piece) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn send(socket: &File, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads `bytes`, of that length.
    let sent = unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread::{self, JoinHandle};

    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    use super::*;

    /// A thread that writes until it may give up, and what it gave up with.
    fn writes_for_ever(mut writer: StoppableWriter) -> JoinHandle<io::Error> {
        thread::spawn(move || {
            let chunk = [b'\n'; 3 * PIPE_LEN];
            loop {
                if let Err(error) = writer.write_all(&chunk) {
                    return error;
                }
            }
        })
    }

    fn gives_up(fd: OwnedFd, way: Option<Way>) {
        let stop = EventFd::new(EFD_NONBLOCK).expect("an event");
        let mut writer = StoppableWriter::new(fd, stop.try_clone().expect("an event"));
        writer.way = way.unwrap_or(writer.way);
        let thread = writes_for_ever(writer);
        stop.write(1).expect("room in the counter");
        let error = thread.join().expect("no panic");
        assert!(is_given_up(&error), "{error}");
    }

    fn terminal() -> (File, File) {
        let (mut master, mut slave) = (0, 0);
        let name = std::ptr::null_mut();
        let (settings, size) = (std::ptr::null(), std::ptr::null());
        // SAFETY: the two descriptors are written, and nothing else is asked for.
        let made = unsafe { libc::openpty(&mut master, &mut slave, name, settings, size) };
        assert_eq!(made, 0, "the host has pseudo-terminals");
        // SAFETY: both were just opened and nobody else has them.
        unsafe {
            use std::os::fd::FromRawFd;
            (File::from_raw_fd(master), File::from_raw_fd(slave))
        }
    }

    #[test]
    fn a_stop_ends_a_write_that_nobody_takes() {
        let (_socket, socket) = UnixStream::pair().expect("sockets");
        gives_up(socket.into(), None);
        let (_pipe, pipe) = io::pipe().expect("a pipe");
        gives_up(pipe.into(), None);
        let (_pipe, pipe) = io::pipe().expect("a pipe");
        gives_up(pipe.into(), Some(Way::WhenReady(PIPE_LEN)));
        let (_master, slave) = terminal();
        gives_up(slave.into(), None);
    }

    #[test]
    fn a_stop_ends_a_write_to_a_stopped_terminal() {
        let (_master, slave) = terminal();
        // SAFETY: it is a terminal, of ours alone.
        assert_eq!(unsafe { libc::tcflow(slave.as_raw_fd(), libc::TCOOFF) }, 0);
        gives_up(slave.into(), None);
    }

    #[test]
    fn an_inherited_pipe_stays_as_it_was() {
        let (_reader, pipe) = io::pipe().expect("a pipe");
        let stop = EventFd::new(EFD_NONBLOCK).expect("an event");
        let copy = pipe.try_clone().expect("a descriptor").into();
        let writer = StoppableWriter::new(copy, stop);
        assert_eq!(writer.way, Way::AtOnce);
        // SAFETY: a plain query of an open descriptor.
        let flags = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
    }

    #[test]
    fn a_reader_that_has_gone_is_told() {
        let (reader, pipe) = io::pipe().expect("a pipe");
        drop(reader);
        let stop = EventFd::new(EFD_NONBLOCK).expect("an event");
        let error = writes_for_ever(StoppableWriter::new(pipe.into(), stop));
        let error = error.join().expect("no panic");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
