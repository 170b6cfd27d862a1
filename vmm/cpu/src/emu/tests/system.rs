//! Exits, faults, interrupts and changes of privilege.

use assembly::code;
use x86::DescriptorFlags;

use super::machine::{
    CODE, DATA, GDT, KERNEL_STACK, Machine, PAGE_TABLE, USER_CS, USER_DS, initial_state,
};
use super::modes::enter_real_mode;
use crate::exit::VmExit;
use crate::{Regs, Segment, Vcpu};

/// Where handlers are.
const HANDLER: u64 = 0x11000;
/// Guest-physical address that no RAM backs but the page tables map.
const DEVICE: u64 = 0x1000_0000;
const IF: u64 = 1 << 9;

/// Makes the machine start in ring 3.
fn enter_ring3(machine: &mut Machine) {
    machine.alter(|state| {
        let user = |segment: &Segment, selector| Segment {
            selector,
            attributes: segment.attributes | 3 << 5,
            ..*segment
        };
        state.cs = user(&state.cs, USER_CS);
        state.ss = user(&state.ss, USER_DS);
    });
}

#[test]
fn ports() {
    let mut machine = Machine::new(code!(
        "mov eax, 0x12345678",
        "mov dx, 0x3f8",
        "out dx, al",
        "out 0x80, eax",
        "in ax, dx",
        "hlt",
    ));
    assert_eq!(
        machine.run(),
        VmExit::PioOut {
            port: 0x3f8,
            size: 1,
            data: &[0x78]
        }
    );
    assert_eq!(
        machine.run(),
        VmExit::PioOut {
            port: 0x80,
            size: 4,
            data: &[0x78, 0x56, 0x34, 0x12]
        }
    );
    match machine.run() {
        VmExit::PioIn {
            port: 0x3f8,
            size: 2,
            data,
        } => data.copy_from_slice(&[0xcd, 0xab]),
        other => panic!("{other:?}"),
    }
    machine.run_to_hlt();
    assert_eq!(machine.gpr(Regs::RAX), 0x1234_abcd);
    let counts = machine.emulator.instructions().expect("counted");
    assert_eq!(counts.ring0, 6);
}

#[test]
fn string_ports_exit_once_for_each_element_that_goes_out() {
    let mut machine = Machine::new(code!(
        "mov dx, 0x3f8",
        "mov rsi, {data}",
        "mov ecx, 3",
        "rep outsb",
        "mov rdi, {data} + 0x100",
        "mov ecx, 2",
        "rep insw",
        "hlt",
        data = const DATA,
    ));
    machine.write(DATA, b"abc");
    for byte in b"abc" {
        let VmExit::PioOut { data, size: 1, .. } = machine.run() else {
            panic!("no write");
        };
        assert_eq!(data, [*byte]);
    }
    let VmExit::PioIn { data, size: 2, .. } = machine.run() else {
        panic!("no read");
    };
    data.copy_from_slice(&[1, 2, 3, 4]);
    machine.run_to_hlt();
    assert_eq!(machine.read_u64(DATA + 0x100), 0x0403_0201);
    let gpr = machine.state().regs.gpr;
    assert_eq!(gpr[Regs::RCX], 0);
    assert_eq!(gpr[Regs::RSI], DATA + 3);
    let counts = machine.emulator.instructions().expect("counted");
    assert_eq!(counts.ring0, 8);
}

#[test]
fn device_memory_is_read_and_written_once() {
    let mut machine = Machine::new(code!(
        "mov rbx, {device}",
        "mov rsi, {data}",
        "add dword ptr [rbx + 4], 5",
        "push qword ptr [rbx + 8]",
        "pop qword ptr [rsi]",
        "hlt",
        device = const DEVICE,
        data = const DATA,
    ));
    match machine.run() {
        VmExit::MmioRead { gpa, data } => {
            assert_eq!((gpa, data.len()), (DEVICE + 4, 4));
            data.copy_from_slice(&7_u32.to_le_bytes());
        }
        other => panic!("{other:?}"),
    }
    assert!(!machine.emulator.ready());
    assert_eq!(
        machine.run(),
        VmExit::MmioWrite {
            gpa: DEVICE + 4,
            data: &12_u32.to_le_bytes()
        }
    );
    match machine.run() {
        VmExit::MmioRead { gpa, data } => {
            assert_eq!((gpa, data.len()), (DEVICE + 8, 8));
            data.copy_from_slice(&0x1122_u64.to_le_bytes());
        }
        other => panic!("{other:?}"),
    }
    machine.run_to_hlt();
    assert_eq!(machine.read_u64(DATA), 0x1122);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 6);
}

