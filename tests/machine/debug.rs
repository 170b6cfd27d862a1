//! Debug exceptions: traps, breakpoints, and what holds them back (APM vol. 2 13.1).

use assembly::code;
use x86::{Dr7Flags, RFlags, msr};

use crate::monitor::kernel;
use crate::support::kernel::{CODE_SELECTOR, DATA_SELECTOR, FREE, Kernel};
use crate::{Case, Wrong};

pub const CASES: &[Case] = &[
    Case::new("step", step, "#1 0 ffff4ff0\n"),
    Case::new("int3_is_a_trap", int3, "#3 1\n"),
    Case::new("int1_is_a_trap", int1, "#1 1 ffff0ff0\n").but(&[NO_INT1]),
    Case::new("sti_holds_no_step", sti, "#1 0 ffff4ff0\n")
        .but(&[(Wrong::Qemu, "its sti holds back what its mov ss does")]),
    Case::new("mov_ss_holds_a_step", mov_ss, "#1 1 ffff4ff0\n").but(&[SHADOWLESS]),
    Case::new("lss_holds_no_step", lss, "#1 0 ffff4ff0\n")
        .but(&[(Wrong::Qemu, "its lss holds back what its mov ss does")]),
    Case::new("sysret_is_stepped", sysret, "#1 0 ffff4ff0\n")
        .but(&[(Wrong::SoftwareKvm, "it is one instruction late")]),
    Case::new("breakpoint", breakpoint, "#1 0 ffff0ff1\n"),
    Case::new(
        "a_breakpoint_follows_mov_ss",
        breakpoint_after_mov_ss,
        "#1 0 ffff0ff1\n",
    )
    .but(&[
        (Wrong::SoftwareKvm, "it does as Intel's processors"),
        (Wrong::Intel, "it may hold breakpoints back"),
    ]),
    Case::new(
        "a_watched_mov_ss_and_a_breakpoint_are_one",
        watched_breakpoint,
        "#1 0 ffff0ff3\n",
    )
    .but(&[
        (Wrong::SoftwareKvm, "it does as Intel's processors"),
        (Wrong::Intel, "it may hold breakpoints back"),
        (Wrong::Qemu, "its data breakpoints know no mov ss"),
    ]),
    Case::new("dr6_names_what_was_met", stale, "#1 0 ffff0ff4\n"),
    Case::new("dr6_keeps_other_bits", stale_step, "#1 0 ffff6ff0\n"),
    Case::new("a_write_is_watched", watched, "#1 0 ffff0ff2\n")
        .but(&[(Wrong::SoftwareKvm, "it watches no data of ring 0")]),
    Case::new("mov_ss_holds_a_watch", watched_mov_ss, "#1 1 ffff0ff2\n").but(&[
        SHADOWLESS,
        (Wrong::Qemu, "its data breakpoints know no mov ss"),
    ]),
    Case::new("int1_takes_what_waits", watched_int1, "#1 1 ffff0ff2\n").but(&[NO_INT1, SHADOWLESS]),
    Case::new("a_fault_drops_what_waits", watched_fault, "#6 0\n").but(&[
        SHADOWLESS,
        (Wrong::Qemu, "its data breakpoints know no mov ss"),
    ]),
    Case::new("faults_have_codes", general_protection, "#d(50) 0\n1234\n"),
];

const NO_INT1: (Wrong, &str) = (Wrong::Qemu, "int1 is #UD there");
const SHADOWLESS: (Wrong, &str) = (Wrong::SoftwareKvm, "it reports traps at once in ring 0");

const TF: u64 = RFlags::TRAP_FLAG.bits();
/// DR7: breakpoint 0 for instructions.
const EXECUTE_0: u64 = x86::DR7_RESET | Dr7Flags::LOCAL_BREAKPOINT_0_ENABLE.bits();
const EXECUTE_2: u64 = x86::DR7_RESET | Dr7Flags::LOCAL_BREAKPOINT_2_ENABLE.bits();
/// DR7: breakpoint 1 for accesses of 4 bytes.
const ACCESS_1: u64 = x86::DR7_RESET | Dr7Flags::LOCAL_BREAKPOINT_1_ENABLE.bits() | 0xf << 20;

/// Sets RFLAGS.TF, for the instruction after these.
fn stepping() -> &'static [u8] {
    code!(
        "pushfq",
        "or qword ptr [rsp], {tf}",
        "popfq",
        tf = const TF,
    )
}

/// Watches [`FREE`], which has a selector for SS.
fn watching() -> &'static [u8] {
    code!(
        "mov qword ptr [{free}], {data_selector}",
        "mov eax, {free}",
        "mov dr1, rax",
        "mov eax, {access}",
        "mov dr7, rax",
        free = const FREE,
        data_selector = const DATA_SELECTOR,
        access = const ACCESS_1,
    )
}

