//! NMIs: when they are taken, and what blocks them.

use assembly::code;

use super::machine::{CODE, DATA, Machine};
use crate::exit::VmExit;
use crate::{Interruptibility, Regs, Shadow, Vcpu};

const NMI: u8 = 2;
/// A handler that counts in rbx, and halts the first `rbp` times.
const HANDLER: u64 = CODE + 0x1000;
const PORT: u8 = 0x10;

fn out() -> &'static [u8] {
    code!("out {port}, al", port = const PORT)
}

/// A machine that runs `code` with the handler of NMIs in place, on the stack of IST 1.
fn machine(code: &[u8]) -> Machine {
    let mut machine = Machine::new(code);
    machine.write(
        HANDLER,
        code!("inc ebx", "cmp ebx, ebp", "ja 2f", "hlt", "2: iretq"),
    );
    machine.write_u64(super::machine::TSS + 0x24, DATA + 0x1000);
    machine.set_gate(NMI, HANDLER, 0, 1);
    machine
}

fn send(machine: &mut Machine) {
    machine.emulator.inject_nmi().expect("it never fails");
}

fn expect_out(machine: &mut Machine) {
    assert!(matches!(machine.run(), VmExit::PioOut { .. }));
}

fn nmis(machine: &mut Machine) -> u64 {
    machine.gpr(Regs::RBX)
}

#[test]
fn one_is_taken_with_interrupts_off() {
    let mut machine = machine(&[out(), code!("hlt", "hlt")].concat());
    expect_out(&mut machine);
    send(&mut machine);
    machine.run_to_hlt();
    assert_eq!(nmis(&mut machine), 1);
    send(&mut machine);
    machine.run_to_hlt();
    assert_eq!(nmis(&mut machine), 2, "it ends a halt");
    assert_eq!(
        machine.state().interruptibility,
        Interruptibility::default()
    );
}

#[test]
fn a_second_waits_for_iret_and_a_third_is_lost() {
    let mut machine = machine(&[out(), code!("hlt")].concat());
    machine.alter(|state| state.regs.gpr[Regs::RBP] = 1);
    expect_out(&mut machine);
    send(&mut machine);
    machine.run_to_hlt();
    assert_eq!(nmis(&mut machine), 1, "in the handler");
    for _ in 0..2 {
        send(&mut machine);
    }
    let state = machine.state().interruptibility;
    assert!(state.nmi_pending && state.nmi_blocked);
    machine.alter(|_| ());
    machine.run_to_hlt();
    assert_eq!(nmis(&mut machine), 2);
    assert_eq!(machine.gpr(Regs::RSP), super::machine::STACK);
}

#[test]
fn an_iret_that_faults_unblocks_nothing() {
    const GP: u8 = 13;
    let mut machine = machine(code!("hlt"));
    machine.set_gate(GP, CODE, 0, 0);
    // To address 1 << 63, by a frame that is all zeros but for that.
    machine.write(
        HANDLER,
        code!(
            "inc ebx",
            "mov rax, 1",
            "ror rax",
            "mov [rsp], rax",
            "iretq"
        ),
    );
    send(&mut machine);
    machine.run_to_hlt();
    assert_eq!(nmis(&mut machine), 1);
    assert!(machine.state().interruptibility.nmi_blocked);
}

#[test]
fn a_shadow_holds_it_back_for_one_instruction() {
    for (begin, shadow) in [
        (
            code!("mov eax, ss", "out 0x10, al", "mov ss, eax"),
            Shadow::MovSs,
        ),
        (code!("mov eax, ss", "out 0x10, al", "sti"), Shadow::Sti),
    ] {
        let code = [begin, code!("mov edx, ebx", "hlt")].concat();
        let mut machine = machine(&code);
        expect_out(&mut machine);
        let at = machine.emulator.instructions().expect("counted").ring0 + 1;
        machine
            .emulator
            .set_instruction_limit(Some(at))
            .expect("it counts");
        assert_eq!(machine.run(), VmExit::InstructionLimit);
        assert_eq!(machine.state().interruptibility.shadow, shadow);
        send(&mut machine);
        // What is saved and restored holds as long.
        machine.alter(|_| ());
        machine
            .emulator
            .set_instruction_limit(None)
            .expect("it counts");
        machine.run_to_hlt();
        assert_eq!((machine.gpr(Regs::RDX), nmis(&mut machine)), (0, 1));
    }
}

#[test]
fn one_that_comes_in_the_shadow_of_a_halt_ends_it() {
    let mut machine = machine(code!("hlt", "mov edx, 7", "hlt"));
    machine.alter(|state| {
        state.interruptibility = Interruptibility {
            shadow: Shadow::Sti,
            nmi_pending: true,
            nmi_blocked: false,
        };
    });
    machine.run_to_hlt();
    assert_eq!((machine.gpr(Regs::RDX), nmis(&mut machine)), (7, 1));
}

#[test]
fn it_waits_for_the_end_of_an_instruction_that_waits_for_the_vmm() {
    let mut machine = machine(code!("mov esi, 0x8000000", "mov eax, [rsi]", "hlt",));
    let VmExit::MmioRead { data, .. } = machine.run() else {
        panic!("a read outside RAM");
    };
    data.fill(1);
    send(&mut machine);
    machine.run_to_hlt();
    assert_eq!(machine.gpr(Regs::RAX), 0x0101_0101);
    assert_eq!(nmis(&mut machine), 1);
}

#[test]
fn it_comes_before_an_external_interrupt() {
    let mut machine = machine(code!("sti", "nop", "out 0x10, al", "hlt"));
    expect_out(&mut machine);
    assert!(machine.emulator.ready());
    send(&mut machine);
    assert!(!machine.emulator.ready());
}
