//! The options that give a guest files of the host, and say how its first process starts.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{self, Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use vmm::host_files::{Addition, FilesConfig, MAX_SAVED, MAX_SAVED_BYTES, Root, Save, Tree};
use vmm::process_config::{ProcessConfig, SEARCH_PATH};

use super::CliError;
use super::usage::Misuse;

/// Which files of the host the guest has, and how its first process starts.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Files and process")]
#[group(requires = "program")]
pub struct FilesArgs {
    /// The guest's root, instead of the bundled programs: a folder, such as an unpacked
    /// container image, a build folder or / itself, or a tar archive, also by gzip, such as
    /// `docker export` writes. PROGRAM is a path there, or a name found along its PATH. Nothing
    /// is copied, and the guest's writes never reach the host
    #[arg(long, value_name = "DIR|TAR", conflicts_with_all = ["kernel", "initrd"])]
    root: Option<PathBuf>,
    /// A folder of the host that the guest gets too, at GUEST, or else where the host has it
    #[arg(long, value_name = "HOST[:GUEST]")]
    dir: Vec<OsString>,
    /// A file of the host that the guest gets too; likewise
    #[arg(long, value_name = "HOST[:GUEST]")]
    file: Vec<OsString>,
    /// A variable of the program's environment; without a value it is the host's, if it has
    /// one. TERM comes by itself at a terminal
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// The program's working directory [default: / or, with --root /, this one]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// User and group of the program, by number [default: 0:0; the group is the user's]
    #[arg(long, value_name = "UID[:GID]", value_parser = user)]
    user: Option<(u32, u32)>,
    /// The guest's name
    #[arg(long, value_name = "NAME", value_parser = hostname)]
    hostname: Option<String>,
}

/// What comes out at the end.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Files and process")]
pub struct SaveArgs {
    /// Bring a file or tree of the guest out when its program has succeeded, as HOST, which
    /// must not exist yet, or be an empty folder. Devices are left out; 1000000 files and 64G
    /// are the most
    #[arg(long, value_name = "GUEST:HOST", value_parser = OsStringValueParser::new().try_map(save))]
    #[arg(requires = "program")]
    save: Vec<Save>,
    /// The same also when it has failed
    #[arg(long, value_name = "GUEST:HOST", value_parser = OsStringValueParser::new().try_map(save))]
    #[arg(requires = "program")]
    save_always: Vec<Save>,
}

const _: () = assert!(MAX_SAVED == 1_000_000 && MAX_SAVED_BYTES == 64 << 30);

impl SaveArgs {
    /// What these options name.
    pub fn saves(self) -> Vec<Save> {
        let always = self.save_always.into_iter();
        let always = always.map(|save| Save {
            always: true,
            ..save
        });
        self.save.into_iter().chain(always).collect()
    }
}

/// `GUEST:HOST`.
fn save(text: OsString) -> Result<Save, String> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|&byte| byte == b':');
    let (guest, host) = bytes.split_at(colon.unwrap_or(bytes.len()));
    let host = host.get(1..).unwrap_or_default();
    if !guest.starts_with(b"/") || host.is_empty() {
        return Err("give GUEST:HOST, where GUEST begins with /".to_owned());
    }
    let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
    Ok(Save {
        guest: path(guest),
        host: path(host),
        always: false,
    })
}

impl FilesArgs {
    /// Whether the guest's files are the host's alone.
    pub fn has_root(&self) -> bool {
        self.root.is_some()
    }

    /// The files that these options name.
    ///
    /// # Errors
    /// A folder or a file that is missing, or an archive that is none.
    pub fn files(&self) -> Result<FilesConfig, CliError> {
        let root = self.root.as_deref().map(Root::read).transpose()?;
        let mut added = Vec::new();
        for (option, is_folder, places) in
            [("--dir", true, &self.dir), ("--file", false, &self.file)]
        {
            for place in places {
                let addition = addition(place)?;
                if addition.host.exists() && addition.host.is_dir() != is_folder {
                    let host = addition.host.display();
                    return Err(Misuse(match is_folder {
                        true => format!("{option} {host}: not a folder; give a file with --file"),
                        false => format!("{option} {host}: a folder; give it with --dir"),
                    })
                    .into());
                }
                added.push(addition);
            }
        }
        Ok(FilesConfig { root, added })
    }

