//! Components of the state, saved and restored.

use assembly::code;

use super::machine::{DATA, Machine};
use crate::emu::state::control::bits::{CR0_TS, CR4_OSXSAVE};
use crate::exit::VmExit;
use crate::{CpuState, Regs};

const GP: u64 = 13;
const UD: u64 = 6;
const NM: u64 = 7;
/// Where the area has the XMM registers, XSTATE_BV, XCOMP_BV and the YMM registers.
const XMM: u64 = DATA + 160;
const IN_USE: u64 = DATA + 512;
const FORMAT: u64 = DATA + 520;
const YMM: u64 = DATA + 576;
const AVX: u64 = 4;

fn machine(code: &[u8], change: impl FnOnce(&mut CpuState)) -> Machine {
    let mut machine = Machine::new(code);
    machine.alter(|state| {
        state.cr4 |= CR4_OSXSAVE;
        state.extended.xcr0 = if std::is_x86_feature_detected!("avx") {
            7
        } else {
            3
        };
        state.regs.gpr[Regs::RBX] = DATA;
        state.regs.gpr[Regs::RAX] = u64::MAX;
        state.regs.gpr[Regs::RDX] = u64::MAX;
        change(state);
    });
    machine
}

/// The vector of the fault that ends `code`.
fn fault(code: &[u8], change: impl FnOnce(&mut CpuState)) -> u64 {
    let mut machine = machine(code, change);
    for vector in [UD, NM, GP] {
        let handler = 0x11000 + 16 * vector;
        machine.write(handler, code!("hlt"));
        machine.set_gate(vector as u8, handler, 0, 0);
    }
    machine.run_to_hlt();
    (machine.state().regs.rip - 0x11000) / 16
}

/// Gives the registers values that can be told apart.
fn fill(state: &mut CpuState) {
    for (n, byte) in state.fx.0[32..416].iter_mut().enumerate() {
        *byte = if n < 128 && n % 16 > 9 { 0 } else { n as u8 };
    }
    state.extended.ymm_high = std::array::from_fn(|n| n as u128 + 1);
}

#[test]
fn a_state_comes_back() {
    for code in [
        code!("xsave64 [rbx]", "hlt", "xrstor64 [rbx]", "hlt"),
        code!("xsaveopt64 [rbx]", "hlt", "xrstor64 [rbx]", "hlt"),
        code!("xsavec64 [rbx]", "hlt", "xrstor64 [rbx]", "hlt"),
        code!("xsaves64 [rbx]", "hlt", "xrstors64 [rbx]", "hlt"),
    ] {
        for base in [DATA, DATA + 0xdc0] {
            let mut machine = machine(code, |state| {
                fill(state);
                state.regs.gpr[Regs::RBX] = base;
            });
            let before = machine.state();
            machine.run_to_hlt();
            machine.alter(|state| {
                state.fx = CpuState::default().fx;
                state.extended.ymm_high = [0; 16];
            });
            machine.run_to_hlt();
            assert_came_back(&machine.state(), &before);
        }
    }
}

/// The components that XCR0 enables are as they were `before`.
fn assert_came_back(after: &CpuState, before: &CpuState) {
    assert_eq!(after.fx, before.fx);
    if before.extended.xcr0 & AVX != 0 {
        assert_eq!(after.extended, before.extended);
    }
}

