//! `vmm check`: does what guests cost still hold?

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use vmm::accel;
use vmm::check::{CheckError, CheckFile, Checked, Guest, Update};
use vmm::compare::{Machine, Plan};
use vmm::html;
use vmm::sandbox::Needs;

use super::machine::{MachineArgs, ProgramArgs};
use super::progress::Progress;
use super::require::RequireArgs;
use super::sandbox::{SandboxArgs, confine_maker};
use super::usage::{self, Misuse};
use super::{CliError, CliResult, FAILURE, complain, print, stop_signals, write_error};

/// Exit status when something does not hold.
const BROKEN: u8 = 1;
/// Most time for a guest that does not say so itself.
const LIMIT: Duration = Duration::from_secs(600);

/// Check that what guests cost still holds, as a file says it: outcome, output, exits,
/// instructions, system calls, memory, on each machine.
///
/// FILE is TOML: tables `[[guest]]`, each with `run` (words as of `vmm run`) and what must hold
/// there; see vmm/README.md, and tests/guests.toml for an example. In the emulator runs are
/// deterministic. Guests have no input, and what they print is not shown. Exits with 0 if
/// everything holds; 1 if not; 2 if FILE is wrong; 125 if the VMM failed. With
/// GITHUB_ACTIONS=true what does not hold is also an annotation.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to run, and what must hold
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write what was measured into FILE where it does not hold (status 0, unless something is
    /// left that cannot be written)
    #[arg(long)]
    update: bool,
    /// Write JUnit's XML to PATH too
    #[arg(long, value_name = "PATH")]
    junit: Option<PathBuf>,
    /// Write a page to PATH too
    #[arg(long, value_name = "PATH")]
    html: Option<PathBuf>,
    /// Write JSON to PATH too
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Add a table in Markdown to the file at PATH, such as $GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "PATH")]
    markdown: Option<PathBuf>,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    required: RequireArgs,
}

/// What a guest of the file says by `run`.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    args_override_self = true
)]
struct Words {
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    program: ProgramArgs,
}

pub fn run(args: Args) -> CliResult {
    let sandbox = args.sandbox.sandbox(false);
    let stop = stop_signals::catch(None, sandbox)?;
    let mut file = read(&args.file)?;
    if args.update {
        file.margin = None;
    }
    let plans = file.guests.iter().enumerate().map(|(number, guest)| {
        let mut plan =
            plan(guest).map_err(|error| Misuse(file.error(number, &error).to_string()))?;
        (plan.config.stop, plan.config.sandbox) = (stop.clone(), sandbox);
        Ok(plan)
    });
    let plans: Vec<_> = plans.collect::<Result<_, Misuse>>()?;
    let reports = Reports::open(&args)?;
    args.sandbox.prepare()?;
    // A new file is put in the place of another one at the end, which is more than a thread that is
    // confined may do.
    if !args.update {
        confine_maker(sandbox, needs(&plans))?;
    }
    stop_signals::running();
    let checked = match measure(&file, &plans) {
        Ok(checked) => checked,
        Err(CheckError::Stopped(outcome)) => {
            complain(&outcome);
            return Ok(outcome.exit_status());
        }
        Err(error) => return Err(error.into()),
    };
    reports.write(&checked)?;
    print(&checked.to_string())?;
    if env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        print(&checked.annotations())?;
    }
    // What the host has, whether the file wants it or not.
    let there = match accel::kvm_error() {
        None => Machine::ALL,
        Some(_) => &[Machine::Emu],
    };
    args.required.check(there)?;
    if checked.cases.is_empty() || checked.cases.iter().any(|case| case.failed) {
        return Ok(FAILURE);
    }
    let holds = match args.update {
        true => update(&file, &checked)?,
        false => checked.holds(),
    };
    Ok(if holds { 0 } else { BROKEN })
}

fn measure(file: &CheckFile, plans: &[Plan]) -> Result<Checked, CheckError> {
    let mut progress = Progress::new();
    let measured = Checked::measure(file, plans, &mut |guest, machine| {
        progress.show(&format!("{guest} on {machine}"));
    });
    progress.clear();
    measured
}

fn read(path: &Path) -> Result<CheckFile, Misuse> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Misuse(format!("{}: {error}", path.display())))?;
    CheckFile::parse(path, &text).map_err(|error| Misuse(error.to_string()))
}

/// The machine that a guest's words describe.
fn plan(guest: &Guest) -> Result<Plan, CliError> {
    let words = shell_words::split(&guest.run).map_err(|error| format!("`run`: {error}"))?;
    let words = Words::try_parse_from(words).map_err(|error| {
        usage::message(&error).unwrap_or_else(|| "`run` names no program".to_owned())
    })?;
    let mut config = words.machine.config(words.program)?;
    config.deterministic = true;
    config.timeout = config.timeout.or(Some(LIMIT));
    Ok(Plan::new(config))
}

/// What any of the guests needs of the host.
fn needs(plans: &[Plan]) -> Needs {
    let mut all = Needs::NONE;
    for needs in plans.iter().map(Plan::needs) {
        all.files |= needs.files;
        all.reads.extend(needs.reads);
    }
    all.reads.sort();
    all.reads.dedup();
    all
}

/// What a check is written as, beside its text.
type Form = fn(&Checked) -> String;

/// Files for reports, which are open before a guest runs.
struct Reports(Vec<(File, PathBuf, Form)>);

impl Reports {
    /// Those that the command line names.
    ///
    /// # Errors
    /// One cannot be made.
    fn open(args: &Args) -> Result<Self, CliError> {
        let new = [
            (&args.junit, Checked::junit as Form),
            (&args.html, html::check),
            (&args.json, Checked::to_json),
        ];
        let new = new.map(|(path, form)| (path, form, false));
        let all = new
            .into_iter()
            .chain([(&args.markdown, Checked::markdown as Form, true)]);
        let mut reports = Vec::new();
        for (path, form, append) in all {
            let Some(path) = path else { continue };
            let mut options = File::options();
            options
                .create(true)
                .append(append)
                .write(true)
                .truncate(!append);
            let file = options.open(path);
            let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
            reports.push((file, path.clone(), form));
        }
        Ok(Self(reports))
    }

    fn write(self, checked: &Checked) -> Result<(), CliError> {
        for (mut file, path, form) in self.0 {
            let written = file.write_all(form(checked).as_bytes());
            written.map_err(|error| write_error(&path.display().to_string(), error))?;
        }
        Ok(())
    }
}

/// Puts a file that says what was measured in the place of `file`, and says what it cannot say:
/// whether that is nothing.
fn update(file: &CheckFile, checked: &Checked) -> Result<bool, CliError> {
    let update = Update::of(file, &checked.cases);
    for left in &update.left {
        complain(left);
    }
    if update.text != file.text() {
        let path = file.path().display().to_string();
        replace(file.path(), &update.text).map_err(|error| write_error(&path, error))?;
        complain(&format_args!("{path} has now what was measured"));
    }
    Ok(update.left.is_empty())
}

/// Writes `text` beside the file at `path` and renames it: the old one is there until the new one
/// is whole. A link leads to what is replaced.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let mut name = path.clone().into_os_string();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    let written = File::create_new(&new).and_then(|mut file| {
        file.set_permissions(fs::metadata(&path)?.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    });
    if written.is_err() {
        // It may be that it was never there.
        let _ = fs::remove_file(&new);
    }
    written
}
