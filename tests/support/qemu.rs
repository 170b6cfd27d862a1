//! QEMU's own processor emulator, which runs the kernels that `vmm` runs.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

const QEMU: &str = "qemu-system-x86_64";
/// Seconds after which a guest is taken for hung.
const TIMEOUT: &str = "60";

/// Why QEMU cannot run here, if it cannot.
pub fn missing() -> Option<&'static str> {
    static ERROR: OnceLock<Option<String>> = OnceLock::new();
    let error = ERROR.get_or_init(|| {
        let version = Command::new(QEMU)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        match version {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("{QEMU} --version: {status}")),
            Err(error) => Some(format!("{QEMU}: {error}")),
        }
    });
    error.as_deref()
}

/// A machine with these options, a console on the standard streams, and a debug-exit device
/// as `vmm` has it. It ends at a triple fault.
pub fn machine(options: &[&str]) -> Command {
    machine_without_console(&[options, &["-serial", "stdio"]].concat())
}

/// The same without a console.
pub fn machine_without_console(options: &[&str]) -> Command {
    let mut qemu = Command::new("timeout");
    qemu.args(["--kill-after=5", TIMEOUT, QEMU, "-accel", "tcg"])
        .args(options)
        .args(["-m", "64M", "-nodefaults", "-no-reboot"])
        .args(["-display", "none"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    qemu
}

/// QEMU's exit status of a guest that ends with `status`, whose topmost bit is lost: see
/// `abi::debug_exit`.
pub fn exit_status(status: i32) -> i32 {
    (status << 1 | 1) & 0xff
}