#[test]
fn a_page_fault_is_served_and_the_instruction_restarted() {
    let mut machine = Machine::new(code!(
        "mov rbx, {data} + 0xffc",
        "mov eax, 1",
        "add qword ptr [rbx], rax",
        "hlt",
        data = const DATA,
    ));
    let page = PAGE_TABLE + 8 * ((DATA + 0x1000) >> 12);
    let present = machine.read_u64(page);
    machine.write_u64(page, 0);
    machine.write_u64(DATA + 0xff8, 0xffff_ffff_0000_0000);
    machine.alter(|state| [state.regs.gpr[10], state.regs.gpr[11]] = [page, present]);
    machine.write(
        HANDLER,
        code!("pop r8", "mov r9, cr2", "mov qword ptr [r10], r11", "iretq"),
    );
    machine.set_gate(14, HANDLER, 0, 0);
    machine.run_to_hlt();
    let gpr = machine.state().regs.gpr;
    assert_eq!(gpr[8], 2, "a write to what is not present");
    assert_eq!(gpr[9], DATA + 0x1000);
    assert_eq!(machine.read_u64(DATA + 0xff8), 0);
    assert_eq!(machine.read_u64(DATA + 0x1000), 1);
    assert_eq!(machine.read_u64(page) & 0x60, 0x60, "accessed and dirty");
}

#[test]
fn without_handlers_a_fault_is_a_triple_fault() {
    let mut machine = Machine::new(code!("ud2"));
    assert_eq!(machine.run(), VmExit::TripleFault);
}

#[test]
fn a_double_fault_takes_its_own_stack() {
    let mut machine = Machine::new(code!(
        // No stack: the page fault's frame faults as well.
        "xor esp, esp",
        "movabs rax, [0x700000000000]",
        "hlt",
    ));
    machine.write(HANDLER, code!("hlt"));
    machine.set_gate(8, HANDLER, 0, 1);
    machine.set_gate(14, HANDLER + 0x100, 0, 0);
    machine.write_u64(super::machine::TSS + 36, KERNEL_STACK);
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!(state.regs.rip, HANDLER + 1);
    assert_eq!(state.regs.gpr[Regs::RSP], KERNEL_STACK - 48);
}

#[test]
fn system_calls_change_privilege_and_are_counted() {
    let mut machine = Machine::new(code!("syscall", "int 0x80", "int 0x81"));
    machine.write(HANDLER, code!("sysretq"));
    machine.write(HANDLER + 0x100, code!("iretq"));
    machine.write(HANDLER + 0x200, code!("hlt"));
    machine.set_gate(0x80, HANDLER + 0x100, 3, 0);
    machine.set_gate(0x81, HANDLER + 0x100, 0, 0);
    machine.set_gate(13, HANDLER + 0x200, 0, 0);
    machine.alter(|state| {
        state.msrs.star = 0x0013_0008_0000_0000;
        state.msrs.lstar = HANDLER;
        state.msrs.sfmask = IF;
    });
    enter_ring3(&mut machine);
    machine.run_to_hlt();
    let state = machine.state();
    assert_eq!(state.cs.selector, 8);
    assert_eq!(state.ss.selector, 0);
    // ss, rsp, rflags, cs, rip, error code: #GP for gate 0x81.
    assert_eq!(state.regs.gpr[Regs::RSP], KERNEL_STACK - 48);
    assert_eq!(machine.read_u64(KERNEL_STACK - 48), 0x81 << 3 | 2);
    assert_eq!(machine.read_u64(KERNEL_STACK - 40), CODE + 4);
    assert_eq!(machine.read_u64(KERNEL_STACK - 32), u64::from(USER_CS));
    let counts = machine.emulator.instructions().expect("counted");
    assert_eq!((counts.ring0, counts.ring3, counts.boot), (3, 2, Some(0)));
}

#[test]
fn ring_3_may_not() {
    for (code, fault) in [
        (code!("hlt"), 0),
        (code!("cli"), 0),
        (code!("in al, dx"), 0),
        (code!("mov rax, cr3"), 0),
        (code!("rdmsr"), 0),
        (
            code!("mov rax, {there}", "jmp rax", there = const 1_u64 << 47),
            10,
        ),
    ] {
        let mut machine = Machine::new(code);
        machine.write(HANDLER, code!("hlt"));
        machine.set_gate(13, HANDLER, 0, 0);
        machine.write_u64(KERNEL_STACK - 48, u64::MAX);
        enter_ring3(&mut machine);
        machine.run_to_hlt();
        assert_eq!(machine.state().regs.rip, HANDLER + 1, "{code:x?}");
        let frame = [48, 40, 32].map(|at| machine.read_u64(KERNEL_STACK - at));
        // Error code, rip and cs.
        assert_eq!(frame, [0, CODE + fault, u64::from(USER_CS)], "{code:x?}");
    }
}

#[test]
fn interrupts_wait_for_the_window() {
    let mut machine = Machine::new(code!("nop", "sti", "inc eax", "inc eax", "hlt"));
    machine.write(HANDLER, code!("mov ebx, eax", "iretq"));
    machine.set_gate(0x30, HANDLER, 0, 0);
    assert!(!machine.emulator.ready());
    machine.emulator.request_interrupt_window(true);
    // The instruction after sti is still in its shadow.
    assert_eq!(machine.run(), VmExit::InterruptWindow);
    assert!(machine.emulator.ready());
    machine.emulator.request_interrupt_window(false);
    machine.emulator.inject(0x30).expect("ready");
    assert!(!machine.emulator.ready());
    machine.run_to_hlt();
    let gpr = machine.state().regs.gpr;
    assert_eq!((gpr[Regs::RBX], gpr[Regs::RAX]), (1, 2));
}

