use serde_json::{Value, json};

use super::{
    Counters, EmuCounters, ExitCounts, GuestCounters, GuestCpu, HostInstructions, LoopTimes,
    Outcome, Report, Times, VcpuReport,
};
use crate::cpu::{Accel, EmulatorCounts, HostKind, InstructionCounts};
use crate::devices::ApicMode;
use crate::exit::ExitReason;
use crate::sandbox::{InForce, Level};

/// A run on KVM, with exits at 2 ticks a nanosecond.
fn kvm_report() -> Report {
    let mut exits = ExitCounts::new();
    for _ in 0..12 {
        exits.record(ExitReason::PioOut, Some(0x3f8), 3000);
    }
    exits.record(ExitReason::PioOut, Some(0xf4), 2468);
    exits.record(ExitReason::PioIn, Some(0x61), 2000);
    exits.record(ExitReason::MmioWrite, Some(0xfec0_0010), 4000);
    exits.record(ExitReason::MsrWrite, Some(0x838), 0);
    exits.record(ExitReason::MsrRead, Some(0xc000_0080), 1);
    exits.record(ExitReason::Interrupted, None, 2_000_000);
    Report {
        accel: Accel::Kvm,
        apic: ApicMode::Kernel,
        cpus: 1,
        host_kind: HostKind::Software,
        sandbox: InForce {
            level: Level::Full,
            seccomp: true,
            landlock: Some(7),
        },
        outcome: Outcome::exited(0),
        state: None,
        warnings: Vec::new(),
        wall_ns: 41_234_567,
        boot_ns: Some(12_340_000),
        time: Times::new(
            41_234_567,
            &[LoopTimes {
                total_ns: 40_000_000,
                accelerator_ns: 38_000_000,
                asleep_ns: 0,
            }],
            None,
        ),
        exits: exits.finish(0.5),
        vcpus: Vec::new(),
        kvm: Some(
            [("exits", 1234), ("nmi", 0), ("halt_exits", 7)]
                .into_iter()
                .collect(),
        ),
        remedies: Some([("syscall", 0), ("sysret", 0)].into_iter().collect()),
        emu: None,
        host_instructions: None,
        guest: GuestCounters {
            syscalls: Some(4),
            context_switches: Some(0),
            timer_ticks: Some(3),
            page_faults: Some(10),
            forks: Some(0),
            frames: Some(17),
            boot_instructions: None,
        },
        unsupported_syscalls: Counters::default(),
    }
}

/// A run on the emulator that never got anywhere.
fn emu_report() -> Report {
    let counts = InstructionCounts {
        ring0: 17,
        ring3: 0,
        boot: None,
    };
    let emulator = EmulatorCounts {
        tlb_misses: 5,
        jump_misses: 2,
        ..EmulatorCounts::default()
    };
    Report {
        accel: Accel::Emu,
        apic: ApicMode::User,
        cpus: 2,
        host_kind: HostKind::Emulator,
        sandbox: InForce::NONE,
        outcome: Outcome::triple_fault().with_message("at rip 0x100000"),
        state: None,
        warnings: Vec::new(),
        wall_ns: 950,
        boot_ns: None,
        time: Times::default(),
        exits: ExitCounts::new().finish(1.0),
        vcpus: vec![VcpuReport::default(); 2],
        kvm: None,
        remedies: None,
        emu: Some(EmuCounters::new(counts, emulator)),
        host_instructions: Some(HostInstructions {
            total: Some(1700),
            ..Default::default()
        }),
        guest: GuestCounters::default(),
        unsupported_syscalls: Counters::default(),
    }
}

