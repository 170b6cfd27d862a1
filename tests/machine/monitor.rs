//! What the kernels of these tests consist of beside what they try: a handler that prints
//! each exception, and a routine that prints a number.
//!
//! ```text
//! #d(10) 2            vector 13, error code 0x10, rip is r14 + 2
//! #1 0 ffff4ff0       vector 1, no error code, rip is r14, DR6
//! 1f                  what `call r13` prints: rax
//! ```
//!
//! | register | for |
//! |---|---|
//! | r13 | the routine that prints rax; all registers stay |
//! | r14 | what addresses are printed relative to |
//! | r15 | where the next exception's handler goes on in place of the return, in ring 0 and on an empty stack; it clears r15 |
//!
//! The handler ends stepping, that of #DB disables all breakpoints, and the sixteenth
//! exception ends the run.

use assembly::code;
use x86::{RFlags, vector};

use crate::support::kernel::{CODE_SELECTOR, DATA_SELECTOR, FREE, Kernel, STACK_TOP, exit};

/// Where all of it lies.
const MONITOR: u64 = FREE - 0xf_0000;
/// The handlers' entries, which have so many bytes each.
const ENTRIES: u64 = MONITOR + 0x100;
const ENTRY_LEN: u64 = 12;
/// The vectors that push an error code, a bit each.
const WITH_CODE: u32 = {
    use vector as v;
    1 << v::DF | 1 << v::TS | 1 << v::NP | 1 << v::SS | 1 << v::GP | 1 << v::PF | 1 << v::AC
};
/// Where a kernel may have more of its own.
pub const APART: u64 = FREE - 0x8_0000;
/// How many exceptions there were.
const COUNT: u64 = FREE - 8;
const MOST: u32 = 16;
/// Status of a run with too many.
const TOO_MANY: u8 = 1;

/// A kernel in 64-bit mode and ring 0, with the monitor, that runs `prepare` and then `code`,
/// whose end is to be reached. r14 is where `code` begins.
pub fn kernel(prepare: &[u8], code: &[u8]) -> Kernel {
    const LEA_R14_RIP: [u8; 3] = [0x4c, 0x8d, 0x35];
    let begin = code!(
        // No interrupts of a PC's old timer, which QEMU has.
        "mov al, 0xff",
        "out 0x21, al",
        "out 0xa1, al",
        "mov r13d, {monitor}",
        "xor r15d, r15d",
        monitor = const MONITOR,
    );
    let distance = (prepare.len() as u32).to_le_bytes();
    let whole = [begin, &LEA_R14_RIP, &distance, prepare, code, &exit(0)].concat();
    Kernel::long_mode(&whole)
        .with(MONITOR, &[monitor(), &exit(TOO_MANY)].concat())
        .handlers(|vector| ENTRIES + u64::from(vector) * ENTRY_LEN)
}

/// Printing a number, which comes first, then the entries and what handles them all. Its
/// stack: saved registers, vector, error code or -1, frame.
fn monitor() -> &'static [u8] {
    code!(
        "pushfq",
        "push rax",
        "push rbx",
        "push rcx",
        "push rdx",
        "call 8f",
        "mov al, '\\n'",
        "out dx, al",
        "pop rdx",
        "pop rcx",
        "pop rbx",
        "pop rax",
        "popfq",
        "ret",
        // Prints rax without leading zeros; rdx is the console's port then.
        "8: mov rbx, rax",
        "mov ecx, 60",
        "2: mov rax, rbx",
        "shr rax, cl",
        "jnz 3f",
        "sub ecx, 4",
        "jnz 2b",
        "3: mov edx, {serial}",
        "4: mov rax, rbx",
        "shr rax, cl",
        "and al, 15",
        "cmp al, 10",
        "jb 5f",
        "add al, 'a' - '0' - 10",
        "5: add al, '0'",
        "out dx, al",
        "sub ecx, 4",
        "jns 4b",
        "ret",
        ".org 990b + {entries}",
        ".set monitor_vector, 0",
        ".rept 256",
        ".if monitor_vector < 32 && ({with_code} >> monitor_vector) & 1",
        "nop",
        "nop",
        ".else",
        "push -1",
        ".endif",
        // push, jmp 7f
        ".byte 0x68; .long monitor_vector; .byte 0xe9; .long 7f - . - 4",
        ".set monitor_vector, monitor_vector + 1",
        ".endr",
        "7: push rax",
        "push rbx",
        "push rcx",
        "push rdx",
        "mov edx, {serial}",
        "mov al, '#'",
        "out dx, al",
        "mov rax, [rsp + 32]",
        "call 8b",
        "cmp qword ptr [rsp + 40], -1",
        "je 2f",
        "mov al, '('",
        "out dx, al",
        "mov rax, [rsp + 40]",
        "call 8b",
        "mov al, ')'",
        "out dx, al",
        "2: mov al, ' '",
        "out dx, al",
        "mov rax, [rsp + 48]",
        "sub rax, r14",
        "call 8b",
        "cmp qword ptr [rsp + 32], {db}",
        "jne 3f",
        "mov al, ' '",
        "out dx, al",
        "mov rax, dr6",
        "call 8b",
        "xor eax, eax",
        "mov dr7, rax",
        "3: mov al, '\\n'",
        "out dx, al",
        "inc dword ptr [{count}]",
        "cmp dword ptr [{count}], {most}",
        "jae 5f",
        "and qword ptr [rsp + 64], {not_stepping}",
        "test r15, r15",
        "jz 4f",
        "mov [rsp + 48], r15",
        "mov qword ptr [rsp + 56], {code_selector}",
        "mov qword ptr [rsp + 72], {stack_top}",
        "mov qword ptr [rsp + 80], {data_selector}",
        "xor r15d, r15d",
        "4: pop rdx",
        "pop rcx",
        "pop rbx",
        "pop rax",
        "add rsp, 16",
        "iretq",
        "5:",
        serial = const abi::ports::SERIAL,
        entries = const ENTRIES - MONITOR,
        with_code = const WITH_CODE,
        db = const vector::DB,
        count = const COUNT,
        most = const MOST,
        not_stepping = const !RFlags::TRAP_FLAG.bits() as i32,
        code_selector = const CODE_SELECTOR,
        data_selector = const DATA_SELECTOR,
        stack_top = const STACK_TOP,
    )
}
