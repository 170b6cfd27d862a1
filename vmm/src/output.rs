//! Destinations of the guest's console output, and ends of runs whose output nobody reads.

mod stoppable;
mod transcript;

pub use stoppable::is_given_up;
pub use transcript::{Recorder, Transcript};

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::devices::{HostInput, HostStreams, ScreenSize};
use stoppable::StoppableWriter;

/// A destination for what a guest prints.
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

    /// The standard error of this process.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn stderr() -> io::Result<Self> {
        Ok(Self::Descriptor(io::stderr().as_fd().try_clone_to_owned()?))
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

    /// A writer that aborts once `stop` is signalled.
    pub(crate) fn into_writer(self, stop: EventFd) -> Box<dyn Write + Send> {
        match self {
            Self::Writer(writer) => writer,
            Self::Copied(output, copy) => Box::new(CopyingWriter {
                output: Some(output.into_writer(stop)),
                copy,
            }),
            Self::Descriptor(fd) => Box::new(StoppableWriter::new(fd, stop)),
        }
    }

    /// A writer that never waits: what a descriptor does not take at once is an error.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn without_waiting(self) -> io::Result<Box<dyn Write + Send>> {
        let stop = EventFd::new(EFD_NONBLOCK)?;
        stop.write(1)?;
        Ok(self.into_writer(stop))
    }

    /// Whether it ends at a terminal of the host.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Writer(_) => false,
            Self::Descriptor(fd) => fd.is_terminal(),
            // The copy is no terminal.
            Self::Copied(..) => false,
        }
    }
}

/// The size of the screen of `terminal`, if it is one that knows.
pub(crate) fn screen_size(terminal: &impl AsRawFd) -> Option<ScreenSize> {
    // SAFETY: all zeros is a valid value of it.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes a `winsize`, for which there is room.
    let got = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &mut size) };
    let (columns, rows) = (size.ws_col, size.ws_row);
    (got == 0 && columns > 0 && rows > 0).then_some(ScreenSize { columns, rows })
}

/// Where each of the guest's lines goes.
pub struct Outputs {
    /// What its programs write to standard output.
    pub output: Output,
    /// What they write to standard error; with their output if there is no such place.
    pub errors: Option<Output>,
    /// The kernel's own lines; with the programs' output if there is no such place.
    pub log: Option<Output>,
}

impl<T: Into<Output>> From<T> for Outputs {
    /// Everything to one place, in the order in which it is written.
    fn from(output: T) -> Self {
        Self {
            output: output.into(),
            errors: None,
            log: None,
        }
    }
}

impl Outputs {
    /// Standard output and standard error of this process; the kernel's lines go to the
    /// latter too.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn standard() -> io::Result<Self> {
        Ok(Self {
            output: Output::stdout()?,
            errors: Some(Output::stderr()?),
            log: Some(Output::stderr()?),
        })
    }

    /// The guest's streams, with writers that give up once `stop` is signalled.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub(crate) fn into_streams(self, input: HostInput, stop: &EventFd) -> io::Result<HostStreams> {
        let writer =
            |output: Output| -> io::Result<_> { Ok(output.into_writer(stop.try_clone()?)) };
        Ok(HostStreams {
            output: writer(self.output)?,
            errors: self.errors.map(writer).transpose()?,
            log: self.log.map(writer).transpose()?,
            input,
            screen: None,
        })
    }

    /// The terminal that shows the programs' output, or else their errors, if one does.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub(crate) fn terminal(&self) -> io::Result<Option<OwnedFd>> {
        let outputs = [Some(&self.output), self.errors.as_ref()];
        let mut outputs = outputs.into_iter().flatten();
        let terminal = outputs.find_map(|output| match output {
            Output::Descriptor(fd) if fd.is_terminal() => Some(fd),
            _ => None,
        });
        terminal.map(OwnedFd::try_clone).transpose()
    }

    /// The same lines, all of them nowhere.
    pub fn nowhere(&self) -> Self {
        Self {
            output: Output::discard(),
            errors: self.errors.as_ref().map(|_| Output::discard()),
            log: self.log.as_ref().map(|_| Output::discard()),
        }
    }

    /// The same destinations, with a copy of everything to `recorder`.
    pub fn copied_to(self, recorder: &Recorder) -> Self {
        let copied = |output: Output| output.copied_to(Box::new(recorder.clone()));
        Self {
            output: copied(self.output),
            errors: self.errors.map(copied),
            log: self.log.map(copied),
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
        // All of it, as partial writes of `output` do not concern the copy.
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

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
}
