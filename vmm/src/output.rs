//! Where the guest's console output goes, and how a run ends although nobody reads it.

mod transcript;

pub use transcript::{Recorder, Transcript};

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use vmm_sys_util::eventfd::EventFd;

/// Bytes that a descriptor ready for writing takes without blocking: what Linux promises
/// of pipes (PIPE_BUF).
const READY_LEN: usize = 4096;

/// A destination for console output.
pub enum Output {
    /// Any writer. One that blocks for ever keeps the run from ending.
    Writer(Box<dyn Write + Send>),
    /// A descriptor of the host. A run that is told to stop while nobody reads it drops
    /// the rest of the output and ends.
    Descriptor(OwnedFd),
    /// Another destination, and a writer that gets the same first.
    Copied(Box<Self>, Box<dyn Write + Send>),
}

impl<W: Write + Send + 'static> From<Box<W>> for Output {
    fn from(writer: Box<W>) -> Self {
        Self::Writer(writer)
    }
}

impl From<OwnedFd> for Output {
    fn from(fd: OwnedFd) -> Self {
        Self::Descriptor(fd)
    }
}

impl Output {
    /// The standard output of this process.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn stdout() -> io::Result<Self> {
        Ok(Self::Descriptor(io::stdout().as_fd().try_clone_to_owned()?))
    }

    /// Into a record, to be read after the run.
    pub fn recorded() -> (Self, Recorder) {
        let recorder = Recorder::default();
        (Self::Writer(Box::new(recorder.clone())), recorder)
    }

    /// Nowhere.
    pub fn discard() -> Self {
        Self::Writer(Box::new(io::sink()))
    }

    /// The same destination, with a copy of everything to `writer`.
    pub fn copied_to(self, writer: Box<dyn Write + Send>) -> Self {
        Self::Copied(Box::new(self), writer)
    }

    /// A writer that gives up once `stop` is signalled.
    pub(crate) fn into_writer(self, stop: EventFd) -> Box<dyn Write + Send> {
        match self {
            Self::Writer(writer) => writer,
            Self::Copied(output, copy) => Box::new(CopyingWriter {
                output: Some(output.into_writer(stop)),
                copy,
            }),
            Self::Descriptor(fd) => Box::new(StoppableWriter {
                file: fd.into(),
                stop,
            }),
        }
    }
}

struct CopyingWriter {
    /// `None` once its reader has gone: the copy is still wanted then.
    output: Option<Box<dyn Write + Send>>,
    copy: Box<dyn Write + Send>,
}

impl Write for CopyingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // All of it, for how much `output` takes at a time is no business of the copy.
        self.copy.write_all(bytes)?;
        if let Some(output) = &mut self.output {
            match output.write_all(bytes) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.output = None,
                result => result?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.copy.flush()?;
        self.output.as_mut().map_or(Ok(()), Write::flush)
    }
}

struct StoppableWriter {
    file: File,
    stop: EventFd,
}

impl Write for StoppableWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let poll_for = |fd: &dyn AsRawFd, events| libc::pollfd {
            fd: fd.as_raw_fd(),
            events,
            revents: 0,
        };
        loop {
            let mut polled = [
                poll_for(&self.file, libc::POLLOUT),
                poll_for(&self.stop, libc::POLLIN),
            ];
            // SAFETY: the array has as many entries as said.
            let ready =
                unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) };
            if ready < 0 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            } else if polled[0].revents != 0 {
                // Ready, or in an error that the write tells.
                return self.file.write(&bytes[..bytes.len().min(READY_LEN)]);
            } else if polled[1].revents != 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    use super::*;

    #[test]
    fn a_copy_goes_on_when_the_reader_has_gone() {
        let (reader, writer) = UnixStream::pair().expect("a socket pair");
        let (mut copied, copy) = UnixStream::pair().expect("a socket pair");
        let stop = EventFd::new(EFD_NONBLOCK).expect("an event");
        let output = Output::from(std::os::fd::OwnedFd::from(writer));
        let mut output = output.copied_to(Box::new(copy)).into_writer(stop);
        output.write_all(b"one").expect("a reader");
        drop(reader);
        output.write_all(b"two").expect("a copy");
        drop(output);
        let mut text = String::new();
        io::Read::read_to_string(&mut copied, &mut text).expect("text");
        assert_eq!(text, "onetwo");
    }

    #[test]
    fn a_stop_ends_a_write_that_nobody_reads() {
        let (_reader, writer) = UnixStream::pair().expect("a socket pair");
        let stop = EventFd::new(EFD_NONBLOCK).expect("an event");
        let handle = stop.try_clone().expect("an event");
        let mut output = Output::Descriptor(writer.into()).into_writer(handle);
        let thread = std::thread::spawn(move || {
            let chunk = [b'x'; READY_LEN];
            loop {
                if let Err(error) = output.write_all(&chunk) {
                    return error.kind();
                }
            }
        });
        stop.write(1).expect("room in the counter");
        assert_eq!(thread.join().expect("no panic"), io::ErrorKind::BrokenPipe);
    }
}
