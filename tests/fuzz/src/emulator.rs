//! The emulator on any code, in every mode, with single step, breakpoints, limits, injected
//! interrupts, NMIs and kicks.
//!
//! Checked: each run ends at its limit at the latest, exactly there if nothing came before; and
//! the same instructions in runs of other lengths lead to the same state.
//!
//! ```text
//! 0        real mode's vectors       0x6000 tables, for each kind of paging: identity
//! 0x1000   GDT, TSS, IDTs            0x8000 handlers   0x10000 code   0x20000 data and stacks
//! ```

use cpu::emu::Emulator;
use vmm::cpu::{CpuState, DebugRegs, Dtable, Interruptibility, Msrs, Regs, Segment, Vcpu};
use vmm::exit::VmExit;
use vmm::memory::GuestRam;

use crate::machine::{emulator, put, put_u64, retired, task};
use crate::{COUNTS, Input, count, watchdog};

const RAM: u64 = 1 << 20;
const GDT: u64 = 0x1000;
const TSS: u64 = 0x1100;
const IDT_32: u64 = 0x2000;
const IDT_64: u64 = 0x3000;
const PAE_POINTERS: u64 = 0x5000;
const ROOT: u64 = 0x6000;
const LARGE_ROOT: u64 = 0x7000;
const HANDLERS: u64 = 0x8000;
const DIRECTORY_POINTERS: u64 = 0x9000;
const DIRECTORY: u64 = 0xa000;
const CODE: u64 = 0x1_0000;
const DATA: u64 = 0x2_0000;
const STACK: u64 = 0x3_0000;
const KERNEL_STACK: u64 = 0x3_8000;

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
    let whole = execute(&setup, code, LIMIT);
    // Kicks come when they come.
    if let Some(whole) = whole
        && !setup.kick
        && setup.step < LIMIT
        && let Some(steps) = execute(&setup, code, setup.step)
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

fn state(mode: Mode, user: bool, paging: bool) -> CpuState {
    let long = matches!(mode, Mode::Long | Mode::Compatible);
    let real = matches!(mode, Mode::Real | Mode::Virtual);
    let (ring, rpl) = if user { (0x60, 3) } else { (0, 0) };
    let code = match mode {
        Mode::Long => 0xa09b,
        Mode::Compatible | Mode::Protected32 => 0xc09b,
        _ => 0x009b,
    };
    let limit = match mode {
        Mode::Real | Mode::Virtual | Mode::Protected16 => 0xffff,
        _ => u32::MAX,
    };
    // Bases of 16-bit modes, so that 64 KiB reach code or data.
    let segment = |selector: u16, base: u64, attributes: u16| match real {
        true => Segment {
            selector: (base >> 4) as u16,
            base,
            limit,
            attributes: 0x93 | ring,
        },
        false => Segment {
            selector: selector | rpl,
            base: if limit == 0xffff { base } else { 0 },
            limit,
            attributes: attributes | ring,
        },
    };
    let big = if limit == 0xffff { 0x93 } else { 0xc093 };
    let data = segment(if user { 0x20 } else { 0x10 }, DATA, big);
    let (code_base, data_base) = if limit == 0xffff {
        (CODE, DATA)
    } else {
        (0, 0)
    };
    let mut gpr = [0; 16];
    for (number, value) in gpr.iter_mut().enumerate() {
        *value = DATA - data_base + 0x100 * number as u64;
    }
    gpr[Regs::RSP] = if limit == 0xffff { 0x8000 } else { STACK };
    let virtual_8086 = u64::from(mode == Mode::Virtual) << 17;
    let paging = long || paging && mode != Mode::Real;
    CpuState {
        regs: Regs {
            gpr,
            rip: CODE - code_base,
            rflags: 2 | virtual_8086 | u64::from(virtual_8086 != 0) << 12 | virtual_8086 >> 4,
        },
        cs: segment(if user { 0x18 } else { 0x08 }, CODE, code),
        ss: data,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        tr: task(TSS),
        gdt: Dtable {
            base: GDT,
            limit: 0x3f,
        },
        idt: match mode {
            Mode::Real => Dtable {
                base: 0,
                limit: 0x3ff,
            },
            _ if long => Dtable {
                base: IDT_64,
                limit: 0xfff,
            },
            _ => Dtable {
                base: IDT_32,
                limit: 0x7ff,
            },
        },
        cr0: u64::from(mode != Mode::Real) | 0x10 | u64::from(paging) << 31,
        cr3: match (long, user) {
            (true, _) => ROOT,
            (_, true) => PAE_POINTERS,
            _ => LARGE_ROOT,
        },
        // SSE; PAE; large pages.
        cr4: 0x600 | if long || user { 0x20 } else { 0x10 },
        efer: if long { 0xd01 } else { 0 },
        msrs: Msrs {
            lstar: HANDLERS + 0x100,
            star: 0x0013_0008_0000_0000,
            ..Msrs::default()
        },
        ..CpuState::default()
    }
}