/// Sets breakpoint 0 on the code at r14.
macro_rules! breaking {
    ($control:expr) => {
        code!(
            "mov dr0, r14",
            "mov eax, {control}",
            "mov dr7, rax",
            control = const $control,
        )
    };
}

fn step() -> Kernel {
    kernel(&[stepping(), code!("nop")].concat(), code!("nop"))
}

fn int3() -> Kernel {
    kernel(&[], code!("int3"))
}

/// `int1`, which the assembler does not know.
fn int1() -> Kernel {
    kernel(&[], code!(".byte 0xf1"))
}

/// With the flag clear before.
fn sti() -> Kernel {
    kernel(
        &[stepping(), code!("sti")].concat(),
        code!("nop", "nop", "cli"),
    )
}

fn mov_ss() -> Kernel {
    let load = [code!("mov ebx, ss"), stepping(), code!("mov ss, ebx")].concat();
    kernel(&load, code!("nop", "nop"))
}

fn lss() -> Kernel {
    let pointer = code!(
        "mov dword ptr [{free} + 4], {data_selector}",
        free = const FREE,
        data_selector = const DATA_SELECTOR,
    );
    let load = code!("lss ebx, [{free}]", free = const FREE);
    kernel(&[pointer, stepping(), load].concat(), code!("nop", "nop"))
}

/// To ring 3, from where the handler leads back.
fn sysret() -> Kernel {
    const SELECTORS: u32 = (DATA_SELECTOR as u32 | 3) << 16 | CODE_SELECTOR as u32;
    let prepare = code!(
        "mov ecx, {star}",
        "xor eax, eax",
        "mov edx, {selectors}",
        "wrmsr",
        "lea r15, [r14 + 2]",
        "mov rcx, r14",
        "mov r11d, {flags}",
        "sysretq",
        star = const msr::STAR,
        selectors = const SELECTORS,
        flags = const TF | x86::RFLAGS_FIXED,
    );
    kernel(prepare, code!("nop", "nop"))
}

fn breakpoint() -> Kernel {
    kernel(breaking!(EXECUTE_0), code!("nop"))
}

fn breakpoint_after_mov_ss() -> Kernel {
    let load = code!("mov eax, ss", "mov ss, eax");
    kernel(&[breaking!(EXECUTE_0), load].concat(), code!("nop"))
}

/// The trap of the first waits; the fault of the second does not.
fn watched_breakpoint() -> Kernel {
    let load = code!("mov ss, [{free}]", free = const FREE);
    let both = breaking!(EXECUTE_0 | ACCESS_1);
    kernel(&[watching(), both, load].concat(), code!("nop"))
}

/// A reason of the past gives way to what is met now.
fn stale() -> Kernel {
    let prepare = code!(
        "mov eax, {past}",
        "mov dr6, rax",
        "mov dr2, r14",
        "mov eax, {control}",
        "mov dr7, rax",
        past = const x86::DR6_RESET | 0b0010,
        control = const EXECUTE_2,
    );
    kernel(prepare, code!("nop"))
}

/// The bits that do not name breakpoints stay.
fn stale_step() -> Kernel {
    let past = code!("mov eax, {past}", "mov dr6, rax", past = const x86::DR6_RESET | 0x2001);
    kernel(&[past, stepping(), code!("nop")].concat(), code!("nop"))
}

fn watched() -> Kernel {
    let write = code!("mov byte ptr [{free} + 3], 0", free = const FREE);
    kernel(&[watching(), write].concat(), code!("nop"))
}

/// A watched `mov ss`, and what comes after it.
fn after_watched(code: &[u8]) -> Kernel {
    let load = code!("mov ss, [{free}]", free = const FREE);
    kernel(&[watching(), load].concat(), code)
}

fn watched_mov_ss() -> Kernel {
    after_watched(code!("nop", "nop"))
}

/// One exception, not a second one in the handler, on the stack of the first.
fn watched_int1() -> Kernel {
    after_watched(code!(".byte 0xf1"))
}

fn watched_fault() -> Kernel {
    let over = code!("lea r15, [r14 + 2]");
    let load = code!("mov ss, [{free}]", free = const FREE);
    kernel(&[over, watching(), load].concat(), code!("ud2"))
}

/// By a selector that no descriptor has.
fn general_protection() -> Kernel {
    kernel(
        code!("lea r15, [r14 + 2]", "mov eax, 0x50"),
        code!("mov ds, eax", "mov eax, 0x1234", "call r13"),
    )
}
