//! `vmm images`: the bundled guest as files, for other VMMs.

use std::fs;
use std::path::{Path, PathBuf};

use vmm::bundled;

use super::{CliError, CliResult};

const KERNEL: &str = "kernel.elf";
const INITRAMFS: &str = "initramfs.cpio";

/// Write the guest kernel (kernel.elf, PVH) and its programs (initramfs.cpio) to a folder.
///
/// Another VMM boots them with init=/bin/PROGRAM on the kernel's command line; --kernel and
/// --initrd of `vmm run` take them back.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the two files; made if need be
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(args: &Args) -> CliResult {
    let folder = &args.folder;
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    write(&folder.join(KERNEL), bundled::KERNEL)?;
    write(&folder.join(INITRAMFS), bundled::INITRAMFS)?;
    Ok(0)
}

fn write(path: &Path, contents: &[u8]) -> Result<(), CliError> {
    fs::write(path, contents).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &std::io::Error) -> CliError {
    format!("{}: {error}", path.display()).into()
}