#[test]
fn text_of_a_run_on_kvm() {
    let expected = "\
Outcome  exited with status 0
Machine  KVM without hardware assistance, local APIC in KVM
Time     41.2 ms, ring 3 after 12.3 ms
         guest 38.0 ms, VMM 2.00 ms, idle 0 ns, set-up 1.23 ms

VM exits
  reason       detail          device      count     time     mean
  pio_in       port 0x61       unclaimed       1  1.00 us  1.00 us
  pio_out      port 0xf4       debug exit      1  1.23 us  1.23 us
  pio_out      port 0x3f8      serial         12  18.0 us  1.50 us
  mmio_write   gpa 0xfec00010  I/O APIC        1  2.00 us  2.00 us
  msr_read     msr 0xc0000080  unclaimed       1  1.00 ns  1.00 ns
  msr_write    msr 0x838       local APIC      1     0 ns     0 ns
  interrupted                                  1  1.00 ms  1.00 ms
  total                                       18  1.02 ms  56.8 us

KVM's own counters
  exits       1234
  halt_exits     7

Guest
  system calls       4
  context switches   0
  timer ticks        3
  page faults       10
  forks              0
  frames            17

VM exits by reason
  pio_in        1  ###
  pio_out      13  ########################################
  mmio_write    1  ###
  msr_read      1  ###
  msr_write     1  ###
  interrupted   1  ###
";
    assert_eq!(kvm_report().to_string(), expected);
}

#[test]
fn text_of_a_run_without_exits() {
    let expected = "\
Outcome  triple fault: at rip 0x100000
Machine  built-in emulator, local APIC in the VMM, 2 CPUs
Time     950 ns, ring 3 not reached
         guest 0 ns, VMM 0 ns, idle 0 ns, set-up 0 ns

No VM exits

Instructions emulated
  ring 0  17
  ring 3   0
  total   17

Emulator
  TLB misses         5
  jump table misses  2
";
    assert_eq!(emu_report().to_string(), expected);
}

