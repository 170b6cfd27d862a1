//! NMIs, and level-triggered interrupts: local APIC and I/O APIC (APM vol. 2 16; 82093AA).
//!
//! An interrupt may come some instructions late (a software-backed KVM's local APIC), so what
//! is interrupted is a loop.

use abi::ports::{IO_APIC, LOCAL_APIC, SERIAL, SERIAL_GSI};
use assembly::code;
use x86::vector::NMI;

use crate::Case;
use crate::monitor::kernel;
use crate::support::kernel::{FREE, Kernel};

pub const CASES: &[Case] = &[
    Case::new("nmi_to_itself", nmi_to_itself, "#2 0\n"),
    Case::new("nmi_to_all", nmi_to_all, "#2 0\n"),
    Case::new("nmi_by_apic_id", nmi_by_id, "#2 0\n"),
    Case::new("nmi_of_the_io_apic", nmi_of_a_line, "#2 0\n"),
    Case::new("iret_lets_one_nmi_in", blocked, "2\n"),
    Case::new("a_level_comes_again", level, "3\n8040\n"),
    Case::new("an_edge_comes_once", edge, "1\n40\n"),
];

/// Bits of the interrupt command register, and of an I/O APIC's entry.
const DELIVER_NMI: u32 = 4 << 8;
const SELF: u32 = 1 << 18;
const ALL: u32 = 2 << 18;
const LEVEL: u32 = 1 << 15;
/// The vector of other interrupts.
const VECTOR: u8 = 0x40;
/// How often there was one.
const COUNT: u64 = FREE;

const SERIAL_ENABLE: u16 = SERIAL + 1;

/// Turns the local APIC on. Before that, KVM lets no NMI in that is sent to an APIC ID.
fn enable() -> &'static [u8] {
    code!(
        "mov ebx, {spurious_vector}",
        "mov dword ptr [rbx], 0x1ff",
        spurious_vector = const LOCAL_APIC + 0xf0,
    )
}

/// Commands the local APIC.
macro_rules! command {
    ($command:expr) => {
        code!(
            "mov ebx, {register}",
            "mov dword ptr [rbx + 0x10], 0",
            "mov dword ptr [rbx], {command}",
            register = const LOCAL_APIC + 0x300,
            command = const $command,
        )
    };
}

/// Has the serial line send `$entry` to APIC ID 0, and be asserted: its transmitter is empty.
macro_rules! assert_line {
    ($entry:expr) => {
        code!(
            "mov ebx, {io_apic}",
            "mov dword ptr [rbx], {upper}",
            "mov dword ptr [rbx + 0x10], 0",
            "mov dword ptr [rbx], {lower}",
            "mov dword ptr [rbx + 0x10], {entry}",
            "mov edx, {serial_enable}",
            "mov al, 2",
            "out dx, al",
            io_apic = const IO_APIC,
            upper = const 0x11 + 2 * SERIAL_GSI,
            lower = const 0x10 + 2 * SERIAL_GSI,
            entry = const $entry,
            serial_enable = const SERIAL_ENABLE,
        )
    };
}

/// Loops until an exception, behind which the kernel ends.
fn interrupted_after(send: &[u8]) -> Kernel {
    let behind = code!("lea r15, [r14 + 2]");
    kernel(&[enable(), behind, send].concat(), code!("2: jmp 2b"))
}

fn nmi_to_itself() -> Kernel {
    interrupted_after(command!(SELF | DELIVER_NMI))
}

fn nmi_to_all() -> Kernel {
    interrupted_after(command!(ALL | DELIVER_NMI))
}

fn nmi_by_id() -> Kernel {
    interrupted_after(command!(DELIVER_NMI))
}

/// Level-triggered, which an NMI never is.
fn nmi_of_a_line() -> Kernel {
    interrupted_after(assert_line!(DELIVER_NMI | LEVEL))
}

/// Waits a while, and prints how many interrupts there were.
fn count() -> &'static [u8] {
    code!(
        "mov ecx, 5000",
        "2: dec ecx",
        "jnz 2b",
        "mov eax, [{count}]",
        "call r13",
        count = const COUNT,
    )
}

/// The first handler sends two more: one waits for the end of the handler, one is lost.
fn blocked() -> Kernel {
    let handler = code!(
        "push rbx",
        "push rcx",
        "inc dword ptr [{count}]",
        "cmp dword ptr [{count}], 1",
        "jne 3f",
        "mov ebx, {register}",
        "mov dword ptr [rbx], {command}",
        "mov dword ptr [rbx], {command}",
        "mov ecx, 1000",
        "2: dec ecx",
        "jnz 2b",
        "3: pop rcx",
        "pop rbx",
        "iretq",
        count = const COUNT,
        register = const LOCAL_APIC + 0x300,
        command = const SELF | DELIVER_NMI,
    );
    kernel(command!(SELF | DELIVER_NMI), count()).handler_of(NMI, handler)
}

/// The third handler releases the line.
fn level() -> Kernel {
    line(assert_line!(LEVEL | VECTOR as u32))
}

fn edge() -> Kernel {
    line(assert_line!(VECTOR as u32))
}

/// Prints how many interrupts there were, and the entry of the I/O APIC.
fn line(assert: &[u8]) -> Kernel {
    let entry = code!(
        "mov ebx, {io_apic}",
        "mov eax, [rbx + 0x10]",
        "call r13",
        io_apic = const IO_APIC,
    );
    let handler = code!(
        "push rax",
        "push rdx",
        "inc dword ptr [{count}]",
        "cmp dword ptr [{count}], 3",
        "jb 2f",
        "mov edx, {serial_enable}",
        "mov al, 0",
        "out dx, al",
        "2: mov eax, {end_of_interrupt}",
        "mov dword ptr [rax], 0",
        "pop rdx",
        "pop rax",
        "iretq",
        count = const COUNT,
        serial_enable = const SERIAL_ENABLE,
        end_of_interrupt = const LOCAL_APIC + 0xb0,
    );
    kernel(
        &[enable(), code!("sti"), assert].concat(),
        &[count(), entry].concat(),
    )
    .handler_of(VECTOR, handler)
}
