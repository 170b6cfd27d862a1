//! Far calls and jumps: call gates of 64-bit mode (APM vol. 2 4.11.2), to the same privilege
//! and to more of it, and what refuses them.

use assembly::code;
use x86::{DescriptorFlags, RFLAGS_FIXED, RFlags, segment};

use crate::monitor::{APART, kernel};
use crate::support::kernel::{
    CODE_SELECTOR, DATA_SELECTOR, Kernel, SPARE_DESCRIPTORS, SPARE_SELECTOR, STACK_TOP,
    USER_CODE_SELECTOR, USER_DATA_SELECTOR,
};
use crate::{Case, Wrong};

pub const CASES: &[Case] = &[
    Case::new("gate_to_the_same_ring", same_ring, "7\n8\n10\n77\n#6 f\n").but(NO_GATES),
    Case::new("gate_to_ring_0", to_ring_0, "8\n0\n7\n23\n0\n1b\n#6 7\n").but(NO_GATES),
    Case::new("gate_to_conforming_code", conforming, "4b\n1b\n10\n#6 7\n").but(&[
        (Wrong::SoftwareKvm, "it emulates no call gates"),
        (Wrong::Qemu, "it gives CS the privilege of the segment"),
    ]),
    Case::new("jump_through_a_gate", jump, "8\n0\n").but(NO_GATES),
    Case::new("jump_to_ring_0_through_a_gate", jump_inward, "#d(8) 0\n").but(NO_GATES),
    Case::new("gate_of_ring_0", of_ring_0, "#d(38) 0\n").but(NO_GATES),
    Case::new("gate_that_is_absent", absent, "#b(38) 0\n").but(NO_GATES),
    Case::new("gate_with_a_second_type", typed_twice, "#d(38) 0\n").but(NO_GATES),
    Case::new("gate_at_the_end_of_the_gdt", at_end, "#d(f8) 0\n").but(NO_GATES),
    Case::new("gate_to_32_bit_code", to_32_bits, "#d(48) 0\n").but(NO_GATES),
    Case::new("gate_to_data", to_data, "#d(10) 0\n").but(NO_GATES),
    Case::new("gate_to_nothing", to_nothing, "#d(0) 0\n").but(NO_GATES),
    Case::new("gate_to_no_address", not_canonical, "#d(0) 0\n").but(&[
        (Wrong::SoftwareKvm, "it emulates no call gates"),
        (Wrong::Qemu, "it finds that out too late"),
    ]),
    Case::new("far_call_with_rex_has_32_bits", far_call, "8\n").but(ANOTHER_PROCESSOR),
];

/// Whose far calls with REX.W are others.
const ANOTHER_PROCESSOR: &[(Wrong, &str)] = &[
    (Wrong::Intel, "its far pointers may have 64 bits"),
    (Wrong::SoftwareKvm, "it takes 64 bits"),
    (Wrong::Qemu, "it takes 64 bits"),
];

const NO_GATES: &[(Wrong, &str)] = &[(Wrong::SoftwareKvm, "it emulates no call gates")];

/// The far pointer that calls and jumps go by, whose offset the gate ignores.
const POINTER: u64 = APART + 0x800;
/// A selector after those of the gate.
const OTHER_SELECTOR: u16 = SPARE_SELECTOR + 16;
/// Where code of the GDT's end would be.
const LAST_SELECTOR: u16 = 0xf8;

/// Attributes of a present gate for the rings up to `dpl`.
const fn for_rings(dpl: u16) -> u16 {
    segment::PRESENT | segment::TYPE_CALL_GATE | dpl << segment::DPL_SHIFT
}

/// A gate to `offset` in a code segment.
fn gate(attributes: u16, selector: u16, offset: u64) -> [u64; 2] {
    let low = offset & 0xffff | u64::from(selector) << 16 | u64::from(attributes) << 40;
    [low | (offset >> 16 & 0xffff) << 48, offset >> 32]
}

/// To the code apart, in ring 0.
fn good(dpl: u16) -> [u64; 2] {
    gate(for_rings(dpl), CODE_SELECTOR, APART)
}

/// A kernel that uses a gate by `code`, after `prepare`; `target` is what it leads to.
fn with_gate(gate: [u64; 2], prepare: &[u8], code: &[u8], target: &[u8]) -> Kernel {
    let start = code!("mov rbp, rsp", "lea rbx, [r14 + 7]", "lea r15, [r14 + 9]");
    kernel(&[start, prepare].concat(), &[code, code!("ud2")].concat())
        .with(SPARE_DESCRIPTORS, &bytes(&gate))
        .with(POINTER + 4, &SPARE_SELECTOR.to_le_bytes())
        .with(APART, target)
}

/// One that is refused.
fn refused(gate: [u64; 2], prepare: &[u8], code: &[u8]) -> Kernel {
    with_gate(gate, prepare, code, code!("ud2"))
}

fn bytes(longs: &[u64]) -> Vec<u8> {
    longs.iter().flat_map(|long| long.to_le_bytes()).collect()
}

/// `call far`, of 7 bytes.
fn call() -> &'static [u8] {
    code!(".byte 0xff, 0x1c, 0x25; .long {pointer}", pointer = const POINTER)
}

