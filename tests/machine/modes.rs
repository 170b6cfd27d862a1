//! Code that is not of 64 bits: 16-bit and 32-bit segments in long mode, and real mode.

use assembly::code;
use x86::msr;

use crate::monitor::{APART, kernel};
use crate::support::kernel::{CODE_SELECTOR, Kernel, SPARE_DESCRIPTORS, SPARE_SELECTOR};
use crate::{Case, Wrong};

pub const CASES: &[Case] = &[
    Case::new("code_of_16_bits", sixteen_bits, "ffff1234\n3\n"),
    Case::new(
        "code_ends_where_its_segment_does",
        past_the_end,
        "#d(0) 3\n",
    )
    .but(NO_LIMITS),
    Case::new("a_jump_past_the_end", jump_past, "#d(0) 0\n").but(NO_LIMITS),
    Case::new("a_word_across_the_end", across, "#d(0) 0\n")
        .but(&[(Wrong::Qemu, "its data segments have no limits")]),
    Case::new("real_mode", real_mode, "real\n"),
];

const NO_LIMITS: &[(Wrong, &str)] = &[(Wrong::Qemu, "its code segments have no limits")];

/// Attributes of present code and data of ring 0, in descriptors.
const CODE: u64 = 0x9b << 40;
const DATA: u64 = 0x93 << 40;
const BIG: u64 = 1 << 54;

/// A descriptor of `limit`, at most 64 KiB, from `base` on.
const fn segment(base: u64, limit: u16, attributes: u64) -> u64 {
    limit as u64 | (base & 0xff_ffff) << 16 | attributes | (base >> 24) << 56
}

/// A kernel that goes to the start of the segment `cs`, where `target` is, with `ds` as the
/// data segment. Exceptions go on after it, and so does a jump to r12.
fn with_segments(cs: u64, ds: u64, target: &[u8]) -> Kernel {
    let code = code!(
        "lea r12, [rip + 2f]",
        "mov r15, r12",
        "mov eax, {ds}",
        "mov ds, eax",
        "xor r14d, r14d",
        "push {cs}",
        "push 0",
        "retfq",
        "2:",
        cs = const SPARE_SELECTOR,
        ds = const SPARE_SELECTOR + 8,
    );
    kernel(&[], code)
        .with(
            SPARE_DESCRIPTORS,
            &[cs.to_le_bytes(), ds.to_le_bytes()].concat(),
        )
        .with(APART, target)
        .with(
            BACK,
            code!(
                "mov eax, ebx",
                "call r13",
                "mov eax, ecx",
                "call r13",
                "jmp r12"
            ),
        )
}

/// 64-bit code that prints ebx and ecx and goes on.
const BACK: u64 = APART + 0x400;

fn sixteen_bits() -> Kernel {
    let target = code!(
        ".code16",
        "mov ebx, 0xffffffff",
        "mov bx, 0x1233",
        // The address is of 16 bits.
        "mov si, 0xfff0",
        "mov word ptr [si + 0x20], bx",
        "inc word ptr [0x10]",
        "mov bx, word ptr [0x10]",
        "xor ecx, ecx",
        "mov dx, 3",
        "3: inc cx",
        "dec dx",
        "jnz 3b",
        ".byte 0x66, 0xea",
        ".long {back}",
        ".word {code}",
        back = const BACK,
        code = const CODE_SELECTOR,
    );
    let ds = segment(APART + 0x1000, 0xffff, DATA);
    with_segments(segment(APART, 0xffff, CODE), ds, target)
}

fn past_the_end() -> Kernel {
    with_segments(
        segment(APART, 2, CODE | BIG),
        segment(APART, 0, DATA),
        &[0x90; 16],
    )
}

/// By `jmp`, 0x100 bytes on.
fn jump_past() -> Kernel {
    with_segments(
        segment(APART, 0xff, CODE | BIG),
        segment(APART, 0, DATA),
        &[0xe9, 0, 1, 0, 0],
    )
}

fn across() -> Kernel {
    let target = code!(".code16", "mov ax, word ptr [0xffff]");
    let ds = segment(APART, 0xffff, DATA);
    with_segments(segment(APART, 0xffff, CODE), ds, target)
}

/// Where the code for real mode is, which reaches 1 MiB.
const LOW: u64 = 0x8000;

/// Through compatibility mode to protected mode of 16 bits, to real mode, and an interrupt
/// there, which prints.
fn real_mode() -> Kernel {
    let copy = code!(
        "mov esi, {from}",
        "mov edi, {to}",
        "mov ecx, 0x400",
        "rep movsb",
        from = const APART,
        to = const LOW,
    );
    let low = code!(
        ".code16",
        "mov eax, cr0",
        "and eax, 0x7fffffff",
        "mov cr0, eax",
        "mov ecx, {efer}",
        "rdmsr",
        "and ah, 0xfe",
        "wrmsr",
        "mov ax, {data}",
        "mov ds, ax",
        "mov ss, ax",
        "mov eax, cr0",
        "and al, 0xfe",
        "mov cr0, eax",
        ".byte 0xea",
        ".word 2f - 990b",
        ".word {low} >> 4",
        "2: mov ax, {low} >> 4",
        "mov ds, ax",
        "mov ss, ax",
        "mov sp, 0x1000",
        "xor ax, ax",
        "mov es, ax",
        ".byte 0x0f, 0x01, 0x1e", // lidt [vectors]
        ".word 4f - 990b",
        ".byte 0x26, 0xc7, 0x06", // mov word ptr es:[..], handler
        ".word 0x40 * 4",
        ".word 5f - 990b",
        "mov ax, cs",
        "mov word ptr es:[0x40 * 4 + 2], ax",
        "cld",
        ".byte 0xbe", // mov si, text
        ".word 6f - 990b",
        "int 0x40",
        "mov dx, {debug_exit}",
        "xor ax, ax",
        "out dx, al",
        "5: mov dx, {serial}",
        "7: lodsb",
        "test al, al",
        "jz 8f",
        "out dx, al",
        "jmp 7b",
        "8: iret",
        "4: .word 0x3ff",
        ".long 0",
        "6: .asciz \"real\\n\"",
        efer = const msr::EFER,
        low = const LOW,
        data = const SPARE_SELECTOR + 8,
        debug_exit = const abi::ports::DEBUG_EXIT,
        serial = const abi::ports::SERIAL,
    );
    let code = segment(LOW, 0xffff, CODE);
    let go = code!("push {cs}", "push 0", "retfq", cs = const SPARE_SELECTOR);
    kernel(copy, go)
        .with(
            SPARE_DESCRIPTORS,
            &[code, segment(LOW, 0xffff, DATA)]
                .map(u64::to_le_bytes)
                .concat(),
        )
        .with(APART, low)
}
