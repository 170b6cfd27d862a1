//! `vmm info`: what this host can do.

use serde_json::{Value, json};
use vmm::accel::{self, AccelChoice, Accelerator};
use vmm::bundled;
use vmm::compare::{CompareError, Machine};
use vmm::cpu::HostKind;
use vmm::cpu::emu::Emulator;
use vmm::cpu::kvm::{KvmFacts, KvmHost};
use vmm::printable::wrap;
use vmm::report::{self, Outcome};
use vmm::sandbox::{InForce, Sandbox};
use vmm::self_tests::{self, Check};

use super::progress::Progress;
use super::require::RequireArgs;
use super::sandbox::confine_maker;
use super::{CliError, CliResult, complain, print, stop_signals};

/// Exit status if a self-test fails.
const FAILED: u8 = 1;

/// Say what this host can do: KVM or why not, of what kind, and what `--accel auto` takes.
///
/// With --check it exits with 0 if the self-tests pass on every machine that the host has, and
/// with 1 if they do not.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON, with what KVM says of itself
    #[arg(long)]
    json: bool,
    /// Run the self-tests on every machine
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    required: RequireArgs,
}

pub fn run(args: &Args) -> CliResult {
    // Facts first: what makes the machines of self-tests may ask less of the host.
    let facts = match args.json {
        true => Facts::Json(facts()?),
        false => Facts::Text(lines()?),
    };
    let checks = match args.check.then(self_tests).transpose()? {
        Some(Err(outcome)) => {
            complain(&outcome);
            return Ok(outcome.exit_status());
        }
        Some(Ok(checks)) => Some(checks),
        None => None,
    };
    print(&facts.with(checks.as_deref()))?;
    let machines: Vec<_> = match &checks {
        Some(checks) => checks.iter().map(|check| check.machine).collect(),
        None if accel::kvm_error().is_none() => Machine::ALL.to_vec(),
        None => vec![Machine::Emu],
    };
    args.required.check(&machines)?;
    let mut checks = checks.iter().flatten();
    let passed = checks.all(|check| check.passed);
    Ok(if passed { 0 } else { FAILED })
}

/// Runs the self-tests, until a signal ends them.
fn self_tests() -> Result<Result<Vec<Check>, Outcome>, CliError> {
    let sandbox = Sandbox::default();
    let stop = stop_signals::catch(None, sandbox)?;
    let plan = self_tests::plan(stop);
    confine_maker(sandbox, plan.needs())?;
    let mut progress = Progress::new();
    stop_signals::running();
    let checks = self_tests::run(&plan, &mut |machine| {
        progress.show(&format!("checking {machine}"));
    });
    progress.clear();
    match checks {
        Ok(checks) => Ok(Ok(checks)),
        Err(CompareError::Stopped(outcome)) => Ok(Err(outcome)),
        Err(error) => Err(error.into()),
    }
}

/// What is known before any guest runs.
enum Facts {
    Json(Value),
    Text(Vec<(&'static str, String)>),
}

impl Facts {
    /// All that is printed.
    fn with(self, checks: Option<&[Check]>) -> String {
        match self {
            Self::Json(mut facts) => {
                facts["checks"] = json!(checks);
                report::json(&facts)
            }
            Self::Text(mut lines) => {
                let checks = checks.unwrap_or_default().iter();
                lines.extend(checks.map(|check| ("check: ", check.to_string())));
                lines.iter().map(|(name, text)| wrap(name, text)).collect()
            }
        }
    }
}

fn facts() -> Result<Value, CliError> {
    let kvm = match KvmHost::open() {
        Ok(host) => json!({
            "host_kind": host.kind(),
            "error": null,
            "max_cpus": host.max_cpus(),
            "facts": KvmFacts::of(&host),
        }),
        Err(error) => json!({
            "host_kind": null,
            "error": error.to_string(),
            "max_cpus": null,
            "facts": null,
        }),
    };
    let (auto, fallback) = Accelerator::open(AccelChoice::Auto, false)?;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "kvm": kvm,
        "emu": {"max_cpus": Emulator::MOST},
        "auto": auto.accel(),
        "auto_reason": fallback.map(|why| why.to_string()),
        "sandbox": Sandbox::default().in_force(),
        "kernel_bytes": bundled::KERNEL.len(),
        "programs": bundled::PROGRAMS.len(),
    }))
}

/// What confines the VMM in a run on this host.
fn walls(found: &InForce) -> String {
    let seccomp = match found.seccomp {
        true => "lists of system calls",
        false => "no lists of system calls (seccomp)",
    };
    match found.landlock {
        Some(version) => format!("{seccomp}, Landlock {version}"),
        None => format!("{seccomp}, no Landlock"),
    }
}

fn lines() -> Result<Vec<(&'static str, String)>, CliError> {
    let kvm = match &KvmHost::open() {
        Ok(host) => {
            let (kind, cpus) = (host.kind(), host.max_cpus());
            format!("{kind} ({}), up to {cpus} CPUs", kind.explanation())
        }
        Err(error) => format!("not usable: {error}"),
    };
    let (how, cpus) = (HostKind::Emulator.explanation(), Emulator::MOST);
    let (auto, fallback) = Accelerator::open(AccelChoice::Auto, false)?;
    let auto = match fallback {
        None => auto.accel().to_string(),
        Some(why) => format!("{} ({why})", auto.accel()),
    };
    let (kernel, programs) = (bundled::KERNEL.len(), bundled::PROGRAMS.len());
    Ok(vec![
        ("vmm ", env!("CARGO_PKG_VERSION").to_owned()),
        ("kvm:   ", kvm),
        ("emu:   ", format!("built in, {how}, up to {cpus} CPUs")),
        ("auto:  ", auto),
        ("walls: ", walls(&Sandbox::default().in_force())),
        (
            "guest: ",
            format!("kernel of {kernel} bytes, {programs} programs"),
        ),
    ])
}