    /// How the program starts in a guest with the files of `tree`.
    ///
    /// # Errors
    /// A working directory that is not there, or a variable without a name.
    pub fn process(&self, tree: Option<&mut Tree>) -> Result<ProcessConfig, CliError> {
        let mut process = ProcessConfig {
            environment: self.environment()?,
            directory: self.cwd.clone(),
            user: self.user,
            hostname: self.hostname.clone(),
        };
        let (Some(root), Some(tree)) = (&self.root, tree) else {
            return Ok(process);
        };
        if self.cwd.is_none() && root.canonicalize().is_ok_and(|root| root == Path::new("/")) {
            process.directory = env::current_dir().ok();
        }
        if let Some(directory) = &process.directory {
            let found = tree.resolve(directory.as_os_str().as_bytes());
            if !found.is_ok_and(|found| found.attributes.mode & libc::S_IFMT == libc::S_IFDIR) {
                let directory = directory.display();
                let why = format!("--cwd {directory}: the guest's root has no such folder");
                return Err(Misuse(why).into());
            }
        }
        let is_superuser = self.user.is_none_or(|(user, _)| user == 0);
        let home = if is_superuser { "/root" } else { "/" };
        let defaults = [("PATH", SEARCH_PATH), ("HOME", home)];
        for (name, value) in defaults {
            if process.variable(name).is_none() {
                process.environment.push(format!("{name}={value}").into());
            }
        }
        Ok(process)
    }

    fn environment(&self) -> Result<Vec<OsString>, Misuse> {
        let mut strings = Vec::new();
        if io::stdin().is_terminal() || io::stdout().is_terminal() {
            strings.extend(of_host(OsStr::new("TERM")));
        }
        for variable in &self.env {
            let bytes = variable.as_bytes();
            match bytes.iter().position(|&byte| byte == b'=') {
                Some(0) => return Err(no_name(variable)),
                None if bytes.is_empty() => return Err(no_name(variable)),
                Some(_) => strings.push(variable.clone()),
                None => strings.extend(of_host(variable)),
            }
        }
        Ok(strings)
    }
}

fn no_name(variable: &OsStr) -> Misuse {
    Misuse(format!("--env {variable:?} has no name: give NAME=VALUE"))
}

/// The variable `name` as this process has it.
fn of_host(name: &OsStr) -> Option<OsString> {
    let value = env::var_os(name)?;
    let parts = [name.as_bytes(), b"=", value.as_bytes()];
    Some(OsString::from_vec(parts.concat()))
}

/// `HOST[:GUEST]`, where GUEST begins with a slash, as it must be a path from the root.
fn addition(place: &OsStr) -> Result<Addition, CliError> {
    let bytes = place.as_bytes();
    let colon = bytes.windows(2).rposition(|pair| pair == b":/");
    let (host, guest) = match colon {
        Some(colon) => {
            let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
            (path(&bytes[..colon]), path(&bytes[colon + 1..]))
        }
        None => {
            let host = PathBuf::from(place);
            if bytes.contains(&b':') && !host.exists() {
                let why = "give HOST:GUEST, where GUEST begins with /";
                return Err(Misuse(format!("{}: {why}", host.display())).into());
            }
            let guest = path::absolute(&host).map_err(|error| format!("{host:?}: {error}"))?;
            (host, guest)
        }
    };
    Ok(Addition { host, guest })
}

/// `1000` or `1000:100`.
fn user(text: &str) -> Result<(u32, u32), String> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| {
        // The last number means "none" to Linux.
        let number = text.parse().ok().filter(|&number: &u32| number != u32::MAX);
        number.ok_or_else(|| format!("{text:?} is no number: give UID or UID:GID, as 1000:1000"))
    };
    Ok((number(user)?, number(group)?))
}

/// What `sethostname` takes.
fn hostname(text: &str) -> Result<String, String> {
    const MAX: usize = 64;
    match text.len() {
        1..=MAX => Ok(text.to_owned()),
        _ => Err(format!("give 1 to {MAX} bytes")),
    }
}
