//! Where a command's report goes and in which form.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::ValueEnum;

use super::CliError;

/// Form and destination of the report.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// Form of the report
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
    path: Option<PathBuf>,
    file: Option<File>,
    stream: Stream,
}

impl ReportArgs {
    /// Opens the destination, which is `stream` if the user names none.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn open(self, stream: Stream) -> Result<ReportSink, CliError> {
        let file = self
            .report_file
            .as_deref()
            .filter(|_| self.report != ReportFormat::None)
            .map(|path| File::create(path).map_err(|error| format!("{}: {error}", path.display())))
            .transpose()?;
        Ok(ReportSink {
            format: self.report,
            path: self.report_file,
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
    ) -> Result<(), CliError> {
        let report = match self.format {
            ReportFormat::None => return Ok(()),
            ReportFormat::Text => text(),
            ReportFormat::Json => json(),
        };
        let (written, name) = match (self.file, self.path, self.stream) {
            (Some(mut file), Some(path), _) => (
                file.write_all(report.as_bytes()),
                path.display().to_string(),
            ),
            (_, _, Stream::Output) => (
                io::stdout().write_all(report.as_bytes()),
                "standard output".to_owned(),
            ),
            (_, _, Stream::Error) => {
                let mut stderr = io::stderr().lock();
                // The guest may have left the cursor in the middle of a line.
                let gap = if stderr.is_terminal() { "\n" } else { "" };
                (write!(stderr, "{gap}{report}"), "standard error".to_owned())
            }
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => error.into(),
            _ => format!("{name}: {error}").into(),
        })
    }
}
