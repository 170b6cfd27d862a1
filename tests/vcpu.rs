//! One virtual CPU with a few instructions, no kernel and no devices: what the run loop
//! relies on holds of every accelerator.
//!
//! The code is 32-bit, in ring 0. Vector [`VECTOR`] and NMIs lead to a handler that writes
//! to [`HANDLER`]; other ports mark how far the code has come.

mod support;

use std::time::Duration;

use abi::ports::YIELD;
use assembly::code;
use support::suite::{self, Case};
use support::{Target, software_kvm};
use vmm::accel::{AccelChoice, Accelerator};
use vmm::bare::{BareMachine, ENTRY};
use vmm::cpu::{DebugRegs, Dtable, ExtendedState, Interruptibility, Msrs, Mtrrs, Regs, Shadow};
use vmm::devices::{ApicMode, Msi};
use vmm::exit::VmExit;
use x86::vector::NMI;
use x86::{DescriptorFlags, XCr0Flags, msr};

const VECTOR: u8 = 0x40;
/// The port that the interrupt handler writes to.
const HANDLER: u16 = 0x20;

/// Where things lie behind the code, from [`ENTRY`].
const HANDLER_OFFSET: usize = 0x80;
const GDT_OFFSET: usize = 0x100;
const IDT_OFFSET: usize = 0x200;

const CASES: &[Case] = &[
    ("ports_and_memory_are_exits", exits),
    ("interrupt_ends_a_halt", halt),
    ("kick_ends_a_loop", kick),
    ("nmi_needs_no_window", nmi),
    ("nmi_ends_a_halt", nmi_in_halt),
    ("state_is_the_whole_state", whole_state),
    ("rdtscp_tells_tsc_aux", tsc_aux),
    ("a_wait_for_another_is_a_remedy", wait_for_another),
];

/// Cases in which software-backed KVM is some instructions late while it emulates ring 0.
const WINDOW_CASES: &[Case] = &[
    ("interrupt_window", interrupt_window),
    ("injected_interrupt_comes_first", injection),
];

fn main() {
    // With a local APIC in KVM, interrupts and halts do not come to the VMM.
    const KVM: &[Target] = &[Target::KvmUserApic];
    let mut trials = suite::on(&[Target::Emu, Target::KvmUserApic], CASES);
    trials.extend(suite::on(&[Target::Emu], WINDOW_CASES));
    let late =
        software_kvm().then_some("software-backed KVM opens interrupt windows late in ring 0");
    trials.extend(suite::on_unless(late, KVM, WINDOW_CASES));
    trials.extend(suite::on(
        &[Target::Kvm],
        &[
            ("message_to_nobody_is_lost", message_to_nobody),
            ("a_halt_in_kvm_can_be_seen", halt_in_kvm),
        ],
    ));
    suite::main(trials);
}

/// A machine that starts with `code`, interrupts off, its descriptor tables in place.
fn machine(target: Target, code: &[u8]) -> BareMachine {
    let mut image = code.to_vec();
    let mut put = |offset: usize, bytes: &[u8]| {
        assert!(image.len() <= offset, "the parts do not overlap");
        image.resize(offset, 0);
        image.extend(bytes);
    };
    let handler = code!(
        ".code32",
        "out {port}, al",
        "iretd",
        port = const HANDLER,
    );
    put(HANDLER_OFFSET, handler);
    // Null, code (selector 8), data (selector 16).
    let gdt = [
        DescriptorFlags::empty(),
        DescriptorFlags::KERNEL_CODE32,
        DescriptorFlags::KERNEL_DATA,
    ];
    put(
        GDT_OFFSET,
        &gdt.map(|flags| flags.bits().to_le_bytes()).concat(),
    );
    // A present 32-bit interrupt gate: SDM vol. 3 6.11.
    let handler = u64::from(ENTRY) + HANDLER_OFFSET as u64;
    let gate = handler & 0xffff | 0x0008 << 16 | 0x8e00 << 32 | handler >> 16 << 48;
    let gate_offset = |vector: u8| IDT_OFFSET + 8 * usize::from(vector);
    for vector in [NMI, VECTOR] {
        put(gate_offset(vector), &gate.to_le_bytes());
    }

    let choice = match target.accel() {
        "emu" => AccelChoice::Emu,
        _ => AccelChoice::Kvm,
    };
    let (accelerator, _) = Accelerator::open(choice, false).expect("the target is there");
    let mut machine = BareMachine::new(&accelerator, ApicMode::User, &image).expect("it fits");
    let table = |start: usize, end: usize| Dtable {
        base: u64::from(ENTRY) + start as u64,
        limit: (end - start - 1) as u16,
    };
    let vcpu = machine.vcpu();
    let mut state = vcpu.state().expect("state can be read");
    state.gdt = table(GDT_OFFSET, GDT_OFFSET + 8 * gdt.len());
    state.idt = table(IDT_OFFSET, gate_offset(VECTOR) + 8);
    // A stack for the interrupt's frame.
    state.regs.gpr[Regs::RSP] = u64::from(ENTRY);
    vcpu.set_state(&state).expect("the state is valid");
    machine
}

