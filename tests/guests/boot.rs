//! From reset to ring 3: its costs, and the report of it.

use crate::Case;
use crate::support::elf::TempFile;
use crate::support::{CHECKED_GUEST, Ended, Target};

pub const CASES: &[Case] = &[
    ("hello", hello),
    ("arguments", arguments),
    ("any_name_and_argument", any_name_and_argument),
    ("boot_cost", boot_cost),
    ("report_fields", report_fields),
    ("same_port_exits", same_port_exits),
    ("console_kinds", console_kinds),
];

/// Guest instructions from reset to ring 3 at most: each costs 0.55 us where KVM emulates
/// ring 0. `tests/guests.toml` has how many they are.
const MAX_BOOT_INSTRUCTIONS: u64 = 20_000;

fn hello(target: Target) {
    target
        .vmm("hello")
        .run()
        .status(0)
        .outcome("exited")
        .prints("Hello from ring 3!\n");
}

fn arguments(target: Target) {
    let run = target
        .vmm("args")
        .args(&["a", "", "b c", "say \"hi\" \\o/", "--", "-x"])
        .run();
    run.status(0).prints(concat!(
        "argument 0: \"args\"\n",
        "argument 1: \"a\"\n",
        "argument 2: \"\"\n",
        "argument 3: \"b c\"\n",
        "argument 4: \"say \\\"hi\\\" \\\\o/\"\n",
        "argument 5: \"--\"\n",
        "argument 6: \"-x\"\n",
        "environment: \"PATH=/bin\"\n",
        "environment: \"HOME=/\"\n",
    ));
}

fn boot_cost(target: Target) {
    let run = target.vmm("hello").run();
    run.status(0);
    assert!(run.count(&["boot_ns"]) > 0, "{run}");
    assert!(run.count(&["boot_ns"]) < run.count(&["wall_ns"]), "{run}");
    if target == Target::Emu {
        let boot = run.count(&["guest", "boot_instructions"]);
        let is_few = boot <= MAX_BOOT_INSTRUCTIONS || CHECKED_GUEST;
        assert!(boot > 0 && is_few, "{run}");
        assert!(run.count(&["emu", "ring0"]) >= boot, "{run}");
    }
}

fn report_fields(target: Target) {
    let run = target.vmm("hello").run();
    run.status(0);
    let report = &run.report;
    assert_eq!(report["accel"], target.accel(), "{run}");
    let apic = if target == Target::Kvm {
        "kernel"
    } else {
        "user"
    };
    assert_eq!(report["apic"], apic, "{run}");
    assert_eq!(report["outcome"]["code"], 0, "{run}");
    assert!(report["outcome"]["signal"].is_null(), "{run}");
    let sum: u64 = [
        "pio_in",
        "pio_out",
        "mmio_read",
        "mmio_write",
        "msr_read",
        "msr_write",
    ]
    .into_iter()
    .chain([
        "cr8_write",
        "hlt",
        "interrupt_window",
        "interrupted",
        "emulated",
    ])
    .map(|reason| run.exits(reason))
    .sum();
    assert_eq!(run.count(&["exits_total"]), sum, "{run}");
    for counter in [
        "syscalls",
        "context_switches",
        "timer_ticks",
        "page_faults",
        "forks",
        "frames",
    ] {
        run.count(&["guest", counter]);
    }
    if target == Target::Emu {
        assert_eq!(report["host_kind"], "emulator", "{run}");
        assert!(
            report["kvm"].is_null() && report["remedies"].is_null(),
            "{run}"
        );
        let rings = run.count(&["emu", "ring0"]) + run.count(&["emu", "ring3"]);
        assert_eq!(run.count(&["emu", "instructions"]), rings, "{run}");
    } else {
        assert!(
            ["hardware", "software"]
                .map(Into::into)
                .contains(&report["host_kind"]),
            "{run}"
        );
        assert!(run.count(&["kvm", "exits"]) > 0, "{run}");
        assert!(report["emu"].is_null(), "{run}");
    }
}

/// Port I/O depends on the guest alone, not on what runs it.
fn same_port_exits(target: Target) {
    for program in ["hello", "args", "write_error", "stack_overflow"] {
        let here = target.vmm(program).run();
        let emulated = Target::Emu.vmm(program).run();
        assert!(!here.port_exits().is_empty(), "{here}");
        assert_eq!(
            here.port_exits(),
            emulated.port_exits(),
            "{here}\n{emulated}"
        );
    }
}

/// Where there are serial ports alone, each byte is an exit; else only the first few are.
fn console_kinds(target: Target) {
    let line = "x".repeat(199);
    let run = |console| {
        let run = target.vmm("echo").options(&["--console", console]);
        let run = run.args(&[&line]).run();
        run.status(0).prints(&format!("{line}\n"));
        run
    };
    let bytes = |run: &Ended| {
        let serial = |(reason, port, _): &&(String, String, u64)| {
            reason == "pio_out" && port == "port 0x3f8"
        };
        let rows = run.port_exits();
        rows.iter().find(serial).map_or(0, |&(.., count)| count)
    };
    let of_device = |run: &Ended| -> u64 {
        let rows = run.report["exits"].as_array().into_iter().flatten();
        let is_console = |gpa: &str| gpa.starts_with("gpa 0xfeb0");
        let rows = rows.filter(|row| row["detail"].as_str().is_some_and(is_console));
        rows.filter_map(|row| row["count"].as_u64()).sum()
    };
    let (serial, virtio) = (run("serial"), run("virtio"));
    assert_eq!((bytes(&serial), of_device(&serial)), (200, 0), "{serial}");
    assert!(bytes(&virtio) <= 64, "{virtio}");
    assert!((1..50).contains(&of_device(&virtio)), "{virtio}");
}

/// Names of programs and arguments are what they were, whatever is in them.
fn any_name_and_argument(target: Target) {
    let elf = vmm::bundled::program("echo").expect("it is bundled").elf;
    for name in [
        "a b",
        "\"quoted\"",
        "back\\slash",
        "-- x=y",
        "\u{e9}\t\u{1f980}",
    ] {
        let file = TempFile::new(name, elf);
        let path = file.path().to_str().expect("it is text").to_owned();
        let run = target.vmm(&path).args(&[name, "", "\\\"", "--"]).run();
        run.status(0).prints(&format!("{name}  \\\" --\n"));
    }
}
