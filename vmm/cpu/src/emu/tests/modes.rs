//! Real mode, 16-bit code and what 64-bit code does not have.

use assembly::code;
use iced_x86::{Code, CpuidFeature, EncodingKind};

use super::machine::{CODE, DATA, GDT, Machine, STACK};
use crate::emu::Emulator;
use crate::exit::VmExit;
use crate::{CpuState, Dtable, Regs, Segment};

/// A segment of real mode.
fn real_segment(base: u64, attributes: u16) -> Segment {
    Segment {
        selector: (base >> 4) as u16,
        base,
        limit: 0xffff,
        attributes,
    }
}

/// Real mode, with code at [`CODE`], data at [`DATA`] and a stack below [`STACK`].
pub fn enter_real_mode(state: &mut CpuState) {
    let data = real_segment(DATA, 0x93);
    (state.cr0, state.cr4, state.efer) = (0x10, 0, 0);
    state.cs = real_segment(CODE, 0x9b);
    (state.ds, state.es, state.fs, state.gs) = (data, data, data, data);
    state.ss = real_segment(STACK - 0x10000, 0x93);
    state.idt = Dtable {
        base: 0,
        limit: 0x3ff,
    };
    state.regs.rip = 0;
    state.regs.gpr[Regs::RSP] = 0xfffe;
}

/// A machine about to execute `code` in real mode.
fn real_mode(code: &[u8]) -> Machine {
    let mut machine = Machine::new(code);
    machine.alter(enter_real_mode);
    machine
}

/// Sends `vector` to `cs:ip`.
fn set_vector(machine: &mut Machine, vector: u8, cs: u16, ip: u16) {
    let target = u32::from(cs) << 16 | u32::from(ip);
    machine.write(4 * u64::from(vector), &target.to_le_bytes());
}

/// A handler of any exception: its number in al, and the machine ends.
const HANDLER: u64 = 0x18000;

fn catch(machine: &mut Machine, vectors: &[u8]) {
    for &vector in vectors {
        let at = 8 * u16::from(vector);
        // mov al, vector; hlt
        machine.write(HANDLER + u64::from(at), &[0xb0, vector, 0xf4]);
        set_vector(machine, vector, (HANDLER >> 4) as u16, at);
    }
}

