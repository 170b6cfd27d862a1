//! The initial contents of guest memory.

use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use abi::command_line as word;

use super::{ConsoleKind, VmConfig, VmError};
use crate::accel::Accelerator;
use crate::boot::{self, BootInfo, CommandLine, KernelImage};
use crate::bundled;
use crate::cpu::{CpuError, HostKind, Vcpu};
use crate::devices::HostFiles;
use crate::events::InputSource;
use crate::host_files::{FilesError, Saving};
use crate::layout;
use crate::memory::{FileWindow, GuestRam};
use crate::output::{Output, Outputs};
use crate::program::Program;

/// Time of day at the start of every deterministic run: 2026-01-01 00:00 UTC.
const DETERMINISTIC_START: Duration = Duration::from_secs(1_767_225_600);

/// Puts the guest's kernel, its files and its command line into its memory, and the vCPU at
/// the kernel's entry.
pub fn load(
    ram: &GuestRam,
    config: &VmConfig,
    outputs: &Outputs,
    vcpu: &mut dyn Vcpu,
    host: HostKind,
) -> Result<KernelImage, VmError> {
    let kernel = boot::load_kernel(ram, config.kernel.as_deref().unwrap_or(bundled::KERNEL))?;
    // Before the time of day is written down: this may set the time-stamp counter.
    vcpu.set_state(&kernel.entry.state())?;
    let virtio = config.console == ConsoleKind::Virtio;
    let Some(program) = &config.program else {
        let info = BootInfo {
            command_line: config.append.trim().as_bytes(),
            initramfs: &[config.initrd.as_deref().unwrap_or_default()],
            acpi: true,
            cpus: config.cpus,
            virtio,
        };
        boot::write_boot_info(ram, &kernel, &info)?;
        return Ok(kernel);
    };
    let file = program.file().unwrap_or_default();
    let (before, after) = match program.file() {
        Some(file) => bundled::around_first(program.path(), file.len()),
        None => (Vec::new(), Vec::new()),
    };
    let archive = match (&config.initramfs, &config.files.root) {
        (Some(archive), _) => archive.bytes(),
        (None, Some(_)) => &[],
        (None, None) => bundled::INITRAMFS,
    };
    let info = BootInfo {
        command_line: &command_line(config, program, outputs, vcpu, host)?,
        initramfs: &[&before, file, &after, archive],
        acpi: kernel.shared_page.is_none(),
        cpus: config.cpus,
        virtio,
    };
    boot::write_boot_info(ram, &kernel, &info)?;
    Ok(kernel)
}

/// The memory of a machine, and the device for files of the host, if it gets any.
pub fn memory(
    config: &VmConfig,
    accelerator: &Accelerator,
) -> Result<(GuestRam, Option<HostFiles>), VmError> {
    let ram = GuestRam::new(config.memory)?;
    if config.files.is_empty() && config.saves.is_empty() {
        return Ok((ram, None));
    }
    let tree = config.files.open()?;
    let saving = Saving::prepare(&config.saves)?;
    let bits = accelerator.address_bits()?;
    let addresses = layout::file_window(config.memory, bits);
    let addresses = addresses.ok_or(FilesError::TooMuchMemory(layout::max_ram_with_files(bits)))?;
    let window = FileWindow::new(addresses)?;
    let ram = ram.with_files(window.clone());
    Ok((ram.clone(), Some(HostFiles::new(tree, saving, ram, window))))
}

/// Time of day now, since 1970; zero if that is before then.
pub fn time_of_day(deterministic: bool) -> Duration {
    match deterministic {
        true => DETERMINISTIC_START,
        false => SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
    }
}

/// The kernel's command line.
fn command_line(
    config: &VmConfig,
    program: &Program,
    outputs: &Outputs,
    vcpu: &mut dyn Vcpu,
    host: HostKind,
) -> Result<Vec<u8>, CpuError> {
    let mut line = CommandLine::default();
    line.text(word::INIT, program.path().as_bytes());
    if config.cpus > 1 {
        line.number(word::CPUS, config.cpus.into());
    }
    line.number(word::TICK_US, config.tick.as_micros());
    // Fresh anonymous memory of the host is zero.
    line.option(word::RAM, word::ZERO);
    let tsc_ns = u128::from(vcpu.tsc()?) * 1_000_000 / u128::from(vcpu.tsc_khz().max(1));
    let now = time_of_day(config.deterministic);
    line.number(word::REALTIME_NS, now.as_nanos().saturating_sub(tsc_ns));
    if config.files.root.is_some() {
        line.option(word::ROOT, word::HOST);
    } else if !config.files.is_empty() {
        line.option(word::FILES, word::HOST);
    }
    config.process.write(&mut line);
    for save in &config.saves {
        let key = match save.always {
            true => word::SAVE_ALWAYS,
            false => word::SAVE,
        };
        line.text(key, save.guest.as_os_str().as_bytes());
    }
    streams(&mut line, &config.input, outputs);
    if config.console == ConsoleKind::Virtio {
        line.option(word::VIRTIO, word::CONSOLES);
    }
    if host == HostKind::Software {
        line.option(word::SYSRET, word::OFF)
            .option(word::SMAP, word::OFF)
            .option(word::EXTENDED_STATE, word::PORT)
            .option(word::COPIES, word::PORT);
        // Ring 3 reads the host's counter.
        match vcpu.tsc_offset() {
            Some(offset) => line.number(word::USER_TSC, offset.into()),
            None => line.option(word::USER_TSC, word::OFF),
        };
    }
    if !config.append.trim().is_empty() {
        line.raw(&config.append);
    }
    for argument in &config.args {
        line.argument(argument.as_bytes());
    }
    Ok(line.build())
}

/// Which of the standard streams are terminals, and have lines of their own.
fn streams(line: &mut CommandLine, input: &InputSource, outputs: &Outputs) {
    let kind = |output: &Output| match output.is_terminal() {
        true => word::TERMINAL,
        false => word::STREAM,
    };
    let input = match input {
        InputSource::Terminal { .. } => word::TERMINAL,
        InputSource::None | InputSource::Descriptor(_) => word::STREAM,
    };
    line.option(word::STDIN, input);
    line.option(word::STDOUT, kind(&outputs.output));
    if let Some(errors) = &outputs.errors {
        line.option(word::STDERR, kind(errors));
    }
    if outputs.log.is_some() {
        line.option(word::LOG, word::SERIAL);
    }
}