/// Runs to the next exit, which must be a write of a byte to `port`. On software-backed KVM
/// some instructions are executed by the VMM, and exits, before that.
fn expect_out(machine: &mut BareMachine, port: u16) {
    loop {
        match machine.run().expect("it runs") {
            VmExit::PioOut {
                port: to, size: 1, ..
            } if to == port => return,
            VmExit::Emulated => {}
            other => panic!("{other:x?} instead of a write to port {port:#x}"),
        }
    }
}

/// Elsewhere nothing is at the port.
fn wait_for_another(target: Target) {
    let mut machine = machine(
        target,
        code!(
            ".code32",
            "mov dx, {port}",
            "out dx, eax",
            "out 0x60, al",
            port = const YIELD,
        ),
    );
    let is_remedy = target != Target::Emu && software_kvm();
    match machine.run().expect("it runs") {
        VmExit::Emulated => assert!(is_remedy),
        VmExit::PioOut { port, size, .. } => assert_eq!((port, size), (YIELD, 4)),
        other => panic!("{other:x?}"),
    }
    expect_out(&mut machine, 0x60);
    let counters = machine.vcpu().counters().expect("it has some");
    let remedies = counters.remedies.unwrap_or_default();
    let yields = remedies.iter().find(|(name, _)| *name == "yields");
    assert_eq!(yields.map_or(0, |(_, count)| *count), u64::from(is_remedy));
}

fn exits(target: Target) {
    const WRITTEN: u64 = 0xd000_0000;
    const READ: u64 = WRITTEN + 1;
    let mut machine = machine(
        target,
        code!(
            ".code32",
            "in al, 0x60",
            "inc eax",
            "mov [{written}], al",
            "mov al, [{read}]",
            "out 0x61, al",
            written = const WRITTEN,
            read = const READ,
        ),
    );
    match machine.run().expect("it runs") {
        VmExit::PioIn {
            port: 0x60,
            size: 1,
            data,
        } => data.copy_from_slice(&[6]),
        other => panic!("{other:x?}"),
    }
    let written = VmExit::MmioWrite {
        gpa: WRITTEN,
        data: &[7],
    };
    assert_eq!(machine.run().expect("it runs"), written);
    match machine.run().expect("it runs") {
        VmExit::MmioRead { gpa: READ, data } => data.copy_from_slice(&[9]),
        other => panic!("{other:x?}"),
    }
    let written = VmExit::PioOut {
        port: 0x61,
        size: 1,
        data: &[9],
    };
    assert_eq!(machine.run().expect("it runs"), written);
}

/// With interrupts off the vCPU is not ready; asked to, it says when it has become so, one
/// instruction after `sti` (Intel SDM, volume 2, STI), and no later.
fn interrupt_window(target: Target) {
    let code = code!("out 0x10, al", "sti", "nop", "out 0x11, al", "out 0x12, al");
    let mut machine = machine(target, code);
    expect_out(&mut machine, 0x10);
    assert!(!machine.vcpu().ready());
    machine.vcpu().request_interrupt_window(true);
    assert_eq!(machine.run().expect("it runs"), VmExit::InterruptWindow);
    assert!(machine.vcpu().ready());
    let rip = machine.vcpu().state().expect("state can be read").regs.rip;
    assert_eq!(rip, u64::from(ENTRY) + 4, "after the nop");
    machine.vcpu().request_interrupt_window(false);
    expect_out(&mut machine, 0x11);
    expect_out(&mut machine, 0x12);
}