#[test]
fn legacy_instructions_are_all_there() {
    use CpuidFeature as F;
    let old = [
        F::INTEL8086,
        F::INTEL186,
        F::INTEL286,
        F::INTEL386,
        F::INTEL486,
    ];
    let missing: Vec<_> = Code::values()
        .filter(|code| code.op_code().encoding() == EncodingKind::Legacy)
        .filter(|code| code.op_code().is_instruction() && code.op_code().mode32())
        .filter(|&code| !Emulator::implements(code))
        .filter(|code| code.cpuid_features().iter().all(|f| old.contains(f)))
        .map(|code| code.op_code().op_code_string().to_owned())
        .collect();
    // `ud0 ud1 ud2` are undefined by name; the first processor alone had `pop cs`, and later
    // ones have other instructions there.
    let undefined = |text: &String| {
        ["0F 0B", "0F B9", "0F FF"]
            .iter()
            .any(|op| text.contains(op))
    };
    let missing: Vec<_> = missing.iter().filter(|text| !undefined(text)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn real_mode_segments_are_bases() {
    let mut machine = real_mode(code!(
        ".code16",
        "mov ax, 0x1234",
        "mov ds, ax",
        "mov word ptr [2], 0xbeef",
        "mov bx, 0xfffe",
        "mov si, 4",
        // The address wraps at 64 KiB.
        "mov cx, word ptr [bx + si]",
        "push ds",
        "pop es",
        "mov di, 0x10",
        "mov al, 0x5a",
        "stosb",
        "mov dx, es",
        "hlt",
    ));
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!(state.ds.base, 0x12340);
    assert_eq!(state.regs.gpr[Regs::RCX], 0xbeef);
    assert_eq!(state.regs.gpr[Regs::RDX], 0x1234);
    assert_eq!(machine.read_u64(0x12350) & 0xff, 0x5a);
    assert_eq!(state.regs.gpr[Regs::RDI], 0x11);
    assert_eq!(state.regs.gpr[Regs::RSP], 0xfffe);
}

#[test]
fn real_mode_interrupts_push_three_words() {
    let mut machine = real_mode(code!(".code16", "sti", "stc", "int 0x40", "hlt",));
    let handler = code!(
        ".code16",
        "pushf",
        "pop ax",
        "mov bp, sp",
        "mov cx, word ptr [bp]",
        "mov dx, word ptr [bp + 4]",
        "iret",
    );
    machine.write(HANDLER, handler);
    set_vector(&mut machine, 0x40, (HANDLER >> 4) as u16, 0);
    machine.run_to_hlt();
    let state = machine.state();
    let gpr = state.regs.gpr;
    assert_eq!(gpr[Regs::RAX], 3, "IF is clear in the handler");
    assert_eq!(gpr[Regs::RCX], 4);
    assert_eq!(gpr[Regs::RDX], 0x203);
    assert_eq!(gpr[Regs::RSP], 0xfffe);
    assert_eq!(state.regs.rflags & 0x201, 0x201);
}

#[test]
fn far_transfers_in_real_mode() {
    let mut machine = real_mode(code!(".code16", "call 0x1800, 0x20", "hlt",));
    // mov ax, cs; retf
    machine.write(HANDLER + 0x20, &[0x8c, 0xc8, 0xcb]);
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!(state.regs.gpr[Regs::RAX], 0x1800);
    assert_eq!((state.cs.base, state.regs.rip), (CODE, 6));
}

#[test]
fn limits_of_real_mode() {
    // A word at the last byte; code past the end; a stack without room; a jump too far.
    let cases: [(&[u8], u64, u8); 4] = [
        (code!(".code16", "mov ax, word ptr [0xffff]"), 0, 13),
        (&[0x90, 0x90], 0xfffe, 13),
        (code!(".code16", "mov sp, 1; push ax"), 0, 12),
        (code!(".code16", "mov eax, 0x10000; jmp eax"), 0, 13),
    ];
    for (code, ip, vector) in cases {
        let mut machine = real_mode(code);
        machine.write(CODE + ip, code);
        machine.alter(|state| state.regs.rip = ip);
        catch(&mut machine, &[12, 13]);
        if vector == 12 {
            // There is no room for a frame either.
            assert_eq!(machine.run(), VmExit::TripleFault);
            continue;
        }
        machine.run_to_hlt();
        assert_eq!(machine.gpr(Regs::RAX) & 0xff, u64::from(vector));
    }
}

/// Descriptors after the machine's own: 16-bit code and data, 32-bit code and data.
const DESCRIPTORS: [u64; 4] = [
    0x0000_9b01_0000_ffff,
    0x0000_9302_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
];
const CODE_16: u16 = 0x38;
const DATA_16: u16 = 0x40;
const CODE_32: u16 = 0x48;
const DATA_32: u16 = 0x50;

fn add_descriptors(machine: &mut Machine) {
    for (n, descriptor) in (0..).zip(DESCRIPTORS) {
        machine.write_u64(GDT + u64::from(CODE_16) + 8 * n, descriptor);
    }
    machine.alter(|state| state.gdt.limit = CODE_16 + 8 * 4 - 1);
}

#[test]
fn to_protected_mode_and_back() {
    let mut machine = real_mode(code!(
        ".code16",
        "mov eax, cr0",
        "or al, 1",
        "mov cr0, eax",
        ".byte 0xea",
        ".word 2f - 990b",
        ".word {code_16}",
        "2:",
        "mov ax, {data_32}",
        "mov ds, ax",
        ".byte 0x66, 0xea",
        ".long {base} + 3f - 990b",
        ".word {code_32}",
        ".code32",
        "3:",
        "mov ebx, {there}",
        "mov dword ptr [ebx], 0x12345678",
        ".byte 0xea",
        ".long 4f - 990b",
        ".word {code_16}",
        ".code16",
        "4:",
        "mov eax, cr0",
        "and al, 0xfe",
        "mov cr0, eax",
        ".byte 0xea",
        ".word 5f - 990b",
        ".word {base} >> 4",
        "5:",
        "xor ax, ax",
        "mov es, ax",
        "mov ds, ax",
        // Unreal: the limit is still that of protected mode.
        "mov ecx, dword ptr [ebx]",
        "hlt",
        code_16 = const CODE_16,
        code_32 = const CODE_32,
        data_32 = const DATA_32,
        base = const CODE,
        there = const 0x20_0000,
    ));
    add_descriptors(&mut machine);
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!(state.regs.gpr[Regs::RCX], 0x1234_5678);
    assert_eq!(state.cs.base, CODE);
    assert_eq!((state.ds.limit, state.es.limit), (u32::MAX, 0xffff));
}

#[test]
fn sixteen_bit_code_in_long_mode() {
    let mut machine = Machine::new(code!(
        "mov r8, rsp",
        "push {code_16}",
        ".byte 0x68",
        ".long 2f - 990b",
        "retfq",
        ".code16",
        "2:",
        "mov ax, {data_16}",
        "mov ds, ax",
        "mov ss, ax",
        "mov esp, 0x12348000",
        "mov word ptr [0x10], sp",
        "push 0x1111",
        "pusha",
        "popa",
        "pop bx",
        "mov cx, 3",
        "xor dx, dx",
        "3: inc dx",
        "loop 3b",
        "mov si, 0xffff",
        "lodsb",
        "enter 4, 0",
        "leave",
        "call 4f",
        ".byte 0x66",
        ".byte 0xea",
        ".long {base} + 5f - 990b",
        ".word 8",
        "4: ret",
        ".code64",
        "5: hlt",
        code_16 = const CODE_16,
        data_16 = const DATA_16,
        base = const CODE,
    ));
    add_descriptors(&mut machine);
    machine.run_to_hlt();
    let state = machine.state();
    let gpr = state.regs.gpr;
    assert_eq!(gpr[Regs::RBX] & 0xffff, 0x1111);
    assert_eq!((gpr[Regs::RCX] & 0xffff, gpr[Regs::RDX] & 0xffff), (0, 3));
    assert_eq!(gpr[Regs::RSI] & 0xffff, 0, "SI wraps");
    assert_eq!(gpr[Regs::RSP], 0x1234_8000, "only SP moves");
    assert_eq!(machine.read_u64(DATA + 0x10) & 0xffff, 0x8000);
}
