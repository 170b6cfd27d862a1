//! Guests that never end, or that end badly: what each does for ever costs the VMM, KVM or
//! the emulator more than it looks.

use abi::debug_exit::FAILURE_STATUS;
use abi::ports::LOCAL_APIC;
use iced_x86::code_asm::*;

use crate::support::Target;
use crate::support::kernel::{
    Assembled, FREE, Kernel, PRESENT, SECOND_ROOT_ENTRY, UNMAPPED, exit, forever, print, program,
};
use crate::{Case, Cause, Output, Running, each_ends, ends, ends_itself, no_report, vmm};

/// Guest-physical addresses where nothing is.
const NO_DEVICE: u64 = 0xd000_0000;
/// A port where nothing is.
const NO_PORT: u32 = 0x2000;

/// Numbers of system calls (arch/x86/entry/syscalls/syscall_64.tbl).
const SYS_WRITE: u32 = 1;
const SYS_MMAP: u32 = 9;
const SYS_MPROTECT: u32 = 10;

/// What a kernel of these tests exits with.
const STATUS: u8 = 7;

pub const CASES: &[Case] = &[
    ("exit", exits),
    ("task_priority_is_cr8", task_priority),
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
    ("interrupts", interrupts),
];

/// Software-backed KVM does not tell when CR8 falls, so that an interrupt which waits for
/// that in the VMM's local APIC waits until the next exit.
pub const PRIORITY_CASES: &[Case] = &[("low_interrupts_wait", low_interrupts_wait)];

