//! Instructions that the host executes: what they do to the registers beside their result,
//! and when they fault.

use assembly::code;
use iced_x86::{CpuidFeature, Decoder};

use super::machine::{CODE, DATA, Machine};
use super::modes::enter_real_mode;
use crate::emu::cpu::cpuid::host_has;
use crate::emu::decode;
use crate::emu::state::control::bits::{CR0_PE, CR0_TS, CR4_OSXSAVE};
use crate::exit::VmExit;
use crate::{CpuState, Regs};

const UD: u64 = 6;
const NM: u64 = 7;
const GP: u64 = 13;
const PF: u64 = 14;
const XM: u64 = 19;
const HANDLERS: u64 = 0x11000;
const ONES: u128 = u128::MAX;

/// A machine about to execute `code`; `None` where the host lacks an instruction of it, and
/// the guest has just met #UD there.
fn machine(code: &[u8], change: impl FnOnce(&mut CpuState)) -> Option<Machine> {
    let mut machine = Machine::new(code);
    for vector in [UD, NM, GP, PF, XM] {
        let handler = HANDLERS + 16 * vector;
        machine.write(handler, code!("hlt"));
        machine.set_gate(vector as u8, handler, 0, 0);
    }
    machine.alter(|state| {
        state.cr4 |= CR4_OSXSAVE;
        state.extended.xcr0 = 7;
        state.extended.ymm_high = std::array::from_fn(|n| n as u128 + 1);
        state.regs.gpr[Regs::RBX] = DATA;
        change(state);
    });
    let mut instructions = Decoder::with_ip(64, code, CODE, decode::options()).into_iter();
    let lacking = instructions.find(|insn| !insn.cpuid_features().iter().all(|&f| host_has(f)));
    let Some(lacking) = lacking else {
        return Some(machine);
    };
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!(state.regs.rip, HANDLERS + 16 * UD + 1, "{lacking}");
    None
}

fn xmm(state: &CpuState, number: usize) -> u128 {
    let start = 160 + 16 * number;
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&state.fx.0[start..start + 16]);
    u128::from_le_bytes(bytes)
}

/// The vector of the fault that ends `code`.
fn fault(code: &[u8], change: impl FnOnce(&mut CpuState)) -> Option<u64> {
    let mut machine = machine(code, change)?;
    machine.run_to_hlt();
    Some((machine.state().regs.rip - HANDLERS) / 16)
}

#[test]
fn high_halves_are_written_by_vex_alone() {
    let code = code!(
        "pcmpeqd xmm1, xmm1",
        "vpcmpeqd ymm2, ymm2, ymm2",
        "vmovdqa xmm3, xmm2",
        "vpaddd ymm4, ymm2, ymm2",
        "vmovdqu [rbx], ymm4",
        "vpaddd ymm5, ymm2, [rbx]",
        "vmovd r9d, xmm2",
        "vptest ymm2, ymm4",
        "hlt",
    );
    let Some(mut machine) = machine(code, |_| {}) else {
        return;
    };
    machine.run_to_hlt();
    let state = machine.state();
    let high = &state.extended.ymm_high;
    assert_eq!((xmm(&state, 1), high[1]), (ONES, 2));
    assert_eq!((xmm(&state, 2), high[2]), (ONES, ONES));
    assert_eq!((xmm(&state, 3), high[3]), (ONES, 0));
    let minus_two = 0xffff_fffe_ffff_fffe_ffff_fffe_ffff_fffe;
    assert_eq!((xmm(&state, 4), high[4]), (minus_two, minus_two));
    assert_eq!(
        high[5],
        minus_two - 0x0000_0001_0000_0001_0000_0001_0000_0001
    );
    assert_eq!(state.regs.gpr[9], 0xffff_ffff);
    assert_eq!(state.regs.rflags & 0x41, 1, "CF alone");
}

#[test]
fn a_zeroed_upper_half() {
    let Some(mut machine) = machine(code!("vzeroupper", "hlt"), |_| {}) else {
        return;
    };
    machine.run_to_hlt();
    assert_eq!(machine.state().extended.ymm_high, [0; 16]);
}

