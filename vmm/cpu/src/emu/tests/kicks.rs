//! Kicks, and instructions long enough to be interrupted in their middle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use assembly::code;

use super::machine::{CODE, DATA, LARGE, Machine, PAGE_DIRECTORY, PAGE_TABLE, STACK, TSS, USER};
use crate::emu::engine::WORK;
use crate::emu::outside::exit::ExitKind;
use crate::exit::VmExit;
use crate::{Regs, Vcpu};

const LARGE_PAGE: u64 = 2 << 20;

#[test]
fn a_kick_ends_an_endless_loop() {
    let mut machine = Machine::new(code!("2: jmp 2b"));
    let kicker = machine.emulator.kicker();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        kicker.kick();
    });
    assert_eq!(machine.run(), VmExit::Interrupted);
    thread.join().expect("the kicker");
}

#[test]
fn a_long_string_store_counts_once() {
    let mut machine = Machine::new(code!(
        "mov rdi, {data}",
        "mov ecx, 0x180000 / 8",
        "mov rax, 0x0101010101010101",
        "rep stosq",
        "hlt",
        data = const DATA,
    ));
    machine.run_to_hlt();
    assert_eq!(machine.read_u64(DATA), 0x0101_0101_0101_0101);
    assert_eq!(machine.read_u64(DATA + 0x17_fff8), 0x0101_0101_0101_0101);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 5);
}

#[test]
fn a_kick_is_seen_amid_a_string_instruction() {
    const COUNT: u64 = 511 * LARGE_PAGE;
    let before = code!(
        "mov rsi, {large_page}",
        "mov rcx, {count}",
        large_page = const LARGE_PAGE,
        count = const COUNT,
    );
    let mut machine = Machine::new(&[before, code!("rep lodsb", "hlt")].concat());
    // Much address space, little RAM: all is one page.
    for i in 1..512 {
        machine.write_u64(PAGE_DIRECTORY + 8 * i, LARGE_PAGE | LARGE | USER);
    }
    let kicker = machine.emulator.kicker();
    let seen = AtomicBool::new(false);
    let interrupted = thread::scope(|scope| {
        scope.spawn(|| {
            while !seen.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                kicker.kick();
            }
        });
        let interrupted = loop {
            let interrupted = machine.run() == VmExit::Interrupted;
            // A kick may have come before the instruction began.
            if !interrupted || (1..COUNT).contains(&machine.gpr(Regs::RCX)) {
                break interrupted;
            }
        };
        seen.store(true, Ordering::Relaxed);
        interrupted
    });
    assert!(interrupted);
    let at = CODE + before.len() as u64;
    assert_eq!(machine.state().regs.rip, at);
    let left = machine.gpr(Regs::RCX);
    assert_eq!(machine.gpr(Regs::RSI), LARGE_PAGE + COUNT - left);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 2);
    machine.alter(|state| state.regs.gpr[Regs::RCX] = 1);
    // One more kick may have come since.
    if machine.run() == VmExit::Interrupted {
        machine.run_to_hlt();
    }
    assert_eq!(machine.gpr(Regs::RCX), 0);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 4);
}

/// All small pages from here on are one.
const ALIASES: u64 = 0x4_0000;
/// Blocks that the guests below have in that page: 31 at each of its bytes.
const BLOCKS: u64 = 31 * 4096;

/// Makes the machine's small pages from [`ALIASES`] to the end the page at [`DATA`], which
/// it fills with `ret`.
fn alias(machine: &mut Machine) {
    for page in ALIASES >> 12..512 {
        machine.write_u64(PAGE_TABLE + 8 * page, DATA | USER);
    }
    machine.write(DATA, &[0xc3; 4096]);
}

/// Has the guest decode [`BLOCKS`] blocks in the one page.
fn fill_page() -> &'static [u8] {
    code!(
        "mov ebx, {aliases}",
        "mov ecx, {blocks}",
        "2: call rbx",
        "inc rbx",
        "dec ecx",
        "jnz 2b",
        aliases = const ALIASES,
        blocks = const BLOCKS,
    )
}

/// Runs slice by slice until `hlt`; `check` gets the work and the instructions of each.
fn by_slices(machine: &mut Machine, mut check: impl FnMut(i64, u64)) {
    let emulator = &mut machine.emulator;
    while emulator.cpu.outside.exit.kind == ExitKind::None {
        let before = emulator.cpu.meter.retired();
        emulator.run_slice(i64::MAX);
        let meter = &emulator.cpu.meter;
        check(WORK - meter.work, meter.retired() - before);
    }
    assert_eq!(emulator.cpu.outside.exit.kind, ExitKind::Hlt);
}