fn prepare(ram: &GuestRam, setup: &Setup, code: &[u8]) {
    let long = setup.state.efer != 0;
    let (kernel, user) = match setup.state.cs.attributes & 0x6000 {
        0x2000 => (0x00af_9b00_0000_ffff, 0x00af_fb00_0000_ffff),
        0x4000 if long => (0x00af_9b00_0000_ffff, 0x00cf_fb00_0000_ffff),
        _ => (0x00cf_9b00_0000_ffff, 0x00cf_fb00_0000_ffff_u64),
    };
    let data = 0x00cf_9300_0000_ffff;
    for (n, entry) in [0, kernel, data, user, data | 0x6000_0000_0000]
        .into_iter()
        .enumerate()
    {
        put_u64(ram, GDT + 8 * n as u64, entry);
    }
    put_u64(ram, TSS + 4, KERNEL_STACK);
    if !long {
        put_u64(ram, TSS + 8, 0x10);
    }
    for vector in 0..256_u64 {
        let has_code = matches!(vector, 8 | 10..=14 | 17 | 21);
        let handler = HANDLERS + 0x10 * u64::from(has_code);
        let gate = handler & 0xffff | 0x08 << 16 | 0xee00 << 32;
        put_u64(ram, IDT_64 + 16 * vector, gate);
        put_u64(ram, IDT_32 + 8 * vector, gate);
        put(
            ram,
            4 * vector,
            &[0, 0, (HANDLERS >> 4) as u8, (HANDLERS >> 12) as u8],
        );
    }
    // Returns; returns behind an error code; a handler that goes on in the code.
    let (plain, coded): (&[u8], &[u8]) = match (setup.handler % 4, long) {
        (0, _) => (&[0xf4, 0xeb, 0xfd], &[0xf4, 0xeb, 0xfd]),
        (1, true) => (&[0x48, 0xcf], &[0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf]),
        (1, false) => (&[0xcf], &[0x83, 0xc4, 0x04, 0xcf]),
        (2, _) => (&[0xe9, 0xfb, 0x7f, 0, 0], &[0xe9, 0xfb, 0x7f, 0, 0]),
        _ => (&[0x0f, 0x0b], &[0xcc]),
    };
    put(ram, HANDLERS, plain);
    put(ram, HANDLERS + 0x10, coded);
    put(ram, HANDLERS + 0x100, &[0x0f, 0x07, 0xf4]);
    for page in 0..8 {
        put_u64(ram, DIRECTORY + 8 * page, page << 21 | 0xe7);
        put_u64(ram, LARGE_ROOT + 4 * page, page << 22 | 0xe7);
    }
    put_u64(ram, ROOT, DIRECTORY_POINTERS | 7);
    put_u64(ram, DIRECTORY_POINTERS, DIRECTORY | 7);
    put_u64(ram, PAE_POINTERS, DIRECTORY | 1);
    put(ram, CODE, code);
}

/// Runs an input, at most `step` instructions at a time. `None`: its end depends on the host.
fn execute(setup: &Setup, code: &[u8], step: u64) -> Option<Ended> {
    let ram = GuestRam::new(RAM).expect("memory");
    prepare(&ram, setup, code);
    let mut emulator = emulator(ram);
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
