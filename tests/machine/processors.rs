//! Several CPUs: start, messages, and memory that they share (SDM vol. 3A 8.4, 11.6).
//!
//! The first prints; [`WORDS`] are for all.

use assembly::code;
use x86::vector::NMI;

use crate::Case;
use crate::monitor::kernel;
use crate::support::kernel::{FREE, Kernel};
use crate::support::processors::{
    COMMAND, INIT_OTHERS, NMI_TO_OTHERS, START_OTHERS, START_PAGE, copy_start, start_others, wait,
    with_others,
};

pub const CASES: &[Case] = &[
    Case::new("others_count_at_once", count_at_once, "e\nbb8\n").cpus(4),
    Case::new("interrupts_go_to_and_fro", to_and_fro, "64\n64\n").cpus(2),
    Case::new("an_nmi_wakes_another", wake_by_nmi, "1\n").cpus(2),
    Case::new("init_stops_and_start_up_restarts", restart, "1\n2\n").cpus(2),
    Case::new("init_of_oneself_stops", stop_itself, "0\n2\n").cpus(2),
    Case::new("messages_to_nobody_are_lost", to_nobody, "0\n1\n").cpus(2),
];

/// Zero at first, a quadword each.
const WORDS: u64 = FREE + 0x1000;
const FIRST: u64 = WORDS;
const SECOND: u64 = WORDS + 8;
const THIRD: u64 = WORDS + 16;

const SPURIOUS: u64 = abi::ports::LOCAL_APIC + 0xf0;
const END_OF_INTERRUPT: u64 = abi::ports::LOCAL_APIC + 0xb0;
const VECTOR: u8 = 0x41;

fn enable() -> &'static [u8] {
    code!(
        "mov ebx, {spurious}",
        "mov dword ptr [rbx], 0x1ff",
        spurious = const SPURIOUS,
    )
}

fn stop() -> &'static [u8] {
    code!("2: cli", "hlt", "jmp 2b")
}

/// Waits until the quadword at `$word` is `$value`.
macro_rules! wait_for {
    ($word:expr, $value:expr) => {
        code!(
            "2: pause",
            "cmp qword ptr [{word}], {value}",
            "jne 2b",
            word = const $word,
            value = const $value,
        )
    };
}

/// Prints the quadword at `$word`.
macro_rules! print {
    ($word:expr) => {
        code!("mov rax, [{word}]", "call r13", word = const $word)
    };
}

/// Each adds its own bit, then 1,000, one by one, and then says that it is ready.
fn count_at_once() -> Kernel {
    let count = code!(
        "mov eax, 1",
        "mov ecx, esi",
        "shl eax, cl",
        "lock or [{bits}], rax",
        "mov ecx, 1000",
        "2: lock inc qword ptr [{count}]",
        "dec ecx",
        "jnz 2b",
        "lock inc qword ptr [{ready}]",
        bits = const FIRST,
        count = const SECOND,
        ready = const THIRD,
    );
    let first = [wait_for!(THIRD, 3), print!(FIRST), print!(SECOND)].concat();
    let start = [enable(), &start_others()].concat();
    with_others(kernel(&start, &first), &[count, stop()].concat())
}

/// Each interrupt of the one makes one of the other, 100 times; both halt in between.
fn to_and_fro() -> Kernel {
    let handler = code!(
        "push rax",
        "push rbx",
        "push rcx",
        "push rdx",
        "mov eax, {end_of_interrupt}",
        "mov dword ptr [rax], 0",
        "mov eax, 1",
        "cpuid",
        "shr ebx, 24",
        "mov rax, [{words} + rbx * 8]",
        "inc rax",
        "mov [{words} + rbx * 8], rax",
        // The second has the last word.
        "lea edx, [rbx + 99]",
        "cmp rax, rdx",
        "ja 2f",
        "mov eax, {command}",
        "mov dword ptr [rax], 0xc4000 | {vector}",
        "2: pop rdx",
        "pop rcx",
        "pop rbx",
        "pop rax",
        "iretq",
        words = const WORDS,
        end_of_interrupt = const END_OF_INTERRUPT,
        command = const COMMAND,
        vector = const VECTOR,
    );
    let wait = code!(
        "2: cli",
        "cmp qword ptr [{first}], 100",
        "jae 3f",
        "sti",
        "hlt",
        "jmp 2b",
        "3:",
        first = const FIRST,
    );
    let begin = code!(
        "mov ebx, {command}",
        "mov dword ptr [rbx], 0xc4000 | {vector}",
        command = const COMMAND,
        vector = const VECTOR,
    );
    let ready = code!("inc qword ptr [{third}]", third = const THIRD);
    let first = [
        wait_for!(THIRD, 1),
        begin,
        wait,
        print!(FIRST),
        wait_for!(SECOND, 100),
        print!(SECOND),
    ];
    let others = [enable(), ready, code!("2: sti", "hlt", "jmp 2b")].concat();
    let start = [enable(), &start_others()].concat();
    with_others(kernel(&start, &first.concat()), &others).handler_of(VECTOR, handler)
}

