//! Leaves ring 3, or tries to, in every awkward state; each attempt in a child (R8, R9, R11, R18).
//!
//! An attempt that must kill the child names the signal. Otherwise the kernel handles the
//! state without using anything that the program prepared, and the child exits with 0.

#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};

use guest_user::{Arguments, println, process};

guest_user::entry!(main);

const USER_END: u64 = 0x7fff_ffff_f000;
const KERNEL: u64 = 0xffff_ffff_8010_0000;
const NON_CANONICAL: u64 = 1 << 62;

const GETPID: u64 = 39;
const MMAP: u64 = 9;
const MPROTECT: u64 = 10;
const WRITE: u64 = 1;

/// Selectors of the kernel's GDT, and of what is not in it. That of its task state is
/// missing: where KVM runs ring 3 without the hardware's help, ring 3 has the host's GDT,
/// which has a segment of its programs' there.
const KERNEL_CODE: u64 = 0x08;
const KERNEL_DATA: u64 = 0x10;
const USER_DATA: u64 = 0x23;
const USER_CODE: u64 = 0x2b;
const LOCAL_TABLE: u64 = 0x07;
const BEYOND_THE_TABLE: u64 = 0xfffb;

/// Flags (Intel SDM vol. 1 3.4.3).
const TRAP: u64 = 1 << 8;
const INTERRUPT: u64 = 1 << 9;
const DIRECTION: u64 = 1 << 10;
const IO_PRIVILEGE: u64 = 3 << 12;
const NESTED_TASK: u64 = 1 << 14;
const ALIGNMENT_CHECK: u64 = 1 << 18;

const ATTEMPTS: [(&str, fn()); 41] = [
    ("syscall, stack in the kernel", || syscall_on_stack(KERNEL)),
    ("syscall, no stack", || syscall_on_stack(0)),
    ("syscall, non-canonical stack", || {
        syscall_on_stack(NON_CANONICAL)
    }),
    ("int 0x80, stack in the kernel", || int80_on_stack(KERNEL)),
    ("int 0x80, no stack", || int80_on_stack(0)),
    ("int 0x80, non-canonical stack", || {
        int80_on_stack(NON_CANONICAL)
    }),
    ("interrupt, stack in the kernel", || spin_on_stack(KERNEL)),
    ("interrupt, non-canonical stack", || {
        spin_on_stack(NON_CANONICAL)
    }),
    ("exception, stack in the kernel", || {
        undefined_on_stack(KERNEL)
    }),
    ("push, stack in the kernel", || push_on_stack(KERNEL)),
    ("push, non-canonical stack", || push_on_stack(NON_CANONICAL)),
    ("syscall at the end of user memory", syscall_at_the_end),
    ("jump past user memory", || jump(USER_END)),
    ("jump to a non-canonical address", || jump(NON_CANONICAL)),
    ("return to a non-canonical address", || {
        return_to(NON_CANONICAL)
    }),
    ("far return to kernel code", || far_return(KERNEL_CODE)),
    ("far return to data", || far_return(USER_DATA)),
    ("far return to nothing", || far_return(0)),
    ("far return beyond the table", || {
        far_return(BEYOND_THE_TABLE)
    }),
    ("far return to itself", || far_return(USER_CODE)),
    ("iretq to itself", || {
        interrupt_return(0, USER_CODE, USER_DATA, 0)
    }),
    ("iretq to a non-canonical address", || {
        interrupt_return(NON_CANONICAL, USER_CODE, USER_DATA, 0)
    }),
    ("iretq to kernel code", || {
        interrupt_return(0, KERNEL_CODE, USER_DATA, 0)
    }),
    ("iretq to kernel data", || {
        interrupt_return(0, USER_CODE, KERNEL_DATA, 0)
    }),
    ("iretq without a stack segment", || {
        interrupt_return(0, USER_CODE, 0, 0)
    }),
    ("iretq with forbidden flags", || {
        interrupt_return(0, USER_CODE, USER_DATA, IO_PRIVILEGE);
        check_flags();
    }),
    ("iretq as a nested task", || {
        with_flags(NESTED_TASK, iretq_alone)
    }),
    ("load ds, kernel data", || load_ds(KERNEL_DATA)),
    ("load ds, local table", || load_ds(LOCAL_TABLE)),
    ("load ds, beyond the table", || load_ds(BEYOND_THE_TABLE)),
    ("null selectors", null_selectors),
    ("popfq, forbidden flags", || {
        with_flags(IO_PRIVILEGE, getpid);
        check_flags();
    }),
    ("single step", || with_flags(TRAP, getpid)),
    ("syscall, single step", step_into_syscall),
    ("syscall, nested task", || with_flags(NESTED_TASK, getpid)),
    ("syscall, backwards", || with_flags(DIRECTION, write_oddly)),
    ("syscall, alignment check", || {
        with_flags(ALIGNMENT_CHECK, write_oddly)
    }),
    ("odd address, alignment check", || {
        with_flags(ALIGNMENT_CHECK, read_oddly)
    }),
    ("int1", int1),
    ("reserved bits in mxcsr", || load_mxcsr(1 << 31)),
    ("unmasked floating-point exception", divide_by_zero),
];

