//! Several vCPUs of one machine, in turns.

use super::machine::{CODE, DATA, Machine, initial_state};
use crate::emu::{Clock, EmuConfig, Emulator};
use crate::exit::VmExit;
use crate::{Regs, Vcpu};

/// Where the second vCPU has its code.
const OTHER: u64 = CODE + 0x4000;

/// A machine with `code` of each of two vCPUs, about to run.
fn two(code: [&[u8]; 2]) -> (Machine, [Emulator; 2]) {
    let mut machine = Machine::new(code[0]);
    machine.write(OTHER, code[1]);
    let config = EmuConfig {
        clock: Clock::Instructions,
        ..EmuConfig::default()
    };
    let vcpus = Emulator::several(&machine.ram, config, 2);
    let mut vcpus: [Emulator; 2] = vcpus.try_into().ok().expect("two were asked for");
    for (vcpu, rip) in vcpus.iter_mut().zip([CODE, OTHER]) {
        begin(vcpu, rip);
    }
    (machine, vcpus)
}

/// Has `vcpu` begin at `rip`.
fn begin(vcpu: &mut Emulator, rip: u64) {
    let mut state = initial_state();
    state.regs.rip = rip;
    vcpu.set_state(&state).expect("a good state");
}

fn run_to_hlt(vcpu: &mut Emulator) {
    assert_eq!(vcpu.run().expect("it runs"), VmExit::Hlt);
}

fn rax(vcpu: &mut Emulator) -> u64 {
    vcpu.state().expect("a state").regs.gpr[Regs::RAX]
}

/// `mov byte [at], value`
fn store(at: u64, value: u8) -> Vec<u8> {
    let at = (at as u32).to_le_bytes();
    [&[0xc6, 0x04, 0x25][..], &at, &[value]].concat()
}

/// `mov eax, 1; hlt`
const ONE: [u8; 6] = [0xb8, 1, 0, 0, 0, 0xf4];
const HLT: [u8; 1] = [0xf4];

#[test]
fn code_that_another_has_decoded_is_seen_to_change() {
    // The first store lets the second vCPU write to that page by its TLB; `hlt` between.
    let beside = store(CODE + 0x800, 9);
    let writer = [&beside[..], &HLT, &store(CODE + 1, 2), &HLT].concat();
    let (machine, [mut reader, mut writer]) = two([&ONE, &writer]);
    run_to_hlt(&mut writer);
    assert_eq!(machine.read_u64(CODE + 0x800) as u8, 9);
    run_to_hlt(&mut reader);
    assert_eq!(rax(&mut reader), 1);
    run_to_hlt(&mut writer);
    begin(&mut reader, CODE);
    run_to_hlt(&mut reader);
    assert_eq!(rax(&mut reader), 2);
}

#[test]
fn a_device_tells_one_of_them_what_it_has_written() {
    let (mut machine, [mut reader, mut other]) = two([&ONE, &HLT]);
    run_to_hlt(&mut reader);
    machine.write(CODE + 1, &[3]);
    other.ram_written(CODE + 1..CODE + 2);
    begin(&mut reader, CODE);
    run_to_hlt(&mut reader);
    assert_eq!(rax(&mut reader), 3);
}

#[test]
fn a_vcpu_whose_cache_is_emptied_still_hears_of_writes() {
    // Another page of code each time: more than the news that are kept.
    let (machine, [mut reader, mut writer]) = two([&ONE, &store(CODE + 1, 2)]);
    run_to_hlt(&mut reader);
    let neighbours = writer.cpu.code.neighbours.as_ref().expect("there are two");
    for page in 0..100_000 {
        neighbours.tell(crate::emu::code::neighbours::News::Decoded(page << 12));
    }
    machine.ram.write(OTHER + 8, &HLT).expect("RAM");
    run_to_hlt(&mut writer);
    begin(&mut reader, CODE);
    run_to_hlt(&mut reader);
    assert_eq!(rax(&mut reader), 2);
}

#[test]
fn a_pause_ends_a_turn_if_others_wait() {
    // pause ; jmp to itself
    let (_, [mut vcpu, _]) = two([&[0xf3, 0x90, 0xeb, 0xfc], &HLT]);
    for (wanted, limit, count) in [(false, 1000, 1000), (true, 2000, 1002)] {
        vcpu.set_pause_exits(wanted);
        vcpu.set_instruction_limit(Some(limit)).expect("it counts");
        assert_eq!(vcpu.run().expect("it runs"), VmExit::InstructionLimit);
        let counts = vcpu.instructions().expect("it counts");
        assert_eq!(counts.ring0, count);
    }
}

#[test]
fn a_turn_ends_with_a_block() {
    // inc eax ; inc eax ; jmp to the first
    let (_, [mut vcpu, _]) = two([&[0xff, 0xc0, 0xff, 0xc0, 0xeb, 0xfa], &HLT]);
    let mut last = 0;
    for end in (1000..=5000).step_by(1000) {
        vcpu.set_turn(end).expect("it counts");
        assert_eq!(vcpu.run().expect("it runs"), VmExit::InstructionLimit);
        let count = vcpu.instructions().expect("it counts").ring0;
        assert!((end - 63..=end).contains(&count), "{count} of {end}");
        assert_eq!(count % 3, 0, "no block is cut");
        assert!(count > last);
        last = count;
    }
    // A limit is exact all the same.
    vcpu.set_instruction_limit(Some(6001)).expect("it counts");
    assert_eq!(vcpu.run().expect("it runs"), VmExit::InstructionLimit);
    assert_eq!(vcpu.instructions().expect("it counts").ring0, 6001);
}

#[test]
fn time_is_of_all_instructions() {
    // rdtsc ; mov [DATA], eax ; hlt
    let at = (DATA as u32).to_le_bytes();
    let read_time = [&[0x0f, 0x31, 0x89, 0x04, 0x25][..], &at, &HLT].concat();
    let spin = [0xb9, 100, 0, 0, 0, 0xe2, 0xfe, 0xf4];
    let (machine, [mut first, mut second]) = two([&spin, &read_time]);
    run_to_hlt(&mut first);
    let spent = first.instructions().expect("it counts").ring0;
    assert_eq!(spent, 102);
    run_to_hlt(&mut second);
    assert_eq!(machine.read_u64(DATA) & 0xffff_ffff, spent);
    assert_eq!(first.tsc().expect("it has one"), spent + 3);
}