#[test]
fn text_of_what_was_translated() {
    let mut report = emu_report();
    let counts = report.emu.as_mut().map(|emu| &mut emu.counts);
    let counts = counts.expect("it is the emulator's");
    counts.translated_blocks = 12;
    counts.translated_bytes = 3456;
    counts.translating_ns = 78_900;
    counts.translation_exits = 41;
    let expected = "
Emulator
  TLB misses                 5
  jump table misses          2
  blocks translated         12
  bytes of host code      3456
  time translating     78.9 us
  left to interpreter       41
";
    let text = report.to_string();
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn text_of_each_cpu() {
    let mut report = kvm_report();
    report.vcpus = vec![VcpuReport::default(); 2];
    report.vcpus[0].exits = report.exits.clone();
    assert!(!report.to_string().contains("Each CPU"));
    for (vcpu, wake_ipis) in report.vcpus.iter_mut().zip([7, 0]) {
        vcpu.guest = Some(GuestCpu {
            wake_ipis,
            flush_ipis: 2,
            shootdowns: 12,
            lock_wait_ns: 1_500,
            idle_ns: 0,
        });
    }
    let expected = "
Each CPU
  CPU  exits  wake IPIs  flush IPIs  shootdowns  lock wait  idle
  0       18          7           2          12    1.50 us  0 ns
  1        0          0           2          12    1.50 us  0 ns

";
    let text = report.to_string();
    assert!(text.contains(expected), "{text}");
    // Too many for a column each among the exits.
    report.vcpus = vec![VcpuReport::default(); 12];
    let text = report.to_string();
    let line = "\nEach CPU\n  CPU  exits\n  0        0\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn applied_remedies_show() {
    let mut report = kvm_report();
    let mut remedies = Counters::default();
    remedies.add("syscall as page fault", 3);
    report.remedies = Some(remedies);
    let text = report.to_string();
    let section = "\nRemedies for software-backed KVM\n  syscall as page fault  3\n\n";
    assert!(text.contains(section), "{text}");
}

#[test]
fn a_rare_exit_still_has_a_bar() {
    let mut exits = ExitCounts::new();
    for _ in 0..1000 {
        exits.record(ExitReason::PioOut, Some(0x3f8), 0);
    }
    exits.record(ExitReason::Hlt, None, 0);
    let mut report = kvm_report();
    report.exits = exits.finish(1.0);
    let text = report.to_string();
    assert!(text.ends_with("\n  hlt         1  #\n"), "{text}");
}

#[test]
fn json_has_every_field_in_order() {
    let expected = concat!(
        r#"{"accel":"kvm","apic":"kernel","cpus":1,"host_kind":"software","#,
        r#""sandbox":{"level":"full","seccomp":true,"landlock":7},"#,
        r#""outcome":{"kind":"exited","code":0,"signal":null,"message":null},"#,
        r#""state":null,"warnings":[],"#,
        r#""wall_ns":41234567,"boot_ns":12340000,"#,
        r#""time":{"setup_ns":1234567,"guest_ns":38000000,"vmm_ns":2000000,"idle_ns":0},"#,
        r#""exits":["#,
        r#"{"reason":"pio_in","detail":"port 0x61","count":1,"ns":1000},"#,
        r#"{"reason":"pio_out","detail":"port 0xf4","count":1,"ns":1234},"#,
        r#"{"reason":"pio_out","detail":"port 0x3f8","count":12,"ns":18000},"#,
        r#"{"reason":"mmio_write","detail":"gpa 0xfec00010","count":1,"ns":2000},"#,
        r#"{"reason":"msr_read","detail":"msr 0xc0000080","count":1,"ns":1},"#,
        r#"{"reason":"msr_write","detail":"msr 0x838","count":1,"ns":0},"#,
        r#"{"reason":"interrupted","detail":null,"count":1,"ns":1000000}],"#,
        r#""exits_total":18,"vcpus":[],"kvm":{"exits":1234,"nmi":0,"halt_exits":7},"#,
        r#""remedies":{"syscall":0,"sysret":0},"emu":null,"#,
        r#""host_instructions":null,"#,
        r#""guest":{"syscalls":4,"context_switches":0,"timer_ticks":3,"page_faults":10,"#,
        r#""forks":0,"frames":17,"boot_instructions":null},"unsupported_syscalls":{}}"#,
    );
    let report = kvm_report();
    assert_eq!(
        serde_json::to_string(&report).expect("plain data"),
        expected
    );
    let pretty = report.to_json();
    assert!(
        pretty.starts_with("{\n  \"schema\": 1,\n  \"accel\""),
        "{pretty}"
    );
    assert!(pretty.ends_with("}\n"));
    let value: Value = serde_json::from_str(&pretty).expect("valid JSON");
    let mut compact: Value = serde_json::from_str(expected).expect("valid JSON");
    compact["schema"] = json!(1);
    assert_eq!(value, compact);
}

#[test]
fn json_of_a_run_without_exits() {
    let value: Value = serde_json::from_str(&emu_report().to_json()).expect("valid JSON");
    assert_eq!(
        value,
        json!({
            "schema": 1,
            "accel": "emu",
            "apic": "user",
            "cpus": 2,
            "host_kind": "emulator",
            "sandbox": {"level": "none", "seccomp": false, "landlock": null},
            "outcome": {
                "kind": "triple_fault",
                "code": null,
                "signal": null,
                "message": "at rip 0x100000",
            },
            "state": null,
            "warnings": [],
            "wall_ns": 950,
            "boot_ns": null,
            "time": { "setup_ns": 0, "guest_ns": 0, "vmm_ns": 0, "idle_ns": 0 },
            "exits": [],
            "exits_total": 0,
            "vcpus": [
                { "exits": [], "exits_total": 0, "guest": null },
                { "exits": [], "exits_total": 0, "guest": null },
            ],
            "kvm": null,
            "remedies": null,
            "emu": {
                "instructions": 17,
                "ring0": 17,
                "ring3": 0,
                "tlb_misses": 5,
                "jump_misses": 2,
                "translated_blocks": 0,
                "translated_bytes": 0,
                "translating_ns": 0,
                "translation_exits": 0,
            },
            "host_instructions": {
                "total": 1700,
                "guest_ring0": null,
                "guest_ring3": null,
                "error": null,
            },
            "guest": {
                "syscalls": null,
                "context_switches": null,
                "timer_ticks": null,
                "page_faults": null,
                "forks": null,
                "frames": null,
                "boot_instructions": null,
            },
            "unsupported_syscalls": {},
        })
    );
}
