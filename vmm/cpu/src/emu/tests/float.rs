//! When floating point may execute, and under which MXCSR.

use assembly::code;
use x86::vector::{MF, NM, UD, XM};
use x86::{Cr0Flags, Cr4Flags};

use super::machine::{CODE, DATA, Machine};
use crate::CpuState;

const HANDLERS: u64 = 0xb000;
const HLT: u8 = 0xf4;
const CR0_MP: u64 = Cr0Flags::MONITOR_COPROCESSOR.bits();
const CR0_EM: u64 = Cr0Flags::EMULATE_COPROCESSOR.bits();
const CR0_TS: u64 = Cr0Flags::TASK_SWITCHED.bits();
const CR4_OSFXSR: u64 = Cr4Flags::OSFXSR.bits();
const CR4_OSXMMEXCPT: u64 = Cr4Flags::OSXMMEXCPT_ENABLE.bits();

/// Runs a program that ends in `hlt` from a state that `change` prepares: the vector of
/// the exception that it raised, if any, and the state then.
fn run(change: impl FnOnce(&mut CpuState), program: &[u8]) -> (Option<u8>, Machine) {
    let mut machine = Machine::new(program);
    machine.write(HANDLERS, &[HLT; 32]);
    for vector in 0..32 {
        machine.set_gate(vector, HANDLERS + u64::from(vector), 0, 0);
    }
    machine.alter(|state| {
        state.regs.gpr[3] = DATA;
        change(state);
    });
    machine.run_to_hlt();
    let rip = machine.state().regs.rip;
    let vector = (rip < CODE).then(|| (rip - HANDLERS - 1) as u8);
    (vector, machine)
}

/// The vector that one instruction raises under changed control registers.
fn vector(switches: u64, without_cr4: u64, program: &[u8]) -> Option<u8> {
    let change = |state: &mut CpuState| {
        state.cr0 = state.cr0 & !(CR0_MP | CR0_EM | CR0_TS) | switches;
        state.cr4 &= !without_cr4;
    };
    run(change, &[program, code!("hlt")].concat()).0
}

#[test]
fn sse_needs_the_system_to_save_it() {
    for (switches, without_cr4, expected) in [
        (0, 0, None),
        (CR0_TS, 0, Some(NM)),
        (CR0_EM, 0, Some(UD)),
        (CR0_EM | CR0_TS, 0, Some(UD)),
        (0, CR4_OSFXSR, Some(UD)),
        (CR0_TS, CR4_OSFXSR, Some(UD)),
        (CR0_MP, 0, None),
    ] {
        let check = |program: &[u8]| {
            assert_eq!(vector(switches, without_cr4, program), expected);
        };
        check(code!("addpd xmm0, xmm1"));
        check(code!("movups xmmword ptr [rbx], xmm1"));
        check(code!("movd eax, xmm1"));
        check(code!("stmxcsr dword ptr [rbx]"));
    }
    // Those have no part in it.
    for switches in [CR0_TS, CR0_EM] {
        assert_eq!(vector(switches, CR4_OSFXSR, code!("mfence")), None);
        assert_eq!(
            vector(switches, CR4_OSFXSR, code!("movnti dword ptr [rbx], eax")),
            None
        );
    }
}

#[test]
fn x87_and_mmx_need_no_system_but_no_emulation() {
    for (switches, x87, mmx, wait) in [
        (0, None, None, None),
        (CR0_MP, None, None, None),
        (CR0_TS, Some(NM), Some(NM), None),
        (CR0_TS | CR0_MP, Some(NM), Some(NM), Some(NM)),
        (CR0_EM, Some(NM), Some(UD), None),
    ] {
        assert_eq!(vector(switches, CR4_OSFXSR, code!("fld1")), x87);
        assert_eq!(vector(switches, CR4_OSFXSR, code!("fninit")), x87);
        assert_eq!(vector(switches, CR4_OSFXSR, code!("fxsave64 [rbx]")), x87);
        assert_eq!(vector(switches, CR4_OSFXSR, code!("paddb mm0, mm1")), mmx);
        assert_eq!(vector(switches, CR4_OSFXSR, code!("emms")), mmx);
        assert_eq!(vector(switches, CR4_OSFXSR, code!("wait")), wait);
    }
}

#[test]
fn flags_before_a_refused_instruction_are_kept() {
    let change = |state: &mut CpuState| state.cr0 |= CR0_TS;
    let (vector, mut machine) = run(
        change,
        code!("xor eax, eax", "movaps xmm0, xmm1", "add eax, 1", "hlt"),
    );
    assert_eq!(vector, Some(NM));
    let frame = machine.gpr(4);
    assert_eq!(machine.read_u64(frame + 16) & 0x40, 0x40, "ZF in the frame");
}

