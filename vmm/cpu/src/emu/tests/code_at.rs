//! The current instruction, as bytes and text.

use super::machine::{CODE, DATA, Machine, PAGE_TABLE, USER};
use crate::Vcpu;
use crate::emu::{CodeAt, instruction_at, listing};

/// What is at `rip`.
fn at(machine: &mut Machine, rip: u64) -> Option<CodeAt> {
    let mut state = machine.state();
    state.regs.rip = rip;
    instruction_at(&machine.ram, &state)
}

fn code(bytes: &[u8], text: &str) -> Option<CodeAt> {
    Some(CodeAt {
        bytes: bytes.to_vec(),
        text: text.to_owned(),
    })
}

#[test]
fn an_instruction_is_read_and_shown() {
    let mut machine = Machine::new(&[0x48, 0x8b, 0x45, 0xf8, 0xf4]);
    assert_eq!(
        at(&mut machine, CODE),
        code(&[0x48, 0x8b, 0x45, 0xf8], "mov rax, [rbp-8]")
    );
    assert_eq!(at(&mut machine, CODE + 4), code(&[0xf4], "hlt"));
}

#[test]
fn modes_are_those_of_the_code_segment() {
    let mut machine = Machine::new(&[0xb8, 0x34, 0x12, 0, 0]);
    for (attributes, bytes, text) in [
        (0xc09b, 5, "mov eax, 0x1234"),
        (0x009b, 3, "mov ax, 0x1234"),
    ] {
        let mut state = machine.state();
        (state.cs.attributes, state.cs.base) = (attributes, 0x1000);
        state.regs.rip = CODE - 0x1000;
        let found = instruction_at(&machine.ram, &state);
        assert_eq!(found, code(&[0xb8, 0x34, 0x12, 0, 0][..bytes], text));
    }
}

#[test]
fn the_next_page_is_read_if_it_is_there() {
    // jmp to itself
    let mut machine = Machine::new(&[0]);
    let end = DATA + 0x1000;
    machine.write(end - 1, &[0xeb, 0xfe]);
    assert_eq!(
        at(&mut machine, end - 1).expect("mapped").bytes,
        [0xeb, 0xfe]
    );
    machine.write_u64(PAGE_TABLE + 8 * (end >> 12), 0);
    assert_eq!(at(&mut machine, end - 1), code(&[0xeb], "(bad)"));
    machine.write(end - 1, &[0x90]);
    assert_eq!(at(&mut machine, end - 1), code(&[0x90], "nop"));
    assert_eq!(at(&mut machine, end), None);
    machine.write_u64(PAGE_TABLE + 8 * (end >> 12), 0x8000_0000 | USER);
    assert_eq!(at(&mut machine, end), None, "no RAM");
    assert_eq!(at(&mut machine, 1 << 47), None, "no address");
}

#[test]
fn the_machine_stays_as_it_is() {
    let mut machine = Machine::new(&[0xf4]);
    let before = machine.state();
    assert!(instruction_at(&machine.ram, &before).is_some());
    machine.run_to_hlt();
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 1);
}

/// What a listing shows, which begins so far before the instruction at hand.
fn listed(machine: &mut Machine, rip: u64, offset: u64) -> Vec<(u64, String)> {
    let mut state = machine.state();
    state.regs.rip = rip;
    let lines = listing(&machine.ram, &state, offset).into_iter();
    lines.map(|line| (line.address - CODE, line.text)).collect()
}

#[test]
fn an_instruction_is_listed_between_its_neighbours() {
    // Ten of `mov eax, 1`, ud2, and ten of `nop`.
    let mut code = [0xb8, 1, 0, 0, 0].repeat(10);
    code.extend([0x0f, 0x0b]);
    code.extend([0x90; 10]);
    let mut machine = Machine::new(&code);
    let all = listed(&mut machine, CODE + 50, 50);
    let expected = (20..50)
        .step_by(5)
        .map(|at| (at, "mov eax, 1"))
        .chain([(50, "ud2")])
        .chain((52..56).map(|at| (at, "nop")));
    let expected: Vec<_> = expected.map(|(at, text)| (at, text.to_owned())).collect();
    assert_eq!(all, expected);
    // From too far away, and from nowhere.
    for offset in [50 + CODE, u64::MAX, 0] {
        assert_eq!(listed(&mut machine, CODE + 50, offset), expected[6..]);
    }
    assert_eq!(listed(&mut machine, 1 << 46, 50), []);
}
