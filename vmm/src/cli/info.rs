//! `vmm info`: what this host can do.

use vmm::accel::{AccelChoice, Accelerator};
use vmm::bundled;
use vmm::cpu::HostKind;
use vmm::cpu::emu::Emulator;
use vmm::cpu::kvm::KvmHost;
use vmm::printable::wrap;
use vmm::report::json;

use super::{CliResult, print};

/// Say what this host can do: KVM or why not, of what kind, and what `--accel auto` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> CliResult {
    let kvm = KvmHost::open();
    let auto = Accelerator::open(AccelChoice::Auto, false);
    let auto = auto.map(|(accelerator, fallback)| (accelerator.accel(), fallback))?;
    if args.json {
        let (kind, error, max_cpus) = match &kvm {
            Ok(host) => (Some(host.kind()), None, Some(host.max_cpus())),
            Err(error) => (None, Some(error.to_string()), None),
        };
        let info = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "kvm": {"host_kind": kind, "error": error, "max_cpus": max_cpus},
            "emu": {"max_cpus": Emulator::MOST},
            "auto": auto.0,
            "auto_reason": auto.1.map(|why| why.to_string()),
            "kernel_bytes": bundled::KERNEL.len(),
            "programs": bundled::PROGRAMS.len(),
        });
        print(&json(&info))?;
        return Ok(0);
    }
    let kvm = match &kvm {
        Ok(host) => {
            let (kind, cpus) = (host.kind(), host.max_cpus());
            format!("{kind} ({}), up to {cpus} CPUs", kind.explanation())
        }
        Err(error) => format!("not usable: {error}"),
    };
    let (how, cpus) = (HostKind::Emulator.explanation(), Emulator::MOST);
    let emu = format!("built in, {how}, up to {cpus} CPUs");
    let auto = match auto.1 {
        None => auto.0.to_string(),
        Some(why) => format!("{} ({why})", auto.0),
    };
    let (kernel, programs) = (bundled::KERNEL.len(), bundled::PROGRAMS.len());
    let guest = format!("kernel of {kernel} bytes, {programs} programs");
    let lines = [
        ("vmm ", env!("CARGO_PKG_VERSION")),
        ("kvm:   ", &kvm),
        ("emu:   ", &emu),
        ("auto:  ", &auto),
        ("guest: ", &guest),
    ];
    print(&lines.map(|(name, text)| wrap(name, text)).concat())?;
    Ok(0)
}
