//! Guests that never end, or that fail: each repeats an operation that is expensive for the
//! VMM, KVM or the emulator.

use abi::debug_exit::FAILURE_STATUS;
use assembly::code;
use x86::MxCsr;
use x86::fx::MXCSR_INITIAL;

use crate::support::Target;
use crate::support::kernel::{
    FREE, Kernel, PRESENT, SECOND_ROOT_ENTRY, UNMAPPED, exit, forever, greet, program,
};
use crate::{Case, Cause, Output, Running, each_ends, ends, ends_itself, no_report, vmm};

/// Guest-physical addresses without a device.
const NO_DEVICE: u64 = 0xd000_0000;
/// A port without a device.
const NO_PORT: u32 = 0x2000;

/// Numbers of system calls (arch/x86/entry/syscalls/syscall_64.tbl).
const SYS_WRITE: u32 = 1;
const SYS_MMAP: u32 = 9;
const SYS_MPROTECT: u32 = 10;

/// What a kernel of these tests exits with.
pub const STATUS: u8 = 7;

pub const CASES: &[Case] = &[
    ("exit", exits),
    ("endless_loop", endless_loop),
    ("dead_halt", dead_halt),
    ("late_dead_halt", late_dead_halt),
    ("triple_fault", triple_fault),
    ("stores_to_aliased_code", stores_to_aliased_code),
    ("stores_from_ring_3", stores_from_ring_3),
    ("stores_to_code", stores_to_code),
    ("faulting_popcnt_handles_faults", faulting_popcnt),
    ("faulting_xorps_handles_faults", faulting_xorps),
    ("faults_handle_faults", faults_handle_faults),
    ("handlers_are_not_mapped", handlers_are_not_mapped),
    ("mmio_reads", mmio_reads),
    ("mmio_writes", mmio_writes),
    ("port_reads", port_reads),
    ("port_writes", port_writes),
    ("page_walks", page_walks),
    ("cpuid", cpuid),
];

/// A kernel that prints a byte, sets up, and repeats `body` for ever.
pub fn endless(body: &[u8]) -> Kernel {
    Kernel::long_mode(&[greet(), &forever(body)].concat())
}

/// So that the others end by what they do, and not because no kernel starts.
fn exits(target: Target) {
    let kernel = Kernel::long_mode(&exit(STATUS));
    ends_itself(target, &kernel, STATUS.into(), "exited");
}

fn endless_loop(target: Target) {
    ends(target, &endless(&[]), Output::Pipe);
}

fn dead_halt(target: Target) {
    let kernel = endless(code!("cli", "hlt"));
    ends_itself(target, &kernel, FAILURE_STATUS.into(), "halted");
}

/// After half a second at 2 GHz.
fn late_dead_halt(target: Target) {
    const TICKS: i32 = 1 << 30;
    let kernel = Kernel::long_mode(code!(
        "rdtsc",
        "shl rdx, 32",
        "lea rsi, [rax + rdx]",
        "2: rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "sub rax, rsi",
        "cmp rax, {ticks}",
        "jb 2b",
        "cli",
        "hlt",
        ticks = const TICKS,
    ));
    ends_itself(target, &kernel, FAILURE_STATUS.into(), "halted");
}

fn triple_fault(target: Target) {
    let kernel = Kernel::long_mode(code!("ud2"));
    ends_itself(target, &kernel, FAILURE_STATUS.into(), "triple_fault");
}

/// One physical page of `ret`, half of it called by 64 virtual addresses: 131,072 blocks,
/// all dropped at a store to the other half.
fn stores_to_aliased_code(target: Target) {
    const NAMES: u32 = 64;
    const HALF: u32 = 2048;
    const RET: u32 = 0xc3;
    const TABLES: u64 = FREE + 0x1000;
    const BASE: u64 = 512 << 30;
    let name_and_call = code!(
        "mov edi, {free}",
        "mov eax, {ret}",
        "mov ecx, {half}",
        "rep stosb",
        // One table of each level, entries for the one page.
        "mov eax, {tables} + {present}",
        "mov [{root_entry}], rax",
        "add eax, 0x1000",
        "mov [{tables}], rax",
        "add eax, 0x1000",
        "mov [{tables} + 0x1000], rax",
        "mov edi, {tables} + 0x2000",
        "mov eax, {free} + {present}",
        "mov ecx, {names}",
        "rep stosq",
        "mov rbx, {base}",
        "2: mov ecx, {half}",
        "3: call rbx",
        "inc rbx",
        "dec ecx",
        "jnz 3b",
        "add rbx, 4096 - {half}",
        "mov rax, {base} + {names} * 4096",
        "cmp rbx, rax",
        "jb 2b",
        free = const FREE,
        ret = const RET,
        half = const HALF,
        tables = const TABLES,
        present = const PRESENT,
        root_entry = const SECOND_ROOT_ENTRY,
        names = const NAMES,
        base = const BASE,
    );
    let store = code!(
        "mov edi, {free} + {half}",
        "mov ecx, {half}",
        "rep stosb",
        free = const FREE,
        half = const HALF,
    );
    let kernel = Kernel::long_mode(&[name_and_call, greet(), &forever(store)].concat());
    ends(target, &kernel, Output::Pipe);
}

