//! `ins`: the number of elements for each exit, none of which is lost.

use assembly::code;

use super::machine::{DATA, Machine, PAGE_TABLE};
use crate::exit::VmExit;
use crate::{Regs, Vcpu};

const PORT: u16 = 0x5e4;

/// A machine that reads `count` elements from [`PORT`] to `to`.
fn machine(to: u64, count: u64, ins: &[u8]) -> Machine {
    let mut machine = Machine::new(&[ins, code!("hlt")].concat());
    machine.alter(|state| {
        state.regs.gpr[Regs::RDI] = to;
        state.regs.gpr[Regs::RCX] = count;
        state.regs.gpr[Regs::RDX] = PORT.into();
    });
    machine
}

/// Answers with 1, 2, 3 and so on until there is another exit; how many bytes each time.
fn serve(machine: &mut Machine, next: &mut u8) -> Vec<usize> {
    let mut asked = Vec::new();
    while let VmExit::PioIn { port, data, .. } = machine.run() {
        assert_eq!(port, PORT);
        for byte in &mut *data {
            *next = next.wrapping_add(1);
            *byte = *next;
        }
        asked.push(data.len());
    }
    asked
}

fn bytes(machine: &Machine, at: u64, len: u64) -> Vec<u8> {
    (at..at + len)
        .map(|at| machine.read_u64(at & !7).to_le_bytes()[(at & 7) as usize])
        .collect()
}

/// 1, 2, 3 and so on.
fn counted(len: u64) -> Vec<u8> {
    (1..=len).map(|n| n as u8).collect()
}

#[test]
fn many_are_asked_for_at_once() {
    let mut machine = machine(DATA + 0x100, 3000, code!("rep insb"));
    assert_eq!(serve(&mut machine, &mut 0), [1024, 1024, 952]);
    assert_eq!(bytes(&machine, DATA + 0x100, 3000), counted(3000));
    assert_eq!(machine.gpr(Regs::RCX), 0);
    assert_eq!(machine.gpr(Regs::RDI), DATA + 0x100 + 3000);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 2);
}

#[test]
fn bytes_end_with_the_page() {
    let mut machine = machine(DATA + 0xff0, 100, code!("rep insb"));
    assert_eq!(serve(&mut machine, &mut 0), [16, 84]);
    assert_eq!(bytes(&machine, DATA + 0xff0, 100), counted(100));
}

#[test]
fn downwards_the_first_is_highest() {
    let mut machine = machine(DATA + 0x1003, 8, code!("std", "rep insw", "cld"));
    // Three bytes of the page below the address count as three elements.
    assert_eq!(serve(&mut machine, &mut 0), [6, 10]);
    let words: Vec<u8> = counted(16).chunks(2).rev().flatten().copied().collect();
    assert_eq!(bytes(&machine, DATA + 0x1003 - 14, 16), words);
    assert_eq!(machine.gpr(Regs::RDI), DATA + 0x1003 - 16);
}

#[test]
fn what_the_guest_cannot_take_is_not_asked_for() {
    let mut machine = machine(DATA + 0xffc, 4, code!("rep insw"));
    machine.write_u64(PAGE_TABLE + 8 * ((DATA >> 12) + 1), 0);
    machine.write(0x11000, &[0xf4]);
    machine.set_gate(14, 0x11000, 0, 0);
    let before = machine.state().cr2;
    match machine.run() {
        VmExit::PioIn { data, .. } => data.copy_from_slice(&[1, 2]),
        other => panic!("{other:?}"),
    }
    assert_eq!(machine.state().cr2, before, "nothing has faulted yet");
    assert_eq!(serve(&mut machine, &mut 2), [2]);
    assert_eq!(bytes(&machine, DATA + 0xffc, 4), counted(4));
    assert_eq!(machine.state().cr2, DATA + 0x1000);
    assert_eq!(machine.gpr(Regs::RCX), 2);
}

#[test]
fn one_without_a_repeat_and_none_of_none() {
    let mut one = machine(DATA, 7, code!("insd"));
    assert_eq!(serve(&mut one, &mut 0), [4]);
    assert_eq!(one.gpr(Regs::RCX), 7);
    let mut none = machine(DATA, 0, code!("rep insd"));
    assert!(serve(&mut none, &mut 0).is_empty());
}