fn injection(target: Target) {
    let code = code!("sti", "out 0x10, al", "out 0x11, al", "out 0x12, al");
    let mut machine = machine(target, code);
    expect_out(&mut machine, 0x10);
    // KVM has not completed the instruction yet: whether the vCPU is ready shows only then.
    machine.vcpu().request_interrupt_window(true);
    assert_eq!(machine.run().expect("it runs"), VmExit::InterruptWindow);
    machine.vcpu().request_interrupt_window(false);
    machine.vcpu().inject(VECTOR).expect("it is ready");
    expect_out(&mut machine, HANDLER);
    assert!(
        !machine.vcpu().ready(),
        "a handler runs with interrupts off"
    );
    expect_out(&mut machine, 0x11);
    expect_out(&mut machine, 0x12);
}

/// An NMI comes with interrupts off; a second one waits for the end of the first's handler,
/// and the state tells.
fn nmi(target: Target) {
    let mut machine = machine(target, code!("out 0x10, al", "out 0x11, al"));
    expect_out(&mut machine, 0x10);
    machine.vcpu().inject_nmi().expect("it is taken");
    expect_out(&mut machine, HANDLER);
    machine.vcpu().inject_nmi().expect("it waits");
    let state = machine.vcpu().state().expect("state can be read");
    let Interruptibility {
        nmi_pending,
        nmi_blocked,
        ..
    } = state.interruptibility;
    assert_eq!((nmi_pending, nmi_blocked), (true, true));
    expect_out(&mut machine, HANDLER);
    expect_out(&mut machine, 0x11);
    let state = machine.vcpu().state().expect("state can be read");
    assert_eq!(state.interruptibility, Interruptibility::default());
}

fn nmi_in_halt(target: Target) {
    let mut machine = machine(target, code!("hlt", "out 0x10, al"));
    assert_eq!(machine.run().expect("it runs"), VmExit::Hlt);
    machine.vcpu().inject_nmi().expect("it is taken");
    expect_out(&mut machine, HANDLER);
    expect_out(&mut machine, 0x10);
}

fn halt(target: Target) {
    let mut machine = machine(target, code!("sti", "hlt", "out 0x10, al"));
    assert_eq!(machine.run().expect("it runs"), VmExit::Hlt);
    assert!(machine.vcpu().ready());
    machine.vcpu().inject(VECTOR).expect("it is ready");
    expect_out(&mut machine, HANDLER);
    expect_out(&mut machine, 0x10);
}

fn kick(target: Target) {
    let mut machine = machine(target, code!("2: jmp 2b"));
    let exit = machine.run_for(Duration::from_millis(20)).expect("it runs");
    assert_eq!(exit, VmExit::Interrupted);
    let rip = machine.vcpu().state().expect("state can be read").regs.rip;
    assert_eq!(rip, u64::from(ENTRY));
}