/// Runs instructions with rsp set to `$stack`, then goes back to the old one.
macro_rules! on_stack {
    ($stack:expr, $($instruction:literal),*) => {
        // SAFETY: the old stack is back before the compiler's code goes on; what is in
        // between uses none, or faults.
        unsafe {
            asm!(
                "mov r12, rsp",
                "mov rsp, {stack}",
                $($instruction,)*
                "mov rsp, r12",
                stack = in(reg) $stack,
                inout("rax") GETPID => _,
                out("rcx") _,
                out("rdx") _,
                out("r11") _,
                out("r12") _,
            )
        }
    };
}

fn syscall_on_stack(stack: u64) {
    on_stack!(stack, "syscall");
}

fn int80_on_stack(stack: u64) {
    on_stack!(stack, "int 0x80");
}

/// Counts down for longer than a tick, whatever the CPU.
fn spin_on_stack(stack: u64) {
    on_stack!(
        stack,
        "rdtsc",
        "lea r11d, [rax + 0x8000000]",
        "2: pause",
        "rdtsc",
        "mov ecx, r11d",
        "sub ecx, eax",
        "jns 2b"
    );
}

fn undefined_on_stack(stack: u64) {
    on_stack!(stack, "ud2");
}

fn push_on_stack(stack: u64) {
    on_stack!(stack, "push rax");
}

/// The last instruction of user memory, so that its return address is past the end. The
/// page there is the stack's: from now on this child has none.
fn syscall_at_the_end() {
    // SAFETY: never comes back.
    unsafe {
        asm!(
            "syscall",
            "mov word ptr [rdi + 0xffe], 0x050f",
            "mov edx, 5",
            "mov eax, {MPROTECT}",
            "syscall",
            "mov eax, {GETPID}",
            "add rdi, 0xffe",
            "jmp rdi",
            MPROTECT = const MPROTECT,
            GETPID = const GETPID,
            in("rax") MMAP,
            in("rdi") USER_END - 0x1000,
            in("rsi") 0x1000,
            in("rdx") 3,
            in("r10") 0x32,
            in("r8") u64::MAX,
            in("r9") 0,
            options(noreturn)
        )
    }
}

fn jump(target: u64) {
    // SAFETY: faults.
    unsafe { asm!("jmp {}", in(reg) target, options(noreturn)) }
}

fn return_to(target: u64) {
    // SAFETY: faults.
    unsafe { asm!("push {}", "ret", in(reg) target, options(noreturn)) }
}

/// Continues after the return, if the code segment is accepted.
fn far_return(code: u64) {
    // SAFETY: pops what it pushes, or faults.
    unsafe {
        asm!(
            "push {code}",
            "lea {address}, [rip + 2f]",
            "push {address}",
            "retfq",
            "2:",
            code = in(reg) code,
            address = out(reg) _,
        )
    }
}

/// To `address`, or behind the return for 0; with these bits beside those that are set.
fn interrupt_return(address: u64, code: u64, stack: u64, flags: u64) {
    // SAFETY: goes on with the same stack behind the return, or faults.
    unsafe {
        asm!(
            "lea {target}, [rip + 2f]",
            "test {address}, {address}",
            "cmovnz {target}, {address}",
            "mov {rsp}, rsp",
            "push {stack}",
            "push {rsp}",
            "pushfq",
            "or [rsp], {flags}",
            "push {code}",
            "push {target}",
            "iretq",
            "2:",
            address = in(reg) address,
            code = in(reg) code,
            stack = in(reg) stack,
            flags = in(reg) flags,
            target = out(reg) _,
            rsp = out(reg) _,
        )
    }
}

