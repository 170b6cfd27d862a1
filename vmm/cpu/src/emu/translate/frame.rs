//! Into translated code and out of it: what the host's stack and registers hold there.
//!
//! ```text
//! rsp                   Frame, on the host's stack
//! r12, r13              the guest's rax and rsp
//! rcx rdx rbx rbp rsi rdi   the guest's of the same names
//! r8 to r11             the guest's r12 to r15
//! r14                   the meter's budget
//! rax, r15              free
//! xmm0 to xmm15, ymm    the guest's of the same names, once `vectors` says so
//! ```
//!
//! The guest's r8 to r11, which programs use least, and its flags are in the frame.

use std::arch::naked_asm;
use std::mem::offset_of;

use crate::emu::code::op::Block;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::translate::pages::Page;
use crate::emu::translate::shares::KEPT;

/// What translated code has on the host's stack.
#[repr(C)]
pub struct Frame {
    pub cpu: u64,
    /// The TLB's entries, and the mask of their places.
    pub tlb_entries: u64,
    pub tlb_mask: u64,
    /// The fetch context.
    pub ctx: u64,
    /// As in [`Flags`](crate::emu::arithmetic::flags::Flags).
    pub flags: u64,
    pub r8_to_r11: [u64; 4],
    /// How much of the guest's vector registers the host's hold: a [`Vectors`].
    pub vectors: u64,
    /// The jump table's entries, and the mask of their places.
    pub jump_entries: u64,
    pub jump_mask: u64,
    /// The address to begin at, then a place for translated code to put something aside.
    pub aside: u64,
    /// The same for an offset in a page.
    pub offset: u64,
    /// That of the stack which was accessed last.
    pub stack: Page,
    /// Host addresses that accesses share.
    pub kept: [u64; KEPT],
}

/// How much of the guest's vector registers is in the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Vectors {
    Nothing = 0,
    Xmm = 1,
    Ymm = 2,
}

/// How translated code was left.
#[repr(C)]
pub struct Left {
    /// The op that is next: everything before it is done.
    pub op: *const Op,
    /// Whether it is the first of a block that was not entered yet, not one at which the
    /// translation gave up.
    pub enters: u64,
}

/// Executes the translation at `code` and those that follow it. `none` is [`Page::none`].
///
/// # Safety
/// `code` is the [`code`](Block::code) of a live block whose `ctx` is the CPU's, and the CPU
/// is not otherwise borrowed.
#[unsafe(naked)]
pub unsafe extern "sysv64" fn enter(cpu: *mut Cpu, code: u64, none: &Page) -> Left {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, {frame}",
        "mov [rsp + {cpu}], rdi",
        "mov [rsp + {aside}], rsi",
        "movups xmm0, [rdx]",
        "movups [rsp + {stack}], xmm0",
        "mov rax, [rdi + {cpu_tlb}]",
        "mov [rsp + {tlb_entries}], rax",
        "mov rax, [rdi + {cpu_tlb} + 8]",
        "mov [rsp + {tlb_mask}], rax",
        "mov rax, [rdi + {cpu_jumps}]",
        "mov [rsp + {jump_entries}], rax",
        "mov rax, [rdi + {cpu_jumps} + 8]",
        "mov [rsp + {jump_mask}], rax",
        "mov rax, [rdi + {cpu_ctx}]",
        "mov [rsp + {ctx}], rax",
        "movzx eax, word ptr [rdi + {cpu_flags}]",
        "mov [rsp + {flags}], rax",
        "mov qword ptr [rsp + {vectors}], 0",
        ".irp n, 0, 1, 2, 3",
        "mov rax, [rdi + {gprs} + 8 * (8 + \\n)]",
        "mov [rsp + {r8_to_r11} + 8 * \\n], rax",
        ".endr",
        "mov r14, [rdi + {budget}]",
        "mov r12, [rdi + {gprs} + 8 * 0]",
        "mov rcx, [rdi + {gprs} + 8 * 1]",
        "mov rdx, [rdi + {gprs} + 8 * 2]",
        "mov rbx, [rdi + {gprs} + 8 * 3]",
        "mov r13, [rdi + {gprs} + 8 * 4]",
        "mov rbp, [rdi + {gprs} + 8 * 5]",
        "mov rsi, [rdi + {gprs} + 8 * 6]",
        "mov r8, [rdi + {gprs} + 8 * 12]",
        "mov r9, [rdi + {gprs} + 8 * 13]",
        "mov r10, [rdi + {gprs} + 8 * 14]",
        "mov r11, [rdi + {gprs} + 8 * 15]",
        "mov rdi, [rdi + {gprs} + 8 * 7]",
        "jmp [rsp + {aside}]",
        frame = const size_of::<Frame>(),
        stack = const offset_of!(Frame, stack),
        cpu = const offset_of!(Frame, cpu),
        aside = const offset_of!(Frame, aside),
        tlb_entries = const offset_of!(Frame, tlb_entries),
        tlb_mask = const offset_of!(Frame, tlb_mask),
        jump_entries = const offset_of!(Frame, jump_entries),
        jump_mask = const offset_of!(Frame, jump_mask),
        ctx = const offset_of!(Frame, ctx),
        flags = const offset_of!(Frame, flags),
        vectors = const offset_of!(Frame, vectors),
        r8_to_r11 = const offset_of!(Frame, r8_to_r11),
        cpu_tlb = const offset_of!(Cpu, mmu.tlb),
        cpu_jumps = const offset_of!(Cpu, code.jumps),
        cpu_ctx = const offset_of!(Cpu, code.ctx),
        cpu_flags = const offset_of!(Cpu, regs.flags),
        gprs = const offset_of!(Cpu, regs.gprs),
        budget = const offset_of!(Cpu, meter.budget),
    )
}

