//! The guest under a VMM that is not ours: QEMU's own processor emulator and devices boot
//! the same images, and every program must print and return the same as under `vmm`.
//!
//! Two machines differ in everything that the kernel could wrongly rely on: `pc` has a
//! PC's firmware, PCI and memory map and QEMU's plainest 64-bit processor, `microvm` has
//! next to no devices and every processor feature that QEMU emulates. Neither has CPUID
//! leaf 0x4000_0010, so the kernel must find its timer's frequency otherwise.
//!
//! The reference is the emulator, which runs everywhere. Exits are not compared: QEMU does
//! not report them.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::SystemTime;

use libtest_mimic::{Failed, Trial};
use vmm::boot::CommandLine;

use crate::support::{binary, output_with_input, qemu, required};

/// A machine of QEMU's.
#[derive(Clone, Copy)]
struct Machine {
    name: &'static str,
    options: &'static [&'static str],
    cpus: usize,
}

const PC: &[&str] = &["-M", "pc", "-cpu", "qemu64"];
/// By default it would add its devices' addresses to the command line's end, where the program's
/// arguments are.
const MICROVM: &[&str] = &["-M", "microvm,auto-kernel-cmdline=off", "-cpu", "max"];

const MACHINES: [Machine; 4] = [
    Machine::new("qemu_pc", PC, 1),
    Machine::new("qemu_microvm", MICROVM, 1),
    Machine::new("qemu_pc_2_cpus", PC, 2),
    Machine::new("qemu_microvm_2_cpus", MICROVM, 2),
];

impl Machine {
    const fn new(name: &'static str, options: &'static [&'static str], cpus: usize) -> Self {
        Self {
            name,
            options,
            cpus,
        }
    }
}

/// A program to run, with its arguments.
#[derive(Clone, Copy)]
struct Program {
    name: &'static str,
    args: &'static [&'static str],
}

impl Program {
    const fn new(name: &'static str, args: &'static [&'static str]) -> Self {
        Self { name, args }
    }

    /// Its words, as one.
    fn test_name(self) -> String {
        let words = [&[self.name], self.args].concat().join("_");
        words.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    }
}

/// Programs whose output depends on nothing but their arguments.
const PROGRAMS: &[Program] = &[
    Program::new("hello", &[]),
    Program::new("args", &["one", "two words", "\"three\"", ""]),
    Program::new("int80", &[]),
    Program::new("write_error", &[]),
    Program::new("time", &[]),
    Program::new("sleep", &["20"]),
    Program::new("spin", &["50"]),
    Program::new("yield", &["100"]),
    Program::new("exit_status", &["77"]),
    Program::new("panic", &[]),
    Program::new("breakpoint", &[]),
    Program::new("divide", &[]),
    Program::new("undefined", &[]),
    Program::new("stack_overflow", &[]),
    Program::new("privileged", &["hlt"]),
    Program::new("privileged", &["wrmsr"]),
    Program::new("registers", &[]),
    Program::new("segv", &["null"]),
    Program::new("segv", &["kernel_write"]),
    Program::new("segv", &["text_write"]),
    Program::new("segv", &["stack_execute"]),
];
/// Those for machines with several CPUs alone, where it matters who does what when.
const ON_SEVERAL: &[Program] = &[
    Program::new("cow", &[]),
    Program::new("fork", &[]),
    Program::new("many", &["50"]),
    Program::new("pipes", &[]),
    Program::new("signals", &[]),
    Program::new("soak", &["20"]),
    Program::new("threads", &[]),
    Program::new("wait", &[]),
];

/// One test per program and machine, named as `hello::qemu_pc`.
pub fn trials() -> Vec<Trial> {
    let missing = qemu::missing();
    match missing {
        None => eprintln!("qemu: runs here"),
        Some(why) => eprintln!("qemu: does not run here: {why}"),
    }
    let mut trials = Vec::new();
    for &machine in &MACHINES {
        let ignored = missing.is_some() && !required("qemu");
        let more = if machine.cpus > 1 { ON_SEVERAL } else { &[] };
        for &program in PROGRAMS.iter().chain(more) {
            let name = format!("{}::{}", program.test_name(), machine.name);
            let trial = Trial::test(name, move || match missing {
                Some(why) => Err(Failed::from(why)),
                None => compare(program, machine),
            });
            trials.push(trial.with_ignored_flag(ignored));
        }
        let trial = Trial::test(
            format!("cpus_are_found::{}", machine.name),
            move || match missing {
                Some(why) => Err(Failed::from(why)),
                None => cpus_are_found(machine),
            },
        );
        trials.push(trial.with_ignored_flag(ignored));
    }
    let trial = Trial::test("virtio_console::qemu_microvm", move || match missing {
        Some(why) => Err(Failed::from(why)),
        None => virtio_console(),
    });
    trials.push(trial.with_ignored_flag(missing.is_some() && !required("qemu")));
    trials
}

/// The kernel has as many CPUs as the machine, though nothing but the tables of its firmware says so;
/// or as few as the command line does. Their clock, which nothing tells either, has been measured.
fn cpus_are_found(machine: Machine) -> Result<(), Failed> {
    let program = Program::new("cat", &["/proc/cpuinfo"]);
    for (word, expected) in [("", machine.cpus), ("cpus=1 ", 1)] {
        let mut line = OsString::from(word);
        line.push(command_line(program));
        let (found, stderr) = under_qemu(line, machine);
        let values = |name| {
            let lines = found.console.lines();
            lines.filter_map(move |line| line.strip_prefix(name)?.split(": ").nth(1))
        };
        let processors = values("processor\t").count();
        assert_eq!(processors, expected, "{word}: {found:#?}\n{stderr}");
        assert!(!found.console.contains("have started"), "{found:#?}");
        let is_measured = |mhz: &&str| mhz.parse().is_ok_and(|mhz: f64| mhz > 100.0);
        let measured = values("cpu MHz\t").filter(is_measured).count();
        assert_eq!(measured, expected, "{found:#?}");
    }
    Ok(())
}

/// A machine with QEMU's virtio console on the standard streams, which the kernel's command
/// line names as it does to Linux, and a serial port that nobody listens to.
const VIRTIO: [&str; 12] = [
    "-M",
    "microvm,auto-kernel-cmdline=off,acpi=off",
    "-cpu",
    "max",
    "-global",
    "virtio-mmio.force-legacy=false",
    "-chardev",
    "stdio,id=console,signal=off",
    "-device",
    "virtio-serial-device,bus=virtio-mmio-bus.0",
    "-device",
    "virtconsole,chardev=console",
];
const VIRTIO_DEVICE: &str = "virtio_mmio.device=512@0xfeb00000:5";

/// A file of many pages goes out, and what is typed comes in, until its end.
fn virtio_console() -> Result<(), Failed> {
    let run = |program, args: &[&str], input: Option<&[u8]>| {
        let mut line = CommandLine::default();
        line.text(
            abi::command_line::INIT,
            format!("/bin/{program}").as_bytes(),
        );
        line.raw(VIRTIO_DEVICE);
        for argument in args {
            line.argument(argument.as_bytes());
        }
        let mut qemu = qemu::machine_without_console(&VIRTIO);
        boot(&mut qemu, OsString::from_vec(line.build()));
        let output = output_with_input(&mut qemu, input);
        assert_eq!(output.status.code(), Some(qemu::exit_status(0)));
        output.stdout
    };
    let file = vmm::bundled::program("sh").ok_or("it is bundled")?.elf;
    assert!(run("cat", &["/bin/sh"], None) == file);
    let typed = run("cat", &[], Some(b"one\ntwo\n\x04"));
    let shown = String::from_utf8_lossy(&typed);
    let lines = |word| shown.lines().filter(|line| *line == word).count();
    // Each is echoed and written.
    assert_eq!((lines("one"), lines("two")), (2, 2), "{shown}");
    Ok(())
}

/// What a run leaves behind: exit status as QEMU gives it, and the console's output.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    status: Option<i32>,
    console: String,
}

