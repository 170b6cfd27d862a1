//! How the guest's first process starts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use abi::command_line as word;

use crate::boot::CommandLine;

/// Where a Linux that has its files from the host looks for programs, as Debian's does.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the guest's first process starts; what is not said is the kernel's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Strings of its environment, `NAME=VALUE`, beside the kernel's own; the last of a name
    /// counts.
    pub environment: Vec<OsString>,
    /// Its working directory.
    pub directory: Option<PathBuf>,
    /// Its user and group.
    pub user: Option<(u32, u32)>,
    /// The machine's name.
    pub hostname: Option<String>,
}

impl ProcessConfig {
    /// The value of a name in the environment.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        let strings = self.environment.iter().rev().map(|it| it.as_bytes());
        let mut values =
            strings.filter_map(|it| it.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        values.next()
    }

    /// Says the same on the kernel's command line.
    pub(crate) fn write(&self, line: &mut CommandLine) {
        for variable in &self.environment {
            line.text(word::ENVIRONMENT, variable.as_bytes());
        }
        if let Some(directory) = &self.directory {
            line.text(word::DIRECTORY, directory.as_os_str().as_bytes());
        }
        if let Some((user, group)) = self.user {
            line.option(word::USER, format!("{user}:{group}").as_bytes());
        }
        if let Some(hostname) = &self.hostname {
            line.text(word::HOSTNAME, hostname.as_bytes());
        }
    }
}