#[test]
fn what_is_not_enabled_is_undefined() {
    let sums = code!("vpaddd xmm1, xmm1, xmm1");
    for (change, vector) in [
        ((|state| state.cr4 &= !CR4_OSXSAVE) as fn(&mut CpuState), UD),
        (|state| state.extended.xcr0 = 3, UD),
        (|state| state.cr0 |= CR0_TS, NM),
    ] {
        assert!(fault(sums, change).is_none_or(|met| met == vector));
        assert!(fault(code!("vzeroupper"), change).is_none_or(|met| met == vector));
    }
    // General registers are not AVX's.
    if let Some(mut machine) = machine(code!("andn rcx, rax, rbx", "hlt"), |state| {
        state.extended.xcr0 = 1;
        state.cr0 |= CR0_TS;
    }) {
        machine.run_to_hlt();
        assert_eq!(machine.gpr(Regs::RCX), DATA);
    }
}

#[test]
fn real_mode_has_no_vex() {
    const HANDLER: u64 = 0x100;
    for code in [
        code!(".code16", "andn ebx, eax, ecx", "hlt"),
        code!(".code16", "vpxor xmm1, xmm1, xmm1", "hlt"),
    ] {
        let mut machine = Machine::new(code);
        machine.alter(|state| {
            enter_real_mode(state);
            state.cr4 = CR4_OSXSAVE;
            state.extended.xcr0 = 7;
        });
        let vector = (CODE >> 4) << 16 | HANDLER;
        machine.write(4 * UD, &(vector as u32).to_le_bytes());
        machine.write(CODE + HANDLER, code!("hlt"));
        machine.run_to_hlt();
        assert_eq!(machine.state().regs.rip, HANDLER + 1);
        // The same code, decoded before, in protected mode.
        machine.alter(|state| {
            state.cr0 |= CR0_PE;
            state.regs.rip = 0;
        });
        let all_there = host_has(CpuidFeature::BMI1) && host_has(CpuidFeature::AVX);
        let end = if all_there {
            VmExit::Hlt
        } else {
            VmExit::TripleFault
        };
        assert_eq!(machine.run(), end);
    }
}

/// Outside 64-bit code the prefix's bits that would name registers 8 to 15, or operands of 64
/// bits, are ignored.
#[test]
fn compatibility_mode_has_eight_registers() {
    let end = |code: &[u8]| {
        machine(code, |state| {
            state.cs.attributes = 0xc09b;
            for (n, byte) in state.fx.0[160..416].iter_mut().enumerate() {
                *byte = n as u8;
            }
            state.regs.gpr = std::array::from_fn(|n| 0x8765_4321 ^ (n as u64) << 8);
        })
        .map(|mut machine| {
            machine.run_to_hlt();
            let state = machine.state();
            let low = state.regs.gpr.map(|value| value as u32);
            (low, state.regs.rflags, state.fx, state.extended.ymm_high)
        })
    };
    for (as_64_bit_code, as_meant) in [
        (
            code!("vpaddd xmm0, xmm9, xmm10", "hlt"),
            code!("vpaddd xmm0, xmm1, xmm2", "hlt"),
        ),
        (
            code!("vblendvps ymm0, ymm9, ymm10, ymm15", "hlt"),
            code!("vblendvps ymm0, ymm1, ymm2, ymm7", "hlt"),
        ),
        (
            code!("vmovq xmm0, r9", "hlt"),
            code!("vmovd xmm0, ecx", "hlt"),
        ),
        (
            code!("andn rax, r10, r9", "hlt"),
            code!("andn eax, edx, ecx", "hlt"),
        ),
        (
            code!("mulx rax, r11, r9", "hlt"),
            code!("mulx eax, ebx, ecx", "hlt"),
        ),
        (
            code!("rorx rax, r9, 33", "hlt"),
            code!("rorx eax, ecx, 33", "hlt"),
        ),
    ] {
        assert_eq!(end(as_64_bit_code), end(as_meant), "{as_64_bit_code:x?}");
    }
}

#[test]
fn moves_that_want_alignment() {
    let crooked = |state: &mut CpuState| state.regs.gpr[Regs::RBX] += 16;
    assert!(fault(code!("vmovdqa ymm1, [rbx]"), crooked).is_none_or(|met| met == GP));
    assert!(fault(code!("vmovaps [rbx + 8], xmm1"), |_| {}).is_none_or(|met| met == GP));
}

