//! Guests that send interrupts to themselves by the local APIC, and hold them back by the
//! task priority.

use abi::ports::LOCAL_APIC;
use assembly::code;

use crate::guests::{STATUS, endless};
use crate::streams::Output;
use crate::support::Target;
use crate::support::kernel::{Kernel, exit, exit_by_al};
use crate::{Case, ends, ends_itself};

const TASK_PRIORITY: u64 = LOCAL_APIC + 0x80;

pub const CASES: &[Case] = &[
    ("interrupts", interrupts),
    ("task_priority_is_cr8", task_priority),
    ("halt_after_a_write_of_cr8", halt),
];

/// Software-backed KVM does not report when CR8 falls, so an interrupt that is pending for
/// that in the VMM's local APIC stays so until the next exit.
pub const PRIORITY_CASES: &[Case] = &[("low_interrupts_wait", low_interrupts_wait)];

/// Turns the local APIC on; 255 is the spurious vector.
fn enable() -> &'static [u8] {
    const SPURIOUS_VECTOR: u64 = LOCAL_APIC + 0xf0;
    const ENABLED: u32 = 0x1ff;
    code!(
        "mov ebx, {spurious_vector}",
        "mov dword ptr [rbx], {enabled}",
        spurious_vector = const SPURIOUS_VECTOR,
        enabled = const ENABLED,
    )
}

/// Sends vector 0x40 to this CPU.
fn send() -> &'static [u8] {
    const COMMAND: u64 = LOCAL_APIC + 0x300;
    const TO_MYSELF: u32 = 1 << 18 | 0x40;
    code!(
        "mov ebx, {command}",
        "mov dword ptr [rbx], {to_myself}",
        command = const COMMAND,
        to_myself = const TO_MYSELF,
    )
}

/// Each interrupt that is handled makes room for the next, which the CPU sends to itself.
fn interrupts(target: Target) {
    const END_OF_INTERRUPT: u64 = LOCAL_APIC + 0xb0;
    let kernel = endless(&[enable(), code!("sti"), send()].concat());
    let kernel = kernel.handler(code!(
        "mov edi, {end_of_interrupt}",
        "mov dword ptr [rdi], 0",
        "iretq",
        end_of_interrupt = const END_OF_INTERRUPT,
    ));
    ends(target, &kernel, Output::Pipe);
}

/// Each way to the task priority shows what the other has put there.
fn task_priority(target: Target) {
    let code = code!(
        "mov ebx, {task_priority}",
        "mov dword ptr [rbx], 0x50",
        "mov rsi, cr8",
        "mov eax, 7",
        "mov cr8, rax",
        "mov edi, [rbx]",
        "mov eax, 1",
        "mov cr8, rax",
        "mov eax, [rbx]",
        // 0x1000, 0x700 and 5.
        "shl eax, 8",
        "shl edi, 4",
        "or eax, edi",
        "or eax, esi",
        "cmp eax, 0x1705",
        "sete al",
        "dec al",
        "add al, {status}",
        task_priority = const TASK_PRIORITY,
        status = const STATUS,
    );
    let kernel = Kernel::long_mode(&[code, exit_by_al()].concat());
    ends_itself(target, &kernel, STATUS.into(), "exited");
}

/// A pending interrupt ends a halt, also one with which a new CR8 becomes known.
fn halt(target: Target) {
    let wait = code!("mov eax, 1", "mov cr8, rax", "sti", "2: hlt", "jmp 2b");
    let kernel = Kernel::long_mode(&[enable(), send(), wait].concat());
    ends_itself(
        target,
        &kernel.handler(&exit(STATUS)),
        STATUS.into(),
        "exited",
    );
}

/// An interrupt below the task priority comes when that falls, and no earlier.
fn low_interrupts_wait(target: Target) {
    let raise = code!(
        "mov esi, {status} - 1",
        "mov eax, 5",
        "mov cr8, rax",
        "sti",
        status = const STATUS,
    );
    let lower = code!("nop", "inc esi", "mov eax, 3", "mov cr8, rax", "2: jmp 2b");
    let kernel = Kernel::long_mode(&[enable(), raise, send(), lower].concat());
    let kernel = kernel.handler(&[code!("mov eax, esi"), exit_by_al()].concat());
    ends_itself(target, &kernel, STATUS.into(), "exited");
}