/// A kernel that says that it is there, gets ready, and does `body` for ever.
fn endless(body: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Kernel {
    Kernel::long_mode(|a| {
        print(a, "\n")?;
        forever(a, body)
    })
}

/// So that the others end by what they do, and not because no kernel starts.
fn exits(target: Target) {
    let kernel = Kernel::long_mode(|a| exit(a, STATUS));
    ends_itself(target, &kernel, STATUS.into(), "exited");
}

const TASK_PRIORITY: u64 = LOCAL_APIC + 0x80;
const SPURIOUS_VECTOR: u64 = LOCAL_APIC + 0xf0;
/// The local APIC is on; 255 is the spurious vector.
const ENABLED: u32 = 0x1ff;
const INTERRUPT_COMMAND: u64 = LOCAL_APIC + 0x300;
/// Vector 0x40 to this CPU.
const TO_MYSELF: u32 = 1 << 18 | 0x40;

/// Writes a register of the local APIC.
fn write_apic(a: &mut CodeAssembler, register: u64, value: u32) -> Assembled {
    a.mov(ebx, register as u32)?;
    a.mov(dword_ptr(rbx), value)
}

/// Each way to the task priority shows what the other has put there.
fn task_priority(target: Target) {
    let kernel = Kernel::long_mode(|a| {
        write_apic(a, TASK_PRIORITY, 0x50)?;
        a.mov(rsi, cr8)?;
        a.mov(eax, 7)?;
        a.mov(cr8, rax)?;
        a.mov(edi, dword_ptr(rbx))?;
        a.mov(eax, 1)?;
        a.mov(cr8, rax)?;
        a.mov(eax, dword_ptr(rbx))?;
        // 0x1000, 0x700 and 5.
        a.shl(eax, 8)?;
        a.shl(edi, 4)?;
        a.or(eax, edi)?;
        a.or(eax, esi)?;
        a.cmp(eax, 0x1705)?;
        a.sete(al)?;
        a.dec(al)?;
        a.add(al, u32::from(STATUS) as i32)?;
        a.mov(dx, u32::from(abi::ports::DEBUG_EXIT))?;
        a.out(dx, al)
    });
    ends_itself(target, &kernel, STATUS.into(), "exited");
}

/// An interrupt below the task priority comes when that falls, and no earlier.
fn low_interrupts_wait(target: Target) {
    let kernel = Kernel::long_mode(|a| {
        write_apic(a, SPURIOUS_VECTOR, ENABLED)?;
        a.mov(esi, u32::from(STATUS) - 1)?;
        a.mov(eax, 5)?;
        a.mov(cr8, rax)?;
        a.sti()?;
        write_apic(a, INTERRUPT_COMMAND, TO_MYSELF)?;
        a.nop()?;
        a.inc(esi)?;
        a.mov(eax, 3)?;
        a.mov(cr8, rax)?;
        forever(a, |_| Ok(()))
    });
    let kernel = kernel.handler(|a| {
        a.mov(eax, esi)?;
        a.mov(dx, u32::from(abi::ports::DEBUG_EXIT))?;
        a.out(dx, al)
    });
    ends_itself(target, &kernel, STATUS.into(), "exited");
}

fn endless_loop(target: Target) {
    ends(target, &endless(|_| Ok(())), Output::Pipe);
}

fn dead_halt(target: Target) {
    let kernel = endless(|a| {
        a.cli()?;
        a.hlt()
    });
    ends_itself(target, &kernel, FAILURE_STATUS.into(), "halted");
}

/// After half a second at 2 GHz: whoever looks must not have looked once.
fn late_dead_halt(target: Target) {
    const TICKS: i32 = 1 << 30;
    let read_tsc = |a: &mut CodeAssembler| {
        a.rdtsc()?;
        a.shl(rdx, 32)?;
        a.or(rax, rdx)
    };
    let kernel = Kernel::long_mode(|a| {
        read_tsc(a)?;
        a.mov(rsi, rax)?;
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        read_tsc(a)?;
        a.sub(rax, rsi)?;
        a.cmp(rax, TICKS)?;
        a.jb(again)?;
        a.cli()?;
        a.hlt()
    });
    ends_itself(target, &kernel, FAILURE_STATUS.into(), "halted");
}

fn triple_fault(target: Target) {
    let kernel = Kernel::long_mode(CodeAssembler::ud2);
    ends_itself(target, &kernel, FAILURE_STATUS.into(), "triple_fault");
}

/// One physical page of `ret`, half of it called by 64 virtual names: 131,072 pieces of code,
/// all lost at a store to the other half.
fn stores_to_aliased_code(target: Target) {
    const NAMES: u32 = 64;
    const HALF: u32 = 2048;
    const RET: u32 = 0xc3;
    const TABLES: u64 = FREE + 0x1000;
    const BASE: u64 = 512 << 30;
    let kernel = Kernel::long_mode(|a| {
        a.mov(edi, FREE as u32)?;
        a.mov(eax, RET)?;
        a.mov(ecx, HALF)?;
        a.rep().stosb()?;
        for (entry, value) in [
            (SECOND_ROOT_ENTRY, TABLES),
            (TABLES, TABLES + 0x1000),
            (TABLES + 0x1000, TABLES + 0x2000),
        ] {
            a.mov(rax, value | PRESENT)?;
            a.mov(qword_ptr(entry), rax)?;
        }
        a.mov(edi, (TABLES + 0x2000) as u32)?;
        a.mov(eax, (FREE | PRESENT) as u32)?;
        a.mov(ecx, NAMES)?;
        a.rep().stosq()?;
        a.mov(rbx, BASE)?;
        let mut page = a.create_label();
        a.set_label(&mut page)?;
        a.mov(ecx, HALF)?;
        let mut code = a.create_label();
        a.set_label(&mut code)?;
        a.call(rbx)?;
        a.inc(rbx)?;
        a.dec(ecx)?;
        a.jnz(code)?;
        a.add(rbx, 4096 - HALF as i32)?;
        a.mov(rax, BASE + u64::from(NAMES) * 4096)?;
        a.cmp(rbx, rax)?;
        a.jb(page)?;
        print(a, "\n")?;
        forever(a, |a| {
            a.mov(edi, FREE as u32 + HALF)?;
            a.mov(ecx, HALF)?;
            a.rep().stosb()
        })
    });
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
    const MODES: [u32; 2] = [0x1f80, 0x3f80];
    const RET: u32 = 0xc3;
    let mprotect = |a: &mut CodeAssembler, protection: u32| {
        a.mov(eax, SYS_MPROTECT)?;
        a.mov(rdi, rbx)?;
        a.mov(esi, PAGE)?;
        a.mov(edx, protection)?;
        a.syscall()
    };
    let program = program(|a| {
        a.mov(eax, SYS_MMAP)?;
        a.xor(edi, edi)?;
        a.mov(esi, PAGE)?;
        a.mov(edx, READ_WRITE)?;
        a.mov(r10d, PRIVATE_ANONYMOUS)?;
        a.mov(r8, -1_i64)?;
        a.xor(r9d, r9d)?;
        a.syscall()?;
        a.mov(rbx, rax)?;
        a.mov(rdi, rbx)?;
        a.mov(eax, RET)?;
        a.mov(ecx, HALF)?;
        a.rep().stosb()?;
        mprotect(a, READ_EXECUTE)?;
        for mode in MODES {
            a.push(mode as i32)?;
            a.ldmxcsr(dword_ptr(rsp))?;
            a.pop(rax)?;
            a.mov(rbp, rbx)?;
            a.mov(r12d, HALF)?;
            let mut next = a.create_label();
            a.set_label(&mut next)?;
            a.call(rbp)?;
            a.inc(rbp)?;
            a.dec(r12d)?;
            a.jnz(next)?;
        }
        mprotect(a, READ_WRITE)?;
        a.push(i32::from(b'\n'))?;
        a.mov(eax, SYS_WRITE)?;
        a.mov(edi, 1)?;
        a.mov(rsi, rsp)?;
        a.mov(edx, 1)?;
        a.syscall()?;
        forever(a, |a| {
            a.lea(rdi, ptr(rbx + HALF))?;
            a.mov(ecx, HALF)?;
            a.mov(eax, RET)?;
            a.rep().stosb()
        })
    });
    each_ends(&Cause::ALL, |cause| {
        let mut command = vmm("run", cause.limit());
        command.args(target.options()).arg(program.path());
        Running::spawn(command, no_report(), Output::Pipe)
    });
}

/// Code that is written again before each time that it runs.
fn stores_to_code(target: Target) {
    let kernel = endless(|a| {
        const RET: u32 = 0xc3;
        a.mov(edi, FREE as u32)?;
        a.mov(eax, RET)?;
        a.mov(ecx, 64)?;
        a.mov(rbx, rdi)?;
        a.rep().stosb()?;
        a.call(rbx)
    });
    ends(target, &kernel, Output::Pipe);
}

/// `fault`, with an unmapped address in rax, and the first instruction of its handler is the
/// same again.
fn handles_itself(fault: fn(&mut CodeAssembler) -> Assembled) -> Kernel {
    let kernel = endless(|a| {
        a.mov(rax, UNMAPPED)?;
        fault(a)
    });
    kernel.handler(fault)
}

/// An instruction that a software-backed KVM leaves to the VMM.
fn faulting_popcnt(target: Target) {
    let kernel = handles_itself(|a| a.popcnt(eax, dword_ptr(rax)));
    ends(target, &kernel, Output::Pipe);
}

/// Another.
fn faulting_xorps(target: Target) {
    let kernel = handles_itself(|a| a.xorps(xmm0, xmmword_ptr(rax)));
    ends(target, &kernel, Output::Pipe);
}

fn faults_handle_faults(target: Target) {
    ends(target, &handles_itself(CodeAssembler::ud2), Output::Pipe);
}

fn handlers_are_not_mapped(target: Target) {
    let kernel = endless(CodeAssembler::ud2).handler_at(UNMAPPED);
    ends(target, &kernel, Output::Pipe);
}

/// Copies 1 MiB again and again.
fn copies(from: u64, to: u64) -> Kernel {
    endless(|a| {
        a.mov(rsi, from)?;
        a.mov(rdi, to)?;
        a.mov(ecx, 1 << 20)?;
        a.rep().movsb()
    })
}

fn mmio_reads(target: Target) {
    ends(target, &copies(NO_DEVICE, FREE), Output::Pipe);
}

fn mmio_writes(target: Target) {
    ends(target, &copies(FREE, NO_DEVICE), Output::Pipe);
}

fn port_reads(target: Target) {
    let kernel = endless(|a| {
        a.mov(edx, NO_PORT)?;
        a.mov(edi, FREE as u32)?;
        a.mov(ecx, 1 << 20)?;
        a.rep().insb()
    });
    ends(target, &kernel, Output::Pipe);
}

fn port_writes(target: Target) {
    let kernel = endless(|a| {
        a.mov(edx, NO_PORT)?;
        a.mov(esi, FREE as u32)?;
        a.mov(ecx, 1 << 20)?;
        a.rep().outsb()
    });
    ends(target, &kernel, Output::Pipe);
}

/// No translation is ever used twice.
fn page_walks(target: Target) {
    let kernel = endless(|a| {
        a.mov(rax, cr3)?;
        a.mov(cr3, rax)?;
        a.mov(rax, ptr(FREE))
    });
    ends(target, &kernel, Output::Pipe);
}

fn cpuid(target: Target) {
    ends(target, &endless(CodeAssembler::cpuid), Output::Pipe);
}

/// Each interrupt that is handled makes room for the next, which the CPU sends to itself.
fn interrupts(target: Target) {
    const END_OF_INTERRUPT: u64 = LOCAL_APIC + 0xb0;
    let kernel = endless(|a| {
        write_apic(a, SPURIOUS_VECTOR, ENABLED)?;
        a.sti()?;
        write_apic(a, INTERRUPT_COMMAND, TO_MYSELF)
    });
    let kernel = kernel.handler(|a| {
        a.mov(edi, END_OF_INTERRUPT as u32)?;
        a.mov(dword_ptr(rdi), 0)?;
        a.iretq()
    });
    ends(target, &kernel, Output::Pipe);
}