#[test]
fn masked_elements_do_not_fault() {
    /// An address that nothing is mapped at.
    const NOWHERE: u64 = 0x7000_0000_0000;
    let code = code!(
        "vpxor ymm1, ymm1, ymm1",
        "vpmaskmovd ymm2, ymm1, [rbx]",
        "vpmaskmovd [rbx], ymm1, ymm2",
        "vpgatherdd ymm3, [rbx + ymm1 * 4], ymm4",
        "hlt",
    );
    let nowhere = |state: &mut CpuState| state.regs.gpr[Regs::RBX] = NOWHERE;
    let Some(mut machine) = machine(code, nowhere) else {
        return;
    };
    machine.run_to_hlt();
    assert_eq!(machine.state().extended.ymm_high[2], 0);
    let code = code!("vpcmpeqd ymm1, ymm1, ymm1", "vpmaskmovq [rbx], ymm1, ymm2");
    assert_eq!(fault(code, nowhere), Some(PF));
}

#[test]
fn a_gather_keeps_what_came_before_its_fault() {
    let code = code!(
        "vpcmpeqd ymm4, ymm4, ymm4",
        "vpgatherqq ymm3, [rbx + ymm2 * 8], ymm4",
    );
    let change = |state: &mut CpuState| {
        // Indices 1, 2, one outside, 0.
        state.fx.0[160 + 32..][..16].copy_from_slice(&(2_u128 << 64 | 1).to_le_bytes());
        state.extended.ymm_high[2] = 1 << 40;
    };
    let Some(mut machine) = machine(code, change) else {
        return;
    };
    machine.write(DATA + 8, &[7; 16]);
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!(state.regs.rip, HANDLERS + 16 * PF + 1);
    assert_eq!(xmm(&state, 3).to_le_bytes(), [7; 16]);
    assert_eq!(state.extended.ymm_high[3], 4);
    assert_eq!((xmm(&state, 4), state.extended.ymm_high[4]), (0, ONES));
}

#[test]
fn unmasked_exceptions_change_nothing() {
    let unmasked = |state: &mut CpuState| {
        // OSXMMEXCPT; division by zero is not masked.
        state.cr4 |= 1 << 10;
        state.fx.0[24..28].copy_from_slice(&0x1d80_u32.to_le_bytes());
    };
    let code = code!("vdivps ymm1, ymm2, ymm0");
    let Some(mut machine) = machine(code, |state| {
        unmasked(state);
        state.extended.ymm_high[2] = 0x3f80_0000;
        state.extended.ymm_high[0] = 0;
    }) else {
        return;
    };
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!(state.regs.rip, HANDLERS + 16 * XM + 1);
    assert_eq!(state.extended.ymm_high[1], 2);
    // Zero by zero is invalid too, which is masked and comes first.
    assert_eq!(state.fx.0[24] & 0x3f, 0x5);
}

#[test]
fn device_memory_has_vectors_too() {
    const DEVICE: u64 = 0x1000_0000;
    let there = |state: &mut CpuState| state.regs.gpr[Regs::RBX] = DEVICE;
    let Some(mut machine) = machine(code!("vmovdqu ymm1, [rbx]", "hlt"), there) else {
        return;
    };
    for n in 0..4_u8 {
        match machine.run() {
            VmExit::MmioRead { gpa, data } => {
                assert_eq!(gpa, DEVICE + 8 * u64::from(n));
                data.fill(n);
            }
            other => panic!("{other:?}"),
        }
    }
    machine.run_to_hlt();
    assert_eq!(machine.state().extended.ymm_high[1].to_le_bytes()[15], 3);
}

/// What has no vector among its operands may still be arithmetic on one.
#[test]
fn conversions_of_memory_round_as_said() {
    for (mxcsr, rounded) in [(0x1f80_u32, 2), (0x7f80, 1)] {
        let code = code!("vcvtss2si eax, dword ptr [rbx]", "hlt");
        let Some(mut machine) = machine(code, |state| {
            state.fx.0[24..28].copy_from_slice(&mxcsr.to_le_bytes());
        }) else {
            return;
        };
        machine.write(DATA, &1.75_f32.to_le_bytes());
        machine.run_to_hlt();
        assert_eq!(machine.state().regs.gpr[Regs::RAX], rounded);
    }
}
