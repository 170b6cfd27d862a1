//! Builds the guest kernel and the guest programs and says where `src/bundled.rs` finds
//! them.
//!
//! The guest crates are ordinary members of the workspace, but as images they need
//! other code-generation flags than the host's crates. So this script runs a second
//! cargo, with those flags and a target directory of its own: nothing is shared with
//! the cargo that waits for this script but the package cache, which that one does not
//! hold while it builds. What the linker needs (script, no start files) the guest crates
//! say themselves, in their own build scripts.
//!
//! `RINGFENCE_GUEST_PROFILE=guest-debug` builds images with debug assertions instead.
//!
//! Rejected: bindeps (`artifact = "bin"`), which are unstable; calling rustc by hand,
//! which loses the lock file and clippy.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[path = "src/boot/initramfs.rs"]
#[allow(dead_code)]
mod initramfs;

use initramfs::Initramfs;

/// The only target that is always installed with the toolchain. Naming it keeps the
/// flags below away from build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const PROFILE_VARIABLE: &str = "RINGFENCE_GUEST_PROFILE";
const DEFAULT_PROFILE: &str = "guest";

/// Both kinds of image are linked at fixed addresses.
const PROGRAM_FLAGS: &[&str] = &["-Crelocation-model=static"];

/// The kernel lives in the top 2 GiB; an interrupt may use the stack below rsp; and
/// vector code in ring 0 is slow wherever a hypervisor has to emulate it. The K8 is the
/// first x86-64 CPU: it has no instruction that others lack, and its unaligned vector
/// stores are so slow that the compiler does not clear memory with them.
const KERNEL_FLAGS: &[&str] = &[
    "-Crelocation-model=static",
    "-Ccode-model=kernel",
    "-Cno-redzone=yes",
    "-Cno-vectorize-loops",
    "-Cno-vectorize-slp",
    "-Ctarget-cpu=k8",
];

/// What the outer cargo or its user set for the host's crates and the guest's must not
/// see (`RUSTC_WORKSPACE_WRAPPER` is how `cargo clippy` gets its driver called).
const HOST_ONLY: &[&str] = &[
    "RUSTFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_TARGET_DIR",
];

fn main() {
    let compiler = Command::new(variable("RUSTC")).arg("--version").output();
    let compiler = compiler.expect("cargo's rustc runs").stdout;
    println!(
        "cargo::rustc-env=RINGFENCE_COMPILER={}",
        String::from_utf8_lossy(&compiler).trim()
    );
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")).join("..");
    for source in ["guest-kernel", "guest-user", "Cargo.toml", "Cargo.lock"] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(source).display()
        );
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/boot/initramfs.rs");
    println!("cargo::rerun-if-env-changed={PROFILE_VARIABLE}");

    let profile = env::var(PROFILE_VARIABLE).unwrap_or_else(|_| DEFAULT_PROFILE.into());
    let target_dir = Path::new(&variable("OUT_DIR")).join("guest");
    let build = |package, flags, lto| {
        build_guest(&workspace, &target_dir, &profile, package, flags, lto);
    };
    build("guest-kernel", KERNEL_FLAGS, "fat");
    build("guest-user", PROGRAM_FLAGS, "off");

    let images = target_dir.join(TARGET).join(&profile);
    let programs = programs(&workspace.join("guest-user/src/bin"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let archive = out.join("initramfs.cpio");
    let places = write_archive(&images, &programs, &archive);
    let source = render(&images.join("kernel"), &archive, &programs, &places);
    fs::write(out.join("bundled.rs"), source).expect("OUT_DIR can be written");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Builds every binary of `package`, which all need its feature `image`. Link-time optimization
/// (`lto`, as cargo has it) makes the kernel one piece; of sixty small programs it would
/// compile the common part sixty times, which takes longer than all else of them together.
fn build_guest(
    workspace: &Path,
    target_dir: &Path,
    profile: &str,
    package: &str,
    flags: &[&str],
    lto: &str,
) {
    let mut cargo = Command::new(variable("CARGO"));
    for name in HOST_ONLY {
        cargo.env_remove(name);
    }
    cargo
        .current_dir(workspace)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_PROFILE_GUEST_LTO", lto)
        .args(["build", "--locked", "--bins", "--features", "image"])
        .args(["--package", package, "--profile", profile])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target_dir);
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "building {package} failed: {status}");
}

/// A program's name and the first paragraph of its documentation.
struct Program {
    name: String,
    about: String,
}

/// The programs whose sources lie in `folder`, by name.
fn programs(folder: &Path) -> Vec<Program> {
    let entries = fs::read_dir(folder).expect("guest-user has programs");
    let mut programs: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| program(&path))
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    programs
}

fn program(source: &Path) -> Program {
    let name = source.file_stem().and_then(|stem| stem.to_str());
    let name = name.expect("a program's name is text").to_owned();
    let text = fs::read_to_string(source).expect("a program's source can be read");
    let about: Vec<_> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let about = about.join(" ");
    assert!(
        !about.is_empty(),
        "{}: the first line must be `//! ...`",
        source.display()
    );
    Program { name, about }
}

/// Writes an initramfs with every program in `/bin`, and returns where in it each one's
/// contents start and how long they are.
fn write_archive(images: &Path, programs: &[Program], archive: &Path) -> Vec<(usize, usize)> {
    let mut initramfs = Initramfs::new();
    initramfs.directory("bin");
    let mut places = Vec::new();
    for Program { name, .. } in programs {
        let elf = fs::read(images.join(name)).unwrap_or_else(|error| {
            panic!("src/bin/{name}.rs: {error}; has guest-user/Cargo.toml a line for it?")
        });
        let start = initramfs.executable(&format!("bin/{name}"), &elf);
        places.push((start, elf.len()));
    }
    fs::write(archive, initramfs.finish()).expect("OUT_DIR can be written");
    places
}

/// The Rust source that `src/bundled.rs` includes.
fn render(
    kernel: &Path,
    archive: &Path,
    programs: &[Program],
    places: &[(usize, usize)],
) -> String {
    let mut source = String::new();
    let mut line = |text: String| writeln!(source, "{text}").expect("strings grow");
    line("/// The guest kernel, an ELF image that starts by the PVH protocol.".into());
    line(format!("pub static KERNEL: &[u8] = {};", aligned(kernel)));
    line("/// An archive with all programs in `/bin`.".into());
    line(format!(
        "pub static INITRAMFS: &[u8] = {};",
        aligned(archive)
    ));
    line("/// The guest's programs, sorted by name.".into());
    line("pub static PROGRAMS: &[Program] = &[".into());
    for (Program { name, about }, (start, len)) in programs.iter().zip(places) {
        line(format!(
            "Program {{ name: {name:?}, about: {about:?}, elf: part({start}, {len}) }},"
        ));
    }
    line("];".into());
    source
}

/// The contents of a file, as an expression of `src/bundled.rs`.
fn aligned(file: &Path) -> String {
    format!("&Aligned(*include_bytes!({file:?})).0")
}
