//! The emulator on any code, in every mode, with single step, breakpoints, limits, injected
//! interrupts, NMIs and kicks.
//!
//! Checked: each run ends at its limit at the latest, exactly there if nothing came before; and
//! the same instructions in runs of other lengths, by the interpreter, lead to the same state.
//!
//! ```text
//! 0        real mode's vectors       0x6000 tables, for each kind of paging: identity
//! 0x1000   GDT, TSS, IDTs            0x8000 handlers   0x10000 code   0x20000 data and stacks
//! ```

mod start;

use cpu::emu::{Emulator, Engine};
use vmm::cpu::{CpuState, DebugRegs, Interruptibility, Vcpu};
use vmm::exit::VmExit;
use vmm::memory::GuestRam;

use crate::machine::{emulator_by, retired};
use crate::{COUNTS, Input, count, watchdog};
use start::{CODE, prepare, state, tables};

const RAM: u64 = 1 << 20;
/// Instructions of an input at most.
const LIMIT: u64 = 2000;
/// Exits of an input at most.
const EXITS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Real,
    Virtual,
    Protected16,
    Protected32,
    Compatible,
    Long,
}

/// What an input says but its code.
#[derive(Clone, Debug)]
struct Setup {
    state: CpuState,
    handler: u8,
    /// What comes from outside at each exit, in turn.
    events: [u8; 8],
    step: u64,
    kick: bool,
}

/// How a run of an input has ended.
#[derive(Debug, PartialEq)]
struct Ended {
    exits: Vec<String>,
    state: CpuState,
    instructions: u64,
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let setup = setup(&mut input);
    let code = input.rest();
    let whole = execute(Engine::Translator { after: 0 }, &setup, code, LIMIT);
    // Kicks come when they come.
    if let Some(whole) = whole
        && !setup.kick
        && let Some(steps) = execute(Engine::Interpreter, &setup, code, setup.step)
    {
        assert_eq!(whole.exits, steps.exits, "in steps of {}", setup.step);
        assert_eq!(whole, steps, "in steps of {}", setup.step);
    }
}

fn setup(input: &mut Input) -> Setup {
    let mode = input.pick(&[
        Mode::Long,
        Mode::Long,
        Mode::Protected32,
        Mode::Protected16,
        Mode::Compatible,
        Mode::Real,
        Mode::Virtual,
    ]);
    let options = input.u16();
    let flag = |n: u32| options >> n & 1 != 0;
    let user = flag(0) && mode != Mode::Real || mode == Mode::Virtual;
    let mut state = state(mode, user, flag(1));
    if flag(2) {
        state.regs.rflags |= 1 << 8;
    }
    if flag(3) {
        state.regs.rflags |= 1 << 9;
    }
    if flag(4) {
        let mut registers = [0; 8];
        for register in &mut registers[..4] {
            *register = CODE + u64::from(input.u8() % 64);
        }
        (registers[6], registers[7]) = (0xffff_0ff0, 0x400 | u64::from(input.u32() & 0xffff_23ff));
        state.debug = DebugRegs(registers);
    }
    if flag(5) {
        state.regs.rflags |= u64::from(input.u32()) & 0x25_4cd5;
    }
    if flag(6) {
        state.cr4 |= u64::from(input.u32()) & 0x30_0f8f;
        state.cr0 |= u64::from(input.u32()) & 0x0005_002e;
    }
    if flag(7) {
        let at = usize::from(input.u8()) % 24;
        state.fx.0[at] = input.u8();
        // Reserved bits of MXCSR cannot be.
        state.fx.0[25] &= 0x7f | 0x80;
        state.fx.0[26..28].fill(0);
    }
    if flag(8) {
        for register in [1, 2, 3, 6, 7] {
            state.regs.gpr[register] = input.number();
        }
    }
    if flag(9) {
        state.interruptibility = Interruptibility {
            nmi_pending: flag(10),
            nmi_blocked: flag(11),
            ..Interruptibility::default()
        };
    }
    Setup {
        state,
        handler: input.u8(),
        events: input.take(8).try_into().unwrap_or_default(),
        step: 1 + u64::from(input.u8()) % 100,
        kick: flag(12) && flag(13) && flag(14),
    }
}