/// `jmp far`, of 7 bytes.
fn jmp() -> &'static [u8] {
    code!(".byte 0xff, 0x2c, 0x25; .long {pointer}", pointer = const POINTER)
}

/// Goes on in ring 3, which may use ports.
fn to_ring_3() -> &'static [u8] {
    const FLAGS: u64 = RFLAGS_FIXED | RFlags::IOPL_LOW.union(RFlags::IOPL_HIGH).bits();
    code!(
        "mov ebp, {stack}",
        "push {data}",
        "push rbp",
        "push {flags}",
        "push {code}",
        "push r14",
        "iretq",
        stack = const STACK_TOP - 0x1000,
        data = const USER_DATA_SELECTOR,
        flags = const FLAGS,
        code = const USER_CODE_SELECTOR,
    )
}

/// On AMD's processors REX.W makes nothing of it: the operand is a pointer of 32 bits, the
/// return address another.
fn far_call() -> Kernel {
    let target = code!("mov rax, rbp", "sub rax, rsp", "call r13", "jmp r15");
    let call = code!(".byte 0x48, 0xff, 0x1c, 0x25; .long {pointer}", pointer = const POINTER);
    let [after, offset] = [code!("lea r15, [r14 + 10]"), &(APART as u32).to_le_bytes()];
    with_gate([0; 2], after, call, target)
        .with(POINTER, offset)
        .with(POINTER + 4, &CODE_SELECTOR.to_le_bytes())
}

fn same_ring() -> Kernel {
    let target = code!(
        "mov rax, [rsp]",
        "sub rax, r14",
        "call r13",
        "mov rax, [rsp + 8]",
        "call r13",
        "mov rax, rbp",
        "sub rax, rsp",
        "call r13",
        "retfq",
    );
    let after = [call(), code!("mov eax, 0x77", "call r13")].concat();
    let leave = code!("lea r15, [r14 + 17]");
    with_gate(good(0), leave, &after, target)
}

/// Prints CS and SS, then the frame.
fn to_ring_0() -> Kernel {
    let target = code!(
        "mov eax, cs",
        "call r13",
        "mov eax, ss",
        "call r13",
        "mov rax, [rsp]",
        "sub rax, r14",
        "call r13",
        "mov rax, [rsp + 8]",
        "call r13",
        "mov rax, [rsp + 16]",
        "sub rax, rbp",
        "call r13",
        "mov rax, [rsp + 24]",
        "call r13",
        "retfq",
    );
    with_gate(good(3), to_ring_3(), call(), target)
}

fn conforming() -> Kernel {
    let descriptor = DescriptorFlags::KERNEL_CODE64.union(DescriptorFlags::CONFORMING);
    let target = code!(
        "mov eax, cs",
        "call r13",
        "mov eax, ss",
        "call r13",
        "mov rax, rbp",
        "sub rax, rsp",
        "call r13",
        "retfq",
    );
    let gate = gate(for_rings(3), OTHER_SELECTOR, APART);
    with_gate(gate, to_ring_3(), call(), target)
        .with(SPARE_DESCRIPTORS + 16, &bytes(&[descriptor.bits()]))
}

fn jump() -> Kernel {
    let target = code!(
        "mov eax, cs",
        "call r13",
        "mov rax, rbp",
        "sub rax, rsp",
        "call r13",
        "jmp r15",
    );
    with_gate(good(0), &[], jmp(), target)
}

fn jump_inward() -> Kernel {
    refused(good(3), to_ring_3(), jmp())
}

fn of_ring_0() -> Kernel {
    refused(good(0), to_ring_3(), call())
}

fn absent() -> Kernel {
    let gate = gate(segment::TYPE_CALL_GATE, CODE_SELECTOR, APART);
    refused(gate, &[], call())
}

/// In its upper half, where a type must be zero.
fn typed_twice() -> Kernel {
    let [low, high] = good(0);
    let second = high | u64::from(segment::TYPE_CALL_GATE) << 40;
    refused([low, second], &[], call())
}

/// Whose upper half lies outside.
fn at_end() -> Kernel {
    let [low, _] = good(0);
    refused([0; 2], &[], call())
        .with(
            SPARE_DESCRIPTORS + u64::from(LAST_SELECTOR - SPARE_SELECTOR),
            &bytes(&[low]),
        )
        .with(POINTER + 4, &LAST_SELECTOR.to_le_bytes())
}

fn to_32_bits() -> Kernel {
    let gate = gate(for_rings(0), OTHER_SELECTOR, APART);
    let code32 = DescriptorFlags::KERNEL_CODE32.bits();
    refused(gate, &[], call()).with(SPARE_DESCRIPTORS + 16, &bytes(&[code32]))
}

fn to_data() -> Kernel {
    refused(gate(for_rings(0), DATA_SELECTOR, APART), &[], call())
}

fn to_nothing() -> Kernel {
    refused(gate(for_rings(0), 0, APART), &[], call())
}

fn not_canonical() -> Kernel {
    refused(gate(for_rings(0), CODE_SELECTOR, 1 << 48), &[], call())
}