/// The same from ring 3, where nothing can be written and executed at once: a page is made
/// code, called as two modes of MXCSR see it, and made data again.
fn stores_from_ring_3(target: Target) {
    const HALF: u32 = 2048;
    const PAGE: u32 = 4096;
    const READ_WRITE: u32 = 3;
    const READ_EXECUTE: u32 = 5;
    const PRIVATE_ANONYMOUS: u32 = 0x22;
    const RET: u32 = 0xc3;
    let program = program(code!(
        "mov eax, {mmap}",
        "xor edi, edi",
        "mov esi, {page}",
        "mov edx, {read_write}",
        "mov r10d, {private_anonymous}",
        "mov r8, -1",
        "xor r9d, r9d",
        "syscall",
        "mov rbx, rax",
        "mov rdi, rbx",
        "mov eax, {ret}",
        "mov ecx, {half}",
        "rep stosb",
        "mov eax, {mprotect}",
        "mov rdi, rbx",
        "mov esi, {page}",
        "mov edx, {read_execute}",
        "syscall",
        ".irp mode, {to_nearest}, {down}",
        "push \\mode",
        "ldmxcsr [rsp]",
        "pop rax",
        "mov rbp, rbx",
        "mov r12d, {half}",
        "2: call rbp",
        "inc rbp",
        "dec r12d",
        "jnz 2b",
        ".endr",
        "mov eax, {mprotect}",
        "mov rdi, rbx",
        "mov esi, {page}",
        "mov edx, {read_write}",
        "syscall",
        "push '\n'",
        "mov eax, {write}",
        "mov edi, 1",
        "mov rsi, rsp",
        "mov edx, 1",
        "syscall",
        "2: lea rdi, [rbx + {half}]",
        "mov ecx, {half}",
        "mov eax, {ret}",
        "rep stosb",
        "jmp 2b",
        mmap = const SYS_MMAP,
        page = const PAGE,
        read_write = const READ_WRITE,
        private_anonymous = const PRIVATE_ANONYMOUS,
        ret = const RET,
        half = const HALF,
        mprotect = const SYS_MPROTECT,
        read_execute = const READ_EXECUTE,
        to_nearest = const MXCSR_INITIAL,
        down = const MXCSR_INITIAL | MxCsr::ROUNDING_CONTROL_NEGATIVE.bits(),
        write = const SYS_WRITE,
    ));
    each_ends(&Cause::ALL, |cause| {
        let mut command = vmm("run", cause.limit());
        command.args(target.options()).arg(program.path());
        Running::spawn(command, no_report(), Output::Pipe)
    });
}

/// Code that is written again before each time that it runs.
fn stores_to_code(target: Target) {
    const RET: u32 = 0xc3;
    let kernel = endless(code!(
        "mov edi, {free}",
        "mov eax, {ret}",
        "mov ecx, 64",
        "mov rbx, rdi",
        "rep stosb",
        "call rbx",
        free = const FREE,
        ret = const RET,
    ));
    ends(target, &kernel, Output::Pipe);
}

/// `fault`, with an unmapped address in rax, and the first instruction of its handler is the
/// same again.
fn handles_itself(fault: &[u8]) -> Kernel {
    let address = code!("mov rax, {unmapped}", unmapped = const UNMAPPED);
    endless(&[address, fault].concat()).handler(fault)
}

/// An instruction that a software-backed KVM leaves to the VMM.
fn faulting_popcnt(target: Target) {
    let kernel = handles_itself(code!("popcnt eax, dword ptr [rax]"));
    ends(target, &kernel, Output::Pipe);
}

/// Another.
fn faulting_xorps(target: Target) {
    let kernel = handles_itself(code!("xorps xmm0, xmmword ptr [rax]"));
    ends(target, &kernel, Output::Pipe);
}

fn faults_handle_faults(target: Target) {
    ends(target, &handles_itself(code!("ud2")), Output::Pipe);
}

fn handlers_are_not_mapped(target: Target) {
    let kernel = endless(code!("ud2")).handler_at(UNMAPPED);
    ends(target, &kernel, Output::Pipe);
}

/// Copies 1 MiB again and again: `from_and_to` sets rsi and rdi.
fn copies(from_and_to: &[u8]) -> Kernel {
    let copy = code!("mov ecx, 1 << 20", "rep movsb");
    endless(&[from_and_to, copy].concat())
}

fn mmio_reads(target: Target) {
    let from_and_to = code!(
        "mov esi, {no_device}",
        "mov edi, {free}",
        no_device = const NO_DEVICE,
        free = const FREE,
    );
    ends(target, &copies(from_and_to), Output::Pipe);
}

fn mmio_writes(target: Target) {
    let from_and_to = code!(
        "mov esi, {free}",
        "mov edi, {no_device}",
        free = const FREE,
        no_device = const NO_DEVICE,
    );
    ends(target, &copies(from_and_to), Output::Pipe);
}

fn port_reads(target: Target) {
    let kernel = endless(code!(
        "mov edx, {no_port}",
        "mov edi, {free}",
        "mov ecx, 1 << 20",
        "rep insb",
        no_port = const NO_PORT,
        free = const FREE,
    ));
    ends(target, &kernel, Output::Pipe);
}

fn port_writes(target: Target) {
    let kernel = endless(code!(
        "mov edx, {no_port}",
        "mov esi, {free}",
        "mov ecx, 1 << 20",
        "rep outsb",
        no_port = const NO_PORT,
        free = const FREE,
    ));
    ends(target, &kernel, Output::Pipe);
}

/// No TLB entry is ever used twice.
fn page_walks(target: Target) {
    let kernel = endless(code!(
        "mov rax, cr3",
        "mov cr3, rax",
        "mov rax, [{free}]",
        free = const FREE,
    ));
    ends(target, &kernel, Output::Pipe);
}

fn cpuid(target: Target) {
    ends(target, &endless(code!("cpuid")), Output::Pipe);
}
