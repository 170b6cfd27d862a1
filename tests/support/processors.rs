//! More CPUs for a bare kernel: what they run once the first has started them, through real mode
//! (SDM vol. 3A 8.4.4).
//!
//! ```text
//! 0x7_0000    where a start-up message has them begin, in real mode, once it was copied there
//! 0x1a_0000   that code; from 0x1a_1000 on protected mode, then 64-bit code
//! 0x1b_0000   their TSSs; 0x1c_0000 their stacks
//! ```

use assembly::code;

use super::kernel::{
    DATA_SELECTOR, FREE, GDT, IDT_REGISTER, Kernel, SPARE_DESCRIPTORS, SPARE_SELECTOR, bytes,
    into_long_mode, task_descriptor, task_state,
};

/// Others that there can be.
const MOST: u64 = 3;
const START: u64 = 0x7_0000;
pub const START_PAGE: u64 = START >> 12;
const REAL_MODE: u64 = FREE - 0x6_0000;
const PROTECTED_MODE: u64 = REAL_MODE + 0x1000;
const LONG_MODE: u64 = PROTECTED_MODE + 0x1000;
const TASKS: u64 = FREE - 0x5_0000;
const STACKS: u64 = FREE - 0x4_0000;
const PAGE: u64 = 0x1000;
/// 32-bit code of ring 0.
const CODE32: u64 = 0x00cf_9b00_0000_ffff;

/// The interrupt command register of a local APIC in xAPIC mode, and its messages to all
/// others: INIT, start-up, NMI.
pub const COMMAND: u64 = abi::ports::LOCAL_APIC + 0x300;
pub const INIT_OTHERS: u64 = 0xc_4500;
pub const START_OTHERS: u64 = 0xc_4600 | START_PAGE;
pub const NMI_TO_OTHERS: u64 = 0xc_4400;

/// `kernel` with `code` for the other CPUs, which begin it in 64-bit mode and ring 0 with
/// interrupts off: flat segments, a stack and a TSS of their own, the IDT of the first; esi is
/// the APIC ID.
pub fn with_others(kernel: Kernel, code: &[u8]) -> Kernel {
    let tasks = (1..=MOST).flat_map(|id| task_descriptor(TASKS + id * PAGE));
    let descriptors: Vec<u64> = [CODE32].into_iter().chain(tasks).collect();
    let mut kernel = kernel
        .with(SPARE_DESCRIPTORS, &bytes(&descriptors))
        .with(REAL_MODE, real_mode())
        .with(
            PROTECTED_MODE,
            &[flat(), into_long_mode!(LONG_MODE)].concat(),
        )
        .with(LONG_MODE, &[own_stack(), code].concat());
    for id in 1..=MOST {
        let stack = STACKS + (2 * id + 1) * PAGE;
        kernel = kernel.with(TASKS + id * PAGE, &task_state(stack));
    }
    kernel
}

/// Puts what others begin with where a start-up message has them begin.
pub fn copy_start() -> &'static [u8] {
    code!(
        "mov esi, {from}",
        "mov edi, {to}",
        "mov ecx, 0x100",
        "rep movsb",
        from = const REAL_MODE,
        to = const START,
    )
}

/// Some time.
pub fn wait() -> &'static [u8] {
    code!("mov ecx, 2000", "2: pause", "dec ecx", "jnz 2b")
}

/// Has all others begin, by INIT and two start-up messages.
pub fn start_others() -> Vec<u8> {
    let init = code!(
        "mov ebx, {command}",
        "mov dword ptr [rbx], {init}",
        command = const COMMAND,
        init = const INIT_OTHERS,
    );
    let start = code!("mov dword ptr [rbx], {start}", start = const START_OTHERS);
    [copy_start(), init, wait(), start, wait(), start].concat()
}

fn real_mode() -> &'static [u8] {
    code!(
        ".code16",
        "cli",
        // lgdt cs:[0x80], with a base of 32 bits
        ".byte 0x2e, 0x66, 0x0f, 0x01, 0x16; .short 0x80",
        "mov eax, cr0",
        "or al, 1",
        "mov cr0, eax",
        // jmp far
        ".byte 0x66, 0xea; .long {protected_mode}; .short {code32}",
        ".org 990b + 0x80",
        ".short 0xff",
        ".long {gdt}",
        protected_mode = const PROTECTED_MODE,
        code32 = const SPARE_SELECTOR,
        gdt = const GDT,
    )
}

fn flat() -> &'static [u8] {
    code!(
        ".code32",
        "mov eax, {data}",
        "mov ds, eax",
        "mov es, eax",
        "mov ss, eax",
        data = const DATA_SELECTOR,
    )
}

/// The first of the TSSs is behind the spare descriptor that is [`CODE32`].
fn own_stack() -> &'static [u8] {
    code!(
        "mov eax, 1",
        "cpuid",
        "shr ebx, 24",
        "mov esi, ebx",
        "lea eax, [rsi * 2]",
        "shl eax, 12",
        "lea esp, [rax + {stacks}]",
        "lidt [{idt_register}]",
        "mov eax, esi",
        "shl eax, 4",
        "add eax, {tasks}",
        // It is busy after an earlier start.
        "and byte ptr [rax + {gdt} + 5], 0xfd",
        "ltr ax",
        stacks = const STACKS,
        idt_register = const IDT_REGISTER,
        tasks = const SPARE_SELECTOR + 8 - 16,
        gdt = const GDT,
    )
}