fn compare(program: Program, machine: Machine) -> Result<(), Failed> {
    let expected = under_vmm(program)?;
    let (found, stderr) = under_qemu(command_line(program), machine);
    if expected == found {
        return Ok(());
    }
    Err(format!("vmm: {expected:#?}\n{}: {found:#?}\n{stderr}", machine.name).into())
}

/// With all that is said in one stream, as the one console of QEMU's machines has it.
fn under_vmm(program: Program) -> io::Result<Traces> {
    let (mut reader, writer) = io::pipe()?;
    let mut child = Command::new(binary())
        .args(["run", "--accel", "emu", "--report", "none", program.name])
        .args(program.args)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let mut said = String::new();
    reader.read_to_string(&mut said)?;
    let lines = said.split_inclusive('\n');
    let of_guest = lines.filter(|line| !line.starts_with("vmm: "));
    Ok(Traces {
        // What the lost bit of the status means is on the console.
        status: child.wait()?.code().map(qemu::exit_status),
        console: of_guest.collect(),
    })
}

/// Also returns what QEMU itself has to say.
fn under_qemu(command_line: OsString, machine: Machine) -> (Traces, String) {
    let mut qemu = qemu::machine(machine.options);
    qemu.args(["-smp", &machine.cpus.to_string()]);
    boot(&mut qemu, command_line);
    let output = output_with_input(&mut qemu, None);
    let traces = Traces {
        status: output.status.code(),
        console: String::from_utf8_lossy(&output.stdout).into_owned(),
    };
    (traces, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Has it boot the bundled images.
fn boot(qemu: &mut Command, command_line: OsString) {
    qemu.args(["-kernel".into(), image("kernel.elf")])
        .args(["-initrd".into(), image("initramfs.cpio")])
        .arg("-append")
        .arg(command_line);
}

fn command_line(program: Program) -> OsString {
    let mut line = CommandLine::default();
    let path = format!("/bin/{}", program.name);
    line.text(abi::command_line::INIT, path.as_bytes());
    if let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        line.number(abi::command_line::REALTIME_NS, now.as_nanos());
    }
    for argument in program.args {
        line.argument(argument.as_bytes());
    }
    OsString::from_vec(line.build())
}

/// Path of one of the files that `vmm images` writes.
fn image(name: &str) -> OsString {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("images");
        let status = Command::new(binary()).arg("images").arg(&folder).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "vmm images failed"
        );
        folder
    });
    FOLDER.join(name).into()
}
