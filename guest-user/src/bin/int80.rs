//! Makes each system call by `syscall` and by `int 0x80`: same table, same results (R10).

#![no_std]
#![no_main]

use core::arch::asm;

use guest_user::syscall::{self, Entry};
use guest_user::{Arguments, io, println};
use linux_raw_sys::general::{__NR_getpid, CLOCK_MONOTONIC};

guest_user::entry!(main);

const TEXT: &[u8] = b"written by a system call\n";
const NO_FILE: u32 = 77;

fn main(_: Arguments) -> u8 {
    for entry in Entry::ALL {
        println!("by {}:", entry.name());
        let (start, len) = (TEXT.as_ptr() as u64, TEXT.len() as u64);
        println!(
            "write: {:?}",
            syscall::write_from(entry, io::STDOUT, start, len)
        );
        println!(
            "write to no file: {:?}",
            syscall::write_from(entry, NO_FILE, start, len)
        );
        println!("getpid: {:?}", syscall::getpid(entry));
        println!("sched_yield: {:?}", syscall::sched_yield(entry));
        let time = syscall::clock_gettime(entry, CLOCK_MONOTONIC);
        println!("clock_gettime: {:?}", time.map(|_| "a time"));
        println!("nanosleep: {:?}", syscall::nanosleep(entry, 0, 1000));
        println!("unknown: {:?}", syscall::unknown(entry));
    }
    println!(
        "int 0x80 keeps all registers but rax: {}",
        int_80_keeps_registers()
    );
    0
}

/// Fills registers with numbers, calls, and looks whether they are still there. (rbx and
/// rbp are the compiler's own.)
fn int_80_keeps_registers() -> bool {
    let (mut rcx, mut rdx, mut rsi, mut rdi) = (1_u64, 2_u64, 3_u64, 4_u64);
    let (mut r8, mut r9, mut r10, mut r11) = (5_u64, 6_u64, 7_u64, 8_u64);
    let (mut r12, mut r13, mut r14, mut r15) = (9_u64, 10_u64, 11_u64, 12_u64);
    let (mut low, mut high) = (13.0_f64, 14.0_f64);
    // SAFETY: getpid touches no memory.
    unsafe {
        asm!(
            "int 0x80",
            inout("rax") u64::from(__NR_getpid) => _,
            inout("rcx") rcx, inout("rdx") rdx, inout("rsi") rsi, inout("rdi") rdi,
            inout("r8") r8, inout("r9") r9, inout("r10") r10, inout("r11") r11,
            inout("r12") r12, inout("r13") r13, inout("r14") r14, inout("r15") r15,
            inout("xmm0") low, inout("xmm15") high,
            options(nostack),
        );
    }
    [rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15]
        == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        && (low, high) == (13.0, 14.0)
}