/// What to do with odd flags: assembler that uses nothing else.
type Body = extern "C" fn();

/// Does `body` with these flags set, and clears them again.
fn with_flags(flags: u64, body: Body) {
    // SAFETY: the flags are as before when the compiler's code goes on.
    unsafe {
        asm!(
            "pushfq",
            "or [rsp], {flags}",
            "popfq",
            "call {body}",
            "pushfq",
            "not {flags}",
            "and [rsp], {flags}",
            "popfq",
            body = in(reg) body,
            flags = inout(reg) flags => _,
            out("rax") _,
            out("rcx") _,
            out("rdx") _,
            out("rdi") _,
            out("rsi") _,
            out("r11") _,
        )
    }
}

#[unsafe(naked)]
extern "C" fn getpid() {
    naked_asm!("mov eax, {GETPID}", "syscall", "ret", GETPID = const GETPID)
}

/// Writes 9 bytes from an odd address.
#[unsafe(naked)]
extern "C" fn write_oddly() {
    naked_asm!(
        "mov eax, {WRITE}",
        "mov edi, 1",
        "lea rsi, [rip + 2f]",
        "mov edx, 9",
        "syscall",
        "ret",
        ".balign 8",
        ".byte 0",
        "2: .ascii \"odd bytes\"",
        WRITE = const WRITE,
    )
}

/// Reads a word of the instruction itself.
#[unsafe(naked)]
extern "C" fn read_oddly() {
    naked_asm!(".balign 2", "2: mov ax, [rip + 2b + 1]", "ret")
}

#[unsafe(naked)]
extern "C" fn iretq_alone() {
    naked_asm!("iretq")
}

/// The single step that the flag asks for comes after the instruction behind `popfq`,
/// which is `syscall`: when it has come back, not in the kernel.
fn step_into_syscall() {
    // SAFETY: a trap, which ends the program.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], {TRAP}",
            "popfq",
            "syscall",
            "nop",
            TRAP = const TRAP,
            inout("rax") GETPID => _,
            out("rcx") _,
            out("r11") _,
        )
    }
}

/// Ends the program with 1 if it has flags that only the kernel may give.
fn check_flags() {
    let flags: u64;
    // SAFETY: only reads the flags.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    if flags & (IO_PRIVILEGE | INTERRUPT) != INTERRUPT {
        guest_user::syscall::exit(1);
    }
}

fn load_ds(selector: u64) {
    // SAFETY: 64-bit code does not use the segment.
    unsafe { asm!("mov ds, {:e}", in(reg) selector) };
}

fn null_selectors() {
    // SAFETY: 64-bit code uses the segments' bases at most, and these programs not those.
    unsafe {
        asm!(
            "mov ds, {0:e}",
            "mov es, {0:e}",
            "mov fs, {0:e}",
            "mov gs, {0:e}",
            "syscall",
            in(reg) 0,
            inout("rax") GETPID => _,
            out("rcx") _,
            out("r11") _,
        )
    }
}

/// `int1`, which needs no gate that programs may use.
fn int1() {
    // SAFETY: a trap, which ends the program.
    unsafe { asm!(".byte 0xf1") };
}

fn load_mxcsr(value: u32) {
    // SAFETY: reserved bits fault; others are for this child alone.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value) };
}

/// The kernel has its turn with the exception unmasked before the program divides.
fn divide_by_zero() {
    const UNMASKED: u32 = 0x1d80;
    load_mxcsr(UNMASKED);
    getpid();
    // SAFETY: a trap, which ends the program.
    unsafe { asm!("divss {}, {}", inout(xmm_reg) 1.0_f32 => _, in(xmm_reg) 0.0_f32) };
}

fn main(_: Arguments) -> u8 {
    for (name, attempt) in ATTEMPTS {
        let child = process::spawn(|| {
            attempt();
            0
        });
        let end = process::wait(child.expect("a child"));
        println!("{name}: {}", end.expect("it ended"));
    }
    0
}