#[test]
fn clearing_the_switch_lets_the_next_instruction_execute() {
    let change = |state: &mut CpuState| state.cr0 |= CR0_TS;
    let (vector, mut machine) = run(
        change,
        code!(
            "mov eax, 5",
            "clts",
            "movd xmm0, eax",
            "movd ecx, xmm0",
            "hlt",
        ),
    );
    assert_eq!(vector, None);
    assert_eq!(machine.gpr(1), 5);
}

#[test]
fn an_unmasked_exception_commits_nothing_but_flags() {
    /// Division by zero not masked.
    const MXCSR: u32 = 0x1d80;
    for (without_cr4, expected) in [(0, XM), (CR4_OSXMMEXCPT, UD)] {
        let change = |state: &mut CpuState| state.cr4 &= !without_cr4;
        let (vector, mut machine) = run(
            change,
            code!(
                "mov dword ptr [rbx], {mxcsr}",
                "ldmxcsr dword ptr [rbx]",
                "mov rax, {one}",
                "movq xmm0, rax",
                "pxor xmm1, xmm1",
                "divsd xmm0, xmm1",
                "hlt",
                mxcsr = const MXCSR,
                one = const 1.0_f64.to_bits(),
            ),
        );
        assert_eq!(vector, Some(expected));
        let fx = machine.state().fx.0;
        assert_eq!(fx[160..168], 1.0_f64.to_le_bytes());
        assert_eq!(fx[24..28], (MXCSR | 4).to_le_bytes());
    }
}

#[test]
fn rounding_changes_with_the_next_instruction() {
    /// Up, and toward zero.
    const UP: i32 = 0x5f80;
    let (vector, mut machine) = run(
        |_| (),
        code!(
            "mov rax, {number}",
            "movq xmm0, rax",
            "cvtsd2si ecx, xmm0",
            "mov dword ptr [rbx], {up}",
            "ldmxcsr dword ptr [rbx]",
            "cvtsd2si edx, xmm0",
            "mov dword ptr [rbx], 0x1f80",
            "ldmxcsr dword ptr [rbx]",
            "cvtsd2si esi, xmm0",
            "stmxcsr dword ptr [rbx]",
            "mov edi, dword ptr [rbx]",
            "hlt",
            number = const 2.5_f64.to_bits(),
            up = const UP,
        ),
    );
    assert_eq!(vector, None);
    let gpr = machine.state().regs.gpr;
    assert_eq!([gpr[1], gpr[2], gpr[6]], [2, 3, 2]);
    assert_eq!(gpr[7], 0x1fa0, "inexact, and nothing of what came before");
}

#[test]
fn flags_of_the_host_stay_out() {
    let mut value = std::hint::black_box(1.0_f64);
    value /= std::hint::black_box(3.0);
    assert!(value < 1.0);
    let (_, mut machine) = run(|_| (), code!("hlt"));
    assert_eq!(machine.state().fx.0[24..28], 0x1f80_u32.to_le_bytes());
}

#[test]
fn a_pending_x87_exception_waits_for_the_next_instruction() {
    let (vector, mut machine) = run(
        |_| (),
        code!(
            "mov word ptr [rbx], 0x340",
            "fldcw word ptr [rbx]",
            "fld1",
            "fldz",
            "fdivp st(1), st",
            "fnstsw ax",
            "nop",
            "fld1",
            "hlt",
        ),
    );
    assert_eq!(vector, Some(MF));
    assert_eq!(machine.gpr(0) & 0xbfff, 0xb084 & 0xbfff);
}

#[test]
fn vectors_and_images_across_pages() {
    const ACROSS: u64 = DATA + 0x1000 - 7;
    const IMAGE_ACROSS: u64 = DATA + 0x2000 - 64;
    let (vector, mut machine) = run(
        |state| state.fx.0[160..176].copy_from_slice(&[0xa5; 16]),
        code!(
            "mov rbx, {across}",
            "movups xmmword ptr [rbx], xmm0",
            "movups xmm1, xmmword ptr [rbx]",
            "mov rbx, {image_across}",
            "fxsave64 [rbx]",
            "pxor xmm0, xmm0",
            "pxor xmm1, xmm1",
            "fxrstor64 [rbx]",
            "hlt",
            across = const ACROSS,
            image_across = const IMAGE_ACROSS,
        ),
    );
    assert_eq!(vector, None);
    assert_eq!(machine.state().fx.0[160..192], [0xa5; 32]);
}
