//! Executes one instruction that only ring 0 may; its argument says which (R8, R9).

#![no_std]
#![no_main]

use core::arch::asm;

use guest_user::{Arguments, println};

guest_user::entry!(main);

/// What `lidt` and others read or write.
static mut TABLE: [u8; 16] = [0; 16];

const LSTAR: u32 = 0xc000_0082;
const DEBUG_EXIT: u8 = 0xf4;
const KERNEL_CODE: u64 = 0x08;
const KERNEL_DATA: u64 = 0x10;

macro_rules! instruction {
    ($($argument:tt)*) => {
        // SAFETY: it traps. If it does not, that is what this program is there to show.
        || unsafe { asm!($($argument)*) }
    };
}

const INSTRUCTIONS: [(&str, fn()); 26] = [
    ("hlt", instruction!("hlt")),
    ("cli", instruction!("cli")),
    ("sti", instruction!("sti")),
    ("in", instruction!("in al, 0x60", out("al") _)),
    (
        "out",
        instruction!("out {}, eax", const DEBUG_EXIT, in("eax") 0),
    ),
    (
        "ins",
        instruction!(
            "insb",
            in("dx") 0x60_u16,
            inout("rdi") &raw mut TABLE => _,
        ),
    ),
    ("lidt", instruction!("lidt [{}]", in(reg) &raw const TABLE)),
    ("lgdt", instruction!("lgdt [{}]", in(reg) &raw const TABLE)),
    ("lldt", instruction!("lldt {:x}", in(reg) 0)),
    ("ltr", instruction!("ltr {:x}", in(reg) 0x30)),
    ("sidt", instruction!("sidt [{}]", in(reg) &raw mut TABLE)),
    ("sgdt", instruction!("sgdt [{}]", in(reg) &raw mut TABLE)),
    ("mov_from_cr0", instruction!("mov {}, cr0", out(reg) _)),
    ("mov_cr3", instruction!("mov cr3, {}", in(reg) 0_u64)),
    ("mov_cr4", instruction!("mov cr4, {}", in(reg) 0_u64)),
    ("mov_dr7", instruction!("mov dr7, {}", in(reg) 0_u64)),
    ("clts", instruction!("clts")),
    (
        "invlpg",
        instruction!("invlpg [{}]", in(reg) &raw const TABLE),
    ),
    ("wbinvd", instruction!("wbinvd")),
    ("swapgs", instruction!("swapgs")),
    (
        "rdmsr",
        instruction!("rdmsr", in("ecx") LSTAR, out("eax") _, out("edx") _),
    ),
    (
        "wrmsr",
        instruction!("wrmsr", in("ecx") LSTAR, in("eax") 0, in("edx") 0),
    ),
    (
        "sysret",
        instruction!("sysretq", in("rcx") 0_u64, in("r11") 0_u64),
    ),
    (
        "iret",
        instruction!(
            "mov rax, rsp",
            "push {data}",
            "push rax",
            "pushfq",
            "push {code}",
            "lea rax, [rip + 2f]",
            "push rax",
            "iretq",
            "2:",
            data = const KERNEL_DATA,
            code = const KERNEL_CODE,
            out("rax") _,
        ),
    ),
    ("load_ss", instruction!("mov ss, {:e}", in(reg) KERNEL_DATA)),
    // A gate that the kernel keeps to itself: programs cannot forge a page fault.
    ("int_14", instruction!("int 14")),
];

fn main(arguments: Arguments) -> u8 {
    let wanted = arguments.first();
    let found = INSTRUCTIONS.iter().find(|(name, _)| Some(*name) == wanted);
    let Some((name, execute)) = found else {
        println!("usage: privileged INSTRUCTION, one of:");
        for (name, _) in INSTRUCTIONS {
            println!("{name}");
        }
        return 2;
    };
    println!("executing {name} in ring 3");
    execute();
    println!("{name} did not trap");
    1
}