#[test]
fn a_write_looks_at_the_blocks_around_it_only() {
    let code = code!(
        "mov rdi, {data}",
        "mov ecx, 4096",
        "mov al, 0x90",
        "rep stosb",
        "mov byte ptr [{data} + 0xfff], 0xc3",
        "mov ebx, {aliases} + 0x7000",
        "call rbx",
        "hlt",
        data = const DATA,
        aliases = const ALIASES,
    );
    let mut machine = Machine::new(&[fill_page(), code].concat());
    alias(&mut machine);
    let mut most = 0;
    by_slices(&mut machine, |work, _| most = most.max(work));
    assert!(most < WORK + BLOCKS as i64 / 8, "a slice of {most}");
    // The last code called was 4095 no-ops and a `ret`: no older block is left.
    let counts = machine.emulator.instructions().expect("counted");
    assert_eq!(counts.ring0, 5 * BLOCKS + 10 + 4096);
}

#[test]
fn the_end_of_a_block_and_its_second_page_count() {
    // mov eax, 0x1234_5678, two bytes of it in the next page; hlt
    const NEXT: u64 = ALIASES + 0x1000;
    let mut machine = Machine::new(code!(
        "mov ebx, {next} - 3",
        "call rbx",
        "mov byte ptr [rbx + 3], 0x99",
        "call rbx",
        "mov byte ptr [rbx + 1], 0x55",
        "call rbx",
        "hlt",
        next = const NEXT,
    ));
    machine.write(NEXT - 3, &[0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3]);
    machine.run_to_hlt();
    assert_eq!(machine.gpr(Regs::RAX), 0x1299_5655);
}

#[test]
fn elements_are_work_though_no_instructions() {
    let mut machine = Machine::new(code!(
        "mov ebx, 500",
        "2: mov rsi, {data}",
        "mov ecx, 0x4000",
        "rep lodsb",
        "dec ebx",
        "jnz 2b",
        "hlt",
        data = const DATA,
    ));
    let mut most = 0;
    by_slices(&mut machine, |_, instructions| {
        most = most.max(instructions)
    });
    assert!(most < 50, "{most} instructions in a slice");
    assert_eq!(
        machine.emulator.instructions().expect("counted").ring0,
        2502
    );
}

/// Guests that go on for ever, each costly in its own way.
fn endless() -> Vec<(&'static str, Machine)> {
    let code = code!(
        "2: mov rdi, {data}",
        "mov ecx, 4096",
        "mov al, 0xc3",
        "rep stosb",
        "jmp 2b",
        data = const DATA,
    );
    let mut aliased = Machine::new(&[fill_page(), code].concat());
    alias(&mut aliased);
    let elements = Machine::new(code!(
        "2:",
        ".rept 60",
        "mov edi, {data}",
        "mov ecx, 0x100000",
        "repne scasb",
        ".endr",
        "jmp 2b",
        data = const DATA,
    ));
    let rewriting = Machine::new(code!(
        "mov ebx, {data}",
        "mov byte ptr [rbx], 0xc3",
        "2: call rbx",
        "mov byte ptr [rbx], 0xc3",
        "invlpg [rbx]",
        "jmp 2b",
        data = const DATA,
    ));
    // Every handler is what it handles.
    let mut faulting = Machine::new(code!("ud2"));
    faulting.set_gate(6, CODE, 0, 1);
    faulting.write_u64(TSS + 36, STACK);
    vec![
        ("a page of blocks", aliased),
        ("strings", elements),
        ("code that changes", rewriting),
        ("faults", faulting),
    ]
}

#[test]
fn a_kick_is_seen_whatever_the_guest_does() {
    for (name, mut machine) in endless() {
        for _ in 0..5 {
            let kicker = machine.emulator.kicker();
            let thread = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                kicker.kick();
            });
            assert_eq!(machine.run(), VmExit::Interrupted, "{name}");
            thread.join().expect("the kicker");
        }
    }
}

#[test]
fn a_step_is_one_delivery() {
    let mut machine = Machine::new(code!("ud2"));
    machine.set_gate(6, CODE, 0, 1);
    machine.write_u64(TSS + 36, STACK);
    assert_eq!(machine.emulator.step(), None);
    assert_eq!(machine.state().regs.rip, CODE);
    assert_eq!(machine.gpr(Regs::RSP), STACK - 40);
    assert_eq!(machine.emulator.instructions().expect("counted").ring0, 0);
    machine.alter(|state| state.idt.limit = 0);
    assert_eq!(machine.emulator.step(), Some(VmExit::TripleFault));
}
