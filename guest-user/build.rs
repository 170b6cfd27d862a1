//! How the linker makes a program: no start files, no libraries, own layout.
//! Only the programs are linked so; the library is built like any other.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/program.ld");
    println!("cargo::rerun-if-changed={script}");
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-Wl,--build-id=none",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-z,norelro",
        "-Wl,-z,noexecstack",
        "-Wl,--orphan-handling=error",
        &format!("-Wl,-T,{script}"),
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