/// Executes `code` with its operand in device memory, which holds `area`. No byte of that is
/// read twice, or written twice.
fn on_device(code: &[u8], area: &mut [u8; 1024], change: impl FnOnce(&mut CpuState)) -> CpuState {
    const DEVICE: u64 = 0x1000_0000;
    let mut machine = machine(code, |state| {
        state.regs.gpr[Regs::RBX] = DEVICE;
        change(state);
    });
    let [mut read, mut written] = [[false; 1024]; 2];
    let place = |gpa: u64, len: usize, done: &mut [bool; 1024]| {
        let place = (gpa - DEVICE) as usize..(gpa - DEVICE) as usize + len;
        assert_eq!(done[place.clone()], vec![false; len], "{gpa:x}");
        done[place.clone()].fill(true);
        place
    };
    loop {
        match machine.run() {
            VmExit::MmioRead { gpa, data } => {
                data.copy_from_slice(&area[place(gpa, data.len(), &mut read)]);
            }
            VmExit::MmioWrite { gpa, data } => {
                area[place(gpa, data.len(), &mut written)].copy_from_slice(data);
            }
            VmExit::Hlt => return machine.state(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn device_memory_may_hold_the_area() {
    for (save, restore) in [
        (
            code!("xsave64 [rbx]", "hlt"),
            code!("xrstor64 [rbx]", "hlt"),
        ),
        (
            code!("xsavec64 [rbx]", "hlt"),
            code!("xrstors64 [rbx]", "hlt"),
        ),
    ] {
        let mut area = [0; 1024];
        let before = on_device(save, &mut area, fill);
        let after = on_device(restore, &mut area, |_| {});
        assert_came_back(&after, &before);
    }
}

#[test]
fn what_is_not_in_use_is_reset() {
    let mut machine = machine(
        code!(
            "xsavec [rbx]",
            "pcmpeqd xmm3, xmm3",
            "fld1",
            "xrstor [rbx]",
            "hlt"
        ),
        |_| {},
    );
    let before = machine.state();
    machine.write_u64(XMM, 5);
    machine.run_to_hlt();
    assert_eq!(machine.read_u64(IN_USE), 0);
    assert_eq!(machine.read_u64(FORMAT), 1 << 63 | before.extended.xcr0);
    assert_eq!(machine.read_u64(XMM), 5);
    assert_eq!(machine.state().fx, before.fx);
}

#[test]
fn the_standard_format_keeps_what_is_not_requested() {
    let mut machine = machine(code!("xsave [rbx]", "hlt"), |state| {
        fill(state);
        state.regs.gpr[Regs::RAX] = 2;
    });
    machine.write_u64(IN_USE, 0x104);
    machine.write_u64(FORMAT, 0x77);
    machine.write_u64(YMM, 9);
    machine.run_to_hlt();
    assert_eq!(machine.read_u64(IN_USE), 0x106);
    assert_eq!(machine.read_u64(FORMAT), 0x77);
    assert_eq!(machine.read_u64(YMM), 9);
    assert_eq!(machine.read_u64(DATA), 0);
    assert_eq!(
        machine.read_u64(DATA + 24),
        0xffff_0000_1f80 | u64::from(machine.state().fx.0[30]) << 48
    );
}

#[test]
fn bad_areas_and_modes_fault() {
    let ts = |state: &mut CpuState| state.cr0 |= CR0_TS;
    let off = |state: &mut CpuState| state.cr4 &= !CR4_OSXSAVE;
    let crooked = |state: &mut CpuState| state.regs.gpr[Regs::RBX] += 32;
    for code in [
        code!("xsave [rbx]"),
        code!("xrstor [rbx]"),
        code!("xsavec [rbx]"),
    ] {
        assert_eq!(fault(code, ts), NM);
        assert_eq!(fault(code, off), UD);
        assert_eq!(fault(code, crooked), GP);
    }
    for (at, value) in [
        (IN_USE, 1 << 9),
        (FORMAT, 7),
        (FORMAT, 1 << 63 | 8),
        (FORMAT + 8, 1),
        // MXCSR.
        (DATA + 24, 1 << 24),
    ] {
        let mut machine = machine(code!("xrstor [rbx]", "hlt"), |_| {});
        machine.write_u64(at, value);
        assert_eq!(machine.run(), VmExit::TripleFault, "{at:x} {value:x}");
    }
}

#[test]
fn xcr0_is_written_within_limits() {
    let set = |low: u64| {
        move |state: &mut CpuState| {
            state.regs.gpr[Regs::RAX] = low;
            [state.regs.gpr[Regs::RCX], state.regs.gpr[Regs::RDX]] = [0, 0];
        }
    };
    let code = code!(
        "xsetbv",
        "xgetbv",
        "mov r8, rax",
        "mov ecx, 1",
        "xgetbv",
        "hlt"
    );
    let mut machine = machine(code, set(3));
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!((state.regs.gpr[8], state.regs.gpr[Regs::RAX]), (3, 0));
    assert_eq!(state.extended.xcr0, 3);
    for bad in [0, 2, 1 | AVX, 1 << 5 | 3] {
        assert_eq!(fault(code, set(bad)), GP);
    }
}
