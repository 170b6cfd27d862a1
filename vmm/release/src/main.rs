//! Builds `vmm` static, and makes a release of it: `cargo run --release -p release`, from the top
//! folder. What it has written it says, and writes to `target/dist`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use release::{NAME, archive, checksum, files};

/// The target that is always installed: glibc is linked in, so that nothing of the host's is needed.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() -> Result<(), Box<dyn Error>> {
    let binary = build()?;
    let vmm = fs::read(&binary).map_err(|error| format!("{}: {error}", binary.display()))?;
    let bytes = archive(&files(vmm)?)?;
    let name = format!("{NAME}.tar.gz");
    let folder = Path::new("target/dist");
    fs::create_dir_all(folder)?;
    for (name, bytes) in [
        (name.as_str(), bytes.as_slice()),
        ("SHA256SUMS", checksum(&name, &bytes).as_bytes()),
    ] {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{} ({} bytes)", path.display(), bytes.len());
    }
    Ok(())
}

/// A static `vmm`, without this machine's paths in it. The target's name keeps the flags away from
/// build scripts and macros.
fn build() -> Result<PathBuf, Box<dyn Error>> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let here = env::current_dir()?;
    let home = env::var("CARGO_HOME").or_else(|_| env::var("HOME").map(|home| home + "/.cargo"));
    for (from, to) in [
        (Some(here.display().to_string()), "."),
        (home.ok(), "cargo"),
    ] {
        flags.extend(from.map(|from| format!("--remap-path-prefix={from}={to}")));
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(&cargo)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args(["build", "--locked", "--release", "--bin", "vmm"])
        .args(["--target", TARGET, "--target-dir", "target"])
        .status()
        .map_err(|error| format!("{cargo}: {error}"))?;
    if !status.success() {
        return Err(format!("{cargo} build: {status}").into());
    }
    Ok(Path::new("target").join(TARGET).join("release/vmm"))
}