/// What is set can be read, whether or not the guest can do without it.
fn whole_state(target: Target) {
    let mut machine = machine(target, code!("hlt"));
    let vcpu = machine.vcpu();
    let mut state = vcpu.state().expect("state can be read");
    assert_eq!(state.debug, DebugRegs::default());
    assert_eq!(state.msrs.pat, Msrs::default().pat);
    state.debug = DebugRegs([1, 2, 3, 4, 0, 0, 0xffff_0ff1, 0x401]);
    state.msrs = Msrs {
        mtrrs: Mtrrs {
            default_type: msr::MTRR_ENABLE | msr::WRITE_BACK,
            fixed: [0x0606_0606_0504_0100; 11],
            variable: std::array::from_fn(|number| [6, 0xf800_0800][number % 2]),
        },
        star: 0x0013_0008_0000_0000,
        lstar: 0x1000,
        cstar: 0x2000,
        sfmask: 0x200,
        kernel_gs_base: 0x3000,
        sysenter_cs: 8,
        sysenter_esp: 0x4000,
        sysenter_eip: 0x5000,
        pat: 0x0706_0504_0100_0706,
        tsc_aux: 9,
        ..state.msrs
    };
    assert_eq!(state.extended, ExtendedState::default());
    if is_x86_feature_detected!("avx") {
        state.extended = ExtendedState {
            xcr0: (XCr0Flags::X87 | XCr0Flags::SSE | XCr0Flags::AVX).bits(),
            ymm_high: std::array::from_fn(|number| (number as u128 + 1) << 64 | 9),
        };
    }
    state.interruptibility = Interruptibility {
        shadow: Shadow::Sti,
        nmi_pending: true,
        nmi_blocked: true,
    };
    vcpu.set_state(&state).expect("the state is valid");
    let read = vcpu.state().expect("state can be read");
    assert_eq!((read.debug, read.msrs), (state.debug, state.msrs));
    assert_eq!(read.interruptibility, state.interruptibility);
    assert_eq!(read.extended, state.extended);
}

/// Where KVM lacks the instruction, the VMM executes it, and knows the register.
fn tsc_aux(target: Target) {
    let mut machine = machine(target, code!("rdtscp", "mov al, cl", "out 0x10, al"));
    let vcpu = machine.vcpu();
    let mut state = vcpu.state().expect("state can be read");
    state.msrs.tsc_aux = 7;
    vcpu.set_state(&state).expect("the state is valid");
    let written = VmExit::PioOut {
        port: 0x10,
        size: 1,
        data: &[7],
    };
    loop {
        match machine.run().expect("it runs") {
            VmExit::Emulated => {}
            exit => return assert_eq!(exit, written),
        }
    }
}

/// A halt is no exit there; a kick shows it, and it continues.
fn halt_in_kvm(_: Target) {
    let (accelerator, _) = Accelerator::open(AccelChoice::Kvm, false).expect("the target is there");
    for (code, enabled) in [(code!("cli", "hlt"), false), (code!("sti", "hlt"), true)] {
        let mut machine = BareMachine::new(&accelerator, ApicMode::Kernel, code).expect("it fits");
        assert!(!machine.vcpu().halted().expect("it can be asked"));
        for _ in 0..2 {
            let exit = machine.run_for(Duration::from_millis(50)).expect("it runs");
            assert_eq!(exit, VmExit::Interrupted);
            let vcpu = machine.vcpu();
            assert!(vcpu.halted().expect("it can be asked"));
            assert_eq!(vcpu.interrupts_enabled().expect("it is told"), enabled);
            let state = vcpu.state().expect("state can be read");
            assert_eq!(state.regs.rip, u64::from(ENTRY) + 2, "behind the halt");
        }
    }
    let endless = code!("2: jmp 2b");
    let mut machine = BareMachine::new(&accelerator, ApicMode::Kernel, endless).expect("it fits");
    machine.run_for(Duration::from_millis(20)).expect("it runs");
    assert!(!machine.vcpu().halted().expect("it can be asked"));
}

/// An I/O APIC sends to any destination that the guest sets: one without a CPU, or a vector
/// that no CPU accepts.
fn message_to_nobody(_: Target) {
    let (accelerator, _) = Accelerator::open(AccelChoice::Kvm, false).expect("the target is there");
    let mut machine =
        BareMachine::new(&accelerator, ApicMode::Kernel, code!("hlt")).expect("it fits");
    let mut send = |msi: Msi| {
        let sent = machine.vcpu().signal_msi(msi.address, msi.data);
        assert!(sent.is_ok(), "{msi:x?}: {sent:?}");
    };
    for n in 0..=u8::MAX {
        send(Msi::new(n, false, 0, VECTOR, false));
        send(Msi::new(n, true, 1, VECTOR, true));
        send(Msi::new(0, false, 0, n, false));
        send(Msi::new(0, false, n.into(), VECTOR, false));
    }
}