#[test]
fn sti_and_hlt_sleep_together() {
    let mut machine = Machine::new(code!("sti", "hlt", "hlt"));
    machine.write(HANDLER, code!("iretq"));
    machine.set_gate(0x40, HANDLER, 0, 0);
    machine.run_to_hlt();
    assert_eq!(machine.state().regs.rip, CODE + 2);
    assert!(machine.emulator.ready());
    machine.emulator.inject(0x40).expect("ready");
    machine.run_to_hlt();
    assert_eq!(machine.state().regs.rip, CODE + 3);
}

#[test]
fn apic_registers_are_the_vmms() {
    let mut machine = Machine::new(code!(
        "mov ecx, 0x80b",
        "mov eax, 5",
        "mov edx, 6",
        "wrmsr",
        "mov ecx, 0x1b",
        "rdmsr",
        "rdmsr",
    ));
    match machine.run() {
        VmExit::MsrWrite {
            index: 0x80b,
            value,
            ..
        } => assert_eq!(value, 0x6_0000_0005),
        other => panic!("{other:?}"),
    }
    match machine.run() {
        VmExit::MsrRead {
            index: 0x1b, value, ..
        } => *value = 0x1_0000_0002,
        other => panic!("{other:?}"),
    }
    match machine.run() {
        VmExit::MsrRead { error, .. } => *error = 1,
        other => panic!("{other:?}"),
    }
    let state = machine.state();
    assert_eq!(
        (state.regs.gpr[Regs::RAX], state.regs.gpr[Regs::RDX]),
        (2, 1)
    );
    // Refused: #GP, for which there is no handler here.
    assert_eq!(machine.run(), VmExit::TripleFault);
}

#[test]
fn one_instruction_at_a_time() {
    let mut machine = Machine::new(code!("mov eax, 1", "add eax, 2", "hlt"));
    let mut state = initial_state();
    for (expected_rip, expected_rax) in [(CODE + 5, 1), (CODE + 8, 3)] {
        machine.emulator.set_state(&state).expect("a good state");
        let counts = machine.emulator.instructions().expect("counted");
        machine
            .emulator
            .set_instruction_limit(Some(counts.ring0 + 1))
            .expect("counted");
        assert_eq!(machine.run(), VmExit::InstructionLimit);
        state = machine.state();
        assert_eq!(state.regs.rip, expected_rip);
        assert_eq!(state.regs.gpr[Regs::RAX], expected_rax);
    }
}

#[test]
fn modes_that_are_missing_end_the_run() {
    let mut machine = Machine::new(code!("hlt"));
    machine.alter(|state| {
        enter_real_mode(state);
        state.cr0 |= 1;
        state.regs.rflags |= 1 << 17;
    });
    let VmExit::Failed { message } = machine.run() else {
        panic!("virtual-8086 mode ran");
    };
    assert!(message.contains("virtual-8086 mode"), "{message}");
}

/// The low halves of descriptors of 16 bytes, an available TSS and a call gate of ring 0, and
/// code that uses the one of selector ax.
fn halves() -> [(u64, &'static [u8]); 2] {
    [
        (0x0000_8900_a000_0067, code!("ltr ax")),
        (
            0x0000_8c00_0008_0000,
            code!("mov [rbx + 4], ax", "call fword ptr [rbx]"),
        ),
    ]
}

#[test]
fn a_descriptor_of_16_bytes_ends_with_its_table() {
    const LAST: u16 = 0xfff8;
    for (half, code) in halves() {
        let mut machine = Machine::new(code);
        machine.write(HANDLER, code!("pop rcx", "hlt"));
        machine.set_gate(13, HANDLER, 0, 0);
        machine.write_u64(GDT + u64::from(LAST), half);
        machine.alter(|state| {
            state.gdt.limit = u16::MAX;
            state.regs.gpr[Regs::RAX] = LAST.into();
            state.regs.gpr[Regs::RBX] = DATA;
        });
        machine.run_to_hlt();
        assert_eq!(machine.gpr(Regs::RCX), u64::from(LAST));
    }
}

#[test]
fn a_page_fault_of_half_a_descriptor_is_one() {
    const HOLE: u64 = 0x2_1000;
    const SELECTOR: u64 = 0x10;
    for (half, code) in halves() {
        let mut machine = Machine::new(code);
        machine.write(HANDLER, code!("mov rcx, cr2", "hlt"));
        machine.set_gate(14, HANDLER, 0, 0);
        let table = HOLE - 8 - SELECTOR;
        machine.write_u64(table + 8, DescriptorFlags::KERNEL_CODE64.bits());
        machine.write_u64(table + SELECTOR, half);
        machine.write_u64(PAGE_TABLE + 8 * (HOLE >> 12), 0);
        machine.alter(|state| {
            state.gdt.base = table;
            state.regs.gpr[Regs::RAX] = SELECTOR;
            state.regs.gpr[Regs::RBX] = DATA;
        });
        machine.run_to_hlt();
        assert_eq!(machine.gpr(Regs::RCX), HOLE);
    }
}
