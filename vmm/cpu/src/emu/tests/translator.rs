//! The translator and the interpreter side by side: the same state after the same
//! instructions, wherever a run ends.

use std::sync::{Arc, Mutex};

use assembly::code;
use vm_memory::{Bytes, GuestAddress};

use super::machine::{CODE, DATA, Machine};
use crate::emu::code::op::Block;
use crate::emu::{Engine, disassemble};
use crate::exit::VmExit;
use crate::{Regs, Translation, TranslationSink, Vcpu};

/// Where functions and handlers are.
const FUNCTIONS: u64 = 0x11000;
const HANDLER: u64 = 0x12000;
/// The least address that is not canonical.
const HOLE: u64 = 1 << 47;
/// The bytes of DATA that are compared.
const SEEN: usize = 0x2000;

/// A program of everything that translated code has to leave, or come back to: blocks of all
/// kinds of ends, faults, accesses that cross pages, divisions, vectors, and code that it
/// writes itself, ahead and in its own loop.
fn machine(engine: Engine) -> Machine {
    let mut machine = Machine::with_engine(
        engine,
        code!(
            "mov rbx, {data}",
            "mov ebp, 40",
            "mov r15d, 3",
            "cvtsi2sd xmm1, r15",
            "2:",
            // Loops, by flags that pass through other blocks.
            "mov ecx, 9",
            "mov r12, rbx",
            "3:",
            "add rax, rcx",
            "adc r13, rax",
            "xor [r12 + 8 * rcx], r13",
            "rol r13, cl",
            "lea r14, [r13 + 4 * rax + 5]",
            "cmp r14, rax",
            "cmovb rdx, r14",
            "setp byte ptr [rbx + rcx + 0x200]",
            "dec ecx",
            "jne 3b",
            // Across the end of a page, and of two.
            "mov rsi, [rbx + 0xffd]",
            "add [rbx + 0xffe], esi",
            // Accesses that share a look at their page, which they leave, whose register
            // changes, and which have to be aligned.
            "mov rax, [rbx + 0xff0]",
            "add rax, [rbx + 0x1008]",
            "mov [rbx + 0xff8], rax",
            "mov r8, [rbx + 0x60]",
            "lea rbx, [rbx + 8]",
            "mov [rbx + 0x60], r8",
            "sub [rbx + 0x70], ax",
            "lea rbx, [rbx - 8]",
            "movaps xmm3, [rbx + 0x60]",
            "cmp byte ptr [rbx + 0x6f], 0x40",
            "movaps [rbx + 0x80], xmm3",
            "setl byte ptr [rbx + 0x90]",
            "sub rsp, 0x40",
            "mov [rsp + 8], rax",
            "adc rax, [rsp + 8]",
            "mov [rsp + 0x10], rax",
            "push qword ptr [rsp + 0x10]",
            "pop qword ptr [rsp + 0x18]",
            "add rsp, 0x40",
            // Rotations whose OF depends on the encoding, and vectors by way of MMX's.
            "rcl al, 0x7b",
            "seto byte ptr [rbx + 0x98]",
            "rcr word ptr [rbx + 0x9a], 0x91",
            "seto byte ptr [rbx + 0x99]",
            "mov r10, rcx",
            "mov ecx, 0x87d6b16a",
            "rol ecx, 0x7f",
            "seto byte ptr [rbx + 0xb0]",
            "ror cl, 0xbf",
            "seto byte ptr [rbx + 0xb1]",
            "ror ch, 0x73",
            "seto byte ptr [rbx + 0xb2]",
            "mov r14, rcx",
            "rol r14w, 0xff",
            "seto byte ptr [rbx + 0xb3]",
            "ror dword ptr [rbx + 0x9c], 0x74",
            "seto byte ptr [rbx + 0xb4]",
            "ror r9, 0x27",
            "seto byte ptr [rbx + 0xb5]",
            "mov [rbx + 0xb8], rcx",
            "mov [rbx + 0xc0], r14",
            "mov rcx, r10",
            "cvtpi2ps xmm4, qword ptr [rbx + 0x60]",
            "cvtpi2pd xmm5, qword ptr [rbx + 0x68]",
            // Segments with bases, whose sums with offsets that are not canonical are; and bytes
            // that have no name beside r8 to r15.
            "mov r10, fs:[0x60]",
            "add r10, gs:[r15 + 0x55]",
            "mov fs:[r15d + 0x15], r10",
            "push gs:[rcx + 0x18]",
            "pop fs:[0x68]",
            "mov rdx, {hole}",
            "add r10, gs:[rdx + 0x60]",
            "lea rdx, fs:[rdx + 0x20]",
            "and ah, 0x5f",
            "add al, ah",
            "test dh, 0x10",
            "setnz dl",
            "movzx edi, ah",
            "movzx eax, dh",
            "xor bh, dl",
            "xor bh, dl",
            "mov [rbx + 0x78], ch",
            "mov [rbx + 0x79], ah",
            // No-ops, and what the interpreter does.
            "nop dword ptr [rax + rax]",
            "prefetcht0 [rdx]",
            "endbr64",
            "nop ax",
            "mfence",
            "fld qword ptr [rbx + 0x60]",
            "fstp qword ptr [rbx + 0xa0]",
            "cld",
            "lea rdi, [rbx + 0xffd]",
            "stosq",
            // Multiplications and divisions, some of which fault.
            "imul rsi, rax, 77",
            "mul r13",
            "mov eax, ebp",
            "cdq",
            "mov edi, ebp",
            "and edi, 7",
            "idiv edi",
            "mov [rbx + 0xa8], r15",
            "cdq",
            "idiv dword ptr [rbx + 0xa8]",
            "xor edx, edx",
            "mov rax, r13",
            "div r15",
            // Constant addresses: of one page, across its end, and one look alone.
            "mov [{data}], ebx",
            "mov [{data} + 0x4b8], rbp",
            "add r9, [{data} + 0x4c0]",
            "xor edx, edx",
            "div qword ptr [{data} + 0x4b8]",
            "xor r9, [{data} + 0xffd]",
            "imul r10, [{data} + 0x1ff8], 3",
            "add [{data} + 0x4c0], r10",
            // Calls, direct, indirect and deep.
            "mov edi, 4",
            "mov r8, {functions}",
            "call r8",
            "mov [rbx + 0x300], r8",
            "call [rbx + 0x308]",
            "jmp 4f",
            "ud2",
            "4:",
            // Vectors: aligned, not aligned, and with flags.
            "movups xmm0, [rbx + 0x11]",
            "paddq xmm0, [rbx + 0x20]",
            "movaps [rbx + 0x30], xmm0",
            "cvtsi2sd xmm2, rbp",
            "divsd xmm1, xmm2",
            "mulsd xmm2, xmm1",
            "ucomisd xmm1, xmm2",
            "jp 5f",
            "sbb r9, rbp",
            "5:",
            "movsd [rbx + 0x40], xmm1",
            // Code ahead that changes, and an undefined instruction.
            "lea r11, [rip + 6f]",
            "mov [r11 + 2], ebp",
            "6: mov r10d, 0x11223344",
            "add r9, r10",
            "ud2",
            "push rbp",
            "pushfq",
            "pop r11",
            "pop qword ptr [rbx + 0x50]",
            "and r11, 0xcd5",
            "add r9, r11",
            "dec ebp",
            "jnz 2b",
            "hlt",
            data = const DATA,
            functions = const FUNCTIONS,
            hole = const HOLE,
        ),
    );
    machine.write(
        FUNCTIONS,
        code!(
            "push rdi",
            "sub edi, 1",
            "jz 2f",
            "mov rsi, {functions}",
            "call rsi",
            "2:",
            "add rax, [rsp]",
            "pop rdi",
            "ret",
            functions = const FUNCTIONS,
        ),
    );
    // #UD and #DE go on after an instruction of two bytes.
    machine.write(HANDLER, code!("add qword ptr [rsp], 2", "iretq"));
    machine.set_gate(0, HANDLER, 0, 0);
    machine.set_gate(6, HANDLER, 0, 0);
    // #GP has an error code, and goes on after one of five.
    let code = code!("add rsp, 8", "add qword ptr [rsp], 5", "iretq");
    machine.write(HANDLER + 0x100, code);
    machine.set_gate(13, HANDLER + 0x100, 0, 0);
    machine.alter(|state| {
        state.fs.base = DATA;
        state.gs.base = DATA.wrapping_sub(HOLE);
    });
    machine.write_u64(DATA + 0x308, FUNCTIONS);
    machine
}

