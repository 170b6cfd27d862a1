//! Gives `write` bad descriptors and bad addresses: errors, and the kernel goes on (R18, R22).

#![no_std]
#![no_main]

use guest_user::syscall::{Entry, write_from};
use guest_user::{Arguments, io, println};

guest_user::entry!(main);

const TEXT: &[u8] = b"text\n";
const KERNEL: u64 = 0xffff_ffff_8010_0000;
const DIRECT_MAP: u64 = 0xffff_8000_0010_0000;
const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;
const USER_END: u64 = 0x7fff_ffff_f000;

fn main(_: Arguments) -> u8 {
    let text = TEXT.as_ptr() as u64;
    let cases = [
        ("good", io::STDOUT, text, TEXT.len() as u64),
        ("nothing", io::STDOUT, text, 0),
        ("closed descriptor", 9, text, TEXT.len() as u64),
        ("huge descriptor", u32::MAX, text, TEXT.len() as u64),
        ("null", io::STDOUT, 0, 1),
        ("kernel", io::STDOUT, KERNEL, 1),
        ("direct map", io::STDOUT, DIRECT_MAP, 1),
        ("non-canonical", io::STDOUT, NON_CANONICAL, 1),
        ("into the kernel", io::STDOUT, USER_END - 1, 2),
        ("around the end", io::STDOUT, text, u64::MAX),
        ("null, nothing", io::STDOUT, 0, 0),
    ];
    for (name, fd, start, len) in cases {
        println!("{name}: {:?}", write_from(Entry::Syscall, fd, start, len));
    }
    0
}
