//! Debug exceptions: traps, breakpoints, and what holds them back (APM vol. 2 13.1).

use assembly::code;

use crate::monitor::kernel;
use crate::support::kernel::Kernel;
use crate::{Case, Wrong};

pub const CASES: &[Case] = &[
    Case::new("step", step, "#1 0 ffff4ff0\n"),
    Case::new("int3_is_a_trap", int3, "#3 1\n"),
    Case::new("int1_is_a_trap", int1, "#1 1 ffff0ff0\n").but(&[(Wrong::Qemu, "int1 is #UD there")]),
    Case::new("mov_ss_holds_steps", mov_ss, "#1 1 ffff4ff0\n")
        .but(&[(Wrong::SoftwareKvm, "what it emulates is stepped one by one")]),
    Case::new("faults_have_codes", general_protection, "#d(50) 0\n1234\n"),
];

/// The instruction after that which sets RFLAGS.TF is stepped.
fn step() -> Kernel {
    kernel(code!(
        "lea r14, [rip + 2f]",
        "pushfq",
        "or qword ptr [rsp], 0x100",
        "popfq",
        "nop",
        "2: nop",
        "nop",
    ))
}

fn int3() -> Kernel {
    kernel(code!("lea r14, [rip + 2f]", "2: int3"))
}

fn general_protection() -> Kernel {
    kernel(code!(
        "lea r14, [rip + 2f]",
        "lea r15, [rip + 3f]",
        "mov eax, 0x50",
        "2: mov ds, eax",
        "3: mov eax, 0x1234",
        "call r13",
    ))
}

/// `int1`, which the assembler does not know.
fn int1() -> Kernel {
    kernel(code!("lea r14, [rip + 2f]", "2: .byte 0xf1"))
}

fn mov_ss() -> Kernel {
    kernel(code!(
        "lea r14, [rip + 2f]",
        "mov eax, ss",
        "pushfq",
        "or qword ptr [rsp], 0x100",
        "popfq",
        "mov ss, eax",
        "2: nop",
        "nop",
    ))
}
