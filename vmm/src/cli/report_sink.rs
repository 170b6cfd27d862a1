//! The destination and form of a command's report.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::ValueEnum;

use super::usage::Misuse;
use super::{CliError, print, write_error};

/// Form and destination of the report.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// Form of the report; html is a page of one file, which needs --report-file
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    report: ReportFormat,
    /// Write the report to PATH instead of where else it goes
    #[arg(long, value_name = "PATH")]
    report_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    None,
    Text,
    Json,
    Html,
}

/// Where a report goes without `--report-file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, where nothing else goes.
    Output,
    /// Standard error: what the guest prints has standard output to itself.
    Error,
}

/// Where the report goes; opened before the guest starts, so that a bad path stops nothing
/// half-way.
pub struct ReportSink {
    format: ReportFormat,
    /// With its path.
    file: Option<(File, PathBuf)>,
    stream: Stream,
}

impl ReportArgs {
    /// Opens the destination, which is `stream` if the user names none.
    ///
    /// # Errors
    /// The file cannot be made, or is missing where a page is to go into one.
    pub fn open(self, stream: Stream) -> Result<ReportSink, CliError> {
        let path = self.report_file;
        if self.report == ReportFormat::Html && path.is_none() {
            return Err(Misuse("--report html needs --report-file PATH".to_owned()).into());
        }
        let file = path
            .filter(|_| self.report != ReportFormat::None)
            .map(|path| match File::create(&path) {
                Ok(file) => Ok((file, path)),
                Err(error) => Err(format!("{}: {error}", path.display())),
            })
            .transpose()?;
        Ok(ReportSink {
            format: self.report,
            file,
            stream,
        })
    }
}

impl ReportSink {
    /// Writes the report in the form asked for.
    ///
    /// # Errors
    /// The host cannot write it.
    pub fn write(
        self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> String,
        html: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let report = match self.format {
            ReportFormat::None => return Ok(()),
            ReportFormat::Text => text(),
            ReportFormat::Json => json(),
            ReportFormat::Html => html(),
        };
        match (self.file, self.stream) {
            (Some((mut file, path)), _) => file
                .write_all(report.as_bytes())
                .map_err(|error| write_error(&path.display().to_string(), error)),
            (None, Stream::Output) => print(&report),
            (None, Stream::Error) => {
                let mut stderr = io::stderr().lock();
                // The guest may have left the cursor in the middle of a line.
                let gap = if stderr.is_terminal() { "\n" } else { "" };
                let written = write!(stderr, "{gap}{report}");
                written.map_err(|error| write_error("standard error", error))
            }
        }
    }
}