fn data(machine: &Machine) -> Vec<u8> {
    let mut bytes = vec![0; SEEN];
    let memory = machine.ram.mmap();
    memory
        .read_slice(&mut bytes, GuestAddress(DATA))
        .expect("RAM");
    bytes
}

/// Runs both engines in runs of `length` instructions, and some more or less.
fn in_step(after: u16, length: u64) {
    let mut interpreter = machine(Engine::Interpreter);
    let mut translator = machine(Engine::Translator { after });
    let mut random = fastrand::Rng::with_seed(length);
    let mut end = 0;
    loop {
        end += random.u64(1..2 * length);
        let [left, right] = [&mut interpreter, &mut translator].map(|machine| {
            let limit = machine.emulator.set_instruction_limit(Some(end));
            limit.expect("it counts");
            format!("{:?}", machine.run())
        });
        assert_eq!(left, right, "before instruction {end}");
        assert_eq!(interpreter.state(), translator.state(), "at {end}");
        assert_eq!(data(&interpreter), data(&translator), "at {end}");
        if left == format!("{:?}", VmExit::Hlt) {
            break;
        }
        assert_eq!(left, format!("{:?}", VmExit::InstructionLimit), "at {end}");
    }
    assert_eq!(translator.gpr(Regs::RBP), 0, "it came to its end");
    let counts = |machine: &Machine| machine.emulator.instructions();
    assert_eq!(counts(&interpreter), counts(&translator));
}

