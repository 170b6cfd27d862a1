//! Kicks, and instructions long enough to be left in their middle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use iced_x86::code_asm::*;

use super::machine::{CODE, DATA, LARGE, Machine, PAGE_DIRECTORY, USER, assemble};
use crate::exit::VmExit;
use crate::{Regs, Vcpu};

const LARGE_PAGE: u64 = 2 << 20;

#[test]
fn a_kick_ends_an_endless_loop() {
    let mut machine = Machine::new(|a| {
        let mut here = a.create_label();
        a.set_label(&mut here)?;
        a.jmp(here)
    });
    let kicker = machine.emulator.kicker();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        kicker.kick();
    });
    assert_eq!(machine.run(), VmExit::Interrupted);
    thread.join().expect("the kicker");
}

#[test]
fn a_long_string_store_counts_once() {
    let mut machine = Machine::new(|a| {
        a.mov(rdi, DATA)?;
        a.mov(ecx, 0x18_0000 / 8)?;
        a.mov(rax, 0x0101_0101_0101_0101_u64)?;
        a.rep().stosq()?;
        a.hlt()
    });
    machine.run_to_hlt();
    assert_eq!(machine.read_u64(DATA), 0x0101_0101_0101_0101);
    assert_eq!(machine.read_u64(DATA + 0x17_fff8), 0x0101_0101_0101_0101);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 5);
}

#[test]
fn a_kick_is_seen_amid_a_string_instruction() {
    const COUNT: u64 = 511 * LARGE_PAGE;
    let before = |a: &mut CodeAssembler| {
        a.mov(rsi, LARGE_PAGE)?;
        a.mov(rcx, COUNT)
    };
    let mut machine = Machine::new(|a| {
        before(a)?;
        a.rep().lodsb()?;
        a.hlt()
    });
    // Much address space, little RAM: all is one page.
    for i in 1..512 {
        machine.write_u64(PAGE_DIRECTORY + 8 * i, LARGE_PAGE | LARGE | USER);
    }
    let kicker = machine.emulator.kicker();
    let seen = AtomicBool::new(false);
    let interrupted = thread::scope(|scope| {
        scope.spawn(|| {
            while !seen.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                kicker.kick();
            }
        });
        let interrupted = loop {
            let interrupted = machine.run() == VmExit::Interrupted;
            // A kick may have come before the instruction began.
            if !interrupted || (1..COUNT).contains(&machine.gpr(Regs::RCX)) {
                break interrupted;
            }
        };
        seen.store(true, Ordering::Relaxed);
        interrupted
    });
    assert!(interrupted);
    let at = CODE + assemble(CODE, before).len() as u64;
    assert_eq!(machine.state().regs.rip, at);
    let left = machine.gpr(Regs::RCX);
    assert_eq!(machine.gpr(Regs::RSI), LARGE_PAGE + COUNT - left);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 2);
    machine.alter(|state| state.regs.gpr[Regs::RCX] = 1);
    // One more kick may have come since.
    if machine.run() == VmExit::Interrupted {
        machine.run_to_hlt();
    }
    assert_eq!(machine.gpr(Regs::RCX), 0);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 4);
}
