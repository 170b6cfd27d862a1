//! Accesses memory in a way that is not allowed; its argument says which (R18, R19).

#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;

use guest_user::{Arguments, println};

guest_user::entry!(main);

const KERNEL_TEXT: u64 = 0xffff_ffff_8010_1000;
const DIRECT_MAP: u64 = 0xffff_8000_0010_0000;
const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;
const UNMAPPED: u64 = 0x1000_0000;
/// `ret`
const RETURN: u8 = 0xc3;

static RODATA: u8 = RETURN;
static mut DATA: [u8; 16] = [RETURN; 16];

const ACCESSES: [(&str, fn()); 14] = [
    ("null", || read(0)),
    ("null_write", || write(0)),
    ("null_jump", || jump(0)),
    ("unmapped", || read(UNMAPPED)),
    ("kernel", || read(KERNEL_TEXT)),
    ("kernel_write", || write(KERNEL_TEXT)),
    ("kernel_jump", || jump(KERNEL_TEXT)),
    ("direct_map", || read(DIRECT_MAP)),
    ("text_write", || write(main as *const () as u64)),
    ("rodata_write", || write(&raw const RODATA as u64)),
    ("data_execute", || jump(&raw const DATA as u64)),
    ("stack_execute", stack_execute),
    ("noncanonical", || read(NON_CANONICAL)),
    ("noncanonical_jump", || jump(NON_CANONICAL)),
];

fn read(address: u64) {
    // SAFETY: it faults. If it does not, the byte is not used.
    unsafe { asm!("mov al, [{}]", in(reg) address, out("al") _) };
}

fn write(address: u64) {
    // SAFETY: it faults. If it does not, the program reports that and ends.
    unsafe { asm!("mov byte ptr [{}], 0", in(reg) address) };
}

fn jump(address: u64) {
    // SAFETY: it faults. If it does not, what is there returns.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}

fn stack_execute() {
    let code = black_box([RETURN; 16]);
    jump(code.as_ptr() as u64);
}

fn main(arguments: Arguments) -> u8 {
    let wanted = arguments.first();
    let found = ACCESSES.iter().find(|(name, _)| Some(*name) == wanted);
    let Some((name, access)) = found else {
        println!("usage: segv ACCESS, one of:");
        for (name, _) in ACCESSES {
            println!("{name}");
        }
        return 2;
    };
    println!("accessing {name}");
    access();
    println!("{name} was allowed");
    1
}