#[test]
fn the_engines_are_in_step() {
    for after in [0, 1, 20] {
        for length in [3, 100, 1000, 10_000] {
            in_step(after, length);
        }
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Translation>>);

impl TranslationSink for Told {
    fn add(&self, translation: Translation) {
        self.0.lock().expect("one thread").push(translation);
    }
}

/// Each instruction has its part of the host's code, and all of that is somebody's.
#[test]
fn translations_are_told() {
    let mut machine = machine(Engine::Translator { after: 0 });
    let told = Arc::new(Told::default());
    machine.emulator.tell_translations(told.clone());
    machine.run_to_hlt();
    let counts = machine.emulator.counters().expect("it counts").emulator;
    let counts = counts.expect("of the emulator");
    let told = told.0.lock().expect("one thread");
    let blocks: usize = told.iter().map(|all| all.blocks.len()).sum();
    assert_eq!(blocks as u64, counts.translated_blocks);
    let bytes: usize = told.iter().map(|all| all.code.len()).sum();
    assert_eq!(bytes as u64, counts.translated_bytes);
    assert!(told.is_sorted_by_key(|all| all.ns), "in order");
    for all in told.iter() {
        assert_eq!((all.cpu, all.ring), (0, 0));
        let pieces = || all.blocks.iter().flat_map(|block| &block.pieces);
        let mut end = pieces().next().expect("a piece").host.start;
        for piece in pieces() {
            assert_eq!(piece.host.start, end);
            end = piece.host.end;
        }
        assert_eq!(end, all.rare);
        assert!(all.rare <= all.code.len());
        for block in &all.blocks {
            let mut end = 0;
            for piece in &block.pieces {
                assert_eq!(piece.guest.start, end);
                end = piece.guest.end;
                let lines = disassemble(&block.code[piece.guest.clone()], block.address);
                assert!(!lines.is_empty() && lines.iter().all(|line| line.text != "(bad)"));
            }
            assert_eq!(end, block.code.len());
        }
    }
    let named = told.iter().flat_map(|all| &all.blocks);
    let function = named.into_iter().find(|block| block.address == FUNCTIONS);
    let function = function.expect("it was executed");
    let first = disassemble(&function.code, FUNCTIONS);
    assert_eq!(first[0].text, "push rdi");
}

/// What translated code may have in it without being left: it is entered a few times, for the
/// TLB and for the links, and then stays.
#[test]
fn what_is_translated_is_not_left() {
    let mut machine = Machine::with_engine(
        Engine::Translator { after: 0 },
        code!(
            "4: mov rbx, {data}",
            "mov rdi, {data}",
            "mov ecx, 1000",
            "mov ebp, 3",
            "mov [rbx + 8], ebp",
            "2:",
            "endbr64",
            "nop word ptr [rax + rax]",
            "nop ax",
            "prefetchw [rbx]",
            "lfence",
            "mov rax, fs:[0x60]",
            "add rax, gs:[rbx + 0x10]",
            "xor ah, al",
            "movzx esi, bh",
            "xor edx, edx",
            "div dword ptr [rbx + 8]",
            "jmp 3f",
            // Across the end of the page.
            ".skip 4096 - 3 - (. - 4b), 0xcc",
            "3: mov [rdi + 0x100], rax",
            "dec ecx",
            "jnz 2b",
            "hlt",
            data = const DATA,
        ),
    );
    machine.run_to_hlt();
    let left = machine.emulator.cpu.counts.translation_exits;
    assert!((1..50).contains(&left), "{left} times");
}

/// Blocks that are entered often have a translation, others have none.
#[test]
fn what_is_hot_is_translated() {
    let mut machine = machine(Engine::Translator { after: 50 });
    machine.run_to_hlt();
    let cpu = &mut machine.emulator.cpu;
    let block = cpu.find_block(CODE).expect("it was executed");
    // SAFETY: the cache's blocks are live.
    let is_translated = |block: *const Block| unsafe { (*block).region.get() != 0 };
    assert!(!is_translated(block), "executed once");
    let function = cpu.find_block(FUNCTIONS).expect("it was executed");
    assert!(is_translated(function), "executed 1,280 times");
    let counts = machine.emulator.counters().expect("it counts").emulator;
    let counts = counts.expect("of the emulator");
    assert!(counts.translated_blocks > 2, "{counts:?}");
    assert!(counts.translated_bytes > 100, "{counts:?}");
    assert!(counts.translating_ns > 0, "{counts:?}");
    assert!(counts.translation_exits > 0, "{counts:?}");
    // Each of 40 loops crosses the end of a page, and writes to its own code.
    assert!(counts.tlb_misses > 40, "{counts:?}");
}