/// Where translated code jumps to leave itself at the op in rax: the rest of [`enter`].
#[unsafe(naked)]
pub unsafe extern "sysv64" fn give_up() {
    naked_asm!("xor r15d, r15d", "jmp {}", sym leave)
}

/// Where a block's [`code`](Block::code) leads that has no translation: leaves translated code
/// for the first op of the block in rax.
#[unsafe(naked)]
pub unsafe extern "sysv64" fn not_translated() {
    naked_asm!(
        "add rax, {header}",
        "mov r15d, 1",
        "jmp {}",
        sym leave,
        header = const Block::HEADER,
    )
}

/// Returns from [`enter`] with rax and r15.
#[unsafe(naked)]
unsafe extern "sysv64" fn leave() {
    naked_asm!(
        "mov [rsp + {aside}], rax",
        "mov rax, [rsp + {cpu}]",
        "mov [rax + {gprs} + 8 * 0], r12",
        "mov [rax + {gprs} + 8 * 1], rcx",
        "mov [rax + {gprs} + 8 * 2], rdx",
        "mov [rax + {gprs} + 8 * 3], rbx",
        "mov [rax + {gprs} + 8 * 4], r13",
        "mov [rax + {gprs} + 8 * 5], rbp",
        "mov [rax + {gprs} + 8 * 6], rsi",
        "mov [rax + {gprs} + 8 * 7], rdi",
        "mov [rax + {gprs} + 8 * 12], r8",
        "mov [rax + {gprs} + 8 * 13], r9",
        "mov [rax + {gprs} + 8 * 14], r10",
        "mov [rax + {gprs} + 8 * 15], r11",
        ".irp n, 0, 1, 2, 3",
        "mov rcx, [rsp + {r8_to_r11} + 8 * \\n]",
        "mov [rax + {gprs} + 8 * (8 + \\n)], rcx",
        ".endr",
        "mov cl, [rsp + {flags}]",
        "mov ch, [rsp + {flags} + 1]",
        "mov [rax + {cpu_flags}], cx",
        "mov [rax + {budget}], r14",
        "cmp dword ptr [rsp + {vectors}], {xmm}",
        "jb 3f",
        "je 2f",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "vextractf128 [rax + {ymm_high} + 16 * \\n], ymm\\n, 1",
        ".endr",
        "vzeroupper",
        "2:",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movups [rax + {xmms} + 16 * \\n], xmm\\n",
        ".endr",
        "3:",
        "mov rax, [rsp + {aside}]",
        "mov rdx, r15",
        "add rsp, {frame}",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        frame = const size_of::<Frame>(),
        cpu = const offset_of!(Frame, cpu),
        aside = const offset_of!(Frame, aside),
        flags = const offset_of!(Frame, flags),
        vectors = const offset_of!(Frame, vectors),
        r8_to_r11 = const offset_of!(Frame, r8_to_r11),
        xmm = const Vectors::Xmm as u8,
        cpu_flags = const offset_of!(Cpu, regs.flags),
        gprs = const offset_of!(Cpu, regs.gprs),
        xmms = const offset_of!(Cpu, regs.xmms),
        ymm_high = const offset_of!(Cpu, regs.ymm_high),
        budget = const offset_of!(Cpu, meter.budget),
    )
}

/// Takes the XMM registers from the CPU, unless they are here, and goes on at r15.
#[unsafe(naked)]
pub unsafe extern "sysv64" fn load_xmm() {
    naked_asm!(
        "mov dword ptr [rsp + {vectors}], {xmm}",
        "mov rax, [rsp + {cpu}]",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movups xmm\\n, [rax + {xmms} + 16 * \\n]",
        ".endr",
        "jmp r15",
        cpu = const offset_of!(Frame, cpu),
        vectors = const offset_of!(Frame, vectors),
        xmm = const Vectors::Xmm as u8,
        xmms = const offset_of!(Cpu, regs.xmms),
    )
}

/// The same with all of the YMM registers.
#[unsafe(naked)]
pub unsafe extern "sysv64" fn load_ymm() {
    naked_asm!(
        "mov rax, [rsp + {cpu}]",
        "cmp dword ptr [rsp + {vectors}], {xmm}",
        "mov dword ptr [rsp + {vectors}], {ymm}",
        "je 2f",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movups xmm\\n, [rax + {xmms} + 16 * \\n]",
        ".endr",
        "2:",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "vinsertf128 ymm\\n, ymm\\n, [rax + {ymm_high} + 16 * \\n], 1",
        ".endr",
        "jmp r15",
        cpu = const offset_of!(Frame, cpu),
        vectors = const offset_of!(Frame, vectors),
        xmm = const Vectors::Xmm as u8,
        ymm = const Vectors::Ymm as u8,
        xmms = const offset_of!(Cpu, regs.xmms),
        ymm_high = const offset_of!(Cpu, regs.ymm_high),
    )
}
