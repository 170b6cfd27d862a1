//! What the guest starts with in its memory.

use std::time::{Duration, SystemTime};

use super::VmConfig;
use crate::boot::{self, BootError, BootInfo, CommandLine, KernelImage};
use crate::bundled;
use crate::cpu::HostKind;
use crate::memory::GuestRam;

/// Time of day at the start of every deterministic run: 2026-01-01 00:00 UTC.
const DETERMINISTIC_START: Duration = Duration::from_secs(1_767_225_600);

/// Puts the guest's kernel, its files and its command line into its memory.
pub fn load(ram: &GuestRam, config: &VmConfig, host: HostKind) -> Result<KernelImage, BootError> {
    let kernel = boot::load_kernel(ram, config.kernel.as_deref().unwrap_or(bundled::KERNEL))?;
    let head;
    let initramfs = match &config.initramfs {
        Some(given) => &[given.as_ref()][..],
        None => {
            head = bundled::initramfs_head(&config.program);
            &[&head, bundled::INITRAMFS]
        }
    };
    let info = BootInfo {
        command_line: &command_line(config, host),
        initramfs,
    };
    boot::write_boot_info(ram, &kernel, &info)?;
    bundled::release_initramfs();
    Ok(kernel)
}

/// The kernel's command line; guest-kernel/src/command_line.rs is the other side.
fn command_line(config: &VmConfig, host: HostKind) -> Vec<u8> {
    let mut line = CommandLine::default();
    line.init(format!("/bin/{}", config.program.name).as_bytes());
    line.option("tick_us", config.tick.as_micros());
    // Fresh anonymous memory of the host is zero.
    line.option("ram", "zero");
    let now = if config.deterministic {
        Ok(DETERMINISTIC_START)
    } else {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)
    };
    if let Ok(now) = now {
        line.option("realtime_ns", now.as_nanos());
    }
    if host == HostKind::Software {
        line.option("sysret", "off").option("smap", "off");
        line.option("xstate", "port");
    }
    if !config.append.trim().is_empty() {
        line.raw(&config.append);
    }
    for argument in &config.args {
        line.argument(argument.as_bytes());
    }
    line.build()
}
