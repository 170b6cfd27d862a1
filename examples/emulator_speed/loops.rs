//! The loops of the bundled program `loops`, on the host and in machines.

#[path = "../../tests/support/qemu.rs"]
mod qemu;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use vmm::accel::AccelChoice;
use vmm::cpu::emu::Engine;
use vmm::{Output, Program, Vm, VmConfig, bundled};

use crate::measured::{Fallible, Scratch, Timed};
pub use qemu::missing as no_qemu;

/// Those that take no system calls.
pub const LOOPS: [&str; 8] = [
    "dependent",
    "sieve",
    "fib",
    "sha256",
    "matrix",
    "chase",
    "independent",
    "indirect",
];

const PROGRAM: &str = "loops";
const KERNEL: &str = "kernel.elf";
const INITRAMFS: &str = "initramfs.cpio";

/// The program for each machine, as it takes it.
pub struct Loops {
    program: Program,
    /// Has it as a file, and the images that boot it.
    folder: Scratch,
}

impl Loops {
    pub fn new() -> Fallible<Self> {
        let (program, folder) = (Program::find(PROGRAM)?, Scratch::new()?);
        for (name, contents) in [
            (PROGRAM, program.file().unwrap_or_default()),
            (KERNEL, bundled::KERNEL),
            (INITRAMFS, bundled::INITRAMFS),
        ] {
            fs::write(folder.path().join(name), contents)?;
        }
        let file = folder.path().join(PROGRAM);
        fs::set_permissions(file, Permissions::from_mode(0o700))?;
        Ok(Self { program, folder })
    }

    /// As a process of the host.
    pub fn on_host(&self, name: &str) -> Timed {
        let program = self.folder.path().join(PROGRAM);
        let output = Command::new(program).arg(name).output()?;
        parse(&String::from_utf8(output.stdout)?)
    }

    /// In a machine of ours.
    pub fn in_guest(&self, name: &str, engine: Engine) -> Timed {
        let mut config = VmConfig::new(self.program.clone());
        config.args = vec![name.to_owned()];
        (config.accel, config.engine) = (AccelChoice::Emu, engine);
        let (output, recorder) = Output::recorded();
        let report = Vm::new(config, output)?.run()?;
        match report.outcome.exit_status() {
            0 => parse(&recorder.transcript().text()),
            _ => Err(format!("{name}: {}", report.outcome).into()),
        }
    }

    /// In a machine of QEMU's, with the same kernel.
    pub fn in_qemu(&self, name: &str) -> Timed {
        let mut qemu = qemu::machine(&["-M", "microvm,auto-kernel-cmdline=off", "-cpu", "max"]);
        qemu.args(["-kernel", KERNEL, "-initrd", INITRAMFS, "-append"])
            .arg(format!("init=/bin/{PROGRAM} -- {name}"))
            .current_dir(self.folder.path());
        let output = qemu.output()?;
        match output.status.code() {
            Some(status) if status == qemu::exit_status(0) => {
                parse(&String::from_utf8(output.stdout)?)
            }
            _ => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }
}

/// Out of `NAME RESULT NANOSECONDS`.
fn parse(text: &str) -> Timed {
    let mut words = text.split_whitespace().skip(1);
    match (words.next(), words.next()) {
        (Some(result), Some(ns)) => Ok((result.into(), Duration::from_nanos(ns.parse()?))),
        _ => Err(format!("{PROGRAM} printed {text:?}").into()),
    }
}