fn wake_by_nmi() -> Kernel {
    let handler = code!(
        "lock inc qword ptr [{count}]",
        "iretq",
        count = const FIRST,
    );
    let ready = code!("inc qword ptr [{third}]", third = const THIRD);
    // Some time for it to halt.
    let send = code!(
        "mov ecx, 2000",
        "2: pause",
        "dec ecx",
        "jnz 2b",
        "mov ebx, {command}",
        "mov dword ptr [rbx], {nmi}",
        command = const COMMAND,
        nmi = const NMI_TO_OTHERS,
    );
    let first = [
        wait_for!(THIRD, 1),
        send,
        wait_for!(FIRST, 1),
        print!(FIRST),
    ]
    .concat();
    let start = [enable(), &start_others()].concat();
    let others = [enable(), ready, stop()].concat();
    with_others(kernel(&start, &first), &others).handler_of(NMI, handler)
}

/// The other counts its starts, and then without end.
fn restart() -> Kernel {
    let others = code!(
        "inc qword ptr [{starts}]",
        "2: lock inc qword ptr [{count}]",
        "jmp 2b",
        starts = const FIRST,
        count = const SECOND,
    );
    let counts = code!(
        "2: pause",
        "cmp qword ptr [{count}], 0",
        "je 2b",
        count = const SECOND,
    );
    // INIT, then until the count stays the same for some time.
    let stop = code!(
        "mov ebx, {command}",
        "mov dword ptr [rbx], {init}",
        "3: mov rdi, [{count}]",
        "call 7f",
        "cmp rdi, [{count}]",
        "jne 3b",
        "mov qword ptr [{count}], 0",
        "mov dword ptr [rbx], {start}",
        "jmp 9f",
        "7: mov ecx, 20000",
        "8: pause",
        "dec ecx",
        "jnz 8b",
        "ret",
        "9:",
        command = const COMMAND,
        init = const INIT_OTHERS,
        start = const START_OTHERS,
        count = const SECOND,
    );
    let first = [counts, print!(FIRST), stop, counts, print!(FIRST)].concat();
    let start = [enable(), &start_others()].concat();
    with_others(kernel(&start, &first), others)
}

/// The other stops itself once nobody starts it any more, and is started again: then it counts
/// without end.
fn stop_itself() -> Kernel {
    let others = code!(
        "inc qword ptr [{starts}]",
        "cmp qword ptr [{starts}], 1",
        "jne 2f",
        "4: pause",
        "cmp qword ptr [{go}], 1",
        "jne 4b",
        "mov ebx, {command}",
        "shl esi, 24",
        "mov [rbx + 0x10], esi",
        "mov dword ptr [rbx], 0x4500",
        // It may stop a little later.
        "mov ecx, 2000",
        "3: pause",
        "dec ecx",
        "jnz 3b",
        "2: lock inc qword ptr [{count}]",
        "jmp 2b",
        starts = const FIRST,
        count = const SECOND,
        go = const THIRD,
        command = const COMMAND,
    );
    let go = code!("inc qword ptr [{go}]", go = const THIRD);
    let some_time = code!("mov ecx, 20000", "2: pause", "dec ecx", "jnz 2b",);
    // One that comes before it has stopped is lost.
    let restart = code!(
        "mov ebx, {command}",
        "2: mov dword ptr [rbx], {start}",
        "mov ecx, 2000",
        "3: pause",
        "dec ecx",
        "jnz 3b",
        "cmp qword ptr [{count}], 0",
        "je 2b",
        command = const COMMAND,
        start = const START_OTHERS,
        count = const SECOND,
    );
    let first = [
        wait_for!(FIRST, 1),
        go,
        some_time,
        print!(SECOND),
        restart,
        print!(FIRST),
    ]
    .concat();
    let start = [enable(), &start_others()].concat();
    with_others(kernel(&start, &first), others)
}

/// To CPUs that are not there, all that could start one; then to one that is.
fn to_nobody() -> Kernel {
    let send = code!(
        "mov ebx, {command}",
        "mov edi, 9",
        "2: mov eax, edi",
        "shl eax, 24",
        "mov [rbx + 0x10], eax",
        "mov dword ptr [rbx], 0x4500",
        "mov dword ptr [rbx], 0x4600 | {page}",
        "mov dword ptr [rbx], 0x4400",
        "mov dword ptr [rbx], 0x4000 | {vector}",
        "inc edi",
        "cmp edi, 0xff",
        "jb 2b",
        command = const COMMAND,
        page = const START_PAGE,
        vector = const VECTOR,
    );
    let first = [
        copy_start(),
        send,
        wait(),
        print!(FIRST),
        &start_others(),
        wait_for!(FIRST, 1),
        print!(FIRST),
    ]
    .concat();
    let others = code!("inc qword ptr [{count}]", "2: hlt", "jmp 2b", count = const FIRST);
    with_others(kernel(enable(), &first), others)
}