/// Runs an input, at most `step` instructions at a time. `None`: its end depends on the host.
fn execute(engine: Engine, setup: &Setup, code: &[u8], step: u64) -> Option<Ended> {
    let ram = GuestRam::new(RAM).expect("memory");
    prepare(&ram, setup, code);
    let tables_before = tables(&ram);
    let mut emulator = emulator_by(engine, ram.clone());
    emulator.set_state(&setup.state).expect("a state");
    let guard = watchdog::watch(emulator.kicker());
    if setup.kick {
        emulator.kicker().kick();
    }
    let mut exits = Vec::new();
    let mut kicked = !setup.kick;
    while exits.len() < EXITS {
        let before = retired(&emulator);
        let limit = (before + step).min(LIMIT);
        emulator
            .set_instruction_limit(Some(limit))
            .expect("it counts");
        let exit = emulator.run().expect("the emulator itself never fails");
        let text = answer(exit, setup, exits.len());
        let after = retired(&emulator);
        assert!(after <= limit, "{after} instructions of {limit}");
        match text.as_deref() {
            None if !kicked => kicked = true,
            None => {
                // The watchdog has ended it: an endless exception.
                drop(guard);
                count(&COUNTS.instructions, after);
                return None;
            }
            Some("InstructionLimit") => {
                assert_eq!(after, limit);
                if after == LIMIT {
                    break;
                }
            }
            Some(text) => {
                let is_end = text.starts_with("Failed") || text == "TripleFault";
                exits.push(format!("{after} {text}"));
                if is_end {
                    break;
                }
                outside(&mut emulator, setup, exits.len());
            }
        }
    }
    drop(guard);
    count(&COUNTS.instructions, retired(&emulator));
    let state = emulator.state().expect("a state");
    if tables(&ram) != tables_before {
        // Which entries a processor has kept is its own.
        return None;
    }
    assert!(
        state.regs.rflags & 0x802a == 2,
        "reserved flags: {:x}",
        state.regs.rflags
    );
    emulator.set_state(&state).expect("its own state");
    assert_eq!(emulator.state().expect("a state"), state);
    Some(Ended {
        exits,
        instructions: retired(&emulator),
        state,
    })
}

/// What the exit was, after an answer to it. `None` for a kick.
fn answer(exit: VmExit<'_>, setup: &Setup, number: usize) -> Option<String> {
    let byte = setup.events[number % 8];
    let text = format!("{exit:x?}");
    match exit {
        VmExit::PioIn { data, .. } | VmExit::MmioRead { data, .. } => data.fill(byte),
        VmExit::MsrRead { value, error, .. } => (*value, *error) = (byte.into(), byte & 1),
        VmExit::MsrWrite { error, .. } => *error = byte & 1,
        VmExit::Interrupted => return None,
        VmExit::Eoi { .. } | VmExit::Emulated => panic!("{text} of the emulator"),
        _ => {}
    }
    Some(text)
}

/// What comes from outside, after an exit that is no limit.
fn outside(emulator: &mut Emulator, setup: &Setup, number: usize) {
    let byte = setup.events[number % 8];
    match byte % 8 {
        1 if emulator.ready() => emulator.inject(byte.max(16)).expect("it is ready"),
        2 => emulator.inject_nmi().expect("it is taken"),
        3 => emulator.request_interrupt_window(byte & 0x80 != 0),
        4 => emulator.set_cr8(byte >> 4),
        5 => emulator.ram_written(CODE..CODE + u64::from(byte)),
        6 => emulator.set_pause_exits(byte & 0x80 != 0),
        _ => {}
    }
}
